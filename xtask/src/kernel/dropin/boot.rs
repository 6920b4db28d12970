//! One boot of a kernel that swaps: QEMU with MTE, zram and a disk in memory to swap to.

use std::{fs::File, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use super::kernel::{Config, Store};
use crate::kernel::{
    build::Kernel,
    cache::Cache,
    guest::{self, Guest, Said},
    initramfs::Initramfs,
    qemu::Qemu,
    step::Step,
};

/// What every boot of one kernel has in common.
pub(crate) struct Machine<'a> {
    pub(crate) cache: &'a Cache,
    pub(crate) qemu: &'a Qemu,
    pub(crate) kernel: &'a Kernel<'a>,
    pub(crate) store: Store,
    pub(crate) config: Config,
    /// Whether it hibernates: it has a disk, and is started once more when it is off.
    pub(crate) hibernates: bool,
}

/// Before all else of an init: wakes what hibernated to the disk, where there is one.
const WAKE: &str = "if [ -e /sys/block/vda ]; then cat /sys/block/vda/dev > /sys/power/resume; fi";
/// Room for all of the guest's memory.
const DISK_MIB: u64 = 512;

/// The store is empty: the last commands of an init, once nothing is swapped any more.
pub(crate) const NO_RECORDS: &str = r#"
stats=/sys/kernel/debug/mteswap/stats
if [ -e "$stats" ]; then
    echo "mteswap-guest: $(head -n 1 "$stats")"
    grep -qx "entries: 0" "$stats" || exit 1
fi
"#;

/// Begins the line that says what is left.
const ENTRIES: &str = "mteswap-guest: entries: ";

impl Machine<'_> {
    /// A file system whose init runs `commands`.
    pub(crate) fn initramfs(&self, commands: &str) -> Result<Initramfs> {
        Initramfs::new(self.cache, "arm64", &guest::init(&format!("{WAKE}\n{commands}")))
    }

    /// Boots it with `mib` of memory and `words` on the kernel's command line; each line goes
    /// to `see`.
    ///
    /// # Errors
    /// One line, where it panics, hangs, or ends without saying how.
    pub(crate) fn boot(
        &self,
        name: &str,
        initrd: &Initramfs,
        mib: u32,
        words: &str,
        see: impl FnMut(&Step, &str),
    ) -> Result<Said> {
        let cpio = self.kernel.out.join("mteswap.cpio");
        initrd.write(&cpio)?;
        let mut machine = self.qemu.machine(2, mib);
        machine
            .arg("-kernel")
            .arg(self.kernel.out.join("arch/arm64/boot/Image"))
            .arg("-initrd")
            .arg(cpio)
            .arg("-append")
            .arg(format!(
                "console=ttyAMA0 loglevel=7 printk.time=0 printk.devkmsg=on panic=-1 \
                 null_blk.memory_backed=1 null_blk.gb=1 {words}"
            ));
        if self.hibernates {
            machine = twice(&self.with_disk(machine)?);
        }
        let mut guest = Guest::new(name, machine, &self.console());
        // Longer than the longest check.
        guest.silence = std::time::Duration::from_secs(1000);
        guest.patience = std::time::Duration::from_secs(2 * 60 * 60);
        guest.run_with(see)
    }

    /// The machine with an empty disk, `/dev/vda` to it.
    fn with_disk(&self, mut machine: Command) -> Result<Command> {
        let disk = self.kernel.out.join("mteswap.disk");
        let context = || format!("cannot write {}", disk.display());
        File::create(&disk).and_then(|file| file.set_len(DISK_MIB << 20)).with_context(context)?;
        let drive = format!("if=none,id=disk,format=raw,file={}", disk.display());
        machine.arg("-drive").arg(drive).args(["-device", "virtio-blk-device,drive=disk"]);
        Ok(machine)
    }

    /// Where the last boot's console is kept.
    pub(crate) fn console(&self) -> PathBuf {
        self.kernel.out.join("console.log")
    }

    /// The kernel had nothing to complain of, and where the store is ours it was empty in the
    /// end.
    pub(crate) fn left_nothing(&self, said: &Said) -> Result<()> {
        let log = self.console();
        let log = log.display();
        if let Some(first) = without_its_own(said, self.store.warns()).splats().first() {
            bail!("the kernel complains: {}; its console is in {log}", first.trim());
        }
        let left = said.lines.iter().rev().find_map(|line| line.split_once(ENTRIES));
        let left = left.map(|(_, count)| count.trim());
        match self.store {
            Store::Stock => ensure!(left.is_none(), "the kernel has our store: {log}"),
            _ => {
                let left = left.unwrap_or("an unknown number of");
                ensure!(left == "0", "{left} records are left after swapoff; {log}");
            }
        }
        Ok(())
    }
}

/// `command`, and where it ends well the same again.
fn twice(command: &Command) -> Command {
    let mut twice = Command::new("sh");
    twice.args(["-c", r#""$@" && exec "$@""#, "sh"]).arg(command.get_program());
    twice.args(command.get_args());
    twice.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    twice
}

/// `said` without one warning of the kernel's own mteswap.c, where that is linked and `warns`:
/// a check has allocations fail, and it warns of what it handles well.
fn without_its_own(said: &Said, warns: Option<&str>) -> Said {
    const NO_MEMORY: &str = "Failed to store MTE tags";
    let mut expected = false;
    let mut lines = said.lines.clone();
    lines.retain(|line| {
        let its_own = expected
            && line.starts_with("WARNING:")
            && warns.is_some_and(|function| line.contains(&format!(" {function}+")));
        expected = line == NO_MEMORY;
        !its_own
    });
    Said { lines, status: said.status }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_is_the_kernels_own() {
        let complains = |first: &str, then: &str, warns| {
            let said = Said { lines: vec![first.to_owned(), then.to_owned()], status: 0 };
            !without_its_own(&said, warns).splats().is_empty()
        };
        let no_memory = "Failed to store MTE tags";
        let warning = "WARNING: CPU: 0 PID: 45 at mte_save_tags+0xd4/0xf0";
        assert!(!complains(no_memory, warning, Some("mte_save_tags")));
        assert!(complains(no_memory, warning, None));
        assert!(complains(no_memory, warning, Some("stock_mte_save_tags")));
        assert!(complains("Duplicate entry", warning, Some("mte_save_tags")));
        assert!(complains(no_memory, "BUG: at mte_save_tags+0x1/0x2", Some("mte_save_tags")));
    }
}
