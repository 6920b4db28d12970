//! Runs that show what the checks can see: the kernel's own store beside ours, each restore
//! compared; and faults in the kernel that they must notice.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use super::{
    boot::{Machine, NO_RECORDS},
    checks,
    kernel::Config,
};
use crate::{kernel::guest, ktap::Counts};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Control {
    /// Both stores side by side, every restore compared
    Differential,
    /// Each record is lost as soon as it is saved: the checks must fail
    Lose,
    /// Restore and swap_free exchanged: the check that reuses slots must fail
    LateRestore,
    /// Locks taken in two orders: PROVE_LOCKING must say so
    Invert,
    /// A machine without MTE: its pages must go to swap and come back as ever
    NoMte,
}

/// With restore and swap_free exchanged these fail: their swap-in goes through the swap cache
/// and frees the slot.
const FAIL_WITH_LATE_RESTORE: [&str; 2] =
    ["slots_reused_at_once_through_the_swap_cache", "tags_come_before_their_slot_goes"];
/// And this passes: on zram, past the cache, the pin keeps the slot until tags are back.
const PASS_WITH_LATE_RESTORE: [&str; 1] = ["slots_reused_at_once"];

impl Control {
    /// What its kernel has to be configured with.
    pub(crate) fn config(self, asked: Config) -> Config {
        if self == Self::Invert { Config::PreemptDebug } else { asked }
    }

    pub(crate) fn run(self, machine: &Machine<'_>, asked: &[String]) -> Result<Counts> {
        match self {
            Self::Differential => differential(machine, asked),
            Self::Lose => lose(machine, asked),
            Self::LateRestore => late_restore(machine),
            Self::Invert => invert(machine),
            Self::NoMte => no_mte(machine),
        }
    }
}

const DIFFERENTIAL: &str = r#"
sed "s/^/mteswap-guest: /" /sys/kernel/debug/mteswap/differential
"#;

fn differential(machine: &Machine<'_>, asked: &[String]) -> Result<Counts> {
    let ended = checks::run(machine, &checks::wanted(asked)?, "", DIFFERENTIAL)?;
    let count = |name: &str| {
        let key = format!("mteswap-guest: {name}: ");
        let line = ended.said.lines.iter().find_map(|line| line.strip_prefix(&key));
        line.and_then(|count| count.trim().parse::<u64>().ok())
            .with_context(|| format!("the kernel does not say how many were {name}"))
    };
    let (compared, found) = (count("compared")?, count("found")?);
    let different = count("different")?;
    eprintln!("{compared} restores compared, {found} of them with tags, {different} different");
    ensure!(different == 0, "the stores differ; {}", machine.console().display());
    ensure!(found > 0 && compared > 0, "nothing was compared");
    Ok(ended.counts)
}

fn lose(machine: &Machine<'_>, asked: &[String]) -> Result<Counts> {
    let wanted = checks::wanted(asked)?;
    let ended = checks::run(machine, &wanted, "mteswap.lose=1", "")?;
    let blind: Vec<_> =
        wanted.iter().filter(|name| !ended.failed.contains(*name)).cloned().collect();
    let noticed = ended.failed.len();
    eprintln!("every record lost: {noticed} of {} checks noticed", wanted.len());
    ensure!(blind.is_empty(), "did not notice that tags are lost: {}", blind.join(", "));
    Ok(Counts { passed: wanted.len(), ..Counts::default() })
}

fn late_restore(machine: &Machine<'_>) -> Result<Counts> {
    let names = FAIL_WITH_LATE_RESTORE.iter().chain(&PASS_WITH_LATE_RESTORE);
    let wanted = checks::wanted(&names.map(|&name| name.to_owned()).collect::<Vec<_>>())?;
    let sound = checks::run(machine, &wanted, "", "")?;
    ensure!(sound.counts.failed == 0, "the checks fail without any fault");
    let ended = checks::run(machine, &wanted, "mteswap.late_restore=1", "")?;
    let fail: BTreeSet<String> = FAIL_WITH_LATE_RESTORE.map(str::to_owned).into();
    eprintln!(
        "tags restored after their slot is free: {} checks noticed, of {} that must",
        ended.failed.intersection(&fail).count(),
        fail.len()
    );
    let other: Vec<_> = ended.failed.symmetric_difference(&fail).cloned().collect();
    ensure!(other.is_empty(), "ended otherwise than they must: {}", other.join(", "));
    Ok(Counts { passed: wanted.len(), ..Counts::default() })
}

/// `check.c` says so.
const NO_MTE: &str = "mteswap: this machine has no MTE";

const INVERT: &str = r#"
echo "mteswap-guest: inverting"
echo 1 > /sys/kernel/debug/mteswap/invert || exit 1
echo "mteswap-guest: inverted"
"#;

fn invert(machine: &Machine<'_>) -> Result<Counts> {
    let initrd = machine.initramfs(&format!("{INVERT}{NO_RECORDS}"))?;
    let said = machine.boot("locks in two orders", &initrd, 256, "", |_, _| {})?;
    let log = machine.console();
    let log = log.display();
    ensure!(said.status == 0, "the locks could not be taken in two orders; {log}");
    let at = said.lines.iter().position(|line| line.contains("mteswap-guest: inverting"));
    let (before, after) = said.lines.split_at(at.context("the guest did not begin")?);
    let before = guest::splats(before.iter().map(String::as_str));
    ensure!(before.is_empty(), "the kernel complains before anything is done: {}", before[0]);
    let circular = "possible circular locking dependency";
    let noticed = after.iter().find(|line| line.contains(circular));
    ensure!(noticed.is_some(), "lockdep did not notice locks taken in two orders; {log}");
    eprintln!("locks in two orders: lockdep noticed");
    Ok(Counts { passed: 1, ..Counts::default() })
}

/// More than the machine's memory, in a file of its swap.
const FILL: &str = r#"
echo 512M > /sys/block/zram0/disksize && mkswap /dev/zram0 > /dev/null && swapon /dev/zram0 || exit 1
mkdir /full && mount -t tmpfs -o size=400M none /full || exit 1
text=$(cat /proc/cpuinfo /proc/interrupts)
fill() { yes "$text" | head -c 320000000; }
fill > /full/text || exit 1
[ "$(fill | md5sum)" = "$(md5sum < /full/text)" ] || exit 1
sed -n "s/^pswp/mteswap-guest: pswp/p" /proc/vmstat
umount /full && swapoff /dev/zram0
exit $?
"#;

fn no_mte(machine: &Machine<'_>) -> Result<Counts> {
    let initrd = machine.initramfs(FILL)?;
    let said = machine.boot("a machine without MTE", &initrd, 256, "arm64.nomte", |_, _| {})?;
    let log = machine.console();
    let log = log.display();
    ensure!(said.status == 0, "pages did not come back as they were; {log}");
    let splats = said.splats();
    ensure!(splats.is_empty(), "the kernel complains: {}; {log}", splats[0]);
    let without = said.lines.iter().any(|line| line.contains(NO_MTE));
    ensure!(without, "the machine has MTE; {log}");
    let pages = |direction: &str| {
        let key = format!("mteswap-guest: pswp{direction} ");
        let line = said.lines.iter().find_map(|line| line.strip_prefix(&key));
        line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    let (gone, back) = (pages("out"), pages("in"));
    eprintln!("without MTE: {gone} pages swapped out, {back} in");
    ensure!(gone > 0 && back > 0, "nothing was swapped; {log}");
    Ok(Counts { passed: 1, ..Counts::default() })
}
