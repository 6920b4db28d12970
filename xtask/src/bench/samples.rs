//! What the bench prints: a sample a line, tab-separated: its kind, what was measured, whose
//! it is, and the figure.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// Samples of one row, by store.
pub(super) type Row = BTreeMap<String, Vec<f64>>;

pub(super) const OURS: &str = "ours";
pub(super) const KERNEL: &str = "kernel";

/// What was measured, whose it is, and the figure.
pub(super) fn fields(line: &str) -> Result<(Vec<&str>, &str, f64)> {
    let mut fields: Vec<_> = line.split('\t').collect();
    let value = fields.pop().and_then(|value| value.parse().ok());
    let store = fields.pop();
    match (store, value) {
        (Some(store), Some(value)) if fields.len() > 1 => Ok((fields.split_off(1), store, value)),
        _ => bail!("no sample: {line}"),
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

    #[test]
    fn samples_are_read_field_by_field() {
        let (key, store, value) = fields("time\tdeep\treal\tsave\tours\t1.5").unwrap();
        assert_eq!((key, store, value), (vec!["deep", "real", "save"], "ours", 1.5));
        for bad in ["", "time\tours\t1", "time\tdeep\tours\tfast", "time deep ours 1"] {
            assert!(fields(bad).is_err(), "{bad}");
        }
    }
}
