//! The guests' calls.

use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_cpu::asm;
use aarch64_rt::RegisterState;
use hypercall::{Call, Config, GUESTS, Mismatch, PAGE, RAM, Report};

use crate::{
    cpu, hypervisor::Hypervisor, lock::interrupts_off, machine, say, share, summary, tick,
};

/// Mismatches that are printed.
const SHOWN: u64 = 8;

/// Arrivals at barriers, and guests that ended.
static ARRIVED: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);

/// Answers the call whose function and arguments are in `registers`.
pub fn serve(registers: &mut RegisterState) {
    /// SMCCC: there is no such function.
    const NOT_SUPPORTED: u64 = u64::MAX;
    let machine = machine();
    let guest = cpu::guest();
    let arguments: [u64; 8] = core::array::from_fn(|index| registers.registers[index + 1]);
    let [first, second, third, fourth, ..] = arguments;
    let mut answers = [0; 8];
    match Call::new(registers.registers[0]) {
        Some(Call::Config) => answers = config(machine, guest).to_words(),
        Some(Call::Share) if guest == 0 => {
            share::share(machine);
            machine.counts.shares.up();
            say!("progress {}", machine.counts.shares.get());
        }
        Some(Call::Barrier) => barrier(),
        Some(Call::Mismatch) => {
            machine.counts.mismatches.up();
            if machine.counts.mismatches.get() <= SHOWN {
                let what = Mismatch::name(first);
                say!(
                    "guest {guest}: {what} at {second:#x}: {third:#x} expected, {fourth:#x} found"
                );
            }
        }
        Some(Call::Discard) => match page(machine, first) {
            Some(page) => {
                machine.counts.discards.up();
                share::discard(machine, guest, page, true);
            }
            None => answers[0] = NOT_SUPPORTED,
        },
        Some(Call::Done) => end(machine, Report::from_words(arguments)),
        Some(Call::Panic) => panic!(
            "guest {guest}: syndrome {first:#x}, address {second:#x} at {third:#x}, line {fourth}"
        ),
        Some(Call::Share) | None => answers[0] = NOT_SUPPORTED,
    }
    registers.registers[..8].copy_from_slice(&answers);
}

fn config(machine: &Hypervisor, guest: usize) -> Config {
    let options = &machine.options;
    Config {
        guest: guest as u64,
        private: options.private as u64,
        shared: options.shared as u64,
        epochs: options.epochs as u64,
        steps: options.steps as u64,
        seed: options.seed as u64,
    }
}

/// The page at an address the guest gave; only those beside its image can be given up.
fn page(machine: &Hypervisor, address: u64) -> Option<usize> {
    let page = (address as usize).checked_sub(RAM)? / PAGE;
    let all = machine.guests[0].0.lock().pages();
    (hypercall::IMAGE_PAGES..all).contains(&page).then_some(page)
}

fn barrier() {
    let mine = ARRIVED.fetch_add(1, Ordering::AcqRel);
    let all = (mine / GUESTS as u64 + 1) * GUESTS as u64;
    while ARRIVED.load(Ordering::Acquire) < all {
        core::hint::spin_loop();
    }
}

/// Takes the report of a guest; after the last one, all is added up.
fn end(machine: &Hypervisor, report: Report) -> ! {
    let counts = &machine.counts;
    counts.visits.add(report.visits);
    counts.tags_checked.add(report.tags);
    counts.tag_faults.add(report.faults);
    counts.writes.add(report.writes);
    counts.aborts.add(report.aborts);
    counts.recovered.add(report.recovered);
    counts.lost.add(report.lost);
    // For good.
    let _ = interrupts_off();
    tick::stop();
    if ENDED.fetch_add(1, Ordering::AcqRel) + 1 == GUESTS as u64 {
        summary::finish(machine);
    }
    loop {
        asm::wfi();
    }
}
