//! Tables in Markdown from the bench's samples: ratios first, the worst row on top.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Context, Result};

/// Samples of one row, by store.
pub(super) type Row = BTreeMap<String, Vec<f64>>;

pub(super) const OURS: &str = "ours";
pub(super) const KERNEL: &str = "kernel";

/// What was measured, whose it is, and the figure: the fields of a sample between its kind
/// and its end.
pub(super) fn fields(line: &str) -> Result<(Vec<&str>, &str, f64)> {
    let mut fields: Vec<_> = line.split('\t').collect();
    let value = fields.pop().and_then(|value| value.parse().ok());
    let store = fields.pop();
    match (store, value) {
        (Some(store), Some(value)) if fields.len() > 1 => Ok((fields.split_off(1), store, value)),
        _ => anyhow::bail!("no sample: {line}"),
    }
}

/// Rows by what was measured, in order of appearance.
pub(super) fn rows(samples: &str) -> Result<Vec<(Vec<String>, Row)>> {
    let mut rows: Vec<(Vec<String>, Row)> = Vec::new();
    for line in samples.lines() {
        let (key, store, value) = fields(line)?;
        let at = rows.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
            rows.push((key.iter().map(|field| (*field).to_owned()).collect(), Row::new()));
            rows.len() - 1
        });
        rows[at].1.entry(store.to_owned()).or_default().push(value);
    }
    Ok(rows)
}

fn of<'a>(row: &'a Row, store: &str) -> Result<&'a [f64]> {
    row.get(store).map(Vec::as_slice).with_context(|| format!("no sample of {store}"))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

pub(super) fn median(values: &[f64]) -> f64 {
    sorted(values)[values.len() / 2]
}

/// Median, least and most.
fn spread(values: &[f64], digits: usize) -> String {
    let sorted = sorted(values);
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    format!("{:.digits$} ({least:.digits$}–{most:.digits$})", median(values))
}

/// Kernel over ours, round by round.
fn ratios(row: &Row) -> Result<Vec<f64>> {
    Ok(of(row, KERNEL)?.iter().zip(of(row, OURS)?).map(|(kernel, ours)| kernel / ours).collect())
}

/// Nanoseconds a call.
pub(super) fn time(samples: &str) -> Result<String> {
    let mut lines = Vec::new();
    for (key, row) in rows(samples)? {
        let ratios = ratios(&row)?;
        let line = format!(
            "| {} | {} | {} | {} |",
            spread(&ratios, 2),
            key.join(" | "),
            spread(of(&row, OURS)?, 1),
            spread(of(&row, KERNEL)?, 1)
        );
        lines.push((median(&ratios), line));
    }
    Ok(worst_first(
        "| times faster | depth | pages | operation | ours, ns | K, ns |\n|---|---|---|---|---|---|\n",
        lines,
    ))
}

/// Instructions a call.
pub(super) fn count(samples: &str) -> Result<String> {
    let mut lines = Vec::new();
    for (key, row) in rows(samples)? {
        let (ours, kernel) = (median(of(&row, OURS)?), median(of(&row, KERNEL)?));
        let key: Vec<_> = key.iter().map(String::as_str).collect();
        let target = instructions_target(&key);
        let line = format!(
            "| {:.2} | {} | {ours:.0} | {kernel:.0} | {} |",
            kernel / ours,
            key.join(" | "),
            judged(ours, target)
        );
        lines.push((kernel / ours, line));
    }
    Ok(worst_first(
        "| times fewer | depth | pages | operation | ours | K | target |\n|---|---|---|---|---|---|---|\n",
        lines,
    ))
}

/// Allocated bytes a page.
pub(super) fn memory(samples: &str) -> Result<String> {
    let mut lines = Vec::new();
    for (key, row) in rows(samples)? {
        let (ours, kernel) = (median(of(&row, OURS)?), median(of(&row, KERNEL)?));
        let class = key.join("");
        let target = match class.as_str() {
            "one-tag" => Some(2.0),
            "real" => Some(28.0),
            "random" => Some(138.0),
            _ => None,
        };
        let judged = judged(ours, target);
        let line =
            format!("| {:.2} | {class} | {ours:.2} | {kernel:.2} | {judged} |", kernel / ours);
        lines.push((kernel / ours, line));
    }
    Ok(worst_first(
        "| times smaller | pages | ours, bytes | K, bytes | target |\n|---|---|---|---|---|\n",
        lines,
    ))
}

/// What two threads do together over what one does alone.
pub(super) fn threads(samples: &str) -> Result<String> {
    let mut lines = Vec::new();
    for (key, row) in rows(samples)? {
        let ours = of(&row, OURS)?;
        let line = format!(
            "| {} | {} | {} |",
            key.join(" | "),
            spread(ours, 2),
            spread(of(&row, KERNEL)?, 2)
        );
        lines.push((median(ours), line));
    }
    Ok(worst_first("| two threads | operation | ours | K |\n|---|---|---|---|\n", lines))
}

/// How the costs grow with the number of entries.
pub(super) fn growth(samples: &str) -> Result<String> {
    let mut table =
        "| entries | operation | ours, ns | K, ns | times faster |\n|---|---|---|---|---|\n"
            .to_owned();
    for (key, row) in rows(samples)? {
        let (ours, kernel) = (median(of(&row, OURS)?), median(of(&row, KERNEL)?));
        let ratio = kernel / ours;
        writeln!(table, "| {} | {ours:.1} | {kernel:.1} | {ratio:.2} |", key.join(" | "))?;
    }
    Ok(table)
}

/// Nanoseconds a call of every store.
pub(super) fn peers(samples: &str) -> Result<String> {
    let rows = rows(samples)?;
    let stores: Vec<_> = rows.first().context("no samples")?.1.keys().cloned().collect();
    let mut table =
        format!("| operation | {} |\n|---{}|\n", stores.join(" | "), "|---".repeat(stores.len()));
    for (key, row) in &rows {
        write!(table, "| {} |", key.last().context("no operation")?)?;
        for store in &stores {
            write!(table, " {:.1} |", median(of(row, store)?))?;
        }
        table.push('\n');
    }
    Ok(table)
}

/// DESIGN.md, "Targets": instructions a call.
fn instructions_target(key: &[&str]) -> Option<f64> {
    match *key {
        [.., "area"] => Some(12.0),
        [.., "restore, absent" | "invalidate, absent"] => Some(20.0),
        ["deep", "mixture", "save"] => Some(220.0),
        ["deep", "mixture", "restore"] => Some(100.0),
        ["deep", "mixture", "invalidate"] => Some(60.0),
        ["deep", "one-tag", "save"] => Some(130.0),
        ["deep", "one-tag", "restore"] => Some(60.0),
        ["deep", "one-tag", "invalidate"] => Some(50.0),
        _ => None,
    }
}

fn judged(value: f64, target: Option<f64>) -> String {
    target.map_or_else(String::new, |target| {
        format!("≤ {target}{}", if value <= target { "" } else { ", **missed**" })
    })
}

fn worst_first(head: &str, mut lines: Vec<(f64, String)>) -> String {
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    lines.into_iter().fold(head.to_owned(), |table, (_, line)| table + &line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_row_stands_first_and_ratios_are_of_one_round() {
        let samples = "time\tdeep\treal\tsave\tours\t10\ntime\tdeep\treal\tsave\tkernel\t40\n\
                       time\tdeep\treal\tsave\tours\t100\ntime\tdeep\treal\tsave\tkernel\t200\n\
                       time\tdeep\treal\tsave\tours\t10\ntime\tdeep\treal\tsave\tkernel\t30\n\
                       time\tdeep\treal\trestore\tours\t20\ntime\tdeep\treal\trestore\tkernel\t10\n";
        let table = time(samples).unwrap();
        let lines: Vec<_> = table.lines().skip(2).collect();
        assert!(lines[0].starts_with("| 0.50 (0.50–0.50) | deep | real | restore |"), "{table}");
        assert!(lines[1].starts_with("| 3.00 (2.00–4.00) | deep | real | save |"), "{table}");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn a_side_without_samples_is_an_error() {
        assert!(count("count\tdeep\treal\tsave\tours\t10\n").is_err());
        assert!(count("count\tdeep\n").is_err());
    }

    #[test]
    fn a_missed_target_is_said() {
        let sample = |ours| format!("memory\treal\tours\t{ours}\nmemory\treal\tkernel\t137\n");
        assert!(memory(&sample("28")).unwrap().contains("| ≤ 28 |"));
        assert!(memory(&sample("28.1")).unwrap().contains("| ≤ 28, **missed** |"));
    }
}
