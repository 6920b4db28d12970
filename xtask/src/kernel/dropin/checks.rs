//! The checks of `kunit/guest` in one boot. Each that there is in the sources has to report.

use std::{collections::BTreeSet, time::Instant};

use anyhow::{Result, anyhow, bail, ensure};

use super::{
    boot::{Machine, NO_RECORDS},
    kernel::{Config, Store},
    programs,
};
use crate::{
    kernel::{guest::Said, kunit::TAGS_ARE_TAGS},
    ktap::{self, Counts},
    results::Outcome,
};

/// Of the guest with pages of 4 KiB: more than any check needs, little enough to run out of.
const MEMORY_MIB: u32 = 256;

/// The check that wants a machine which is started again.
const HIBERNATION: &str = "hibernation";

/// How the checks of one boot ended.
pub(crate) struct Ended {
    pub(crate) counts: Counts,
    /// Those that did not pass.
    pub(crate) failed: BTreeSet<String>,
    pub(crate) said: Said,
}

/// The checks asked for; where none is, all that want one boot alone.
///
/// # Errors
/// Where there is none of that name.
pub(crate) fn wanted(asked: &[String]) -> Result<Vec<String>> {
    let mut names = programs::names()?;
    for name in asked {
        ensure!(names.contains(name), "no check is named {name}; there are: {}", names.join(", "));
    }
    ensure!(
        !asked.iter().any(|name| name == HIBERNATION),
        "{HIBERNATION} takes two boots: ask for it by --hibernate"
    );
    names.retain(|name| name != HIBERNATION && (asked.is_empty() || asked.contains(name)));
    Ok(names)
}

/// Runs the checks `wanted` and says how each ended; `after` are commands behind them.
///
/// # Errors
/// Where one of them did not report, or the kernel itself is in a bad way afterwards.
pub(crate) fn run(
    machine: &Machine<'_>,
    wanted: &[String],
    words: &str,
    after: &str,
) -> Result<Ended> {
    let program = programs::checks(machine.kernel)?;
    // Through the kernel's log, so that nothing the kernel says comes between.
    let commands = format!(
        "/mteswap-guest {} > /dev/kmsg 2>&1\nchecked=$?\n{after}\n{NO_RECORDS}\nexit $checked",
        wanted.join(" ")
    );
    let mut initrd = machine.initramfs(&commands)?;
    initrd.add("mteswap-guest", &program)?;
    let name = format!("{} checks in QEMU {}", wanted.len(), machine.qemu.version);
    // A huge page of 32 MiB in one piece takes more room around it.
    let memory_mib = if machine.config == Config::Pages16k { 3 * MEMORY_MIB } else { MEMORY_MIB };
    let mut last = Instant::now();
    let said = machine.boot(&name, &initrd, memory_mib, words, |step, line| {
        if line.starts_with("KTAP version") {
            last = Instant::now();
        }
        if let Some((word, name)) = result(line) {
            let took = last.elapsed().as_secs_f32();
            last = Instant::now();
            step.aside(|| eprintln!("{word:<8} {name:<52} {took:>6.1} s"));
        } else if let Some(said) = line.strip_prefix("# ") {
            step.aside(|| eprintln!("         {said}"));
        }
    })?;
    let log = machine.console();
    let log = log.display();
    let looked = said.lines.iter().any(|line| line.contains(TAGS_ARE_TAGS));
    // The kernel as it comes does not look; the program does.
    if !looked && machine.store != Store::Stock {
        let why = said.lines.iter().find(|line| line.starts_with("mteswap: "));
        let why = why.map_or("mteswap: did not start", String::as_str);
        bail!("no MTE that can be used in QEMU {}: {why}; {log}", machine.qemu.version);
    }
    let report = ktap::read(&said.lines.join("\n"));
    let counts = count(&report, wanted).map_err(|why| anyhow!("{why}; {log}"))?;
    machine.left_nothing(&said)?;
    let status = said.status;
    ensure!((status == 0) == (counts.failed == 0), "the guest ended with {status}; {log}");
    let failed = report.tests.iter().filter(|test| test.outcome == Outcome::Failed);
    Ok(Ended { counts, failed: failed.filter_map(name_of).collect(), said })
}

/// How many checks ended how.
///
/// # Errors
/// Where not each of `wanted` has reported, once.
fn count(report: &ktap::Report, wanted: &[String]) -> Result<Counts> {
    if let Some(fault) = report.faults.first() {
        bail!("the checks did not run to their end: {fault}");
    }
    let reported: BTreeSet<_> = report.tests.iter().filter_map(name_of).collect();
    let missing: Vec<_> = wanted.iter().filter(|name| !reported.contains(*name)).cloned().collect();
    ensure!(missing.is_empty(), "no result of {}", missing.join(", "));
    let counts = Counts::of(&report.tests);
    let total = counts.total();
    ensure!(total == wanted.len(), "{total} results of {}", wanted.len());
    Ok(counts)
}

fn name_of(test: &ktap::Test) -> Option<String> {
    test.path.first().cloned()
}

/// Hibernates, and looks at the tags once awake; where they are `lost` they must be wrong.
///
/// # Errors
/// Where there were not two boots, or the kernel kept no tags over them.
pub(crate) fn hibernate(machine: &Machine<'_>, lost: bool) -> Result<Counts> {
    let words = if lost { "mteswap.lose=1" } else { "" };
    let ended = run(machine, &[HIBERNATION.to_owned()], words, "")?;
    let log = machine.console();
    let log = log.display();
    let said = |what: &str| ended.said.lines.iter().filter(|line| line.contains(what)).count();
    let boots = said("Booting Linux on physical CPU");
    ensure!(boots == 2, "{boots} boots, and hibernation takes two; {log}");
    let pages = |word: &str| {
        let line =
            ended.said.lines.iter().find(|line| line.contains(&format!("hibernate: {word}")))?;
        line.split_whitespace().find_map(|word| word.parse::<u64>().ok())
    };
    let (kept, back) = (pages("Saved"), pages("Restored"));
    ensure!(kept > Some(0) && kept == back, "tags of {kept:?} pages kept, of {back:?} back; {log}");
    eprintln!("{boots} boots; tags of {} pages kept over them", kept.unwrap_or_default());
    if !lost {
        return Ok(ended.counts);
    }
    ensure!(ended.failed.contains(HIBERNATION), "did not notice that tags are lost; {log}");
    Ok(Counts { passed: 1, ..Counts::default() })
}

/// How a check ended, and its name.
fn result(line: &str) -> Option<(&'static str, &str)> {
    let (word, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => ("FAILED", rest),
        None => ("ok", line.strip_prefix("ok ")?),
    };
    let (_, name) = rest.split_once(' ')?;
    Some(match name.split_once(" # SKIP") {
        Some((name, _)) => ("skipped", name),
        None => (word, name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_read() {
        assert_eq!(result("ok 3 core_dump"), Some(("ok", "core_dump")));
        assert_eq!(result("not ok 3 core_dump"), Some(("FAILED", "core_dump")));
        assert_eq!(result("ok 3 core_dump # SKIP"), Some(("skipped", "core_dump")));
        assert_eq!(result("# ok"), None);
        assert_eq!(result("okay then"), None);
    }

    #[test]
    fn fewer_results_than_checks_are_no_good_run() {
        let wanted = ["core_dump", "huge_pages"].map(str::to_owned);
        let told = |said: &str| count(&ktap::read(said), &wanted).map_err(|e| e.to_string());
        let whole = "KTAP version 1\n1..2\nok 1 core_dump\nnot ok 2 huge_pages\n";
        let counts = told(whole).unwrap();
        assert_eq!((counts.passed, counts.failed), (1, 1));
        // Cut off behind any line.
        for (end, _) in whole.match_indices('\n').take(3) {
            assert!(told(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
        let planned_fewer = "KTAP version 1\n1..1\nok 1 core_dump\n";
        assert_eq!(told(planned_fewer).unwrap_err(), "no result of huge_pages");
        let one_more = "KTAP version 1\n1..3\nok 1 core_dump\nok 2 huge_pages\nok 3 ksm\n";
        assert_eq!(told(one_more).unwrap_err(), "3 results of 2");
        assert!(told("").is_err());
    }

    #[test]
    fn a_check_that_is_not_there_is_named() {
        assert!(wanted(&[]).unwrap().len() > 30);
        assert_eq!(wanted(&["core_dump".to_owned()]).unwrap(), ["core_dump"]);
        let error = wanted(&["core".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no check is named core;"), "{error}");
    }
}
