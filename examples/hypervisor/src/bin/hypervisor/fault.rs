//! Stage-2 faults: a page is brought where the guest can use it.
//!
//! The order at swap-in is that of PIN-5, and types hold it: the slot is pinned, then read; the
//! page-table lock is taken, the PTE compared; tags are restored; the slot's reference is freed;
//! the PTE set; the lock dropped; the pin cleared.

use mteswap::{
    entry::{EntryRange, SwapEntry},
    hooks::{self, NoMte},
    page,
    swap::{Keeper, SwapCache, SwapPin},
};

use crate::{frames::Held, guest::Pte, hypervisor::Hypervisor, reclaim, say, store::STORE};

/// The page could not be read. It is where it was, and may be tried again.
#[derive(Debug)]
pub struct ReadError;

/// What came of one attempt.
enum Attempt {
    /// The guest can go on.
    Done,
    /// Something has changed meanwhile: look again.
    Again,
    /// A free frame is needed first.
    NeedFrame,
}

use Attempt::{Again, Done, NeedFrame};

/// One fault.
struct Fault<'a> {
    machine: &'a Hypervisor,
    guest: usize,
    page: usize,
    write: bool,
    /// Taken before anything else is held, since to get one may mean to swap out another page.
    spare: Option<Held<'a>>,
}

/// Brings `page` where `guest` can use it.
///
/// # Errors
/// [`ReadError`], all else as it was.
pub fn serve(
    machine: &Hypervisor,
    guest: usize,
    page: usize,
    write: bool,
) -> Result<(), ReadError> {
    machine.counts.faults.up();
    let mut fault = Fault { machine, guest, page, write, spare: None };
    let served = loop {
        match fault.attempt() {
            Ok(Done) => break Ok(()),
            Ok(Again) => {}
            Ok(NeedFrame) => fault.spare = Some(reclaim::frame(machine)),
            Err(error) => break Err(error),
        }
    };
    if let Some(spare) = fault.spare {
        spare.free();
    }
    served
}

impl<'a> Fault<'a> {
    fn attempt(&mut self) -> Result<Attempt, ReadError> {
        match self.machine.guests[self.guest].get(self.page) {
            Pte::Absent => Ok(self.fresh()),
            Pte::Present { frame, .. } => Ok(self.present(frame)),
            Pte::Swapped(entry) => match self.machine.swap.keeper(entry) {
                None => self.swap_in(entry),
                Some(keeper) => Ok(self.kept(entry, keeper)),
            },
        }
    }

    fn mapper(&self) -> u8 {
        1 << self.guest
    }

    /// A page never used: data and tags zeroed together (FLAG-13).
    fn fresh(&mut self) -> Attempt {
        let Some(mut frame) = self.spare.take() else { return NeedFrame };
        frame.page().zero_fresh().expect("nobody else knows of this frame");
        let mut table = self.machine.guests[self.guest].0.lock();
        if table.get(self.page) != Pte::Absent {
            drop(table);
            self.spare = Some(wiped(frame));
            return Again;
        }
        table.map(self.page, &frame, true);
        drop(table);
        (frame.state.page, frame.state.mappers) = (self.page, self.mapper());
        self.machine.counts.fresh.up();
        Done
    }

    /// Present, but the guest faulted: it was hidden for a swap-out that failed, or is shared
    /// and written to.
    fn present(&mut self, index: usize) -> Attempt {
        let machine = self.machine;
        // Waits for who swaps it out.
        let mut frame = machine.frames.hold(index);
        let mut table = machine.guests[self.guest].0.lock();
        let write = match table.get(self.page) {
            Pte::Present { frame, write } if frame == index => write,
            _ => return Again,
        };
        if write || !self.write {
            table.map(self.page, &frame, write);
            return Done;
        }
        if frame.state.mappers == self.mapper() {
            // The only one left. If the slot has other references, it keeps what they want.
            table.map(self.page, &frame, true);
            drop(table);
            if let Some(entry) = frame.state.cached.take() {
                clear(machine, entry);
            }
            return Done;
        }
        let Some(mut copy) = self.spare.take() else { return NeedFrame };
        copy.bytes_mut().copy_from_slice(frame.bytes());
        copy.page().copy_from(&frame.page());
        page::sync([copy.page()]);
        table.map(self.page, &copy, true);
        drop(table);
        frame.state.mappers &= !self.mapper();
        (copy.state.page, copy.state.mappers) = (self.page, self.mapper());
        machine.counts.copies.up();
        Done
    }

    /// Swapped out, and nobody has it.
    fn swap_in(&mut self, entry: SwapEntry) -> Result<Attempt, ReadError> {
        let machine = self.machine;
        let Some(mut frame) = self.spare.take() else { return Ok(NeedFrame) };
        let slot = EntryRange::new(entry, 1).expect("one slot");
        let Ok(pin) = SwapPin::new(&machine.swap, slot, Keeper::Folio(frame.folio())) else {
            // Someone was quicker.
            machine.counts.pin_races.up();
            self.spare = Some(frame);
            return Ok(Again);
        };
        if let Err(error) = machine.disk.read(entry.offset(), frame.bytes_mut()) {
            machine.counts.read_errors.up();
            say!("guest {}, page {}, slot {}: {error}", self.guest, self.page, entry.offset());
            drop(pin);
            self.spare = Some(wiped(frame));
            return Err(ReadError);
        }
        let mut table = machine.guests[self.guest].0.lock();
        if table.get(self.page) != Pte::Swapped(entry) {
            drop(table);
            drop(pin);
            self.spare = Some(wiped(frame));
            return Ok(Again);
        }
        self.restore(slot, &frame);
        // Asked after the reference is gone (HOOK-9).
        let shared = machine.swap.count(entry).is_ok_and(|count| count > 0);
        table.map(self.page, &frame, !shared);
        drop(table);
        (frame.state.page, frame.state.mappers) = (self.page, self.mapper());
        if shared {
            // The other guest finds it there.
            frame.state.cached = Some(pin.keep().first());
        } else {
            drop(pin);
        }
        machine.counts.pages_in.up();
        Ok(Done)
    }

    /// Swapped out, but another CPU is reading it, has read it, or has just written it.
    fn kept(&mut self, entry: SwapEntry, keeper: Keeper) -> Attempt {
        let machine = self.machine;
        let Keeper::Folio(folio) = keeper else {
            machine.counts.pin_races.up();
            // A tick at most; whatever it says, the fault is tried again.
            let _ = machine.swap.swapcache_wait(entry);
            return Again;
        };
        // Waits for who reads it.
        let mut frame = machine.frames.hold_folio(folio);
        if frame.state.cached != Some(entry) {
            machine.counts.pin_races.up();
            return Again;
        }
        let mut table = machine.guests[self.guest].0.lock();
        if table.get(self.page) != Pte::Swapped(entry) {
            return Again;
        }
        let slot = EntryRange::new(entry, 1).expect("one slot");
        // Tagged already, so that nothing is written (TAG-6); but the slot cannot be freed
        // without (HOOK-2).
        self.restore(slot, &frame);
        table.map(self.page, &frame, false);
        drop(table);
        frame.state.mappers |= self.mapper();
        if machine.swap.count(entry) == Ok(0) {
            frame.state.cached = None;
            clear(machine, entry);
        }
        machine.counts.cache_hits.up();
        Done
    }

    /// Restores tags, then frees the PTE's reference. The PTE is compared, its lock held.
    fn restore(&self, slot: EntryRange, frame: &Held<'_>) {
        let reference = self.machine.swap.slot_ref(slot).expect("a slot of this area");
        let page = |_| Some(frame.page());
        let restored = if self.machine.options.lose_tags {
            // The control: what a hypervisor does that knows nothing of tags.
            hooks::swap_restore(&NoMte, reference, slot, page)
        } else {
            hooks::swap_restore(&STORE, reference, slot, page)
        };
        // A page without a record gets zero tags rather than the frame's old ones (FLAG-6).
        page::sync([frame.page()]);
        restored.expect("a page of the store's size").swap_free();
    }
}

/// Takes a slot out of the swap cache.
pub fn clear(machine: &Hypervisor, entry: SwapEntry) {
    machine.swap.swapcache_clear(EntryRange::new(entry, 1).expect("one slot"));
}

fn wiped(mut frame: Held<'_>) -> Held<'_> {
    frame.wipe();
    frame
}
