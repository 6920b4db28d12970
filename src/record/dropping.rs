//! Letting go of many records at once.

use super::{
    Records,
    word::{is_of_slab, object_of},
};
use crate::{host::Host, index::Word, slab::Dropped, tags::PageSize};

/// Takes records one after the other. What they held is wiped and free once this has been dropped, and so
/// has everyone else's who took objects of the same slabs before.
// In this order: what `take` needs most needs no address of its own.
#[repr(C)]
pub(crate) struct Dropping<'a, H: Host, P: PageSize> {
    slabs: Dropped,
    records: &'a Records<H, P>,
    // Itself: a kernel's has no size, where a reference to it takes stack.
    host: H,
}

impl<'a, H: Host, P: PageSize> Dropping<'a, H, P> {
    pub(super) fn new(records: &'a Records<H, P>, host: &H) -> Self {
        Self { records, host: host.clone(), slabs: Dropped::new() }
    }

    /// Takes the record of a word that is not inline, or null. Called with no lock held.
    ///
    /// # Safety
    /// An index owned the word, of the store whose records these are, and no one else has it.
    // Not inlined: most words are inline ones, and are looked at in a loop.
    #[inline(never)]
    pub(crate) unsafe fn take(&mut self, word: Word) {
        if !is_of_slab(word) {
            // SAFETY: the caller's promise; it is not inline.
            return unsafe { Records::<H, P>::free_of_host_here(&self.host, word) };
        }
        // SAFETY: a record's word.
        let object = unsafe { object_of(word) };
        // SAFETY: a record owned it, of these slabs.
        unsafe { self.slabs.push(object) };
    }
}

impl<H: Host, P: PageSize> Drop for Dropping<'_, H, P> {
    #[inline(never)]
    fn drop(&mut self) {
        let dropped = core::mem::replace(&mut self.slabs, Dropped::new());
        // SAFETY: of these records' slabs, as `take` had them.
        unsafe { self.records.slabs.free_dropped(&self.host, dropped) };
    }
}
