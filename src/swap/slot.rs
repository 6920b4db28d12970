//! References to slots, and what has to happen before they are freed.

use crate::{
    entry::{EntryRange, SwapEntry},
    host::Host,
    swap::{SlotsFreed, Swap},
};

/// One counted reference to each slot of a folio: those its PTEs hold.
///
/// At swap-in it becomes a [`RestoredSlot`] by
/// [`hooks::swap_restore`](crate::hooks::swap_restore), and only that can be freed. Where there
/// is no swap-in, it is [`discard`](Self::discard)ed. Dropped, it changes nothing: the PTEs still
/// hold their references, as after a fault that failed.
#[must_use = "dropping it leaves the references with the PTEs"]
pub struct SlotRef<'a, H: Host, F: SlotsFreed> {
    swap: &'a Swap<H, F>,
    range: EntryRange,
}

impl<'a, H: Host, F: SlotsFreed> SlotRef<'a, H, F> {
    pub(super) const fn new(swap: &'a Swap<H, F>, range: EntryRange) -> Self {
        Self { swap, range }
    }

    /// The slots.
    #[must_use]
    pub const fn range(&self) -> EntryRange {
        self.range
    }

    /// Leaves the references with the PTEs that hold these entries from now on.
    #[must_use = "these slots stay referenced until they are freed"]
    pub fn into_entry(self) -> SwapEntry {
        self.range.first()
    }

    /// Drops the references where no page is swapped in: at exit, `MADV_DONTNEED`, truncation of
    /// shmem (HOOK-10). With the last one goes the record. On a swap-in's path this would lose
    /// the page's tags: there it is [`RestoredSlot::swap_free`].
    ///
    /// Where a slot has no reference, none is dropped, and
    /// [`Warning::BadSwapFree`](crate::host::Warning::BadSwapFree) reported (PIN-4).
    ///
    /// # Contexts
    /// Any.
    pub fn discard(self) {
        self.swap.put(self.range);
    }

    /// Says that the tags of all pages of these slots were restored.
    pub(crate) const fn restored(self) -> RestoredSlot<'a, H, F> {
        RestoredSlot(self)
    }
}

/// References whose pages have their tags back: proof that freeing them loses nothing.
#[must_use = "the slots stay referenced until they are freed"]
pub struct RestoredSlot<'a, H: Host, F: SlotsFreed>(SlotRef<'a, H, F>);

impl<H: Host, F: SlotsFreed> RestoredSlot<'_, H, F> {
    /// The slots.
    #[must_use]
    pub const fn range(&self) -> EntryRange {
        self.0.range
    }

    /// Drops the references (`swap_free`): before the PTEs are set, and before it is asked
    /// whether the page is exclusive (HOOK-8, HOOK-9).
    ///
    /// # Contexts
    /// As [`SlotRef::discard`].
    pub fn swap_free(self) {
        self.0.discard();
    }
}
