//! What is slower than K, or short of a target: told first, from the committed samples.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::Result;

use super::{
    samples::{KERNEL, OURS, median, of, ratios, rows},
    table::{self, Table},
};

type Render = fn(&str) -> Result<Table>;

/// Sections that are compared with K, what each is of, and whose targets count.
const SECTIONS: [(&str, &str, Render); 6] = [
    ("count", "Instructions", table::count),
    ("arm64", "Instructions in an arm64 kernel", table::guest),
    ("time", "Time", table::time),
    ("um", "Time in UML", table::time),
    ("codec", "The codec alone, beside a copy", table::codec),
    ("memory", "Memory", table::memory),
];

/// An item for each section that `samples` has.
pub(super) fn told(samples: impl Fn(&str) -> Option<String>) -> Result<String> {
    let mut text = String::new();
    for (name, what, render) in SECTIONS {
        let Some(samples) = samples(name) else { continue };
        let (rows, worse) = worse(&samples)?;
        let table = render(&samples)?;
        let nr: usize = worse.iter().map(|group| group.rows).sum();
        write!(text, "- **{what}**: ")?;
        if nr == 0 {
            write!(text, "no row of {rows} is worse than K's")?;
        } else {
            write!(text, "{nr} of {rows} rows are worse than K's: ")?;
            text += &worse.iter().map(Group::told).collect::<Vec<_>>().join("; ");
        }
        if table.judged > 0 {
            write!(text, ". Of {} targets {} do not hold", table.judged, table.missed.len())?;
        }
        text += ".\n";
    }
    Ok(text)
}

/// The rows of one class of pages and one operation in which K is better.
struct Group {
    pages: String,
    operation: String,
    rows: usize,
    least: f64,
    most: f64,
}

impl Group {
    fn told(&self) -> String {
        let Self { pages, operation, least, most, .. } = self;
        let range = if format!("{least:.2}") == format!("{most:.2}") {
            format!("{least:.2}")
        } else {
            format!("{least:.2} to {most:.2}")
        };
        format!("{pages}, {operation}, {range} times as good").trim_start_matches(", ").to_owned()
    }
}

/// How many rows there are, and those in which K is better, the worst group first.
fn worse(samples: &str) -> Result<(usize, Vec<Group>)> {
    let rows = rows(samples)?;
    let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
    for (key, row) in &rows {
        let ratio = median(&ratios(of(row, KERNEL)?, of(row, OURS)?));
        if ratio >= 1.0 {
            continue;
        }
        let (pages, operation) = match key.as_slice() {
            [.., pages, operation] => (pages, operation.split(',').next().unwrap_or_default()),
            _ => (&key[0], "bytes"),
        };
        let group = groups.entry((pages.clone(), operation.to_owned())).or_insert_with(|| Group {
            pages: pages.clone(),
            operation: operation.to_owned(),
            rows: 0,
            least: ratio,
            most: ratio,
        });
        group.rows += 1;
        group.least = group.least.min(ratio);
        group.most = group.most.max(ratio);
    }
    let mut worse: Vec<_> = groups.into_values().collect();
    worse.sort_by(|a, b| a.least.total_cmp(&b.least));
    Ok((rows.len(), worse))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_slower_is_told_by_pages_and_operation() {
        let row = |pages: &str, operation: &str, ours: u32| {
            format!(
                "count\tdeep\t{pages}\t{operation}\tours\t{ours}\n\
                 count\tdeep\t{pages}\t{operation}\tkernel\t100\n"
            )
        };
        let samples = row("real", "save", 200)
            + &row("real", "save, random", 400)
            + &row("mixture", "area", 11)
            + &row("real", "restore", 1000);
        let told = told(|name| (name == "count").then(|| samples.clone())).unwrap();
        assert_eq!(
            told,
            "- **Instructions**: 3 of 4 rows are worse than K's: real, restore, 0.10 times as \
             good; real, save, 0.25 to 0.50 times as good. Of 1 targets 0 do not hold.\n"
        );
    }
}
