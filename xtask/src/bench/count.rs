//! Instructions a call: the bench under callgrind, one run a class and depth.

use std::{collections::HashMap, fmt::Write as _, fs, process::Command};

use anyhow::{Context, Result};

use super::{Bench, MAPS, Progress, kernel::CLASSES};
use crate::run;

/// Two levels of nodes, and always the same: the figures depend on it a little.
const ENTRIES: u64 = 8192;

/// count, depth, class, operation, store, instructions.
pub(super) fn samples(bench: &Bench) -> Result<String> {
    let out = run::root().join("target/bench/callgrind.out");
    let mut samples = String::new();
    let progress = Progress::begin("counting instructions under callgrind");
    for (done, depth) in (0..).zip(["shallow", "deep"]) {
        for (class, done) in CLASSES.into_iter().zip(4 * done..) {
            progress.at(done, 8, &format!("{depth}, {class}"));
            run::output(
                Command::new("valgrind")
                    .args(["--quiet", "--tool=callgrind"])
                    .arg(format!("--callgrind-out-file={}", out.display()))
                    .arg(&bench.program)
                    .args(["count", class, depth, "--entries", &ENTRIES.to_string()])
                    // The committed table's pages.
                    .env_remove(MAPS),
            )?;
            for (name, cost) in costs(&fs::read_to_string(&out)?)? {
                let (store, operation) =
                    name.split_once('_').with_context(|| format!("counted {name}?"))?;
                let operation = operation.replacen('_', ", ", 1).replace('_', " ");
                // Those of many are told by the page.
                let of_many = operation == "area" || operation.contains("folios");
                let calls = if of_many { ENTRIES } else { cost.calls };
                let mean = cost.instructions as f64 / calls as f64;
                writeln!(samples, "count\t{depth}\t{class}\t{operation}\t{store}\t{mean:.1}")?;
            }
        }
    }
    progress.done();
    Ok(samples)
}

#[derive(Default)]
struct Cost {
    calls: u64,
    instructions: u64,
}

/// Calls of the functions named `counted_…`, with what they called in turn.
///
/// In callgrind's format (manual of Valgrind 3.19, "Callgrind Format Specification") a
/// function is `(number) name` where it first appears and `(number)` from then on; after
/// `cfn=` and `calls=` comes a line that ends in the call's inclusive cost.
fn costs(profile: &str) -> Result<Vec<(String, Cost)>> {
    let mut names = HashMap::new();
    let mut costs: HashMap<&str, Cost> = HashMap::new();
    let mut callee = "";
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        let function = line.strip_prefix("cfn=").or_else(|| line.strip_prefix("fn="));
        if let Some(function) = function {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            let name = if name.is_empty() {
                names.get(number).copied().unwrap_or_default()
            } else {
                names.insert(number, name);
                name
            };
            if line.starts_with('c') {
                callee = name;
            }
        } else if let Some(calls) = line.strip_prefix("calls=") {
            let Some(name) = callee.strip_prefix("counted_") else { continue };
            let word = |line: &str, at: usize| -> Option<u64> {
                line.split_whitespace().nth(at)?.parse().ok()
            };
            let cost = costs.entry(name).or_default();
            cost.calls += word(calls, 0).context("calls= without a number")?;
            let inclusive = lines.next().and_then(|line| word(line, 1));
            cost.instructions += inclusive.context("a call without its cost")?;
        }
    }
    let mut costs: Vec<_> = costs.into_iter().map(|(name, cost)| (name.to_owned(), cost)).collect();
    costs.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(costs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inclusive_costs_are_summed_over_callers() {
        let profile = "fn=(1) main\n10 5\ncfn=(2) counted_ours_save\ncalls=3 7\n11 600\n\
                       cfn=(3) other\ncalls=1 7\n11 50\n\nfn=(2)\n1 500\n\
                       fn=(4) warm\ncfn=(2)\ncalls=1 7\n* 200\n";
        let costs = costs(profile).unwrap();
        assert_eq!(costs.len(), 1);
        assert_eq!(costs[0].0, "ours_save");
        assert_eq!((costs[0].1.calls, costs[0].1.instructions), (4, 800));
    }
}
