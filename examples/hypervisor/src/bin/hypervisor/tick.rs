//! What the timer's handler does: it saves, restores and invalidates records of its own, from
//! within whatever it has interrupted (TAG-9).
//!
//! Where that was a call of the store, the handler's record is one of the same leaf, the one the
//! call may have locked: each leaf of the swap area has a slot for each CPU that is never handed
//! out. Else it is of some other leaf, or alone in an area of the CPU's, whose tree comes and goes
//! with it.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use hypercall::GUESTS;
use mteswap::{
    entry::{SwapEntry, SwapType},
    error::Result,
    host::AllocFlags,
};

use crate::{
    cpu,
    host::Bare,
    hypervisor::Hypervisor,
    say,
    store::{STORE, Store},
    timer,
};

/// The swap area of the guests' pages.
pub const AREA: u32 = 1;
/// That of CPU 0's handler; the others' are behind it.
const OWN_AREA: u32 = AREA + 1;

/// Entries of a leaf of the index.
const LEAF: u64 = 64;
/// Leaves in which handlers have a slot.
const LEAVES: usize = 16;
/// Slots of the swap area, at least.
pub const SLOTS: usize = LEAVES * LEAF as usize;

/// Words of a page's tags.
type Tags = [u64; 16];

/// A CPU's handler.
struct Ticks {
    /// Its random numbers: one a run.
    random: AtomicU64,
    /// What was saved last at each place: the seed of the tags, 0 for no record. The last place
    /// is in an area of its own.
    saved: [AtomicU32; LEAVES + 1],
}

// Relaxed, all of it: each is one CPU's.
static TICKS: [Ticks; GUESTS] = [const {
    Ticks { random: AtomicU64::new(0), saved: [const { AtomicU32::new(0) }; LEAVES + 1] }
}; GUESTS];

/// Keeps the handlers' slots from being handed out.
///
/// # Errors
/// Where the swap area is smaller than their leaves.
pub fn keep_slots(swap: &mteswap::swap::Swap<Bare, &'static Store>) -> Result<()> {
    for place in 0..LEAVES {
        for cpu in 0..GUESTS {
            swap.mark_bad(entry(place, cpu)?)?;
        }
    }
    Ok(())
}

/// The handler's entry at a place.
fn entry(place: usize, cpu: usize) -> Result<SwapEntry> {
    if place == LEAVES {
        return SwapEntry::new(SwapType::new(OWN_AREA + cpu as u32)?, 0);
    }
    let last = (place as u64 + 1) * LEAF - 1;
    SwapEntry::new(SwapType::new(AREA)?, last - cpu as u64)
}

/// Begins this CPU's handler.
pub fn start(machine: &Hypervisor) {
    let cpu = cpu::guest();
    let seed = machine.options.seed * GUESTS + cpu + 1;
    TICKS[cpu].random.store(seed as u64, Ordering::Relaxed);
    timer::start();
}

/// One run of this CPU's handler; `el2` where it has interrupted the hypervisor, not its guest.
pub fn run(machine: &Hypervisor, el2: bool) {
    let cpu = cpu::guest();
    let ticks = &TICKS[cpu];
    machine.counts.interrupts.up();
    if el2 {
        machine.counts.interrupts_at_el2.up();
    }
    let random = ticks.next();
    let place = match STORE.interrupted() {
        Some(entry) => {
            machine.counts.interrupts_in_store.up();
            entry.offset() / LEAF
        }
        None => random >> 32,
    };
    ticks.work(machine, cpu, place as usize % (LEAVES + 1), random);
    // Between a twentieth and a fifth of a millisecond: never in step with anything.
    timer::again(timer::per_second(20_000) + random % timer::per_second(6_667));
}

/// Ends this CPU's handler, whose interrupts are masked for good, and drops its records.
pub fn stop() {
    timer::stop();
    let cpu = cpu::guest();
    for (place, saved) in TICKS[cpu].saved.iter().enumerate() {
        saved.store(0, Ordering::Relaxed);
        STORE.tags.invalidate(entry(place, cpu).expect("as in `keep_slots`"));
    }
}

impl Ticks {
    /// A random number (xorshift64).
    fn next(&self) -> u64 {
        let mut random = self.random.load(Ordering::Relaxed);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.store(random, Ordering::Relaxed);
        random
    }

    /// Looks whether the record at `place` is what was saved there last, then saves another, or
    /// drops it.
    fn work(&self, machine: &Hypervisor, cpu: usize, place: usize, random: u64) {
        let saved = &self.saved[place];
        let entry = entry(place, cpu).expect("as in `keep_slots`");
        let before = saved.load(Ordering::Relaxed);
        let mut found = Tags::default();
        let there = STORE.tags.restore(entry, &mut found);
        if there != (before != 0) || there && found != tags(before) {
            machine.counts.interrupt_mismatches.up();
            say!("CPU {cpu}, in its handler: another record at {entry:?} than was saved");
        }
        if random.is_multiple_of(4) {
            STORE.tags.invalidate(entry);
            saved.store(0, Ordering::Relaxed);
            return;
        }
        let seed = random as u32 | 1;
        // Never sleeps. Without memory the older record stays.
        if STORE.tags.save(entry, &tags(seed), AllocFlags::empty()).is_ok() {
            saved.store(seed, Ordering::Relaxed);
            machine.counts.interrupt_saves.up();
        }
    }
}

/// Tags by their seed: of one tag, of few runs, or each granule another, so that all kinds of
/// records come to stand side by side.
fn tags(seed: u32) -> Tags {
    let one = u64::from(seed >> 4 & 15) * 0x1111_1111_1111_1111;
    match seed >> 8 & 3 {
        0 => [one; 16],
        1 => core::array::from_fn(|word| if word < 8 { one } else { !one }),
        _ => core::array::from_fn(|word| {
            (u64::from(seed) + word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        }),
    }
}
