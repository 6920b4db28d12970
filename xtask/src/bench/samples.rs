//! What the bench prints: a sample a line, tab-separated: its kind, what was measured, whose
//! it is, and the figure; where samples are kept, the figures of all rounds.
//!
//! Beside a store `x` there may be an `x, pace`: how fast arithmetic that fills a core was right before and after. It is
//! half as fast where another hyperthread has a part of the core, and then so is some of what is measured, but not all:
//! such rounds are left out of a row that has enough others.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// Samples of one row, by store.
pub(super) type Row = BTreeMap<String, Vec<f64>>;

pub(super) const OURS: &str = "ours";
pub(super) const KERNEL: &str = "kernel";

/// What was measured, whose it is, and the figure.
pub(super) fn fields(line: &str) -> Result<(Vec<&str>, &str, f64)> {
    match series(line)? {
        (key, store, values) if values.len() == 1 => Ok((key, store, values[0])),
        _ => bail!("more than a sample: {line}"),
    }
}

/// The same of the figures of several rounds, with spaces between them.
fn series(line: &str) -> Result<(Vec<&str>, &str, Vec<f64>)> {
    let mut fields: Vec<_> = line.split('\t').collect();
    let values = fields.pop().unwrap_or_default();
    let values = values.split(' ').map(|value| value.parse().ok()).collect();
    match (fields.pop(), values) {
        (Some(store), Some(values)) if fields.len() > 1 => Ok((fields.split_off(1), store, values)),
        _ => bail!("no sample: {line}"),
    }
}

/// The same samples, those of a row and a store in one line.
pub(super) fn together(samples: &str) -> Result<String> {
    let mut lines: Vec<(&str, String)> = Vec::new();
    for line in samples.lines() {
        let (row, value) = line.rsplit_once('\t').context("no sample")?;
        match lines.iter_mut().find(|(other, _)| *other == row) {
            Some((_, values)) => *values += &format!(" {value}"),
            None => lines.push((row, value.to_owned())),
        }
    }
    Ok(lines.into_iter().map(|(row, values)| format!("{row}\t{values}\n")).collect())
}

/// Whose paces these are follows from what stands before it.
const PACE: &str = ", pace";
/// A core that is ours alone is no slower than this, times the best pace of all.
const TOLERANCE: f64 = 1.2;
/// Rounds that a row needs for the others to be left out.
const ENOUGH: usize = 3;

/// Rows by what was measured, in order of appearance, of rounds in which the cores were ours alone, or of all rounds
/// where they hardly ever were.
pub(super) fn rows(samples: &str) -> Result<Vec<(Vec<String>, Row)>> {
    Ok(chosen(samples)?.into_iter().map(|Chosen { key, row, .. }| (key, row)).collect())
}

/// How many rows are of rounds in which the cores were ours alone; nothing where no pace is known.
pub(super) fn cores(samples: &str) -> Result<Option<String>> {
    let rows = chosen(samples)?;
    if rows.iter().all(|row| row.paced == Paced::Not) {
        return Ok(None);
    }
    let (all, whole) = (rows.len(), rows.iter().filter(|row| row.paced == Paced::Whole).count());
    Ok(Some(format!(
        "In {whole} of {all} rows the rounds are those in which nobody else had a part of the core{}.",
        if whole == all { "" } else { "; in the others these were too few, and all rounds count" }
    )))
}

/// Which rounds a row has.
#[derive(PartialEq, Eq)]
enum Paced {
    /// All: there is no pace.
    Not,
    /// Those of whole cores.
    Whole,
    /// All: too few were of whole cores.
    All,
}

struct Chosen {
    key: Vec<String>,
    row: Row,
    paced: Paced,
}

fn chosen(samples: &str) -> Result<Vec<Chosen>> {
    let rows = all_rows(samples)?;
    let paces = rows.iter().flat_map(|(_, row)| row.iter()).filter(|(of, _)| of.ends_with(PACE));
    let best = paces.flat_map(|(_, paces)| paces).copied().fold(f64::INFINITY, f64::min);
    Ok(rows
        .into_iter()
        .map(|(key, mut row)| {
            let mut paces = row.clone();
            paces.retain(|of, _| of.ends_with(PACE));
            row.retain(|of, _| !of.ends_with(PACE));
            let rounds = row.values().map(Vec::len).max().unwrap_or(0);
            let is_whole = |round: usize| {
                let mut paces = paces.values().map(|paces| paces.get(round));
                paces.all(|pace| pace.is_some_and(|pace| *pace <= best * TOLERANCE))
            };
            let whole: Vec<_> = (0..rounds).map(is_whole).collect();
            let paced = match whole.iter().filter(|whole| **whole).count() {
                _ if paces.is_empty() => Paced::Not,
                nr if nr >= ENOUGH.min(rounds) => Paced::Whole,
                _ => Paced::All,
            };
            if paced == Paced::Whole {
                for values in row.values_mut() {
                    let mut whole = whole.iter();
                    values.retain(|_| whole.next() == Some(&true));
                }
            }
            Chosen { key, row, paced }
        })
        .collect())
}

/// Rows by what was measured, in order of appearance.
fn all_rows(samples: &str) -> Result<Vec<(Vec<String>, Row)>> {
    let mut rows: Vec<(Vec<String>, Row)> = Vec::new();
    for line in samples.lines() {
        let (key, store, values) = series(line)?;
        let at = rows.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
            rows.push((key.iter().map(|field| (*field).to_owned()).collect(), Row::new()));
            rows.len() - 1
        });
        rows[at].1.entry(store.to_owned()).or_default().extend(values);
    }
    Ok(rows)
}

pub(super) fn of<'a>(row: &'a Row, store: &str) -> Result<&'a [f64]> {
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

/// The least and the most.
pub(super) fn ends(values: &[f64]) -> (f64, f64) {
    let sorted = sorted(values);
    (sorted[0], sorted[sorted.len() - 1])
}

/// Median, least and most.
pub(super) fn spread(values: &[f64], digits: usize) -> String {
    let (least, most) = ends(values);
    format!("{:.digits$} ({least:.digits$}–{most:.digits$})", median(values))
}

/// One side over the other, round by round.
pub(super) fn ratios(over: &[f64], under: &[f64]) -> Vec<f64> {
    over.iter().zip(under).map(|(over, under)| over / under).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(spread(&[3.0, 1.0, 2.0], 1), "2.0 (1.0–3.0)");
        assert_eq!(ratios(&[4.0, 9.0], &[2.0, 3.0]), [2.0, 3.0]);
    }

    /// Rounds of one row, each with its pace.
    fn paced(rounds: &[(f64, f64)]) -> String {
        let line = |(ns, pace): &(f64, f64)| {
            format!(
                "time\tdeep\tsave\tours\t{ns}\ntime\tdeep\tsave\tours, pace\t{pace}\n\
                 time\tdeep\tsave\tkernel\t{}\ntime\tdeep\tsave\tkernel, pace\t0.6\n",
                ns * 3.0
            )
        };
        rounds.iter().map(line).collect()
    }

    #[test]
    fn rounds_on_a_part_of_a_core_are_left_out_where_there_are_enough_others() {
        let four = [(1.0, 0.6), (2.0, 1.2), (3.0, 0.7), (4.0, 0.71)];
        for (samples, ours) in [(&four[..], vec![1.0, 3.0, 4.0]), (&four[..3], vec![1.0, 2.0, 3.0])]
        {
            let rows = rows(&paced(samples)).unwrap();
            let [(key, row)] = &rows[..] else { panic!("{rows:?}") };
            assert_eq!(
                (&key[..], of(row, OURS).unwrap()),
                (&["deep".into(), "save".into()][..], &ours[..])
            );
            let kernel: Vec<_> = ours.iter().map(|ns| ns * 3.0).collect();
            assert_eq!(of(row, KERNEL).unwrap(), kernel);
            assert_eq!(row.len(), 2, "paces are no store's");
        }
    }

    #[test]
    fn it_is_told_which_rounds_count() {
        assert_eq!(cores("time\tdeep\tsave\tours\t1\n").unwrap(), None);
        let told = |rounds: &[(f64, f64)]| cores(&paced(rounds)).unwrap().unwrap();
        let whole = told(&[(1.0, 0.6); 3]);
        assert!(
            whole.starts_with("In 1 of 1 rows") && whole.ends_with("part of the core."),
            "{whole}"
        );
        let part = told(&[(1.0, 0.6), (1.0, 0.6), (1.0, 0.8)]);
        assert!(
            part.starts_with("In 0 of 1 rows") && part.ends_with("all rounds count."),
            "{part}"
        );
    }

    #[test]
    fn samples_in_one_line_are_the_same_samples() {
        let samples = paced(&[(1.0, 0.6), (2.0, 1.2), (3.0, 0.7)]);
        let together = together(&samples).unwrap();
        assert!(together.starts_with("time\tdeep\tsave\tours\t1 2 3\n"), "{together}");
        assert_eq!(together.lines().count(), 4);
        assert_eq!(all_rows(&together).unwrap(), all_rows(&samples).unwrap());
        assert_eq!(self::together(&together).unwrap(), together);
    }

    #[test]
    fn samples_are_read_field_by_field() {
        let (key, store, value) = fields("time\tdeep\treal\tsave\tours\t1.5").unwrap();
        assert_eq!((key, store, value), (vec!["deep", "real", "save"], "ours", 1.5));
        for bad in [
            "",
            "time\tours\t1",
            "time\tdeep\tours\tfast",
            "time deep ours 1",
            "time\tdeep\tours\t1 2",
        ] {
            assert!(fields(bad).is_err(), "{bad}");
        }
    }
}
