//! A hypervisor that swaps the memory of guests with MTE: how mteswap is embedded where there is
//! no operating system.
//!
//! Two guests, one a CPU, have more memory than there are frames. Their pages go to a virtio
//! block device, the tags of these into the store; frames are wiped between two pages, so that
//! nothing comes back but through the two. The guests know nothing of it, and check.
//!
//! | floor | module | holds |
//! |---|---|---|
//! | 5 | `traps`, `calls`, `summary` | exceptions, the guests' calls, the counts at the end |
//! | 4 | `fault`, `share`, `tick` | swap-in, copy on write, sharing, giving up; an interrupt's handler |
//! | 3 | `reclaim` | swap-out |
//! | 2 | `hypervisor`, `store`, `guest`, `frames`, `disk` | what there is: swap map, store, pages, frames, device |
//! | 1 | `stage2`, `cpu`, `timer` | tables, registers, interrupts |
//! | 1 | `host` | what mteswap asks of its embedder |
//! | 0 | `machine`, `lock`, `heap`, `console` | device tree, spinlock, allocator, serial line |

#![no_std]
#![no_main]

mod calls;
mod console;
mod cpu;
mod disk;
mod fault;
mod frames;
mod guest;
mod heap;
mod host;
mod hypervisor;
mod lock;
mod machine;
mod reclaim;
mod share;
mod stage2;
mod store;
mod summary;
mod tick;
mod timer;
mod traps;

use core::panic::PanicInfo;

use aarch64_rt::{Stack, set_exception_vector, start_core};
use hypercall::{GUESTS, IMAGE_PAGES, PAGE};
use smccc::{Hvc, Smc, psci};

use crate::{disk::Disk, hypervisor::Hypervisor, machine::Machine};

static HYPERVISOR: spin::Once<Hypervisor> = spin::Once::new();

/// The second CPU's stack.
static mut STACK: Stack<16> = Stack::new();

aarch64_rt::entry!(main, 16);

/// What all CPUs share; there since before the first guest runs.
fn machine() -> &'static Hypervisor {
    HYPERVISOR.get().expect("set before guests run")
}

fn main(tree: u64, _: u64, _: u64, _: u64) -> ! {
    let tree = core::ptr::with_exposed_provenance(tree as usize);
    // SAFETY: the boot protocol: X0 has the device tree's address.
    let board = unsafe { Machine::new(tree) }.unwrap_or_else(|| power_off());
    let uart = board.uart().unwrap_or_else(|| power_off());
    // SAFETY: the device tree says so, and this is its one user.
    unsafe { console::init(uart) };
    assert!(cpu::at_el2(), "not at EL2: start QEMU with -M virt,virtualization=on");
    cpu::set_number(0);
    let options = board.options().unwrap_or_else(|word| panic!("{word}: no such option"));
    if options.unmasked_lock {
        lock::mask_nothing();
    }
    let gic = board.gic().expect("no GICv3: start QEMU with -M virt,gic-version=3");
    // SAFETY: the device tree says where it is, and this is its one user.
    let gic = unsafe { timer::init(gic.0, gic.1) };
    gic.unwrap_or_else(|error| panic!("GIC: {error}"));
    // SAFETY: the device tree says where they are, and this is their one user.
    let disk = unsafe { Disk::find(board.virtio()) };
    let disk = disk.expect("no swap device: start QEMU with -device virtio-blk-device");
    let slots = disk.slots();
    assert!(slots >= tick::SLOTS, "the swap device has {slots} pages, {} are needed", tick::SLOTS);
    say!("{slots} slots on the swap device");
    let hypervisor = HYPERVISOR.call_once(|| {
        Hypervisor::new(options, disk).unwrap_or_else(|error| panic!("swap map: {error}"))
    });
    check(hypervisor);
    let (start, end) = board.image().expect("no guest: start QEMU with -initrd");
    // SAFETY: where QEMU put it; nothing else lies there.
    let image = unsafe {
        core::slice::from_raw_parts(core::ptr::with_exposed_provenance(start), end - start)
    };
    (0..GUESTS).for_each(|guest| load(hypervisor, guest, image));
    say!(
        "{} frames for {GUESTS} guests of {} pages",
        options.frames,
        options.private + options.shared
    );
    let stack = &raw mut STACK;
    // SAFETY: named here alone, and the CPU is started once.
    let started = unsafe { start_core::<Smc, _, 16>(1, stack, || run(1)) };
    started.unwrap_or_else(|error| panic!("CPU 1 does not start: {error}"));
    run(0)
}

/// MTE is there, and does what it should.
fn check(hypervisor: &Hypervisor) {
    let mut frame = hypervisor.frames.take().expect("a first frame");
    if let Err(why) = cpu::check_mte(&mut frame) {
        panic!("{why}");
    }
    frame.free();
}

/// Puts the image into the first pages of a guest: they are never swapped out.
fn load(hypervisor: &Hypervisor, guest: usize, image: &[u8]) {
    assert!(
        image.len() <= IMAGE_PAGES * PAGE,
        "the guest's image is too long: {} bytes",
        image.len()
    );
    for page in 0..IMAGE_PAGES {
        let mut frame = hypervisor.frames.take().expect("frames for two images");
        frame.page().zero_fresh().expect("a fresh frame");
        let bytes = image.get(page * PAGE..).unwrap_or_default();
        let bytes = bytes.get(..PAGE).unwrap_or(bytes);
        frame.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        frame.state.page = page;
        frame.state.mappers = 1 << guest;
        frame.state.wired = true;
        hypervisor.guests[guest].0.lock().map(page, &frame, true);
    }
}

/// Runs the guest numbered `guest` on this CPU.
fn run(guest: usize) -> ! {
    let vttbr = machine().guests[guest].0.lock().vttbr();
    cpu::prepare(guest, vttbr);
    set_exception_vector();
    tick::start(machine());
    // SAFETY: just prepared.
    unsafe { cpu::enter() }
}

/// Ends the machine.
fn power_off() -> ! {
    // It does not return; if it does, there is nothing left to do. From EL2 firmware is called by
    // SMC; at EL1 it takes EL2's place, and is called by HVC.
    let _ = if cpu::at_el2() { psci::system_off::<Smc>() } else { psci::system_off::<Hvc>() };
    loop {
        aarch64_cpu::asm::wfe();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    say!("panic: {}", info.message());
    if let Some(at) = info.location() {
        say!("  at {at}");
    }
    power_off()
}
