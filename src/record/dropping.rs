//! Letting go of many records at once.

use core::{alloc::Layout, ptr::NonNull};

use super::{Kind, Records, is_of_slab, kind_of_host, layout_of_sized, object_of};
use crate::{
    host::Host,
    index::Word,
    slab::{Dropped, wipe},
    sync::Ordering,
    tags::PageSize,
};

/// Takes records one after the other; what they held is wiped and free by the time this is
/// dropped, and so is everyone else who has dropped objects of the same slabs before.
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
            return self.take_of_host(word);
        }
        // SAFETY: a pointer with a bit that it does not have itself, taken off here.
        let object = unsafe { NonNull::new_unchecked(object_of(word)) };
        // SAFETY: a record owned it, of these slabs.
        unsafe { self.slabs.push(object) };
    }

    // Not inlined, and the rarer kind apart: this way nothing has to be kept on the stack.
    #[inline(never)]
    fn take_of_host(&mut self, word: Word) {
        match kind_of_host(word) {
            None | Some(Kind::Inline(_) | Kind::Slab(_)) => {}
            Some(Kind::Raw(payload)) => {
                // SAFETY: a raw payload, which the record owned.
                unsafe { self.free_to_host(payload, Records::<H, P>::RAW_LAYOUT) };
            }
            Some(Kind::Sized(payload)) => self.take_sized(payload),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_sized(&mut self, payload: NonNull<u8>) {
        // SAFETY: a record's payload is live until it is freed here.
        let layout = unsafe { layout_of_sized(payload) };
        // SAFETY: a payload of this layout, which the record owned.
        unsafe { self.free_to_host(payload, layout) };
    }

    /// # Safety
    /// `payload` came from the host with this layout, and nobody else has it.
    #[inline(always)]
    unsafe fn free_to_host(&mut self, payload: NonNull<u8>, layout: Layout) {
        self.records.direct.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { wipe(payload, layout.size()) };
        // SAFETY: as above.
        unsafe { self.host.free(payload, layout) };
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
