//! Runs that show what the checks can see: the kernel's own store beside ours, each restore
//! compared; and faults in the kernel that they must notice.

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
}

/// With every record lost these may pass all the same: what they look at is not in the store,
/// or, on the disk, in the swap cache still, with its tags.
const PASS_WITHOUT_TAGS: [&str; 8] = [
    "exit_with_pages_out",
    "fork_while_swapped_through_the_swap_cache",
    "huge_pages_through_the_swap_cache",
    "large_folios_of_64_kib_through_the_swap_cache",
    "shared_pages_through_the_swap_cache",
    "swapoff_with_pages_out_through_the_swap_cache",
    "tags_come_before_their_slot_goes",
    "wrong_tags_fault_after_swap",
];

/// With restore and swap_free exchanged this fails: its swap-in goes through the swap cache
/// and frees the slot. On zram, past the cache, the pin keeps the slot until tags are back; and
/// a page that never left the swap cache has its tags still.
const FAIL_WITH_LATE_RESTORE: [&str; 1] = ["slots_reused_at_once_through_the_swap_cache"];

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
    let passed = wanted.iter().filter(|name| !ended.failed.contains(*name));
    let blind: Vec<_> =
        passed.filter(|name| !PASS_WITHOUT_TAGS.contains(&name.as_str())).cloned().collect();
    let noticed = ended.failed.len();
    eprintln!("every record lost: {noticed} of {} checks noticed", wanted.len());
    ensure!(blind.is_empty(), "did not notice that tags are lost: {}", blind.join(", "));
    Ok(Counts { passed: wanted.len(), ..Counts::default() })
}

fn late_restore(machine: &Machine<'_>) -> Result<Counts> {
    let wanted = checks::wanted(&FAIL_WITH_LATE_RESTORE.map(str::to_owned))?;
    let sound = checks::run(machine, &wanted, "", "")?;
    ensure!(sound.counts.failed == 0, "the checks fail without any fault");
    let ended = checks::run(machine, &wanted, "mteswap.late_restore=1", "")?;
    eprintln!(
        "tags restored after their slot is free: {} of {} checks noticed",
        ended.failed.len(),
        wanted.len()
    );
    ensure!(ended.failed.len() == wanted.len(), "not every check noticed");
    Ok(Counts { passed: wanted.len(), ..Counts::default() })
}

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
