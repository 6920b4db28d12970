//! Words of a staged leaf change places with those of a leaf in the tree.

use core::slice::ChunksExact;

use super::leaf::{Kind, Leaf, Narrow, SMALL_MAX, Wide, Word, is_small};
use crate::{
    pool::Ref,
    sync::{AtomicPtr, Ordering},
};

/// A staged leaf, and the first and the last position that may have a word in it, both of one
/// leaf of the tree.
///
/// # Invariants
/// It is this one's alone, and all other slots are null.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) leaf: Ref<'a, Wide>,
    pub(super) first: u64,
    pub(super) last: u64,
}

/// A one in each byte of a machine word.
const ONES: usize = usize::MAX / SMALL_MAX;

/// For each of eight small words that is not null, a one in its byte.
fn present(eight: usize) -> usize {
    const LOWER: usize = ONES * 0x7f;
    // To a byte's upper bit, if any is set, and no further.
    ((eight & LOWER).wrapping_add(LOWER) | eight) >> 7 & ONES
}

impl Part<'_> {
    /// A word that only a leaf holds which holds all of these.
    #[inline]
    pub(super) fn largest(&self) -> Word {
        let mut all = 0;
        // In pieces whose loop is unrolled, here and below.
        for slots in self.eights() {
            for slot in slots {
                // Relaxed, here and below on what is staged: ours alone.
                all |= slot.load(Ordering::Relaxed).addr();
            }
        }
        core::ptr::without_provenance_mut(all)
    }

    /// Exchanges every word here for the one in its slot of `leaf`, which holds all of these and
    /// whose lock the caller has; small ones of a narrow leaf are not kept. Returns how many found
    /// their slot empty, and whether there is any word here now.
    // Not inlined, and one loop for each kind: few registers, no stack.
    #[inline(never)]
    pub(super) fn exchange(&self, leaf: Leaf<'_>) -> (u16, bool) {
        match leaf.kind() {
            Kind::Wide(leaf) => self.exchange_wide(leaf.get()),
            Kind::Narrow(leaf) => (self.put_narrow(leaf.get()), false),
        }
    }

    #[inline]
    fn exchange_wide(&self, leaf: &Wide) -> (u16, bool) {
        let (mut added, mut replaced) = (0u16, false);
        for (ours, theirs) in self.eights().zip(leaf.eights(self.first, self.last)) {
            for (ours, theirs) in ours.iter().zip(theirs) {
                let word = ours.load(Ordering::Relaxed);
                if word.is_null() {
                    continue;
                }
                // Relaxed: only the lock's holders write. Release on both: as in `Wide::swap`.
                let old = theirs.load(Ordering::Relaxed);
                theirs.store(word, Ordering::Release);
                ours.store(old, Ordering::Release);
                added = added.wrapping_add(old.is_null().into());
                replaced |= !old.is_null();
            }
        }
        (added, replaced)
    }

    #[inline]
    fn put_narrow(&self, leaf: &Narrow) -> u16 {
        // Counted in each byte by itself: at most eight eights.
        let mut added = 0usize;
        for (ours, theirs) in self.eights().zip(leaf.eights(self.first)) {
            // Turned by a byte each time, so eight times: the slot at hand is the lowest.
            let mut new = 0usize;
            for slot in ours {
                new = (new | slot.load(Ordering::Relaxed).addr()).rotate_right(8);
                // Release: as in `Wide::swap`.
                slot.store(core::ptr::null_mut(), Ordering::Release);
            }
            // Relaxed and Release: as above, for all eight.
            let old = theirs.load(Ordering::Relaxed).addr();
            let here = present(new);
            let all = old & !here.wrapping_mul(SMALL_MAX) | new;
            theirs.store(core::ptr::without_provenance_mut(all), Ordering::Release);
            added = added.wrapping_add(here & !present(old));
        }
        (added.wrapping_mul(ONES) >> (usize::BITS - 8)) as u16
    }

    /// Takes every word out, and hands those to `each` that are not small.
    #[inline]
    pub(super) fn empty(&self, each: &mut impl FnMut(Word)) {
        for slots in self.eights() {
            for slot in slots {
                let word = slot.load(Ordering::Relaxed);
                // Release: as in `Wide::swap`.
                slot.store(core::ptr::null_mut(), Ordering::Release);
                if !is_small(word) {
                    each(word);
                }
            }
        }
    }

    /// The slots that may have words, eight by eight.
    #[inline]
    fn eights(&self) -> ChunksExact<'_, AtomicPtr<u8>> {
        self.leaf.get().eights(self.first, self.last)
    }
}
