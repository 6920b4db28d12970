//! `cargo xtask hypervisor`: builds `examples/hypervisor`, boots it, and compares what it counted
//! with what it should have.

mod boot;
mod expect;
mod refuse;

use std::path::PathBuf;

use anyhow::{Result, ensure};

pub(crate) use boot::TARGET;

use crate::{results, steps::Steps};

/// Pages of each guest's own; pages both share; frames for all of these.
const PRIVATE: u64 = 128;
const SHARED: u64 = 192;
const FRAMES: u64 = 96;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often the shared pages are written and shared anew
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    epochs: u64,
    /// Random pages each guest visits in between
    #[arg(long, default_value_t = 1500)]
    steps: u64,
    /// Of the guests' random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Restore no tags: the guests notice, and this fails
    #[arg(long)]
    lose_tags: bool,
    /// Mask no interrupts in locks: a handler spins for one that its own CPU holds, and this fails
    #[arg(long)]
    unmasked_lock: bool,
    /// Let the swap device fail: one sector once, another always
    #[arg(long)]
    device_error: bool,
    /// Boot on machines that will not do, QEMU 7.2's among them: each is refused in one line
    #[arg(long, exclusive = true)]
    refusals: bool,
    /// The QEMU to boot under, however old
    #[arg(long, value_name = "PROGRAM")]
    qemu: Option<PathBuf>,
}

pub(crate) fn run(mut args: Args) -> Result<()> {
    if args.lose_tags {
        // Each granule without its tag is a call of the guest's: one epoch says enough.
        args.epochs = 1;
    }
    let images = boot::build()?;
    if args.refusals {
        return refuse::check(&images);
    }
    let counts = boot::boot(&images, &args)?;
    // It has to hang, which is an error already.
    ensure!(!args.unmasked_lock, "locks mask no interrupts, and nothing hung: no handler met one");
    println!("{}", counts.table());
    let mut steps = Steps::new(results::folder())?;
    for (name, holds, why) in expect::checks(&counts, &args)? {
        steps.check(name, || {
            ensure!(holds, "{why}");
            Ok(())
        });
    }
    steps.finish();
    Ok(())
}
