//! Makes room: takes a page out of memory, its tags into the store, its data onto the device.

use hypercall::GUESTS;
use mteswap::{
    entry::EntryRange,
    error::Result,
    hooks,
    host::AllocFlags,
    swap::{SlotRef, SwapCache},
};

use crate::{frames::Held, guest::Pte, hypervisor::Hypervisor, say, store::STORE};

/// A free frame. Nothing may be held that another CPU needs to go on.
pub fn frame(machine: &Hypervisor) -> Held<'_> {
    // No room on the device, or for a record, may pass; if it never does, this is the end.
    for _ in 0..machine.frames.count() * 64 {
        if let Some(frame) = machine.frames.take() {
            return frame;
        }
        if let Some(victim) = machine.frames.victim() {
            swap_out(machine, victim);
        }
    }
    panic!("no page can be swapped out");
}

/// Swaps out the page in a frame that is held, and frees the frame. If that cannot be, the page
/// stays: the next fault maps it again (HOOK-1).
fn swap_out(machine: &Hypervisor, mut frame: Held<'_>) {
    let page = frame.state.page;
    // From here on no guest reads or writes it. Who faults on it waits for the frame.
    for guest in mappers(frame.state.mappers) {
        machine.guests[guest].0.lock().hide(page);
    }
    // In the swap cache: its slot has it, data and tags.
    let done = match frame.state.cached {
        Some(entry) => EntryRange::new(entry, 1).map(|slot| {
            replace(machine, &frame, slot);
            frame.state.cached = None;
            machine.swap.swapcache_clear(slot);
            machine.counts.clean_drops.up();
        }),
        None => write(machine, &frame),
    };
    match done {
        Ok(()) => frame.free(),
        Err(error) => say!("page {page} stays in memory: {error}"),
    }
}

fn write(machine: &Hypervisor, frame: &Held<'_>) -> Result<()> {
    // Pinned until it drops: on every way out.
    let pin = machine.swap.alloc(1)?;
    let slot = pin.range();
    let saved =
        hooks::prepare_to_swap(&STORE, slot, |_| Some(frame.page()), AllocFlags::MAY_SLEEP)?;
    if let Err(error) = machine.disk.write(slot.first().offset(), frame.bytes()) {
        say!("slot {}: {error}", slot.first().offset());
        return Err(mteswap::error::Error::NoSpace);
    }
    replace(machine, frame, slot);
    machine.counts.tags_saved.add(saved);
    machine.counts.pages_out.up();
    if machine.counts.pages_out.get().is_multiple_of(64) {
        machine.sample();
    }
    Ok(())
}

/// Where the frame was mapped, there is the slot from now on, with a reference for each.
fn replace(machine: &Hypervisor, frame: &Held<'_>, slot: EntryRange) {
    for guest in mappers(frame.state.mappers) {
        let mut table = machine.guests[guest].0.lock();
        let entry = machine.swap.duplicate(slot.first()).map(SlotRef::into_entry);
        let entry = entry.expect("a slot that has the mark takes a reference for each guest");
        table.set(frame.state.page, Pte::Swapped(entry));
    }
}

/// The guests whose bits are set.
pub fn mappers(bits: u8) -> impl Iterator<Item = usize> {
    (0..GUESTS).filter(move |guest| bits >> guest & 1 != 0)
}
