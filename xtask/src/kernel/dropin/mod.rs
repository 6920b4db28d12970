//! `cargo xtask dropin`: the library in place of arch/arm64/mm/mteswap.c in a kernel with MTE
//! under QEMU, and programs in it that look at every tag of what was swapped.
//!
//! | file | holds |
//! |---|---|
//! | `kernel` | which kernel: with the drop-in, as it comes, with both stores |
//! | `programs` | what runs in the guest |
//! | `boot` | a boot that swaps, and what it must not leave |
//! | `checks` | the checks of `kunit/guest`, counted against their sources |
//! | `controls` | faults that the checks must notice |

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Result, bail, ensure};

use super::{
    cache::Cache,
    payload::{heap, selftests},
    qemu::Qemu,
    source::Source,
};

pub(crate) mod boot;
mod checks;
mod controls;
pub(crate) mod kernel;
mod programs;

use boot::{Machine, NO_RECORDS};
use controls::Control;
use kernel::{Config, Store};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The same in the kernel as it comes, for comparison
    #[arg(long)]
    stock: bool,
    /// See that the checks see: the kernel's store beside ours, or a fault
    #[arg(long, value_enum, conflicts_with_all = ["stock", "program", "selftests"])]
    control: Option<Control>,
    /// Run only the checks of these names
    #[arg(long = "check", value_name = "NAME", conflicts_with = "program")]
    checks: Vec<String>,
    /// The kernel's own tests of MTE, their pages swapped out while they run
    #[arg(long, conflicts_with_all = ["checks", "heap", "control", "program"])]
    selftests: bool,
    /// python3 and sqlite3 under glibc's heap tagging, paged out while they work; with
    /// --control lose they must die
    #[arg(long, conflicts_with_all = ["checks", "program"])]
    heap: bool,
    /// Suspend to disk, with pages in memory and in swap, and wake up in another boot; with
    /// --control lose their tags must be wrong
    #[arg(long, conflicts_with_all = ["checks", "heap", "selftests", "program"])]
    hibernate: bool,
    /// Run a static arm64 program instead, and end with its exit status
    #[arg(long, value_name = "ELF")]
    program: Option<PathBuf>,
    /// The program's arguments
    #[arg(last = true, requires = "program")]
    arguments: Vec<String>,
    /// How the kernel is configured
    #[arg(long, value_enum, default_value = "preempt-none")]
    config: Config,
    /// A Linux 6.12 tree to use instead of Debian's package; it is left as it is
    #[arg(long, value_name = "DIR")]
    kernel: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let begun = Instant::now();
    checks::wanted(&args.checks)?;
    if let Some(program) = &args.program {
        programs::need_static_arm64(program)?;
    }
    let cache = Cache::open()?;
    let source = Source::find(&cache, args.kernel.as_deref())?;
    let qemu = Qemu::find(&cache)?;
    let store = match args.control {
        _ if args.stock => Store::Stock,
        None => Store::Dropin,
        _ => Store::Controls,
    };
    let config = args.control.map_or(args.config, |control| control.config(args.config));
    let tree = kernel::tree(&cache, &source)?;
    let kernel = store.build(&cache, &tree, config)?;
    let machine = Machine {
        cache: &cache,
        qemu: &qemu,
        kernel: &kernel,
        store,
        config,
        hibernates: args.hibernate,
    };
    if let Some(path) = &args.program {
        std::process::exit(program(&machine, path, &args.arguments)?);
    }
    let counts = match args.control {
        _ if args.selftests => selftests::run(&machine, &source)?,
        Some(Control::Lose) if args.hibernate => checks::hibernate(&machine, true)?,
        Some(_) if args.hibernate => bail!("of the controls, --hibernate goes with lose alone"),
        None if args.hibernate => checks::hibernate(&machine, false)?,
        Some(Control::Lose) if args.heap => heap::run(&machine, "mteswap.lose=1", true)?,
        Some(_) if args.heap => bail!("of the controls, --heap goes with lose alone"),
        None if args.heap => heap::run(&machine, "", false)?,
        Some(control) => control.run(&machine, &args.checks)?,
        None => checks::run(&machine, &checks::wanted(&args.checks)?, "", "")?.counts,
    };
    eprintln!(
        "Linux {}, QEMU {}; {:.1} s",
        source.version,
        qemu.version,
        begun.elapsed().as_secs_f32()
    );
    println!("{counts}");
    ensure!(counts.failed == 0, "{} checks failed", counts.failed);
    Ok(())
}

/// Of a guest that runs a user's program.
const PROGRAM_MIB: u32 = 1024;
const PROGRAM_BEGINS: &str = "mteswap-guest: program";
const PROGRAM_ENDED: &str = "mteswap-guest: ended";

/// Runs the program with half a gibibyte of zram to swap to; what it prints goes to stdout.
/// Returns its exit status.
fn program(machine: &Machine<'_>, path: &Path, arguments: &[String]) -> Result<i32> {
    let arguments: String = arguments.iter().map(|word| format!(" {}", quoted(word))).collect();
    let commands = format!(
        "echo 512M > /sys/block/zram0/disksize && mkswap /dev/zram0 > /dev/null || exit 1\n\
         swapon /dev/zram0 || exit 1\n\
         echo \"{PROGRAM_BEGINS}\"\n\
         /program{arguments}\n\
         echo \"{PROGRAM_ENDED} $?\"\n\
         swapoff /dev/zram0 || exit 1\n\
         {NO_RECORDS}"
    );
    let mut initrd = machine.initramfs(&commands)?;
    initrd.add_program("program", path)?;
    let name = format!("{} in QEMU {}", path.display(), machine.qemu.version);
    let mut status = None;
    let mut running = false;
    let said = machine.boot(&name, &initrd, PROGRAM_MIB, "loglevel=5", |step, line| {
        if let Some(ended) = line.strip_prefix(PROGRAM_ENDED) {
            status = ended.trim().parse().ok();
            running = false;
        } else if running {
            step.aside(|| println!("{line}"));
        } else if line == PROGRAM_BEGINS {
            running = true;
        }
    })?;
    machine.left_nothing(&said)?;
    let log = machine.console();
    ensure!(said.status == 0, "the guest ended with {}; {}", said.status, log.display());
    let Some(status) = status else {
        anyhow::bail!("the program did not end; {}", log.display());
    };
    Ok(status)
}

/// `word` as busybox's shell reads it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("$(x)"), "'$(x)'");
    }
}
