//! Leaves: 64 slots, in 512 bytes or in 64.
//!
//! Whatever a slot word means, the index looks at its size: where all words of a leaf
//! are small ones, a byte a slot holds them. Words of pages with one tag are small, and
//! such pages come in herds. A leaf that is going to get others may be wide from the start.

use core::{marker::PhantomData, ops::Range, ptr::NonNull, slice::ChunksExact};

use super::node::{FANOUT, SLOT_MASK, choose};
use crate::{
    pool::{Pooled, Ref},
    sync::{AtomicPtr, Ordering},
};

/// A record's slot: null, or a word that only the index's user understands.
pub(crate) type Word = *mut u8;

/// The largest word that fits a byte.
pub(super) const SMALL_MAX: usize = 0xff;

/// Slots of a wide leaf in a cache line: as many are looked at at once, and as many ahead. What a word refers to takes as long to come
/// as several are worked on.
pub(super) const AT_ONCE: u64 = 8;

/// True if a leaf of bytes can hold the word.
pub(crate) fn is_small(word: Word) -> bool {
    word.addr() <= SMALL_MAX
}

/// 64 words and nothing else: 512 bytes, so that an allocator of powers of two wastes
/// none. What there is to know about a leaf stands in the node above it.
///
/// # Invariants
/// While unused, all slots but the first are null; the first is the pool's link.
#[repr(C, align(64))]
pub(crate) struct Wide {
    slots: [AtomicPtr<u8>; FANOUT],
}

// SAFETY: it begins with an `AtomicPtr`, and is made of nothing else.
unsafe impl Pooled for Wide {
    unsafe fn init(at: NonNull<Self>) {
        let empty = Self { slots: [const { AtomicPtr::new(core::ptr::null_mut()) }; FANOUT] };
        // SAFETY: the caller owns memory of this layout.
        unsafe { at.write(empty) };
    }
}

/// 64 small words, eight to a machine word, slot `i` in byte `i % 8` of word `i / 8`.
///
/// Machine words rather than bytes, so that no access overlaps the pool's link with
/// another size.
///
/// # Invariants
/// As for [`Wide`].
#[repr(C, align(64))]
pub(crate) struct Narrow {
    eights: [AtomicPtr<u8>; FANOUT / 8],
}

// SAFETY: it begins with an `AtomicPtr`, and is made of nothing else.
unsafe impl Pooled for Narrow {
    unsafe fn init(at: NonNull<Self>) {
        let empty = Self { eights: [const { AtomicPtr::new(core::ptr::null_mut()) }; FANOUT / 8] };
        // SAFETY: the caller owns memory of this layout.
        unsafe { at.write(empty) };
    }
}

/// What only a lock's holder calls, or the leaf's only owner: Relaxed loads, and no exchange.
/// Release stores: readers that take no lock find what the word refers to; and see
/// `Visit::valid` for why a null must be released, too.
impl Wide {
    #[inline]
    pub(super) fn swap(&self, position: u64, word: Word) -> Word {
        let slot = self.slot(position);
        let old = slot.load(Ordering::Relaxed);
        slot.store(word, Ordering::Release);
        old
    }

    /// Puts a word into a slot that is empty.
    #[inline]
    pub(super) fn put(&self, position: u64, word: Word) {
        self.slot(position).store(word, Ordering::Release);
    }
}

impl Wide {
    #[inline]
    pub(super) fn slot(&self, position: u64) -> &AtomicPtr<u8> {
        choose(&self.slots, position)
    }

    /// The slots of two positions and all between, and what fills eights, eight by eight.
    #[inline]
    pub(super) fn eights(&self, first: u64, last: u64) -> ChunksExact<'_, AtomicPtr<u8>> {
        let (first, last) = (first & SLOT_MASK & !7, last & SLOT_MASK | 7);
        // In bounds by the masks.
        self.slots.get(first as usize..=last as usize).unwrap_or_default().chunks_exact(8)
    }
}

/// As for [`Wide`].
impl Narrow {
    #[inline]
    pub(super) fn swap(&self, position: u64, word: Word) -> Word {
        let (eight, shift) = self.eight(position);
        let all = eight.load(Ordering::Relaxed).addr();
        let others = all & (!SMALL_MAX).rotate_left(shift);
        let new = others | (word.addr() & SMALL_MAX).rotate_left(shift);
        eight.store(core::ptr::without_provenance_mut(new), Ordering::Release);
        core::ptr::without_provenance_mut(all.rotate_right(shift) & SMALL_MAX)
    }

    /// Takes a word out; false where there is none.
    #[inline]
    pub(super) fn take(&self, position: u64) -> bool {
        let (eight, shift) = self.eight(position);
        let all = eight.load(Ordering::Relaxed).addr();
        let others = all & (!SMALL_MAX).rotate_left(shift);
        if others == all {
            return false;
        }
        eight.store(core::ptr::without_provenance_mut(others), Ordering::Release);
        true
    }
}

impl Narrow {
    /// The machine words from a slot's on.
    #[inline]
    pub(super) fn eights(&self, first: u64) -> &[AtomicPtr<u8>] {
        self.eights.get((first & SLOT_MASK) as usize / 8..).unwrap_or_default()
    }

    /// Puts its words into the slots of a leaf that is unused.
    pub(super) fn copy_to(&self, wide: &Wide) {
        for (eight, slots) in self.eights.iter().zip(wide.eights(0, SLOT_MASK)) {
            let mut words = eight.load(Ordering::Relaxed).addr();
            // Most leaves get wide while they have few words.
            if words == 0 {
                continue;
            }
            for slot in slots {
                let word = core::ptr::without_provenance_mut(words & SMALL_MAX);
                slot.store(word, Ordering::Release);
                words >>= 8;
            }
        }
    }

    /// Empties all its slots: no small word has to be let go of.
    pub(super) fn wipe(&self) {
        self.eights.iter().for_each(|eight| eight.store(core::ptr::null_mut(), Ordering::Release));
    }

    /// The machine word of a slot, and how far to rotate it to the right for it to begin
    /// with the slot.
    fn eight(&self, position: u64) -> (&AtomicPtr<u8>, u32) {
        let [first, ..] = &self.eights;
        let number = (position >> 3) as usize & (FANOUT / 8 - 1);
        // In bounds by the mask.
        (self.eights.get(number).unwrap_or(first), (position as u32 & 7).wrapping_mul(8))
    }
}

/// Marks in the bits of a leaf's address that alignment leaves clear.
pub(super) const WIDE: usize = 2;
pub(super) const NARROW: usize = 4;

/// A leaf of either kind, in one word.
///
/// # Invariants
/// The word is the address of a [`Wide`] leaf with `WIDE` added, or of a [`Narrow`] one with
/// `NARROW`, in memory of a pool that is borrowed, and not mutably, for the lifetime.
#[derive(Clone, Copy)]
pub(super) struct Leaf<'a> {
    marked: NonNull<u8>,
    pool: PhantomData<&'a Wide>,
}

/// What a [`Leaf`] is.
pub(super) enum Kind<'a> {
    Wide(Ref<'a, Wide>),
    Narrow(Ref<'a, Narrow>),
}

impl<'a> Leaf<'a> {
    pub(super) fn wide(leaf: Ref<'a, Wide>) -> Self {
        // SAFETY: a few bytes into an object that is larger: not null.
        let marked = unsafe { leaf.as_ptr().cast::<u8>().add(WIDE) };
        // INVARIANT: marked as what it is.
        Self { marked, pool: PhantomData }
    }

    pub(super) fn narrow(leaf: Ref<'a, Narrow>) -> Self {
        // SAFETY: as above.
        let marked = unsafe { leaf.as_ptr().cast::<u8>().add(NARROW) };
        // INVARIANT: marked as what it is.
        Self { marked, pool: PhantomData }
    }

    /// # Safety
    /// `marked` satisfies the invariant.
    pub(super) unsafe fn from_marked(marked: NonNull<u8>) -> Self {
        Self { marked, pool: PhantomData }
    }

    pub(super) fn marked(self) -> NonNull<u8> {
        self.marked
    }

    #[inline]
    pub(super) fn kind(self) -> Kind<'a> {
        if self.is_wide() {
            // SAFETY: by the invariant this takes the mark off again: in the same object.
            let leaf = unsafe { self.marked.byte_sub(WIDE) };
            // SAFETY: by the invariant there is a wide leaf, and its pool is borrowed.
            Kind::Wide(unsafe { Ref::new(leaf.cast()) })
        } else {
            // Wrapping: two differences alike would be made one that depends on what the leaf is, and
            // no load's address could hold it.
            let leaf = self.marked.as_ptr().wrapping_byte_sub(NARROW);
            // SAFETY: as above.
            let leaf = unsafe { NonNull::new_unchecked(leaf) };
            // SAFETY: as above, and a narrow one.
            Kind::Narrow(unsafe { Ref::new(leaf.cast()) })
        }
    }

    pub(super) fn is_wide(self) -> bool {
        self.marked.addr().get() & WIDE != 0
    }

    /// True if it is wide, and one of its last eight words is not small.
    pub(super) fn ends_large(self) -> bool {
        let Kind::Wide(leaf) = self.kind() else { return false };
        let mut last = leaf.get().eights(SLOT_MASK, SLOT_MASK).flatten();
        // Relaxed: it is for its size alone.
        last.any(|slot| !is_small(slot.load(Ordering::Relaxed)))
    }

    /// Hands the words at some positions to `each`, as far as they are this leaf's, and what else is in their lines; nothing of a narrow
    /// leaf.
    // Not inlined: its stack is given back before what was looked at is worked on.
    #[inline(never)]
    pub(super) fn glance(self, positions: Range<u64>, each: &impl Fn(Word)) {
        let Kind::Wide(leaf) = self.kind() else { return };
        let last = (positions.start | SLOT_MASK).min(positions.end.wrapping_sub(1));
        // In pieces whose loop is unrolled.
        for slots in leaf.get().eights(positions.start, last) {
            // Relaxed: nothing is read where it leads.
            slots.iter().for_each(|slot| each(slot.load(Ordering::Relaxed)));
        }
    }

    /// The word in the slot of `position`: its lowest six bits choose.
    #[inline]
    pub(super) fn load(self, position: u64, ordering: Ordering) -> Word {
        match self.kind() {
            Kind::Wide(leaf) => choose(&leaf.slots, position).load(ordering),
            Kind::Narrow(leaf) => {
                let (eight, shift) = leaf.eight(position);
                let word = eight.load(ordering).addr().rotate_right(shift) & SMALL_MAX;
                core::ptr::without_provenance_mut(word)
            }
        }
    }

    /// True if the leaf can hold the word.
    #[inline]
    pub(super) fn holds(self, word: Word) -> bool {
        self.is_wide() || is_small(word)
    }

    /// Puts a word that the leaf [`holds`](Self::holds) into the slot of `position`, and returns
    /// the one that was there. The caller has the leaf's lock, or the leaf to itself.
    #[inline]
    pub(super) fn swap(self, position: u64, word: Word) -> Word {
        match self.kind() {
            Kind::Wide(leaf) => leaf.get().swap(position, word),
            Kind::Narrow(leaf) => leaf.get().swap(position, word),
        }
    }

    /// Takes every word out of a leaf that the caller has to itself, and hands those to `each` that
    /// do not lie in bytes; nulls are among them.
    #[inline]
    pub(super) fn empty(self, each: &mut impl FnMut(Word)) {
        let slots = match self.kind() {
            // Eight small words at once: none is for `each`.
            Kind::Narrow(leaf) => return leaf.get().wipe(),
            // In pieces whose loop is unrolled.
            Kind::Wide(leaf) => leaf.get().slots.chunks_exact(16),
        };
        for sixteen in slots {
            for slot in sixteen {
                let word = slot.load(Ordering::Relaxed);
                // Release: as in `swap`.
                slot.store(core::ptr::null_mut(), Ordering::Release);
                each(word);
            }
        }
    }
}
