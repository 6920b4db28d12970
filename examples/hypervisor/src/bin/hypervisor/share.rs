//! Pages between guests: copy on write, and giving pages up.

use hypercall::{GUESTS, IMAGE_PAGES};
use mteswap::{entry::EntryRange, swap::SlotRef};

use crate::{fault::clear, guest::Pte, hypervisor::Hypervisor};

/// Gives every shared page of guest 0 to guest 1, which loses what it had there: what
/// `copy_page_range` does at fork.
pub fn share(machine: &Hypervisor) {
    let first = IMAGE_PAGES + machine.options.private;
    for page in first..first + machine.options.shared {
        discard(machine, 1, page, false);
        while !share_page(machine, page) {}
    }
}

/// False where the page has moved meanwhile.
fn share_page(machine: &Hypervisor, page: usize) -> bool {
    let [from, to] = &machine.guests;
    let pte = from.get(page);
    let held = match pte {
        Pte::Present { frame, .. } => Some(machine.frames.hold(frame)),
        Pte::Absent | Pte::Swapped(_) => None,
    };
    let mut from = from.0.lock();
    let mut to = to.0.lock();
    if from.get(page) != pte {
        return false;
    }
    match (pte, held) {
        (Pte::Swapped(entry), _) => {
            let entry = machine.swap.duplicate(entry).map(SlotRef::into_entry);
            to.set(page, Pte::Swapped(entry.expect("a slot that guest 0 refers to")));
            machine.counts.shared_slots.up();
        }
        (Pte::Present { .. }, Some(mut frame)) => {
            from.map(page, &frame, false);
            to.map(page, &frame, false);
            frame.state.mappers |= 1 << 1;
        }
        _ => {}
    }
    true
}

/// Gives up what `guest` has at `page`: a frame or a reference to a slot, and with the last one
/// the record (HOOK-10). Where the page could not be read, its slot is `bad`: it is not handed
/// out again, unless someone else still refers to it.
pub fn discard(machine: &Hypervisor, guest: usize, page: usize, bad: bool) {
    while !discard_page(machine, guest, page, bad) {}
}

/// False where the page has moved meanwhile.
fn discard_page(machine: &Hypervisor, guest: usize, page: usize, bad: bool) -> bool {
    let pte = machine.guests[guest].get(page);
    let held = match pte {
        Pte::Present { frame, .. } => Some(machine.frames.hold(frame)),
        Pte::Absent | Pte::Swapped(_) => None,
    };
    let mut table = machine.guests[guest].0.lock();
    if table.get(page) != pte {
        return false;
    }
    match (pte, held) {
        (Pte::Swapped(entry), _) => {
            table.set(page, Pte::Absent);
            drop(table);
            let slot = EntryRange::new(entry, 1).and_then(|slot| machine.swap.slot_ref(slot));
            slot.expect("a slot of this area").discard();
            if bad {
                let _ = machine.swap.mark_bad(entry);
            }
        }
        (Pte::Present { .. }, Some(mut frame)) => {
            table.hide(page);
            table.set(page, Pte::Absent);
            drop(table);
            frame.state.mappers &= !(1 << guest);
            if frame.state.mappers == 0 {
                if let Some(entry) = frame.state.cached.take() {
                    clear(machine, entry);
                }
                frame.free();
            }
        }
        _ => {}
    }
    true
}

/// Gives up everything of every guest.
pub fn discard_all(machine: &Hypervisor) {
    for guest in 0..GUESTS {
        let pages = machine.guests[guest].0.lock().pages();
        (0..pages).for_each(|page| discard(machine, guest, page, false));
    }
}
