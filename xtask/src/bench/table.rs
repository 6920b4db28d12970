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

/// Of an even number, the mean of the two in the middle.
pub(super) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { sorted[middle - 1].midpoint(sorted[middle]) }
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
    let mut table = Table::new("times faster", "depth | pages | operation | ours, ns | K, ns");
    for (key, row) in rows(samples)? {
        let ratios = ratios(&row)?;
        let (ours, kernel) = (of(&row, OURS)?, of(&row, KERNEL)?);
        let key: Vec<_> = key.iter().map(String::as_str).collect();
        let target = time_target(&key);
        table.row(
            median(&ratios),
            &[&spread(&ratios, 2), &key.join(" | "), &spread(ours, 1), &spread(kernel, 1)],
            target.map(|target| target.judge(median(&ratios), median(ours) - median(kernel))),
        );
    }
    Ok(table.finish())
}

/// Instructions a call, held to DESIGN.md's targets.
pub(super) fn count(samples: &str) -> Result<String> {
    counts(samples, instructions_target)
}

/// Instructions a call on arm64, loop and clock included: the targets are not of these.
pub(super) fn guest(samples: &str) -> Result<String> {
    counts(samples, |_| None)
}

fn counts(samples: &str, target: fn(&[&str]) -> Option<f64>) -> Result<String> {
    let mut table = Table::new("times fewer", "depth | pages | operation | ours | K");
    for (key, row) in rows(samples)? {
        let (ours, kernel) = (median(of(&row, OURS)?), median(of(&row, KERNEL)?));
        let key: Vec<_> = key.iter().map(String::as_str).collect();
        let ratio = kernel / ours;
        table.row(
            ratio,
            &[
                &format!("{ratio:.2}"),
                &key.join(" | "),
                &format!("{ours:.0}"),
                &format!("{kernel:.0}"),
            ],
            target(&key).map(|most| Judged::at_most(ours, most)),
        );
    }
    Ok(table.finish())
}

/// Allocated bytes a page.
pub(super) fn memory(samples: &str) -> Result<String> {
    let mut table = Table::new("times smaller", "pages | ours, bytes | K, bytes");
    for (key, row) in rows(samples)? {
        let (ours, kernel) = (median(of(&row, OURS)?), median(of(&row, KERNEL)?));
        let class = key.join("");
        let target = match class.as_str() {
            "one-tag" => Some(2.0),
            "real" => Some(28.0),
            "random" => Some(138.0),
            _ => None,
        };
        let ratio = kernel / ours;
        table.row(
            ratio,
            &[&format!("{ratio:.2}"), &class, &format!("{ours:.2}"), &format!("{kernel:.2}")],
            target.map(|most| Judged::at_most(ours, most)),
        );
    }
    Ok(table.finish())
}

/// What two threads do together over what one does alone.
pub(super) fn threads(samples: &str) -> Result<String> {
    let mut table = Table::new("ours", "two threads | operation | K");
    for (key, row) in rows(samples)? {
        let ours = of(&row, OURS)?;
        let target = match key.first().map(String::as_str) {
            Some("same type") => Some(1.8),
            Some("own types") => Some(1.9),
            _ => None,
        };
        table.row(
            median(ours),
            &[&spread(ours, 2), &key.join(" | "), &spread(of(&row, KERNEL)?, 2)],
            target.map(|least| Judged::at_least(median(ours), least)),
        );
    }
    Ok(table.finish())
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

/// DESIGN.md, "Targets": time beside K's.
#[derive(Clone, Copy)]
enum TimeTarget {
    Faster(f64),
    /// At most so many nanoseconds more.
    Above(f64),
}

impl TimeTarget {
    fn judge(self, ratio: f64, above: f64) -> Judged {
        match self {
            Self::Faster(least) => Judged::at_least(ratio, least),
            Self::Above(most) => {
                Judged { text: format!("≤ {most} ns above K"), holds: above <= most }
            }
        }
    }
}

fn time_target(key: &[&str]) -> Option<TimeTarget> {
    let [depth, class, operation] = *key else { return None };
    let index_alone = operation.starts_with("invalidate")
        || operation.starts_with("area")
        || operation.ends_with("absent");
    match (depth, class) {
        ("deep", "one-tag") => Some(TimeTarget::Faster(8.0)),
        ("deep", "mixture") if index_alone => Some(TimeTarget::Faster(8.0)),
        ("deep", "mixture") => Some(TimeTarget::Faster(3.0)),
        ("shallow", "one-tag" | "random") => Some(TimeTarget::Faster(1.0)),
        ("shallow", _) if index_alone => Some(TimeTarget::Faster(1.0)),
        ("shallow", _) if operation.starts_with("restore") => Some(TimeTarget::Above(60.0)),
        _ => None,
    }
}

/// A figure beside its target.
struct Judged {
    text: String,
    holds: bool,
}

impl Judged {
    fn at_most(value: f64, most: f64) -> Self {
        Self { text: format!("≤ {most}"), holds: value <= most }
    }

    fn at_least(value: f64, least: f64) -> Self {
        Self { text: format!("≥ {least}"), holds: value >= least }
    }
}

/// Rows with their ratio and target, the worst on top; how many targets hold, below.
struct Table {
    head: String,
    rows: Vec<(f64, String)>,
    judged: usize,
    held: usize,
}

impl Table {
    fn new(ratio: &str, columns: &str) -> Self {
        let head = format!("| {ratio} | {columns} | target |\n");
        let rule = "|---".repeat(head.matches('|').count() - 1);
        Self { head: format!("{head}{rule}|\n"), rows: Vec::new(), judged: 0, held: 0 }
    }

    fn row(&mut self, ratio: f64, cells: &[&str], judged: Option<Judged>) {
        let mut target = String::new();
        if let Some(judged) = judged {
            self.judged += 1;
            self.held += usize::from(judged.holds);
            target = judged.text + if judged.holds { ", holds" } else { ", **missed**" };
        }
        self.rows.push((ratio, format!("| {} | {target} |\n", cells.join(" | "))));
    }

    fn finish(mut self) -> String {
        self.rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut text = self.rows.into_iter().fold(self.head, |text, (_, line)| text + &line);
        if self.judged > 0 {
            text += &format!("\n{} of {} targets hold.\n", self.held, self.judged);
        }
        text
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
        let table = time(samples).unwrap();
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
        assert!(memory(&sample("28")).unwrap().contains("| ≤ 28, holds |"));
        assert!(memory(&sample("28.1")).unwrap().contains("| ≤ 28, **missed** |"));
    }

    #[test]
    fn medians_and_spreads() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(spread(&[3.0, 1.0, 2.0], 1), "2.0 (1.0–3.0)");
    }

    #[test]
    fn samples_are_read_field_by_field() {
        let (key, store, value) = fields("time\tdeep\treal\tsave\tours\t1.5").unwrap();
        assert_eq!((key, store, value), (vec!["deep", "real", "save"], "ours", 1.5));
        for bad in ["", "time\tours\t1", "time\tdeep\tours\tfast", "time deep ours 1"] {
            assert!(fields(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn targets_of_time_are_named_where_they_stand() {
        let judge = |depth, class, operation, ours: f64, kernel: f64| {
            let target = time_target(&[depth, class, operation]).expect("a target");
            target.judge(kernel / ours, ours - kernel)
        };
        assert!(judge("deep", "mixture", "save, random", 10.0, 30.0).holds);
        assert!(!judge("deep", "mixture", "save, random", 10.0, 29.0).holds);
        assert!(!judge("deep", "mixture", "restore, absent", 10.0, 79.0).holds);
        assert!(judge("shallow", "real", "restore, random", 70.0, 10.0).holds);
        assert!(!judge("shallow", "real", "restore, random", 70.1, 10.0).holds);
        assert!(time_target(&["deep", "real", "save, random"]).is_none());
    }

    #[test]
    fn held_targets_are_counted() {
        let two = "threads\tsame type\tsave\tours\t1.7\nthreads\tsame type\tsave\tkernel\t1\n\
                   threads\town types\tsave\tours\t1.9\nthreads\town types\tsave\tkernel\t1\n";
        let table = threads(two).unwrap();
        assert!(table.contains("| ≥ 1.8, **missed** |\n"), "{table}");
        assert!(table.ends_with("\n\n1 of 2 targets hold.\n"), "{table}");
        assert!(table.starts_with(
            "| ours | two threads | operation | K | target |\n|---|---|---|---|---|\n"
        ));
    }
}
