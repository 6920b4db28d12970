//! Page tags kept in ordinary memory.

use core::{
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    error::{Error, Result},
    tagmem::TagMemory,
    tags::{PageSize, TagSink, TagSource},
};

/// A page's tags in an array of ordinary memory, in the order of SEMANTICS' "page tags": as bytes,
/// granule `i` is bits `4i..4i+3`.
///
/// Words are read and written as relaxed atomics: others may use the same array at the same time.
/// It holds no data, so [`clear_with_data`](TagMemory::clear_with_data) zeroes tags only.
///
/// # Examples
/// ```
/// use core::sync::atomic::AtomicU64;
/// use mteswap::{tagmem::{ShadowPage, TagMemory}, tags::{TagSink, TagSource}};
///
/// let tags = [const { AtomicU64::new(0) }; 16]; // 4 KiB: 256 granules
/// let mut page = ShadowPage::new(&tags);
/// page.set_word(3, 0x7777);
/// assert_eq!((page.word(3), page.words()), (0x7777, 16));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ShadowPage<'a> {
    words: &'a [AtomicU64],
}

impl<'a> ShadowPage<'a> {
    /// The tags in `words`, one page's or a hugetlb folio's.
    #[must_use]
    pub const fn new(words: &'a [AtomicU64]) -> Self {
        Self { words }
    }

    /// The tags of one page at `tags`, [`PageSize::TAG_BYTES`] bytes aligned to 8.
    /// [`Error::Invalid`] where `tags` is null or not so aligned.
    ///
    /// # Safety
    /// `tags` is valid for reads and writes of [`PageSize::TAG_BYTES`] bytes during `'a`, in
    /// which nobody uses them but by atomic accesses of aligned words.
    pub unsafe fn from_ptr<P: PageSize>(tags: *mut u8) -> Result<Self> {
        let first = NonNull::new(tags.cast::<AtomicU64>()).ok_or(Error::Invalid)?;
        if !first.is_aligned() {
            return Err(Error::Invalid);
        }
        // SAFETY: not null and aligned as checked; valid for `WORDS` words of 8 bytes by the
        // caller's promise. `AtomicU64` has the size and validity of `u64`, and all concurrent
        // accesses are atomic by the same promise, so a shared slice of atomics may be made.
        let words = unsafe { core::slice::from_raw_parts(first.as_ptr(), P::WORDS) };
        Ok(Self { words })
    }
}

impl TagSource for ShadowPage<'_> {
    fn word(&self, index: usize) -> u64 {
        // Relaxed: that tags are there once the flag is seen is the flag's ordering (FLAG-1, 2).
        self.words.get(index).map_or(0, |word| u64::from_le(word.load(Ordering::Relaxed)))
    }
}

impl TagSink for ShadowPage<'_> {
    fn set_word(&mut self, index: usize, word: u64) {
        if let Some(slot) = self.words.get(index) {
            slot.store(word.to_le(), Ordering::Relaxed);
        }
    }
}

impl TagMemory for ShadowPage<'_> {
    fn words(&self) -> usize {
        self.words.len()
    }
}
