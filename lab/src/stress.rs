//! `stress`: real threads add to pages that one evictor keeps swapping out.
//!
//! Each page holds a counter and its own number; its tags follow from both. A worker adds one to
//! each page's counter a round and sets the tags anew; half go up through the pages, half down.
//! After a round each counter is one more a worker. Three things are counted apart: data lost
//! (the counter is short), a misload (the page has another's number), tags lost (they are not
//! those of the counter). Any of them fails the round.

use std::{
    sync::atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    model::{
        CPUS, Machine, Size,
        device::DeviceKind,
        fault::tag_pattern,
        frame::Frame,
        table::Mm,
        variant::{self, Variant},
    },
    verdict,
};

/// Words of a page that matter: the counter, and the page's number.
const COUNTER: usize = 0;
const NUMBER: usize = 1;
/// Words of data a page.
const WORDS: usize = 512;

/// Real threads count up pages that are swapped out all the time: data, page and tags are checked.
///
/// Without --variant: today's order, in which nothing may be lost, and `no-pin` as a control, in
/// which something must be.
#[derive(clap::Args)]
pub struct Args {
    /// Only this variant; fails where something is lost (`cargo xtask races --list`)
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Rounds of today's order, or of the variant
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Threads that count
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1024))]
    workers: u64,
    /// Pages, and slots of the device
    #[arg(long, default_value_t = 8192, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pages: u64,
    /// A freed slot's data are gone at once, as on zram
    #[arg(long)]
    discard: bool,
    /// Microseconds that a read takes once the data are copied
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 50)]
    delay: u64,
    /// No line a round
    #[arg(long, short)]
    quiet: bool,
}

/// Rounds in which the control has to lose something.
const CONTROL_ROUNDS: u64 = 60;

/// What one round, or all of them, lost.
#[derive(Debug, Clone, Copy, Default)]
struct Lost {
    data: u64,
    misloads: u64,
    tags: u64,
}

impl Lost {
    fn any(self) -> bool {
        self.data + self.misloads + self.tags > 0
    }

    fn add(&mut self, other: Self) {
        self.data += other.data;
        self.misloads += other.misloads;
        self.tags += other.tags;
    }
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { data, misloads, tags } = self;
        write!(f, "{data} updates lost, {misloads} misloads, {tags} pages with wrong tags")
    }
}

/// # Errors
/// Where no variant has the name, or the machine cannot be made. Losses are counted instead.
pub fn run(args: &Args) -> Result<bool> {
    let named = |name: &str| {
        variant::find(name)
            .with_context(|| format!("no variant `{name}`: see `cargo xtask races --list`"))
    };
    let checks = match &args.variant {
        Some(name) => vec![(named(name)?, args.rounds, false)],
        None => {
            vec![(named("today")?, args.rounds, false), (named("no-pin")?, CONTROL_ROUNDS, true)]
        }
    };
    println!(
        "{} pages, {} slots, {} workers, 1 evictor, reads take {} us, discard {}",
        args.pages,
        args.pages,
        args.workers,
        args.delay,
        if args.discard { "on" } else { "off" }
    );
    let mut held = Vec::new();
    for (variant, rounds, wanted) in checks {
        held.push(check(args, variant, rounds, wanted)?);
    }
    let failed = held.iter().filter(|held| !**held).count();
    println!("{} passed, {failed} failed, 0 skipped", held.len() - failed);
    Ok(failed == 0)
}

/// Runs rounds of one variant. True if nothing was lost; or, where a loss is `wanted`, if
/// something was.
fn check(args: &Args, variant: &Variant, rounds: u64, wanted: bool) -> Result<bool> {
    let begun = Instant::now();
    let (ran, lost, swapped) = rounds_of(args, variant, rounds, wanted)?;
    let held = lost.any() == wanted;
    let control = match (wanted, held) {
        (false, _) => "",
        (true, true) => " (the control: it has to lose some)",
        (true, false) => {
            " (the control has to lose some, or the check shows nothing: more --pages, --workers \
             or --delay make that likelier)"
        }
    };
    println!(
        "{} {}: {ran} rounds, {swapped} pages swapped in, {:.1} s: {lost}{control}",
        if held { "ok    " } else { "FAILED" },
        variant.name,
        begun.elapsed().as_secs_f32()
    );
    // Threads of the machine show what the pin is for, and that tags come with their data.
    verdict("PIN-8 HOOK-2", &format!("stress {}", variant.name), held);
    Ok(held)
}

fn rounds_of(
    args: &Args,
    variant: &Variant,
    rounds: u64,
    until_lost: bool,
) -> Result<(u64, Lost, u64)> {
    let pages = args.pages as usize;
    let size = Size {
        // Every worker may hold one that it reads into.
        frames: pages + args.workers as usize + 16,
        slots: pages,
        words: WORDS,
        device: DeviceKind {
            lz4: false,
            discard: args.discard,
            delay: Duration::from_micros(args.delay),
        },
        direct: true,
        tagged: true,
    };
    let machine = Machine::new(variant.order, size, false)
        .ok()
        .with_context(|| format!("no memory for {pages} pages: fewer --pages need less"))?;
    let mm = machine.new_mm(pages);
    let cpu = machine.cpu(0);
    for page in 0..pages {
        cpu.access(&mm, page, true, |frame, _| set(frame, page, 0));
    }
    let bar = ProgressBar::new(rounds);
    bar.set_style(ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} {eta}")?);
    bar.set_message(variant.name);
    let mut all = Lost::default();
    let mut expected = 0;
    for round in 1..=rounds {
        expected += args.workers;
        let tags = AtomicU64::new(0);
        go_round(&machine, &mm, args.workers, &tags)?;
        let mut lost = look(&machine, &mm, expected);
        // What is short is set right, so that the next round counts its own losses alone.
        for page in 0..pages {
            cpu.access(&mm, page, true, |frame, _| set(frame, page, expected));
        }
        lost.tags += tags.load(SeqCst);
        all.add(lost);
        bar.inc(1);
        if !args.quiet {
            bar.suspend(|| println!("  {} round {round}: {lost}", variant.name));
        }
        if until_lost && all.any() {
            bar.finish_and_clear();
            return Ok((round, all, machine.swapped_in()));
        }
    }
    bar.finish_and_clear();
    // In the end nothing may be left of it: no slot, no record, no reference.
    cpu.swapoff();
    ensure!(machine.slots_in_use() == 0, "{} slots are still in use", machine.slots_in_use());
    cpu.check_at_rest();
    if let (_, Some(fault)) = machine.trace.take() {
        bail!("{}: {}", variant.name, fault.0);
    }
    Ok((rounds, all, machine.swapped_in()))
}

fn set(frame: &Frame, page: usize, counter: u64) {
    frame.data[COUNTER].store(counter, Relaxed);
    frame.data[NUMBER].store(page as u64, Relaxed);
    frame.set_tags(tag_pattern(page, counter));
}

/// One pass of every worker over all pages, under the evictor.
fn go_round(machine: &Machine, mm: &Mm, workers: u64, wrong_tags: &AtomicU64) -> Result<()> {
    let done = AtomicBool::new(false);
    let swapped_before = machine.swapped_in();
    let swap_all_out = || {
        let cpu = machine.cpu(CPUS - 1);
        (0..mm.ptes.len()).for_each(|page| cpu.swap_out(mm, page, true));
    };
    // Workers may be done before the evictor gets its turn, on a machine with much else to do.
    swap_all_out();
    thread::scope(|scope| {
        let evictor = scope.spawn(|| {
            while !done.load(SeqCst) {
                swap_all_out();
            }
        });
        let counting: Vec<_> = (0..workers)
            .map(|worker| {
                scope.spawn(move || {
                    let cpu = machine.cpu(worker as usize);
                    let count = |page: usize| {
                        cpu.access(mm, page, true, |frame, _| add_one(frame, page, wrong_tags));
                    };
                    if worker % 2 == 0 {
                        (0..mm.ptes.len()).for_each(count);
                    } else {
                        (0..mm.ptes.len()).rev().for_each(count);
                    }
                })
            })
            .collect();
        let panicked = counting.into_iter().map(|worker| worker.join()).any(|end| end.is_err());
        done.store(true, SeqCst);
        let evicted = evictor.join();
        ensure!(!panicked && evicted.is_ok(), "a thread of the stress test panicked");
        ensure!(
            machine.swapped_in() > swapped_before,
            "a round swapped nothing in: it shows nothing"
        );
        Ok(())
    })
}

/// What a worker does to a page: one step, as an instruction is.
fn add_one(frame: &Frame, page: usize, wrong_tags: &AtomicU64) {
    let counter = frame.data[COUNTER].load(Relaxed);
    if !frame.has_tags(tag_pattern(page, counter)) {
        wrong_tags.fetch_add(1, Relaxed);
    }
    frame.data[COUNTER].store(counter + 1, Relaxed);
    frame.set_tags(tag_pattern(page, counter + 1));
}

/// Looks at every page once nothing moves.
fn look(machine: &Machine, mm: &Mm, expected: u64) -> Lost {
    let mut lost = Lost::default();
    for page in 0..mm.ptes.len() {
        machine.cpu(0).access(mm, page, false, |frame, _| {
            let counter = frame.data[COUNTER].load(Relaxed);
            if frame.data[NUMBER].load(Relaxed) != page as u64 {
                lost.misloads += 1;
            } else {
                lost.data += expected.saturating_sub(counter);
            }
            if !frame.has_tags(tag_pattern(page, counter)) {
                lost.tags += 1;
            }
        });
    }
    lost
}
