//! The checks of `kunit/guest` in one boot. Each that there is in the sources has to report.

use std::{collections::BTreeSet, time::Instant};

use anyhow::{Result, bail, ensure};

use super::{
    boot::{Machine, NO_RECORDS},
    programs,
};
use crate::{
    kernel::kunit::TAGS_ARE_TAGS,
    ktap::{self, Counts},
};

/// Of the guest: more than any check needs, little enough to run out of.
const MEMORY_MIB: u32 = 256;

/// Runs the checks `wanted` and says how each ended.
///
/// # Errors
/// Where one of them did not report, or the kernel itself is in a bad way afterwards.
pub(crate) fn run(machine: &Machine<'_>, wanted: &[String], before: &str) -> Result<Counts> {
    let program = programs::checks(machine.kernel)?;
    // Through the kernel's log, so that nothing the kernel says comes between.
    let commands = format!(
        "{before}\n/mteswap-guest {} > /dev/kmsg 2>&1\nchecked=$?\n{NO_RECORDS}\nexit $checked",
        wanted.join(" ")
    );
    let mut initrd = machine.initramfs(&commands)?;
    initrd.add("mteswap-guest", &program)?;
    let name = format!("{} checks in QEMU {}", wanted.len(), machine.qemu.version);
    let mut last = Instant::now();
    let said = machine.boot(&name, &initrd, MEMORY_MIB, "", |line| {
        let (word, rest) = if let Some(rest) = line.strip_prefix("ok ") {
            (if rest.ends_with("# SKIP") { "skipped" } else { "ok" }, rest)
        } else if let Some(rest) = line.strip_prefix("not ok ") {
            ("FAILED", rest)
        } else if line.starts_with("KTAP version") {
            last = Instant::now();
            return None;
        } else {
            return line.strip_prefix("# ").map(|said| format!("         {said}"));
        };
        let name = rest.split(' ').nth(1).unwrap_or(rest);
        let took = last.elapsed().as_secs_f32();
        last = Instant::now();
        Some(format!("{word:<8} {name:<52} {took:>6.1} s"))
    })?;
    let log = machine.console();
    let log = log.display();
    if !said.lines.iter().any(|line| line.contains(TAGS_ARE_TAGS)) {
        let why = said.lines.iter().find(|line| line.starts_with("mteswap: "));
        // The kernel as it comes does not look; the program does.
        if let Some(why) = why {
            bail!("no MTE that can be used in QEMU {}: {why}; {log}", machine.qemu.version);
        }
    }
    let report = ktap::read(&said.lines.join("\n"));
    if let Some(fault) = report.faults.first() {
        bail!("the checks did not run to their end: {fault}; {log}");
    }
    let reported: BTreeSet<_> =
        report.tests.iter().filter_map(|test| Some(test.path.first()?.as_str())).collect();
    let missing: Vec<_> =
        wanted.iter().filter(|name| !reported.contains(name.as_str())).cloned().collect();
    ensure!(missing.is_empty(), "no result of {}; {log}", missing.join(", "));
    let counts = Counts::of(&report.tests);
    ensure!(
        counts.total() == wanted.len(),
        "{} results of {}; {log}",
        counts.total(),
        wanted.len()
    );
    machine.left_nothing(&said)?;
    ensure!((said.status == 0) == (counts.failed == 0), "status {}; {log}", said.status);
    Ok(counts)
}
