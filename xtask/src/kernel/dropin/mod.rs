//! `cargo xtask dropin`: the library in place of arch/arm64/mm/mteswap.c in a kernel with MTE
//! under QEMU, and programs in it that look at every tag of what was swapped.
//!
//! | file | holds |
//! |---|---|
//! | `kernel` | which kernel: with the drop-in, as it comes, with both stores |
//! | `programs` | what runs in the guest |
//! | `boot` | a boot that swaps, and what it must not leave |
//! | `checks` | the checks of `kunit/guest`, counted against their sources |

use std::{path::PathBuf, time::Instant};

use anyhow::{Result, ensure};

use super::{
    cache::Cache,
    payload::{heap, selftests},
    qemu::Qemu,
    source::Source,
};

pub(crate) mod boot;
mod checks;
pub(crate) mod kernel;
mod programs;

use boot::Machine;
use kernel::{Config, Store};

/// Has the store of the controls' kernel lose every record.
const LOSE: &str = "echo 1 > /sys/module/controls/parameters/lose || exit 1";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The same in the kernel as it comes, for comparison
    #[arg(long)]
    stock: bool,
    /// Run only the checks of these names
    #[arg(long = "check", value_name = "NAME")]
    checks: Vec<String>,
    /// The kernel's own tests of MTE, their pages swapped out while they run
    #[arg(long, conflicts_with_all = ["checks", "heap"])]
    selftests: bool,
    /// python3 and sqlite3 under glibc's heap tagging, paged out while they work
    #[arg(long, conflicts_with = "checks")]
    heap: bool,
    /// With --heap: the store loses every record, and the programs must die of it
    #[arg(long, requires = "heap", conflicts_with = "stock")]
    lose: bool,
    /// How the kernel is configured
    #[arg(long, value_enum, default_value = "preempt-none")]
    config: Config,
    /// A Linux 6.12 tree to use instead of Debian's package; it is left as it is
    #[arg(long, value_name = "DIR")]
    kernel: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let begun = Instant::now();
    let wanted = wanted(&args.checks)?;
    let cache = Cache::open()?;
    let source = Source::find(&cache, args.kernel.as_deref())?;
    let qemu = Qemu::find(&cache)?;
    let store = match (args.stock, args.lose) {
        (true, _) => Store::Stock,
        (false, true) => Store::Controls,
        (false, false) => Store::Dropin,
    };
    let tree = store.tree(&cache, &source)?;
    let kernel = store.build(&cache, &tree, args.config)?;
    let machine = Machine { cache: &cache, qemu: &qemu, kernel: &kernel, store };
    let counts = if args.selftests {
        selftests::run(&machine, &source)?
    } else if args.heap {
        heap::run(&machine, if args.lose { LOSE } else { "" }, args.lose)?
    } else {
        checks::run(&machine, &wanted, "")?
    };
    eprintln!(
        "Linux {}, QEMU {}: {} checks in {:.1} s",
        source.version,
        qemu.version,
        counts.total(),
        begun.elapsed().as_secs_f32()
    );
    println!("{counts}");
    ensure!(counts.failed == 0, "{} checks failed", counts.failed);
    Ok(())
}

/// The checks asked for, all where none is.
fn wanted(asked: &[String]) -> Result<Vec<String>> {
    let mut names = programs::names()?;
    for name in asked {
        ensure!(names.contains(name), "no check is named {name}; there are: {}", names.join(", "));
    }
    names.retain(|name| asked.is_empty() || asked.contains(name));
    Ok(names)
}
