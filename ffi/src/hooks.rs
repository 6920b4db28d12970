//! Hooks, on pages.

use core::ffi::c_int;

use mteswap::{
    error::{Error, Result},
    hooks,
    host::AllocFlags,
    page::{self, Page as TaggedPage},
    tagmem::NativePage,
};

use crate::{
    args::{entry, errno, non_null, range, reference},
    mteswap_entry_t,
    page::mteswap_page,
    store::mteswap_store,
};

/// The pages of a folio; [`Error::Invalid`] for NULL and for more than memory holds.
///
/// # Safety
/// `pages` is NULL, or to `nr` pages that are what the header says they are, during `'a`.
unsafe fn folio<'a>(pages: *const mteswap_page, nr: usize) -> Result<Folio<'a>> {
    let first = non_null(pages.cast_mut())?;
    let bytes = nr.checked_mul(size_of::<mteswap_page>()).ok_or(Error::Invalid)?;
    if !first.is_aligned() || isize::try_from(bytes).is_err() {
        return Err(Error::Invalid);
    }
    // SAFETY: not NULL, aligned, of a size that a slice may have, and live by the caller's
    // promise.
    Ok(Folio(unsafe { core::slice::from_raw_parts(first.as_ptr(), nr) }))
}

/// # Invariants
/// The pages are what the header says they are.
struct Folio<'a>(&'a [mteswap_page]);

impl<'a> Folio<'a> {
    /// The page at `index`; `None` where there is none, or it is no page.
    fn get(&self, index: u64) -> Option<TaggedPage<'a, NativePage<'a>>> {
        let page = self.0.get(usize::try_from(index).ok()?)?;
        // SAFETY: by the invariant.
        unsafe { page.get() }.ok()
    }

    /// All of the pages; none where one is no page.
    fn whole(&self) -> impl Iterator<Item = TaggedPage<'a, NativePage<'a>>> {
        let pages = || (0..self.0.len() as u64).map_while(|index| self.get(index));
        let whole = pages().count() == self.0.len();
        pages().take(if whole { self.0.len() } else { 0 })
    }
}

/// mteswap_prepare_to_swap() - keep the tags of a folio that goes to swap
/// @store: the store
/// @first: the entry of its first page
/// @nr: number of pages
/// @pages: the pages
///
/// Of an untagged page nothing is stored, and an older record of its entry is left alone
/// (TAG-1). The pages stay as they are. For arch_prepare_to_swap(): the folio is locked
/// and its data not yet written (HOOK-1).
///
/// Context: Process context. May sleep.
/// Return: 0, -EINVAL, -ENOMEM; on an error every entry is as it was (TAG-10).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_prepare_to_swap(
    store: *mut mteswap_store,
    first: mteswap_entry_t,
    nr: usize,
    pages: *const mteswap_page,
) -> c_int {
    let prepare = || -> Result<()> {
        // SAFETY: the caller's store.
        let store = unsafe { reference(store) }?;
        let range = range(first, nr)?;
        // SAFETY: the caller's pages.
        let folio = unsafe { folio(pages, nr) }?;
        let page = |index| folio.get(index);
        hooks::prepare_to_swap(&store.tags, range, page, AllocFlags::MAY_SLEEP).map(drop)
    };
    errno(prepare())
}

/// mteswap_swap_restore() - give the pages of a folio their tags back
/// @store: the store
/// @first: the entry of its first page; see mteswap_folio_entry()
/// @nr: number of pages
/// @pages: the pages, their data read
///
/// Pages without a record and pages that are tagged already are left alone (TAG-5, TAG-6)
/// and cost no decoding (TAG-11). Records stay (TAG-4). For arch_swap_restore(): before
/// mteswap_swap_free() and before the page table entry is set (HOOK-2, HOOK-8).
///
/// Context: Any; spinlocks may be held. Allocates nothing.
/// Return: The number of pages whose tags were written, or -EINVAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_swap_restore(
    store: *mut mteswap_store,
    first: mteswap_entry_t,
    nr: usize,
    pages: *const mteswap_page,
) -> c_int {
    let restore = || -> Result<u64> {
        // SAFETY: the caller's store.
        let store = unsafe { reference(store) }?;
        let range = range(first, nr)?;
        // SAFETY: the caller's pages.
        let folio = unsafe { folio(pages, nr) }?;
        hooks::restore_folio(&store.tags, range, |index| folio.get(index))
    };
    // No folio has as many pages as an int holds.
    restore().map_or_else(Error::to_errno, |nr| nr.try_into().unwrap_or(c_int::MAX))
}

/// mteswap_folio_entry() - the entry of a folio's first page
/// @any: the entry of any of its pages
/// @nr: number of its pages, a power of two
///
/// Context: Any.
/// Return: @any aligned down to @nr; @any itself where it is no entry or @nr is no power
/// of two.
#[unsafe(no_mangle)]
pub extern "C" fn mteswap_folio_entry(any: mteswap_entry_t, nr: usize) -> mteswap_entry_t {
    entry(any).and_then(|entry| entry.folio(nr)).map_or(any, |first| first.raw())
}

/// mteswap_sync_tags() - give the untagged pages of a mapping clear tags
/// @pages: the pages
/// @nr: how many
///
/// For mte_sync_tags(): called for page table entries that are present, user-accessible,
/// not special, and tagged, before they are set; all tag writes are ordered before what
/// follows (FLAG-6). Nothing happens where a page is none.
///
/// Context: Any; spinlocks may be held.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_sync_tags(pages: *const mteswap_page, nr: usize) {
    // SAFETY: the caller's pages.
    if let Ok(folio) = unsafe { folio(pages, nr) } {
        page::sync(folio.whole());
    }
}

/// mteswap_copy_tags() - copy tags and flag to another page
/// @to: overwritten whether it is tagged or not
/// @from: nothing happens where it is untagged
///
/// For copy_highpage(): copy on write, migration (FLAG-8).
///
/// Context: Any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_copy_tags(to: *const mteswap_page, from: *const mteswap_page) {
    // SAFETY: the caller's page.
    let to = unsafe { folio(to, 1) }.ok().and_then(|to| to.get(0));
    // SAFETY: the caller's page.
    let from = unsafe { folio(from, 1) }.ok().and_then(|from| from.get(0));
    if let (Some(to), Some(from)) = (to, from) {
        to.copy_from(&from);
    }
}

/// mteswap_pages_differ() - must two pages of equal data be kept apart?
/// @a: a page
/// @b: another, or the same
///
/// For KSM and for who replaces a page by the zero page: the data is the caller's to
/// compare (FLAG-9, FLAG-10).
///
/// Context: Any.
/// Return: True where either is tagged, unless they are the same page; true where a page
/// is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_pages_differ(
    a: *const mteswap_page,
    b: *const mteswap_page,
) -> bool {
    // SAFETY: the caller's page.
    let a = unsafe { folio(a, 1) }.ok().and_then(|a| a.get(0));
    // SAFETY: the caller's page.
    let b = unsafe { folio(b, 1) }.ok().and_then(|b| b.get(0));
    a.zip(b).is_none_or(|(a, b)| a.differs_from(&b))
}
