//! What C passed, checked: pointers, entries and ranges.

use core::{
    ffi::{c_int, c_void},
    mem::MaybeUninit,
    ptr::NonNull,
};

use mteswap::{
    entry::{EntryRange, SwapEntry},
    error::{Error, Result},
    tags::{PageSize, TagSink, TagSource, byte_of},
};

use crate::{Page, mteswap_entry_t};

/// The entry of a raw value; [`Error::Invalid`] with bit 63 set.
pub(crate) fn entry(raw: mteswap_entry_t) -> Result<SwapEntry> {
    SwapEntry::from_raw(raw)
}

/// `nr` entries from `first` on; [`Error::Invalid`] for none and for those that leave
/// their type.
pub(crate) fn range(first: mteswap_entry_t, nr: usize) -> Result<EntryRange> {
    EntryRange::new(entry(first)?, nr)
}

/// The pointer, unless it is NULL.
pub(crate) fn non_null<T>(ptr: *mut T) -> Result<NonNull<T>> {
    NonNull::new(ptr).ok_or(Error::Invalid)
}

/// The object at `ptr`; [`Error::Invalid`] for NULL.
///
/// # Safety
/// `ptr` is NULL, or to a live `T` that no one has exclusively for `'a`.
pub(crate) unsafe fn reference<'a, T>(ptr: *const T) -> Result<&'a T> {
    // SAFETY: NULL gives `None`; anything else is the caller's promise.
    unsafe { ptr.as_ref() }.ok_or(Error::Invalid)
}

/// What C gets: 0 or a negative errno.
pub(crate) fn errno(result: Result<()>) -> c_int {
    result.map_or_else(Error::to_errno, |()| 0)
}

/// The tags of one or more pages that lie in the caller's memory, to be read.
///
/// # Invariants
/// What the pointer points to may be read for as long as this lives.
#[derive(Clone, Copy)]
pub(crate) struct TagsIn(*const c_void);

impl TagsIn {
    /// # Safety
    /// `tags` is NULL, or to tags that the caller of the C function lets it read: of one
    /// page, or as many as [`page`](Self::page) is called for.
    pub(crate) unsafe fn new(tags: *const c_void) -> Result<Self> {
        // INVARIANT: the caller's promise.
        if tags.is_null() { Err(Error::Invalid) } else { Ok(Self(tags)) }
    }

    /// The tags of page `index` of several.
    pub(crate) fn page(self, index: usize) -> Self {
        Self(self.0.wrapping_byte_add(index.wrapping_mul(Page::TAG_BYTES)))
    }
}

impl TagSource for TagsIn {
    fn word(&self, index: usize) -> u64 {
        if index >= Page::WORDS {
            return 0;
        }
        let word = self.0.cast::<u64>().wrapping_add(index);
        // SAFETY: one of the page's words by the check above, readable by the invariant.
        u64::from_le(unsafe { word.read_unaligned() })
    }
}

/// The tags of one page in the caller's memory, to be written. It need not be initialised.
// The memory itself: a pointer to it would lie on the stack, and be read again for each word.
#[repr(transparent)]
pub(crate) struct TagsOut([MaybeUninit<u8>; Page::TAG_BYTES]);

impl TagsOut {
    /// # Safety
    /// `tags` is NULL, or to memory for the tags of a page that the caller of the C function lets it
    /// write, and nobody else reads or writes as long as this lives.
    pub(crate) unsafe fn new<'a>(tags: *mut c_void) -> Result<&'a mut Self> {
        // SAFETY: NULL gives `None`; anything else is the caller's promise. Bytes are aligned anywhere.
        unsafe { tags.cast::<Self>().as_mut() }.ok_or(Error::Invalid)
    }
}

impl TagSink for TagsOut {
    fn set_word(&mut self, index: usize, word: u64) {
        if index >= Page::WORDS {
            return;
        }
        let place = self.0.as_mut_ptr().cast::<u64>().wrapping_add(index);
        // SAFETY: one of the page's words by the check above, borrowed mutably with `self`.
        unsafe { place.write_unaligned(word.to_le()) }
    }

    fn fill_words(&mut self, words: usize, tag: u64) {
        let len = words.min(Page::WORDS).wrapping_mul(size_of::<u64>());
        // SAFETY: not more than the page's bytes, borrowed mutably with `self`.
        unsafe { self.0.as_mut_ptr().cast::<u8>().write_bytes(byte_of(tag), len) }
    }
}
