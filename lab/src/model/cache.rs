//! The swap cache: folios that have a slot, and reading a slot into one.

use std::sync::atomic::Ordering::SeqCst;

use mteswap::{
    entry::{EntryRange, SwapEntry},
    error::Error,
    hooks,
    swap::{FolioId, Keeper, SwapCache, SwapPin},
};

use super::{
    Cpu, TICK_TURNS,
    frame::Pfn,
    tags::Tags,
    variant::{Pinning, Waiting},
};
use crate::sync::relax;

/// Faults in a row on a slot that is pinned, after which a processor is said to spin.
const SPINS: u32 = 4;

/// The range of one slot.
pub fn slot(entry: SwapEntry) -> EntryRange {
    EntryRange::new(entry, 1).expect("one slot is a range")
}

impl Cpu<'_> {
    /// The folio cached for a slot, with a reference.
    pub(super) fn cached(&self, entry: SwapEntry) -> Option<Pfn> {
        let place = &self.machine.cache[entry.offset() as usize];
        let found = place.load(SeqCst);
        let pfn = Pfn(found.checked_sub(1)?);
        if !self.frame(pfn).try_get() {
            return None;
        }
        if place.load(SeqCst) == found {
            return Some(pfn);
        }
        self.machine.frames.put(pfn);
        None
    }

    /// Puts a folio that is pinned or new to a slot into the cache, which holds a reference. The
    /// folio is locked.
    pub(super) fn cache(&self, entry: SwapEntry, pfn: Pfn) {
        let frame = self.frame(pfn);
        frame.get();
        frame.slot.store(entry.offset() as u32 + 1, SeqCst);
        self.machine.cache[entry.offset() as usize].store(pfn.0 + 1, SeqCst);
    }

    /// Takes a locked folio out of the cache, and with it the mark off its slot.
    pub(super) fn uncache(&self, entry: SwapEntry, pfn: Pfn) {
        self.machine.cache[entry.offset() as usize].store(0, SeqCst);
        self.frame(pfn).slot.store(0, SeqCst);
        self.machine.notes(entry).pinned.store(false, SeqCst);
        self.machine.swap.swapcache_clear(slot(entry));
        self.machine.frames.put(pfn);
    }

    /// True if the locked folio is cached for the slot.
    pub(super) fn is_cached_for(&self, pfn: Pfn, entry: SwapEntry) -> bool {
        self.frame(pfn).slot.load(SeqCst) == entry.offset() as u32 + 1
    }

    /// Takes a locked folio out of the cache where no PTE refers to its slot (`folio_free_swap`).
    pub(super) fn free_swap(&self, entry: SwapEntry, pfn: Pfn) {
        if self.is_cached_for(pfn, entry) && self.machine.swap.count(entry) == Ok(0) {
            self.does(|| "folio_free_swap()".into(), || self.uncache(entry, pfn));
        }
    }

    /// The mark of a slot, or what stands for it.
    pub(super) fn keeper(&self, pfn: Pfn) -> Keeper {
        let number = pfn.0.checked_add(1).and_then(std::num::NonZeroU32::new);
        match (self.machine.order.pinning, number) {
            (Pinning::Folio, Some(number)) => Keeper::Folio(FolioId(number)),
            _ => Keeper::Mark,
        }
    }

    /// Reads a slot into the cache (`read_swap_cache_async`), unless someone else is at it.
    pub(super) fn read_to_cache(&self, entry: SwapEntry) {
        let Some(pfn) = self.alloc() else { return };
        let frame = self.frame(pfn);
        let folio = frame.lock.lock();
        let pinned = self.does(
            || format!("swapcache_prepare(slot {})", entry.offset()),
            || {
                SwapPin::new(&self.machine.swap, slot(entry), self.keeper(pfn)).map(|pin| {
                    let _ = pin.keep();
                    self.machine.notes(entry).pinned.store(true, SeqCst);
                    self.cache(entry, pfn);
                })
            },
        );
        if pinned.is_ok() {
            self.read(entry, pfn);
        }
        drop(folio);
        self.machine.frames.put(pfn);
        match pinned {
            Ok(()) => {}
            Err(Error::Exists) => self.wait_for_pin(entry),
            // The slot is being freed: the PTE is about to change.
            Err(_) => relax(),
        }
    }

    /// Reads a slot's data (`swap_read_folio`).
    pub(super) fn read(&self, entry: SwapEntry, pfn: Pfn) {
        let frame = self.frame(pfn);
        self.machine.read.fetch_add(1, SeqCst);
        self.does(
            || format!("swap_read_folio(slot {}) -> page {pfn}", entry.offset()),
            || self.machine.device().read(entry.offset(), frame),
        );
        self.machine.device().take_time();
        if !self.machine.order.restore_at_read {
            return;
        }
        let restored = self.does(
            || format!("restores its tags, no lock held -> page {pfn}"),
            || hooks::restore_folio(self.machine.tags(), slot(entry), |_| Some(frame.page())),
        );
        if let (Ok(_), Tags::Buffers(buffers)) = (restored, self.machine.tags()) {
            if buffers.read_freed.swap(false, SeqCst) {
                self.fail("use after free: the buffer was freed");
            }
        }
    }

    /// A fault found the slot pinned; after this it faults again.
    pub(super) fn wait_for_pin(&self, entry: SwapEntry) {
        let name = entry.offset();
        match (self.machine.order.pinning, self.machine.order.waiting) {
            (Pinning::Folio, _) => {
                self.note(|| format!("<slot {name} is pinned: waits for the folio's lock>"));
                if let Some(Keeper::Folio(FolioId(number))) = self.machine.swap.keeper(entry) {
                    drop(self.frame(Pfn(number.get() - 1)).lock.lock());
                }
                relax();
            }
            (_, Waiting::Queue) => {
                self.note(|| format!("<slot {name} is pinned: waits on the queue>"));
                // Timed out or woken: it faults again either way.
                let _ = self.machine.swap.swapcache_wait(entry);
            }
            (_, Waiting::Busy) => {
                self.note(|| format!("<slot {name} is pinned: faults again>"));
                let spins = self.machine.spins[self.number].fetch_add(1, SeqCst) + 1;
                if cfg!(feature = "shuttle") && spins == SPINS {
                    self.fail(format!("spins: {SPINS} faults in a row"));
                }
                relax();
            }
            (_, Waiting::Tick) => self.sleep_a_tick(entry),
        }
    }

    fn sleep_a_tick(&self, entry: SwapEntry) {
        self.note(|| format!("<slot {} is pinned: sleeps for a tick>", entry.offset()));
        if !cfg!(feature = "shuttle") {
            std::thread::sleep(super::TICK);
            return;
        }
        for _ in 0..TICK_TURNS {
            relax();
            if !self.machine.notes(entry).pinned.load(SeqCst) {
                self.fail("still asleep, though the pin is cleared");
                return;
            }
        }
    }

    /// A frame for a page to be read into.
    pub(super) fn alloc(&self) -> Option<Pfn> {
        let pfn = self.machine.frames.alloc();
        match pfn {
            Some(pfn) => self.note(|| format!("<allocates page {pfn}>")),
            None => self.note(|| "<no memory for a page>".into()),
        }
        pfn
    }
}
