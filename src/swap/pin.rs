//! The pin: a mark on slots that keeps every other swap-in of them out.
//!
//! Without it a fault that has read its page can be overtaken: another swaps the page in, frees
//! the slot, the page is written to and swapped out again to the same slot; the first finds the
//! PTE it expects and installs stale data (PIN-8).

use core::num::NonZeroU32;

use crate::{
    entry::{EntryRange, SwapEntry},
    error::Result,
};

/// A number by which the embedder knows a folio: its first frame's, or an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FolioId(pub NonZeroU32);

/// What keeps other swap-ins of a slot out (PIN-10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// A mark in the map (Linux 6.8 to 6.18, SWAP_HAS_CACHE). Losers wait in
    /// [`SwapCache::swapcache_wait`].
    Mark,
    /// A locked folio in the swap table (Linux 7.0). Losers find it by [`SwapCache::keeper`] and
    /// wait for its lock, which is the embedder's.
    Folio(FolioId),
}

impl Keeper {
    pub(super) fn to_link(self) -> u32 {
        match self {
            Self::Mark => 0,
            Self::Folio(FolioId(id)) => id.get(),
        }
    }

    pub(super) fn from_link(link: u32) -> Self {
        NonZeroU32::new(link).map_or(Self::Mark, |id| Self::Folio(FolioId(id)))
    }
}

/// The marks of a swap area, or of a build without swap ([`NoSwap`]).
///
/// Rust callers pin with [`SwapPin::new`]; these are for those who keep pins in structures of
/// their own, as the C ABI does.
pub trait SwapCache {
    /// Marks all slots of `range`, or none (PIN-2). Counts stay as they are: a pin is no
    /// reference (PIN-11).
    ///
    /// # Errors
    /// [`Error::Exists`](crate::error::Error::Exists) where one has the mark,
    /// [`NoEntry`](crate::error::Error::NoEntry) where one is free or bad,
    /// [`Invalid`](crate::error::Error::Invalid) where they are not of this area or cross a
    /// cluster's end.
    ///
    /// # Contexts
    /// Any.
    fn swapcache_prepare(&self, range: EntryRange, keeper: Keeper) -> Result<()>;

    /// Drops the mark of all slots of `range`, frees those without a count, and wakes who waits
    /// (PIN-3, PIN-7). Where one has no mark nothing is done, and
    /// [`Warning::BadCacheClear`](crate::host::Warning::BadCacheClear) reported (PIN-6).
    ///
    /// # Contexts
    /// Any.
    fn swapcache_clear(&self, range: EntryRange);

    /// Waits until the slot has no mark; at once where it has none. Then the fault is tried
    /// again from the start: what the PTE says may have changed.
    ///
    /// # Errors
    /// [`Error::TimedOut`](crate::error::Error::TimedOut) where the mark is there after a tick;
    /// the fault is tried again in this case too. [`Invalid`](crate::error::Error::Invalid) where
    /// the slot is not of this area.
    ///
    /// # Contexts
    /// May sleep.
    fn swapcache_wait(&self, entry: SwapEntry) -> Result<()>;

    /// What the mark of a slot is, `None` where it has none.
    ///
    /// # Contexts
    /// Any.
    fn keeper(&self, entry: SwapEntry) -> Option<Keeper>;
}

/// A pin that was taken, and is cleared when this drops: once, on every path (PIN-6).
///
/// Having one tells you that no other swap-in of these slots is under way, and that none of them
/// is freed. It is no reference: the count may drop to 0 meanwhile.
#[derive(Debug)]
#[must_use = "dropping it clears the pin"]
pub struct SwapPin<'a, C: SwapCache> {
    cache: &'a C,
    range: EntryRange,
}

impl<'a, C: SwapCache> SwapPin<'a, C> {
    /// Pins the slots of `range` for a swap-in.
    ///
    /// # Errors
    /// Those of [`SwapCache::swapcache_prepare`]. After
    /// [`Error::Exists`](crate::error::Error::Exists) wait, and fault again.
    ///
    /// # Contexts
    /// Any.
    // Inlined, so that the guard stays in registers: returned through memory, it is read back in
    // other pieces than it was written, which stalls.
    #[inline]
    pub fn new(cache: &'a C, range: EntryRange, keeper: Keeper) -> Result<Self> {
        cache.swapcache_prepare(range, keeper)?;
        Ok(Self { cache, range })
    }

    /// A pin that the caller knows to be taken.
    pub(super) const fn adopt(cache: &'a C, range: EntryRange) -> Self {
        Self { cache, range }
    }

    /// The slots that are pinned.
    #[must_use]
    pub const fn range(&self) -> EntryRange {
        self.range
    }

    /// Leaves the mark with the folio, which stays in the swap cache; whoever takes it out of
    /// there calls [`SwapCache::swapcache_clear`].
    #[must_use = "these slots keep their mark until it is cleared"]
    pub fn keep(self) -> EntryRange {
        let range = self.range;
        core::mem::forget(self);
        range
    }
}

impl<C: SwapCache> Drop for SwapPin<'_, C> {
    fn drop(&mut self) {
        self.cache.swapcache_clear(self.range);
    }
}

/// A build without swap: every pin is granted, and clearing does nothing (PIN-12).
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSwap;

impl SwapCache for NoSwap {
    fn swapcache_prepare(&self, _: EntryRange, _: Keeper) -> Result<()> {
        Ok(())
    }

    fn swapcache_clear(&self, _: EntryRange) {}

    fn swapcache_wait(&self, _: SwapEntry) -> Result<()> {
        Ok(())
    }

    fn keeper(&self, _: SwapEntry) -> Option<Keeper> {
        None
    }
}
