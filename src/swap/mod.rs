//! One swap area: its slots, their counts, and the pin that keeps a second swap-in out.
//!
//! What `mm/swapfile.c` has as `swap_map`. A slot is handed out with the cache mark and count 0;
//! each PTE (or shmem mapping) that refers to it is one count; the folio in the swap cache, or a
//! direct swap-in under way, is the mark. When both are gone the slot is freed: its record is
//! dropped *before* it can be handed out again (HOOK-3).
//!
//! | here | Linux 6.12 |
//! |---|---|
//! | [`Swap::alloc`] | `folio_alloc_swap`, `get_swap_pages` |
//! | [`Swap::duplicate`] | `__swap_duplicate(entry, 1)` |
//! | [`SlotRef`], [`RestoredSlot::swap_free`] | a PTE's reference, `swap_free` |
//! | [`SwapPin`], [`SwapCache`] | `swapcache_prepare`, `swapcache_clear` |
//!
//! # The order at swap-in
//! A [`SlotRef`] cannot be freed before its page's tags were restored (HOOK-2, HOOK-7): only
//! [`hooks::swap_restore`](crate::hooks::swap_restore) makes the [`RestoredSlot`] that can.
//!
//! ```compile_fail,E0599
//! # use mteswap::{host::Host, swap::{SlotRef, SlotsFreed}};
//! fn swap_in<H: Host, F: SlotsFreed>(slot: SlotRef<'_, H, F>) {
//!     slot.swap_free(); // no such method: its tags were not restored
//! }
//! ```

#![forbid(unsafe_code)]

use core::ops::Range;

use crate::{
    entry::{EntryRange, SwapEntry, SwapType},
    error::{Error, Result},
    host::{Host, Lock, Warning},
    sync::{AtomicU32, Ordering},
};

mod map;
mod pin;
mod slot;
mod state;

use map::{Changed, Freeing, Idle, Map};
pub use pin::{FolioId, Keeper, NoSwap, SwapCache, SwapPin};
pub use slot::{RestoredSlot, SlotRef};

/// Slots of a cluster (SWAPFILE_CLUSTER): pins and runs do not cross its end.
pub const CLUSTER: usize = 512;
/// Words that losers wait on; a slot uses one of them.
const QUEUES: usize = 16;

/// Hears of slots that were freed, before they can be handed out again
/// (`arch_swap_invalidate_page`, HOOK-3).
pub trait SlotsFreed {
    /// Drops what is kept for the slots of `range`. Called with none of the library's locks held,
    /// in the context of whoever dropped the last reference; must not sleep.
    fn slots_freed(&self, range: EntryRange);
}

impl<T: SlotsFreed + ?Sized> SlotsFreed for &T {
    fn slots_freed(&self, range: EntryRange) {
        (**self).slots_freed(range);
    }
}

/// One swap area.
///
/// # Contexts
/// [`new`](Self::new) and the drop may sleep, and so may [`SwapCache::swapcache_wait`]. All else
/// may be called in any context, spinlocks held; it takes the area's lock, for a time that grows
/// with the number of slots it is given, and calls [`SlotsFreed`] after that.
///
/// Dropped, it drops the records of all of its slots (HOOK-4), and reports
/// [`Warning::SwapInUse`] where some are still referenced or pinned.
pub struct Swap<H: Host, F: SlotsFreed> {
    host: H,
    freed: F,
    ty: SwapType,
    slots: EntryRange,
    map: Lock<H, Map<H>>,
    /// Each is changed after a mark was dropped that someone waits for, and then woken (PIN-7).
    queues: [AtomicU32; QUEUES],
}

impl<H: Host, F: SlotsFreed> Swap<H, F> {
    /// The area of type `ty` with `slots` slots, all free. `freed` is told of each that is freed.
    ///
    /// # Errors
    /// [`Error::Invalid`] where `slots` is 0 or above 2^31 - 2 (Linux numbers them in 32 bits,
    /// `union swap_header`); [`Error::NoMemory`] for want of 8 bytes a slot, in one piece.
    ///
    /// # Contexts
    /// May sleep.
    pub fn new(host: H, freed: F, ty: SwapType, slots: usize) -> Result<Self> {
        Ok(Self {
            slots: EntryRange::new(SwapEntry::new(ty, 0)?, slots)?,
            map: Lock::new(Map::new(host.clone(), slots)?),
            host,
            freed,
            ty,
            queues: [const { AtomicU32::new(0) }; QUEUES],
        })
    }

    /// The swap type of this area.
    #[must_use]
    pub const fn swap_type(&self) -> SwapType {
        self.ty
    }

    /// Every slot, usable or bad.
    #[must_use]
    pub const fn slots(&self) -> EntryRange {
        self.slots
    }

    /// Number of slots that can be handed out.
    pub fn free_slots(&self) -> usize {
        self.map.lock(&self.host).free()
    }

    /// Hands out `nr` neighbouring slots, aligned to `nr`, for a folio that goes to the swap
    /// cache: each has the mark and count 0. The pin that is returned clears the mark if
    /// swap-out fails; [`SwapPin::keep`] leaves it with the folio.
    ///
    /// Slots that were used come first, last freed first; then those not used yet, lowest first.
    ///
    /// # Errors
    /// [`Error::Invalid`] where `nr` is no power of two or above [`CLUSTER`]; [`Error::NoSpace`]
    /// where no such run is free.
    pub fn alloc(&self, nr: usize) -> Result<SwapPin<'_, Self>> {
        if !nr.is_power_of_two() || nr > CLUSTER {
            return Err(Error::Invalid);
        }
        let first = self.take(nr as u32).ok_or(Error::NoSpace)?;
        let range = self.range(first..first.saturating_add(nr as u32))?;
        Ok(SwapPin::adopt(self, range))
    }

    fn take(&self, nr: u32) -> Option<u32> {
        let (recent, fresh) = {
            let mut map = self.map.lock(&self.host);
            if map.free() < nr as usize {
                return None;
            }
            (map.take_recent(nr), map.fresh())
        };
        if recent.is_some() || nr == 1 {
            return recent;
        }
        // The lock is let go of after each cluster, so that it is never held for long.
        let clusters = self.slots.len().div_ceil(CLUSTER as u64) as u32;
        let fresh = fresh >> CLUSTER.trailing_zeros();
        (fresh..clusters)
            .chain(0..fresh.min(clusters))
            .find_map(|cluster| self.map.lock(&self.host).take_in(cluster, nr))
    }

    /// One reference more to a slot, for one PTE more that refers to it.
    ///
    /// # Errors
    /// As PIN-1's table has them: [`Error::NoEntry`] for a free or bad slot, [`Error::Invalid`]
    /// for a shmem slot or an entry that is not of this area, [`Error::NoMemory`] above 2^24 - 1
    /// references.
    pub fn duplicate(&self, entry: SwapEntry) -> Result<SlotRef<'_, H, F>> {
        let range = EntryRange::new(entry, 1)?;
        self.change(range, state::State::duplicate, 0)?;
        Ok(SlotRef::new(self, range))
    }

    /// The references that the PTEs of a folio hold, one a slot. Whether they do shows when they
    /// are freed (PIN-4). [`Error::Invalid`] where slots are not of this area.
    pub fn slot_ref(&self, range: EntryRange) -> Result<SlotRef<'_, H, F>> {
        self.run(range)?;
        Ok(SlotRef::new(self, range))
    }

    /// Makes slots just handed out a shmem mapping's: their one reference is freed at once.
    ///
    /// # Errors
    /// [`Error::NoEntry`] where one is free or bad, [`Error::Invalid`] where one has references
    /// or is not of this area. Nothing was changed.
    pub fn shmem_alloc(&self, range: EntryRange) -> Result<()> {
        self.change(range, state::State::shmem, 0).map(|_| ())
    }

    /// The references to a slot, the mark not counted; a shmem slot has one.
    ///
    /// # Errors
    /// [`Error::NoEntry`] where it is free, bad or not of this area.
    pub fn count(&self, entry: SwapEntry) -> Result<u32> {
        let index = self.index(entry).map_err(|_| Error::NoEntry)?;
        self.map.lock(&self.host).state(index).count()
    }

    /// Keeps a free slot from ever being handed out: its place on the device is bad. Doing so
    /// again changes nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it is in use or not of this area.
    pub fn mark_bad(&self, entry: SwapEntry) -> Result<()> {
        let index = self.index(entry)?;
        let mut map = self.map.lock(&self.host);
        if map.state(index).is_bad() { Ok(()) } else { map.mark_bad(index) }
    }

    /// Drops one reference of each slot, or none: where a slot has none, that is reported as
    /// [`Warning::BadSwapFree`] (PIN-4).
    fn put(&self, range: EntryRange) {
        if self.change(range, state::State::put, 0).is_err() {
            self.host.warn(Warning::BadSwapFree);
        }
    }

    /// The number of a slot; [`Error::Invalid`] where it is not of this area.
    fn index(&self, entry: SwapEntry) -> Result<u32> {
        // An entry before the area wraps past its end, which is below 2^31.
        let index = entry.raw().wrapping_sub(self.slots.first().raw());
        if index < self.slots.len() { Ok(index as u32) } else { Err(Error::Invalid) }
    }

    /// The slots of `range` by their numbers; [`Error::Invalid`] where one is not of this area.
    fn run(&self, range: EntryRange) -> Result<Range<u32>> {
        if range.first() < self.slots.first() || range.last() > self.slots.last() {
            return Err(Error::Invalid);
        }
        // Slots are numbered below 2^31, so neither cast nor sum loses anything.
        let first = range.first().offset() as u32;
        Ok(first..first.wrapping_add(range.len() as u32))
    }

    fn range(&self, run: Range<u32>) -> Result<EntryRange> {
        EntryRange::new(SwapEntry::new(self.ty, run.start.into())?, run.len())
    }

    /// Changes all slots of `range` or none, and frees those left with nothing. True if a mark
    /// went that someone waits for.
    fn change(
        &self,
        range: EntryRange,
        change: impl Fn(state::State) -> Result<state::State>,
        folio: u32,
    ) -> Result<bool> {
        if range.len() != 1 {
            let (next, wake) = self.change_all(range, change, folio)?;
            if let Some((run, rest)) = next {
                self.free(run, rest);
            }
            return Ok(wake);
        }
        let index = self.index(range.first())?;
        let Changed { idle, wake } = self.map.lock(&self.host).update_one(index, change, folio)?;
        if idle != Idle::NONE {
            self.free(index..index.wrapping_add(1), Idle::NONE);
        }
        Ok(wake)
    }

    /// The slots of `range` changed under the lock, several of them: apart, so that one alone needs
    /// few registers. What is to be freed is left to the caller, whose stack is shallower.
    #[inline(never)]
    fn change_all(
        &self,
        range: EntryRange,
        change: impl Fn(state::State) -> Result<state::State>,
        folio: u32,
    ) -> Result<(Freeing, bool)> {
        let run = self.run(range)?;
        let mut map = self.map.lock(&self.host);
        let Changed { idle, wake } = map.update(run, change, folio)?;
        Ok((map.next_run(idle), wake))
    }

    /// Drops the records of slots that are being freed, with no lock held, and only then gives
    /// the slots back (HOOK-3).
    fn free(&self, run: Range<u32>, rest: Idle) {
        let mut next = Some((run, rest));
        while let Some((run, rest)) = next {
            if let Ok(range) = self.range(run.clone()) {
                self.freed.slots_freed(range);
            }
            let mut map = self.map.lock(&self.host);
            map.finish(run);
            next = map.next_run(rest);
        }
    }

    /// Wakes who waits for marks of `range`: outside of the lock, after the marks are gone (see
    /// `swapcache_wait`).
    // Apart: the stack of who clears a mark is deepest while a slot is freed, before that.
    #[cold]
    #[inline(never)]
    fn wake(&self, range: EntryRange) {
        // Neighbours use different queues, so a range of QUEUES slots uses all.
        for queue in (0..range.len().min(QUEUES as u64)).filter_map(|i| self.queue(range.get(i)?)) {
            // Ordering: Release, so that who sees the new value sees what was done under the pin.
            queue.fetch_add(1, Ordering::Release);
            self.host.wake(queue);
        }
    }

    /// The word that losers of a slot wait on.
    fn queue(&self, entry: SwapEntry) -> Option<&AtomicU32> {
        self.queues.get(entry.offset() as usize % QUEUES)
    }
}

impl<H: Host, F: SlotsFreed> SwapCache for Swap<H, F> {
    fn swapcache_prepare(&self, range: EntryRange, keeper: Keeper) -> Result<()> {
        let (first, last) = (range.first().offset(), range.last().offset());
        if (first ^ last) >> CLUSTER.trailing_zeros() != 0 {
            return Err(Error::Invalid);
        }
        self.change(range, state::State::prepare, keeper.to_link()).map(|_| ())
    }

    fn swapcache_clear(&self, range: EntryRange) {
        match self.change(range, state::State::clear, 0) {
            Ok(false) => {}
            Ok(true) => self.wake(range),
            Err(_) => self.host.warn(Warning::BadCacheClear),
        }
    }

    fn swapcache_wait(&self, entry: SwapEntry) -> Result<()> {
        let index = self.index(entry)?;
        let queue = self.queue(entry).ok_or(Error::Invalid)?;
        loop {
            // First the word, then the note that someone waits, if the mark is there still. Who
            // drops it finds the note under the lock and changes the word after that: `wait`
            // finds it changed, or is woken. No wake-up is lost, and where nobody waits, no word
            // is written that others' pins share.
            let seen = queue.load(Ordering::Acquire);
            if !self.map.lock(&self.host).wait(index) {
                return Ok(());
            }
            self.host.wait(queue, seen);
            if queue.load(Ordering::Acquire) == seen {
                return Err(Error::TimedOut);
            }
        }
    }

    fn keeper(&self, entry: SwapEntry) -> Option<Keeper> {
        let index = self.index(entry).ok()?;
        let map = self.map.lock(&self.host);
        map.state(index).is_cached().then(|| Keeper::from_link(map.folio(index)))
    }
}

impl<H: Host, F: SlotsFreed> Drop for Swap<H, F> {
    fn drop(&mut self) {
        if self.map.get_mut().in_use() != 0 {
            self.host.warn(Warning::SwapInUse);
        }
        self.freed.slots_freed(self.slots);
    }
}
