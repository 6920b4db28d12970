//! Small histories for two or three processors: what each does, not in which order.

use mteswap::error::Result;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{
    model::{Cpu, Machine, Size, device::DeviceKind, variant::Order},
    sync,
};

/// A history.
pub struct Scenario {
    pub name: &'static str,
    pub what: &'static str,
    /// The device is read around the swap cache.
    direct: bool,
    run: fn(&Machine, u64),
}

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "anon",
        what: "two threads write to one swapped-out page; one of them swaps it out again",
        direct: true,
        run: anon,
    },
    Scenario {
        name: "no-memory",
        what: "the same, and the first allocation fails",
        direct: true,
        run: no_memory,
    },
    Scenario {
        name: "shmem",
        what: "two mappings of shared memory write to a swapped-out page",
        direct: true,
        run: shmem,
    },
    Scenario {
        name: "refault",
        what: "reclaim unmaps a page in the swap cache, and does not write it; its owner returns",
        direct: false,
        run: refault,
    },
    Scenario {
        name: "sole",
        what: "a page was shared, its other owner has gone; the last one writes",
        direct: false,
        run: sole,
    },
    Scenario {
        name: "fork",
        what: "parent and child write to what they share, through the swap cache",
        direct: true,
        run: fork,
    },
    Scenario {
        name: "swapoff",
        what: "swapoff while pages are faulted in and swapped out",
        direct: true,
        run: swapoff,
    },
    Scenario {
        name: "mixed",
        what: "three processors, two pages, what they do drawn by the seed",
        direct: true,
        run: mixed,
    },
];

/// The scenario of that name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// Runs it once on a machine of its own. `seed` draws what is left open: whether the device
    /// discards, and, in `mixed`, what is done.
    ///
    /// # Errors
    /// Where the host has no memory.
    pub fn run(&self, order: Order, seed: u64, traced: bool) -> Result<Machine> {
        let device = DeviceKind { discard: seed & 1 == 0, ..DeviceKind::default() };
        let size =
            Size { frames: 8, slots: 4, words: 2, device, direct: self.direct, tagged: true };
        let machine = Machine::new(order, size, traced)?;
        (self.run)(&machine, seed);
        if !machine.trace.has_failed() {
            // What user space reads in the end, and what nobody may have left behind.
            let cpu = machine.cpu(0);
            let mms = machine.mms.lock().clone();
            for mm in &mms {
                (0..mm.ptes.len()).for_each(|va| cpu.touch(mm, va, false));
            }
            if !machine.trace.has_failed() {
                cpu.check_at_rest();
            }
        }
        Ok(machine)
    }
}

/// Runs each of the bodies on a processor of its own, at once.
fn at_once(machine: &Machine, bodies: &[&(dyn Fn(Cpu<'_>) + Sync)]) {
    machine.trace.listen();
    sync::scope(|scope| {
        for (number, body) in bodies.iter().enumerate() {
            scope.spawn(move || body(machine.cpu(number)));
        }
    });
}

fn anon(machine: &Machine, _: u64) {
    let mm = machine.new_mm(1);
    machine.cpu(0).touch(&mm, 0, true);
    machine.cpu(0).swap_out(&mm, 0, true);
    at_once(
        machine,
        &[&|cpu| cpu.touch(&mm, 0, true), &|cpu| {
            cpu.touch(&mm, 0, true);
            cpu.swap_out(&mm, 0, true);
        }],
    );
}

fn no_memory(machine: &Machine, seed: u64) {
    let mm = machine.new_mm(1);
    machine.cpu(0).touch(&mm, 0, true);
    machine.cpu(0).swap_out(&mm, 0, true);
    machine.frames.fail_next(1 + seed as u32 % 2);
    at_once(machine, &[&|cpu| cpu.touch(&mm, 0, true), &|cpu| cpu.touch(&mm, 0, true)]);
}

fn shmem(machine: &Machine, _: u64) {
    let mms = machine.new_shmem(1, 2);
    machine.cpu(0).touch(&mms[0], 0, true);
    machine.cpu(0).swap_out(&mms[0], 0, true);
    at_once(
        machine,
        &[&|cpu| cpu.touch(&mms[0], 0, true), &|cpu| {
            cpu.touch(&mms[1], 0, true);
            cpu.swap_out(&mms[1], 0, true);
        }],
    );
}

fn refault(machine: &Machine, _: u64) {
    let mm = machine.new_mm(1);
    let cpu = machine.cpu(0);
    cpu.touch(&mm, 0, true);
    cpu.swap_out(&mm, 0, true);
    // Read back, it stays in the swap cache with its slot and record; then it is written to.
    cpu.touch(&mm, 0, false);
    cpu.touch(&mm, 0, true);
    at_once(machine, &[&|cpu| cpu.touch(&mm, 0, true), &|cpu| cpu.swap_out(&mm, 0, false)]);
}

fn sole(machine: &Machine, _: u64) {
    let mm = machine.new_mm(1);
    let cpu = machine.cpu(0);
    cpu.touch(&mm, 0, true);
    let child = cpu.fork(&mm);
    cpu.swap_out(&mm, 0, true);
    cpu.exit(&child);
    at_once(machine, &[&|cpu| cpu.touch(&mm, 0, true), &|cpu| cpu.touch(&mm, 0, false)]);
}

fn fork(machine: &Machine, _: u64) {
    let mm = machine.new_mm(1);
    let cpu = machine.cpu(0);
    cpu.touch(&mm, 0, true);
    cpu.swap_out(&mm, 0, true);
    let child = cpu.fork(&mm);
    at_once(
        machine,
        &[
            &|cpu| {
                cpu.touch(&mm, 0, true);
                cpu.swap_out(&mm, 0, true);
                cpu.touch(&mm, 0, true);
            },
            &|cpu| {
                cpu.touch(&child, 0, true);
                cpu.swap_out(&child, 0, true);
                cpu.exit(&child);
            },
        ],
    );
}

fn swapoff(machine: &Machine, _: u64) {
    let mm = machine.new_mm(2);
    let cpu = machine.cpu(0);
    for va in 0..2 {
        cpu.touch(&mm, va, true);
        cpu.swap_out(&mm, va, true);
    }
    at_once(
        machine,
        &[
            &|cpu| {
                cpu.touch(&mm, 0, true);
                cpu.swap_out(&mm, 0, true);
                cpu.touch(&mm, 1, true);
            },
            &|cpu| cpu.swapoff(),
        ],
    );
}

fn mixed(machine: &Machine, seed: u64) {
    const PAGES: usize = 2;
    let shared = seed % 4 == 0;
    let mms = if shared { machine.new_shmem(PAGES, 2) } else { vec![machine.new_mm(PAGES)] };
    let cpu = machine.cpu(0);
    for va in 0..PAGES {
        cpu.touch(&mms[0], va, true);
        cpu.swap_out(&mms[0], va, true);
    }
    let child = (seed % 4 == 1).then(|| cpu.fork(&mms[0]));
    let body = |cpu: Cpu<'_>| {
        let mut rng = SmallRng::seed_from_u64(seed.wrapping_mul(8) + cpu.number as u64);
        let mms: Vec<_> = mms.iter().chain(child.as_ref().filter(|_| cpu.number < 2)).collect();
        for _ in 0..4 {
            let mm = mms[rng.random_range(0..mms.len())];
            let va = rng.random_range(0..PAGES);
            match rng.random_range(0..10) {
                0..3 => cpu.touch(mm, va, true),
                3..5 => cpu.touch(mm, va, false),
                5..8 => cpu.swap_out(mm, va, true),
                8 => cpu.swap_out(mm, va, false),
                _ if cpu.number == 2 && seed % 8 == 3 => cpu.swapoff(),
                _ => {}
            }
        }
        // Its last user is gone before the child is.
        if let Some(child) = child.as_ref().filter(|_| cpu.number == 2 && seed % 8 == 5) {
            cpu.swap_out(child, 0, true);
        }
    };
    at_once(machine, &[&body, &body, &body]);
    if let Some(child) = child.filter(|_| seed % 8 == 1) {
        machine.cpu(0).exit(&child);
    }
}
