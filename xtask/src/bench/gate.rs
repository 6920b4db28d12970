//! Figures that are the same from run to run, held to those committed.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail, ensure};

use super::samples::{OURS, fields};
use crate::run;

/// How far a figure may rise before it is worse: a linker lays code out anew.
const TOLERANCE: f64 = 0.02;

/// A committed table: what is measured, and what the compiler makes of it.
pub(super) struct Gate {
    path: PathBuf,
    option: &'static str,
}

impl Gate {
    /// Instructions depend on the compiler: a table a version.
    pub(super) fn instructions() -> Result<Self> {
        let about = run::output(Command::new("rustc").arg("-vV"))?;
        let line = |name| about.lines().find_map(|line| line.strip_prefix(name));
        let (Some(release), Some(host)) = (line("release: "), line("host: ")) else {
            bail!("rustc -vV names no release and host");
        };
        let arch = host.split('-').next().unwrap_or(host);
        Ok(Self::new(&format!("instructions-{arch}-{release}"), "--count"))
    }

    /// Bytes do not.
    pub(super) fn memory() -> Self {
        Self::new("memory", "--memory")
    }

    /// Instructions in arm64's guest: a table for all they depend on.
    pub(super) fn arm64(name: &str) -> Self {
        Self::new(name, "--arch arm64")
    }

    fn new(name: &str, option: &'static str) -> Self {
        Self { path: run::root().join(format!("benches/store/limits/{name}.tsv")), option }
    }

    /// Makes `samples` the table.
    pub(super) fn accept(&self, samples: &str) -> Result<()> {
        let table = ours(samples)?;
        fs::create_dir_all(self.path.parent().context("a table without a folder")?)?;
        // Whole or not at all.
        let part = self.path.with_extension("part");
        fs::write(&part, table)?;
        fs::rename(part, &self.path)?;
        println!("accepted: {}", self.path.display());
        Ok(())
    }

    /// An error where a row of `samples` is worse than the table's, or there is none.
    pub(super) fn check(&self, samples: &str) -> Result<()> {
        let accept = format!("`cargo xtask bench {} --accept`", self.option);
        let table = fs::read_to_string(&self.path)
            .with_context(|| format!("no table for these versions; {accept} makes one"))?;
        let compared = compare(&rows(&table)?, &rows(samples)?);
        for line in &compared.better {
            println!("better: {line}");
        }
        for line in &compared.worse {
            println!("worse: {line}");
        }
        let worse = compared.worse.len();
        ensure!(worse == 0, "{worse} rows are worse than the table; if that is meant, {accept}");
        println!(
            "{} rows hold, {} of them better than the table",
            compared.rows,
            compared.better.len()
        );
        Ok(())
    }
}

#[derive(Default)]
struct Compared {
    rows: usize,
    better: Vec<String>,
    worse: Vec<String>,
}

/// Every row of both: one that only one of them has is worse than any figure.
fn compare(table: &BTreeMap<String, f64>, now: &BTreeMap<String, f64>) -> Compared {
    let mut compared = Compared::default();
    for (row, limit) in table {
        compared.rows += 1;
        let line = |now: &str| format!("{}: {now}, was {limit}", row.replace('\t', ", "));
        match now.get(row) {
            None => compared.worse.push(line("not measured")),
            Some(now) if *now > limit * (1.0 + TOLERANCE) => {
                compared.worse.push(line(&now.to_string()));
            }
            Some(now) if *now < limit * (1.0 - TOLERANCE) => {
                compared.better.push(line(&now.to_string()));
            }
            Some(_) => {}
        }
    }
    let unknown = now.keys().filter(|row| !table.contains_key(*row));
    compared
        .worse
        .extend(unknown.map(|row| format!("{}: not in the table", row.replace('\t', ", "))));
    compared
}

/// Our samples alone, as the table keeps them.
fn ours(samples: &str) -> Result<String> {
    let mut table = String::new();
    for line in samples.lines() {
        if fields(line)?.1 == OURS {
            writeln!(table, "{line}")?;
        }
    }
    Ok(table)
}

/// Our rows: what was measured, and the figure.
fn rows(samples: &str) -> Result<BTreeMap<String, f64>> {
    let mut rows = BTreeMap::new();
    for line in samples.lines() {
        let (key, store, value) = fields(line)?;
        if store == OURS {
            ensure!(rows.insert(key.join("\t"), value).is_none(), "twice: {line}");
        }
    }
    ensure!(!rows.is_empty(), "no rows");
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(table: &str, now: &str) -> (usize, usize, usize) {
        let compared = compare(&rows(table).unwrap(), &rows(now).unwrap());
        (compared.rows, compared.better.len(), compared.worse.len())
    }

    #[test]
    fn two_in_a_hundred_more_is_worse() {
        let table = "count\tdeep\tsave\tours\t100\n";
        assert_eq!(compared(table, "count\tdeep\tsave\tours\t102\n"), (1, 0, 0));
        assert_eq!(compared(table, "count\tdeep\tsave\tours\t102.1\n"), (1, 0, 1));
        assert_eq!(compared(table, "count\tdeep\tsave\tours\t97\n"), (1, 1, 0));
    }

    /// The negative control: every committed table, with each row in turn made 3 % stricter
    /// than what is measured.
    #[test]
    fn a_table_with_a_row_three_in_a_hundred_lower_fails() {
        let folder = run::root().join("benches/store/limits");
        let mut tables = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let now = fs::read_to_string(entry.unwrap().path()).unwrap();
            let measured = rows(&now).unwrap();
            let same = compare(&measured, &measured);
            assert_eq!((same.rows, same.worse.len()), (now.lines().count(), 0));
            for row in measured.keys() {
                let mut table = measured.clone();
                *table.get_mut(row).unwrap() *= 0.97;
                assert_eq!(compare(&table, &measured).worse.len(), 1, "{row}");
            }
            tables += 1;
        }
        assert!(tables >= 2);
    }

    #[test]
    fn a_gate_fails_on_a_stricter_table_and_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let gate = Gate { path: folder.path().join("table.tsv"), option: "--count" };
        let now = "count\tdeep\tsave\tours\t100\n";
        assert!(gate.check(now).is_err());
        gate.accept(now).unwrap();
        gate.check(now).unwrap();
        fs::write(&gate.path, "count\tdeep\tsave\tours\t97\n").unwrap();
        assert!(gate.check(now).is_err());
        assert!(gate.accept("rubbish\n").is_err());
        assert!(fs::read_to_string(&gate.path).unwrap().ends_with("\t97\n"));
    }

    #[test]
    fn what_is_accepted_holds_afterwards() {
        let now = "count\tdeep\tsave\tkernel\t9\ncount\tdeep\tsave\tours\t100\n";
        assert_eq!(compared(&ours(now).unwrap(), now), (1, 0, 0));
    }

    #[test]
    fn a_row_that_one_side_lacks_is_worse() {
        let table = "count\tdeep\tsave\tours\t100\n";
        assert_eq!(compared(table, "count\tdeep\tarea\tours\t1\n"), (1, 0, 2));
        assert!(rows("count\tdeep\tsave\tkernel\t100\n").is_err());
    }
}
