//! The hooks of swap-out and swap-in, in the order they have to come in.
//!
//! | here | Linux 6.12 | called |
//! |---|---|---|
//! | [`prepare_to_swap`] | `arch_prepare_to_swap` | folio locked, before its data is written, before anyone looks whether it is zero-filled or goes to zswap (HOOK-1, HOOK-11) |
//! | [`swap_restore`] | `arch_swap_restore` | data read; before the slot is freed and before the PTE is visible, wherever a page comes back: a fault, swapoff, shmem; also where this mapping is not `PROT_MTE`; not where the read failed (HOOK-2, HOOK-8) |
//! | [`SlotsFreed`] of the store | `arch_swap_invalidate_page` | last reference gone, before the slot is handed out again (HOOK-3) |
//! | [`swap_invalidate_area`] | `arch_swap_invalidate_area` | swapoff, after the last page came back (HOOK-4) |
//!
//! Setting a PTE restores nothing (HOOK-6): [`page::sync`](crate::page::sync) gives tags to pages
//! that never had any.
//!
//! # Examples
//! Swap-in, in the order of `do_swap_page` (PIN-5). Were `swap_free` put above `swap_restore`, it
//! would not compile (HOOK-7): see [`swap`](crate::swap).
//! ```
//! # use mteswap::{entry::EntryRange, error::Result, host::Host, hooks, page::Page};
//! # use mteswap::{store::TagStore, swap::{Keeper, Swap, SwapPin}, tagmem::TagMemory, tags::PageSize};
//! fn swap_in<H: Host, P: PageSize, M: TagMemory>(
//!     store: &TagStore<H, P>,
//!     swap: &Swap<H, &TagStore<H, P>>,
//!     slot: EntryRange,
//!     page: Page<'_, M>,
//! ) -> Result<()> {
//!     let pin = SwapPin::new(swap, slot, Keeper::Mark)?; // on an error: wait, fault again
//!     // Read the data; take the page-table lock; compare the PTE: still `slot`.
//!     let reference = swap.slot_ref(slot)?;
//!     let restored = hooks::swap_restore(store, reference, slot, |_| Some(page.clone()))?;
//!     restored.swap_free();
//!     // Set the PTE; drop the page-table lock.
//!     drop(pin); // after that; and on every way out before it
//!     Ok(())
//! }
//! ```

#![forbid(unsafe_code)]

use crate::{
    entry::{EntryRange, SwapEntry, SwapType},
    error::{Error, Result},
    host::{AllocFlags, Host},
    page::Page,
    store::TagStore,
    swap::{RestoredSlot, SlotRef, SlotsFreed},
    sync::{Ordering, fence},
    tagmem::TagMemory,
    tags::{PageSize, TagSink, TagSource},
};

/// Where the hooks keep tags: a [`TagStore`], or nowhere ([`NoMte`]).
///
/// Each call is the store's of the same meaning, with its errors and contexts.
pub trait KeepTags {
    /// False if nothing is ever kept.
    const KEEPS: bool;
    /// Words of tags a page has; 0 where any number will do.
    const WORDS: usize;

    /// [`TagStore::save_range`].
    fn save_pages<S: TagSource>(
        &self,
        range: EntryRange,
        page: impl FnMut(u64) -> Option<S>,
        flags: AllocFlags,
    ) -> Result<()>;

    /// [`TagStore::restore`].
    fn restore_page(&self, entry: SwapEntry, tags: &mut (impl TagSink + ?Sized)) -> bool;

    /// [`TagStore::prefetch`]: a hint, which does nothing by itself. Who wraps a store passes it on.
    fn prefetch_tags(&self, _range: EntryRange) {}

    /// [`TagStore::contains`].
    fn has_tags(&self, entry: SwapEntry) -> bool;

    /// Tags a page by the record of `entry`, where there is one: as [`Page::tag_with`] does with
    /// [`restore_page`](Self::restore_page). A page without a record is not locked against others
    /// for nothing. Only for who can do it with one look-up in place of two.
    fn tag_page<M: TagMemory>(&self, entry: SwapEntry, page: &Page<'_, M>) -> bool {
        self.has_tags(entry) && page.tag_with(|memory| self.restore_page(entry, memory))
    }

    /// [`TagStore::invalidate_range`].
    fn drop_tags(&self, range: EntryRange);
}

impl<H: Host, P: PageSize> KeepTags for TagStore<H, P> {
    const KEEPS: bool = true;
    const WORDS: usize = P::WORDS;

    fn save_pages<S: TagSource>(
        &self,
        range: EntryRange,
        page: impl FnMut(u64) -> Option<S>,
        flags: AllocFlags,
    ) -> Result<()> {
        self.save_range(range, page, flags)
    }

    fn restore_page(&self, entry: SwapEntry, tags: &mut (impl TagSink + ?Sized)) -> bool {
        self.restore(entry, tags)
    }

    fn prefetch_tags(&self, range: EntryRange) {
        self.prefetch(range);
    }

    fn has_tags(&self, entry: SwapEntry) -> bool {
        self.contains(entry)
    }

    fn tag_page<M: TagMemory>(&self, entry: SwapEntry, page: &Page<'_, M>) -> bool {
        let Some(found) = self.find(entry) else { return false };
        page.tag_with(|memory| self.restore_found(found, memory))
    }

    fn drop_tags(&self, range: EntryRange) {
        if range.len() == 1 {
            self.invalidate(range.first());
        } else {
            self.invalidate_range(range);
        }
    }
}

/// `arch_swap_invalidate_page`: the store drops the records of slots that are freed (HOOK-3,
/// HOOK-10).
impl<H: Host, P: PageSize> SlotsFreed for TagStore<H, P> {
    fn slots_freed(&self, range: EntryRange) {
        self.drop_tags(range);
    }
}

/// A build or a machine without MTE: nothing is stored, and every count says so (PIN-12).
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMte;

impl KeepTags for NoMte {
    const KEEPS: bool = false;
    const WORDS: usize = 0;

    fn save_pages<S: TagSource>(
        &self,
        _: EntryRange,
        _: impl FnMut(u64) -> Option<S>,
        _: AllocFlags,
    ) -> Result<()> {
        Ok(())
    }

    fn restore_page(&self, _: SwapEntry, _: &mut (impl TagSink + ?Sized)) -> bool {
        false
    }

    fn has_tags(&self, _: SwapEntry) -> bool {
        false
    }

    fn drop_tags(&self, _: EntryRange) {}
}

impl SlotsFreed for NoMte {
    fn slots_freed(&self, _: EntryRange) {}
}

/// Saves the tags of a folio that goes to the slots of `range`: of `page(i)` under slot `i`, where
/// that page is tagged (TAG-1, TAG-10). Returns how many pages were saved.
///
/// # Errors
/// The folio stays dirty and in memory (HOOK-1), and the store is as before, older records of
/// these slots included: [`Error::NoMemory`], or [`Error::Invalid`] where `page(i)` is `None` or
/// not of the store's page size.
///
/// # Contexts
/// The folio is locked; may sleep where `flags` allow it.
pub fn prepare_to_swap<'p, T: KeepTags, M: TagMemory + 'p>(
    store: &T,
    range: EntryRange,
    page: impl Fn(u64) -> Option<Page<'p, M>>,
    flags: AllocFlags,
) -> Result<u64> {
    check_folio::<T, M>(range, &page)?;
    let mut saved = 0_u64;
    let tagged = |index| {
        let tags = page(index)?.tags().cloned();
        saved = saved.wrapping_add(tags.is_some().into());
        tags
    };
    store.save_pages(range, tagged, flags)?;
    Ok(if T::KEEPS { saved } else { 0 })
}

/// Gives the pages of a folio that was swapped in their tags back, and so lets the references of
/// `slot` be freed (HOOK-2).
///
/// `folio` are the slots of the whole folio, those of `slot` among them: a fault that maps one
/// page frees one reference, but restores all of them, as `arch_swap_restore` is given the folio.
///
/// # Errors
/// [`Error::Invalid`] as for [`restore_folio`], and where `slot` is not part of `folio`. The PTEs
/// hold their references still.
///
/// # Contexts
/// As [`restore_folio`].
pub fn swap_restore<'a, 'p, T: KeepTags, H: Host, F: SlotsFreed, M: TagMemory + 'p>(
    store: &T,
    slot: SlotRef<'a, H, F>,
    folio: EntryRange,
    page: impl Fn(u64) -> Option<Page<'p, M>>,
) -> Result<RestoredSlot<'a, H, F>> {
    if slot.range().first() < folio.first() || slot.range().last() > folio.last() {
        return Err(Error::Invalid);
    }
    restore_folio(store, folio, page)?;
    Ok(slot.restored())
}

/// Restores the tags of slot `i` of `range` to `page(i)`, for those with a record whose page is
/// not tagged yet (TAG-6, TAG-11), and flags these. Returns how many there were. Records are kept:
/// a page in the swap cache is restored by every fault that maps it (TAG-4).
///
/// For callers that keep references in structures of their own, as the C ABI does; others have
/// [`swap_restore`]. Who holds a later slot of the folio finds the first by
/// [`SwapEntry::folio`].
///
/// # Errors
/// [`Error::Invalid`] where `page(i)` is `None` or not of the store's page size. Nothing was
/// restored.
///
/// # Contexts
/// Any; page-table lock held. Neither allocates nor sleeps (TAG-9).
pub fn restore_folio<'p, T: KeepTags, M: TagMemory + 'p>(
    store: &T,
    range: EntryRange,
    page: impl Fn(u64) -> Option<Page<'p, M>>,
) -> Result<u64> {
    check_folio::<T, M>(range, &page)?;
    look_ahead(store, range, &page);
    let mut restored = 0_u64;
    for index in 0..range.len() {
        if let (Some(entry), Some(page)) = (range.get(index), page(index)) {
            restored = restored.wrapping_add(restore_page(store, entry, page).into());
        }
    }
    // Ordering: tags and flags before the PTE that the caller sets next (HOOK-8).
    fence(Ordering::Release);
    Ok(restored)
}

/// Asks for what restoring a folio will read. In a refault its first page is tagged, as all are mostly: nothing will be looked up.
// Not inlined: its stack is given back before a page is restored.
#[inline(never)]
fn look_ahead<'p, T: KeepTags, M: TagMemory + 'p>(
    store: &T,
    range: EntryRange,
    page: &impl Fn(u64) -> Option<Page<'p, M>>,
) {
    if T::KEEPS && page(0).is_some_and(|first| !first.flags().is_tagged()) {
        store.prefetch_tags(range);
    }
}

/// True if the page was not tagged and is now.
fn restore_page<T: KeepTags, M: TagMemory>(store: &T, entry: SwapEntry, page: Page<'_, M>) -> bool {
    // Asked first, so that a refault looks nothing up and decodes nothing.
    !page.flags().is_tagged() && store.tag_page(entry, &page)
}

/// Drops every record of an area: at swapoff, after the last page came back (HOOK-4).
///
/// # Contexts
/// Any; the time grows with the number of records.
pub fn swap_invalidate_area<T: KeepTags>(store: &T, ty: SwapType) {
    store.drop_tags(EntryRange::area(ty));
}

/// Restores one page: SPARC ADI's hook, `arch_do_swap_page`, as the seed's first version had it
/// (HOOK-5): before the slot is freed, with the entry of the *old* PTE.
///
/// Linux up to 6.18 calls it where it can do nothing any more: after `swap_free`, after the PTE is
/// set, with the new PTE as the old one.
///
/// # Errors
/// # Contexts
/// As [`swap_restore`].
#[deprecated(note = "use `swap_restore`, which sees the folio; this sees one page of one mapping")]
pub fn do_swap_page<'a, 'p, T: KeepTags, H: Host, F: SlotsFreed, M: TagMemory + 'p>(
    store: &T,
    old_pte: SlotRef<'a, H, F>,
    page: &Page<'p, M>,
) -> Result<RestoredSlot<'a, H, F>> {
    let slot = old_pte.range();
    swap_restore(store, old_pte, slot, |index| (index == 0).then(|| page.clone()))
}

/// All pages of a folio are there, and as long as the store's.
fn check_folio<'p, T: KeepTags, M: TagMemory + 'p>(
    range: EntryRange,
    page: &impl Fn(u64) -> Option<Page<'p, M>>,
) -> Result<()> {
    let fits = |page: Page<'p, M>| T::WORDS == 0 || page.words() == T::WORDS;
    let whole = (0..range.len()).all(|index| page(index).is_some_and(fits));
    if whole { Ok(()) } else { Err(Error::Invalid) }
}
