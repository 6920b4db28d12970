//! Tables in Markdown from the bench's samples: ratios first; the rows that DESIGN.md names
//! above the others, in both the worst row on top.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use super::{
    samples::{KERNEL, OURS, median, of, ratios, rows, spread},
    targets::{self, Judged},
};

/// A table, and what has to be said of it.
pub(super) struct Table {
    pub(super) text: String,
    /// Rows with a target.
    pub(super) judged: usize,
    /// Those that do not hold.
    pub(super) missed: Vec<String>,
}

/// Nanoseconds a call.
pub(super) fn time(samples: &str) -> Result<Table> {
    let mut table = Rows::new("times faster", "depth | pages | operation | ours, ns | K, ns");
    for (key, row) in rows(samples)? {
        let (ours, kernel) = (of(&row, OURS)?, of(&row, KERNEL)?);
        let ratios = ratios(kernel, ours);
        let key: Vec<_> = key.iter().map(String::as_str).collect();
        let ratio = median(&ratios);
        table.row(
            ratio,
            &spread(&ratios, 2),
            &key,
            &[&spread(ours, 1), &spread(kernel, 1)],
            targets::time(&key, ratio, median(ours) - median(kernel)),
        );
    }
    Ok(table.finish())
}

/// Instructions a call, held to DESIGN.md's targets.
pub(super) fn count(samples: &str) -> Result<Table> {
    counts(samples, targets::instructions)
}

/// Instructions a call on arm64, loop and clock included: the targets are not of these.
pub(super) fn guest(samples: &str) -> Result<Table> {
    counts(samples, |_, _| None)
}

fn counts(samples: &str, target: fn(&[&str], f64) -> Option<Judged>) -> Result<Table> {
    let mut table = Rows::new("times fewer", "depth | pages | operation | ours | K");
    for (key, row) in rows(samples)? {
        let (ours, kernel) = (median(of(&row, OURS)?), median(of(&row, KERNEL)?));
        let key: Vec<_> = key.iter().map(String::as_str).collect();
        let ratio = kernel / ours;
        table.row(
            ratio,
            &format!("{ratio:.2}"),
            &key,
            &[&format!("{ours:.0}"), &format!("{kernel:.0}")],
            target(&key, ours),
        );
    }
    Ok(table.finish())
}

/// Allocated bytes a page.
pub(super) fn memory(samples: &str) -> Result<Table> {
    let mut table = Rows::new("times smaller", "pages | ours, bytes | K, bytes");
    for (key, row) in rows(samples)? {
        let (ours, kernel) = (median(of(&row, OURS)?), median(of(&row, KERNEL)?));
        let class = key.join("");
        let ratio = kernel / ours;
        table.row(
            ratio,
            &format!("{ratio:.2}"),
            &[&class],
            &[&format!("{ours:.2}"), &format!("{kernel:.2}")],
            targets::memory(&class, ours),
        );
    }
    Ok(table.finish())
}

/// What the codec alone takes, nanoseconds a page, beside a copy of the tags.
pub(super) fn codec(samples: &str) -> Result<Table> {
    let mut table = Rows::new("of a copy's time", "pages | operation | ours, ns | a copy, ns");
    for (key, row) in rows(samples)? {
        let (ours, copy) = (of(&row, OURS)?, of(&row, KERNEL)?);
        let key: Vec<_> = key.iter().map(String::as_str).collect();
        let ratio = median(&ratios(copy, ours));
        table.row(
            ratio,
            &format!("1/{:.1}", 1.0 / ratio),
            &key,
            &[&spread(ours, 1), &spread(copy, 1)],
            targets::codec(&key, median(ours)),
        );
    }
    Ok(table.finish())
}

/// Where one thread stands among the places of threads.
pub(super) const ALONE: &str = "one thread";

/// What two threads do together over what one does alone.
pub(super) fn threads(samples: &str) -> Result<Table> {
    let rows = rows(samples)?;
    let mut table = Rows::new(
        "ours, times one",
        "pages | two threads | operation | K, times one | ours, calls a µs | K, calls a µs",
    );
    for (key, row) in &rows {
        let [class, place, operation] = key.as_slice() else {
            anyhow::bail!("no threads: {key:?}")
        };
        if place == ALONE {
            continue;
        }
        let alone = [class.as_str(), ALONE, operation];
        let alone = rows.iter().find(|(key, _)| *key == alone).context("no thread alone")?;
        // One thread and two have other rounds, where others had parts of cores.
        let times = |store| -> Result<Vec<f64>> {
            let alone = median(of(&alone.1, store)?);
            Ok(of(row, store)?.iter().map(|calls| calls / alone).collect())
        };
        let ours = times(OURS)?;
        table.row(
            median(&ours),
            &spread(&ours, 2),
            &[class, place, operation],
            &[
                &spread(&times(KERNEL)?, 2),
                &spread(of(row, OURS)?, 1),
                &spread(of(row, KERNEL)?, 1),
            ],
            targets::threads(place, median(&ours)),
        );
    }
    Ok(table.finish())
}

/// How the costs grow with the number of entries.
pub(super) fn growth(samples: &str) -> Result<Table> {
    let mut text =
        "| times faster | entries | operation | ours, ns | K, ns |\n|---|---|---|---|---|\n"
            .to_owned();
    for (key, row) in rows(samples)? {
        let (ours, kernel) = (of(&row, OURS)?, of(&row, KERNEL)?);
        let ratio = median(&ratios(kernel, ours));
        let (ours, kernel) = (median(ours), median(kernel));
        writeln!(text, "| {ratio:.2} | {} | {ours:.1} | {kernel:.1} |", key.join(" | "))?;
    }
    Ok(Table { text, judged: 0, missed: Vec::new() })
}

/// Nanoseconds a call of every store; first, how many times ours the best of the others is.
pub(super) fn peers(samples: &str) -> Result<Table> {
    let rows = rows(samples)?;
    let stores: Vec<_> = rows.first().context("no samples")?.1.keys().cloned().collect();
    let others: Vec<_> = stores.iter().filter(|store| *store != OURS).collect();
    let names: Vec<_> =
        others.iter().map(|s| if *s == KERNEL { "K" } else { s.as_str() }).collect();
    let mut table = Rows::new(
        "the best of the others, times ours",
        &format!("operation | ours, ns | {}", names.join(" | ")),
    );
    for (key, row) in &rows {
        let ours = median(of(row, OURS)?);
        let medians: Vec<_> =
            others.iter().map(|store| Ok(median(of(row, store)?))).collect::<Result<_>>()?;
        let ratio = medians.iter().copied().fold(f64::MAX, f64::min) / ours;
        let cells: Vec<_> =
            [ours].iter().chain(&medians).map(|median| format!("{median:.1}")).collect();
        let cells: Vec<_> = cells.iter().map(String::as_str).collect();
        let operation = key.last().context("no operation")?;
        table.row(ratio, &format!("{ratio:.2}"), &[operation], &cells, None);
    }
    Ok(table.finish())
}

/// What no store's call goes below, and what another's must take for it to be so many times as fast.
pub(super) fn bounds(samples: &str) -> Result<Table> {
    let mut text =
        "| a call that | ns | 3 times that | 8 times that |\n|---|---|---|---|\n".to_owned();
    for (key, row) in rows(samples)? {
        let [(_, ns)] = row.iter().collect::<Vec<_>>()[..] else { anyhow::bail!("whose? {key:?}") };
        let (what, once) = (key.join(""), median(ns));
        writeln!(text, "| {what} | {} | {:.1} | {:.1} |", spread(ns, 1), 3.0 * once, 8.0 * once)?;
    }
    Ok(Table { text, judged: 0, missed: Vec::new() })
}

/// Rows with their ratios, those with a target apart from the rest.
struct Rows {
    columns: String,
    named: Vec<(f64, String)>,
    rest: Vec<(f64, String)>,
    missed: Vec<(f64, String)>,
}

impl Rows {
    fn new(ratio: &str, columns: &str) -> Self {
        let columns = format!("{ratio} | {columns}");
        Self { columns, named: Vec::new(), rest: Vec::new(), missed: Vec::new() }
    }

    fn row(
        &mut self,
        ratio: f64,
        shown: &str,
        key: &[&str],
        cells: &[&str],
        judged: Option<Judged>,
    ) {
        let row = format!("{shown} | {} | {}", key.join(" | "), cells.join(" | "));
        let Some(Judged { text, holds }) = judged else {
            self.rest.push((ratio, format!("| {row} |\n")));
            return;
        };
        let verdict = if holds { "holds" } else { "**does not hold**" };
        self.named.push((ratio, format!("| {row} | {text}: {verdict} |\n")));
        if !holds {
            self.missed.push((ratio, format!("{}: {shown}, {}; {text}", key.join(", "), cells[0])));
        }
    }

    fn finish(self) -> Table {
        let in_order = |mut rows: Vec<(f64, String)>| {
            rows.sort_by(|a, b| a.0.total_cmp(&b.0));
            rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>()
        };
        let table = |columns: &str, rows: Vec<(f64, String)>| {
            let rule = "|---".repeat(columns.split(" | ").count());
            format!("| {columns} |\n{rule}|\n{}", in_order(rows).concat())
        };
        let (judged, held) = (self.named.len(), self.named.len() - self.missed.len());
        let mut text = String::new();
        if judged > 0 {
            text += &format!("{held} of {judged} targets hold.\n\n");
            text += &table(&format!("{} | target", self.columns), self.named);
        }
        if judged > 0 && !self.rest.is_empty() {
            text += "\nThe rest, the worst first.\n\n";
        }
        if !self.rest.is_empty() {
            text += &table(&self.columns, self.rest);
        }
        Table { text, judged, missed: in_order(self.missed) }
    }
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
        let table = time(samples).unwrap().text;
        let lines: Vec<_> = table.lines().filter(|line| line.contains(" deep ")).collect();
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
        assert!(memory(&sample("28")).unwrap().text.contains("| ≤ 28: holds |"));
        let missed = memory(&sample("28.1")).unwrap();
        assert!(missed.text.contains("| ≤ 28: **does not hold** |"));
        assert_eq!((missed.judged, missed.missed), (1, vec!["real: 4.88, 28.10; ≤ 28".to_owned()]));
    }

    #[test]
    fn rows_with_a_target_stand_above_the_rest() {
        let row = |class: &str, ours: u32| {
            format!("memory\t{class}\tours\t{ours}\nmemory\t{class}\tkernel\t100\n")
        };
        let table = memory(&(row("mixture", 200) + &row("real", 20) + &row("one-tag", 5))).unwrap();
        let at = |class| table.text.find(class).unwrap();
        assert!(at("real") < at("one-tag") && at("one-tag") < at("mixture"), "{}", table.text);
        assert!(table.text.starts_with("1 of 2 targets hold.\n"));
    }

    #[test]
    fn threads_are_told_beside_one_alone() {
        let row = |place: &str, ours: f64| {
            format!(
                "threads\tmixture\t{place}\tsave\tours\t{ours}\n\
                 threads\tmixture\t{place}\tsave\tkernel\t5\n"
            )
        };
        let table = threads(&(row(ALONE, 10.0) + &row("same type", 17.0))).unwrap();
        let line = "| 1.70 (1.70–1.70) | mixture | same type | save | 1.00 (1.00–1.00) |";
        assert!(table.text.contains(line), "{}", table.text);
        assert!(table.text.contains("≥ 1.8: **does not hold**"));
        assert!(threads(&row("same type", 17.0)).is_err());
    }

    #[test]
    fn bounds_have_what_another_must_take() {
        let samples = "bounds\twaits\tmachine\t1\nbounds\twaits\tmachine\t3\n";
        let table = bounds(samples).unwrap().text;
        assert!(table.ends_with("| waits | 2.0 (1.0–3.0) | 6.0 | 16.0 |\n"), "{table}");
    }

    #[test]
    fn peers_are_held_to_the_best_of_them() {
        let samples = "time\tdeep\tmixture\tsave\tours\t10\ntime\tdeep\tmixture\tsave\tkernel\t30\n\
                       time\tdeep\tmixture\tsave\tdashmap\t20\n";
        let table = peers(samples).unwrap().text;
        assert!(table.ends_with("| 2.00 | save | 10.0 | 20.0 | 30.0 |\n"), "{table}");
        assert!(table.contains("| ours, ns | dashmap | K |"));
    }
}
