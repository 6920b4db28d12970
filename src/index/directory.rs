//! What leads to staged leaves.

use core::{marker::PhantomData, ptr::NonNull};

use super::{
    leaf::{Wide, Word},
    node::{FANOUT, FANOUT_BITS, SLOT_MASK},
};
use crate::{pool::Ref, sync::Ordering};

/// A leaf, or a directory of leaves, or nothing, in one word: its address, with [`DIRECTORY`](Self::DIRECTORY) in a
/// bit that alignment leaves clear.
///
/// # Invariants
/// The word is null, or to a leaf of a pool that is borrowed, and not mutably, for the lifetime; one
/// that satisfies [`Directory`]'s invariant if it has the bit.
#[derive(Clone, Copy)]
pub(super) struct Top<'a> {
    marked: *mut u8,
    pool: PhantomData<&'a Wide>,
}

/// What a [`Top`] is.
pub(super) enum Kind<'a> {
    Nothing,
    Leaf(Ref<'a, Wide>),
    Directory(Directory<'a>),
}

impl<'a> Top<'a> {
    const DIRECTORY: usize = 1;
    pub(super) const NOTHING: Self = Self { marked: core::ptr::null_mut(), pool: PhantomData };

    pub(super) fn leaf(leaf: Ref<'a, Wide>) -> Self {
        // INVARIANT: borrowed as the reference tells, and not marked.
        Self { marked: word_of(leaf), pool: PhantomData }
    }

    pub(super) fn directory(directory: Directory<'a>) -> Self {
        // INVARIANT: as above, and marked as what it is.
        let marked = word_of(directory.0).wrapping_byte_add(Self::DIRECTORY);
        Self { marked, pool: PhantomData }
    }

    #[inline]
    pub(super) fn kind(self) -> Kind<'a> {
        if self.marked.addr() & Self::DIRECTORY != 0 {
            let leaf = self.marked.wrapping_byte_sub(Self::DIRECTORY);
            // SAFETY: by the invariant this takes the mark off a leaf's address.
            let leaf = unsafe { NonNull::new_unchecked(leaf) };
            // SAFETY: by the invariant, too.
            return Kind::Directory(Directory(unsafe { Ref::new(leaf.cast()) }));
        }
        NonNull::new(self.marked)
            // SAFETY: as above.
            .map_or(Kind::Nothing, |leaf| Kind::Leaf(unsafe { Ref::new(leaf.cast()) }))
    }
}

/// A wide leaf that leads to others, of consecutive stretches of 64 positions.
///
/// | slot | holds |
/// |---|---|
/// | a [`Place`] | a leaf, or null |
/// | `FIRST` | the first position of the first leaf |
/// | `BEFORE` | the [`Top`] of what was staged before: a directory, or nothing |
///
/// # Invariants
/// It is one staging's alone, as the leaves and the directory that it leads to are, which are of
/// its pool.
#[derive(Clone, Copy)]
pub(super) struct Directory<'a>(Ref<'a, Wide>);

/// Where in a directory a leaf is: below [`Directory::LEAVES`].
#[derive(Clone, Copy)]
pub(super) struct Place(u64);

impl Place {
    /// That of a directory's first leaf.
    pub(super) const FIRST: Self = Self(0);

    /// The next one, if there is one.
    pub(super) fn next(self) -> Option<Self> {
        let next = self.0.wrapping_add(1);
        (next < Directory::FIRST).then_some(Self(next))
    }
}

impl<'a> Directory<'a> {
    /// How many leaves it leads to.
    pub(super) const LEAVES: usize = FANOUT - 2;
    const FIRST: u64 = Self::LEAVES as u64;
    const BEFORE: u64 = Self::FIRST + 1;

    /// Makes one of an unused leaf, which the caller has to itself: from `position` on, and behind
    /// what is staged.
    pub(super) fn new(leaf: Ref<'a, Wide>, position: u64, before: Top<'a>) -> Self {
        let first = (position & !SLOT_MASK) as usize;
        leaf.get().put(Self::FIRST, core::ptr::without_provenance_mut(first));
        leaf.get().put(Self::BEFORE, before.marked);
        // INVARIANT: leads to no leaf yet.
        Self(leaf)
    }

    /// The first position of the leaf at a place.
    pub(super) fn position(self, place: Place) -> u64 {
        let first = self.load(Self::FIRST).addr() as u64;
        first.wrapping_add(place.0 << FANOUT_BITS)
    }

    /// The place of the leaf of a position that is not before the first; `None` behind the last.
    pub(super) fn place(self, position: u64) -> Option<Place> {
        let within = position.wrapping_sub(self.position(Place::FIRST)) >> FANOUT_BITS;
        (within < Self::FIRST).then_some(Place(within))
    }

    /// The leaf at a place.
    pub(super) fn get(self, place: Place) -> Option<Ref<'a, Wide>> {
        let leaf = NonNull::new(self.load(place.0))?;
        // SAFETY: of the pool of this leaf, by the invariant, which is borrowed for `'a`.
        Some(unsafe { Ref::new(leaf.cast()) })
    }

    /// Leads to `leaf`, which the caller has to itself, from a place that led nowhere.
    pub(super) fn set(self, place: Place, leaf: Ref<'a, Wide>) {
        // INVARIANT: the caller's own until here.
        self.0.get().put(place.0, word_of(leaf));
    }

    /// What was staged before.
    pub(super) fn before(self) -> Top<'a> {
        // INVARIANT: of the same pool, put there as it is.
        Top { marked: self.load(Self::BEFORE), pool: PhantomData }
    }

    /// Makes it an unused leaf again.
    pub(super) fn into_unused(self) -> Ref<'a, Wide> {
        for slot in 0..FANOUT as u64 {
            self.0.get().put(slot, core::ptr::null_mut());
        }
        self.0
    }

    fn load(self, slot: u64) -> Word {
        // Relaxed: ours alone.
        self.0.get().slot(slot).load(Ordering::Relaxed)
    }
}

fn word_of(leaf: Ref<'_, Wide>) -> Word {
    leaf.as_ptr().as_ptr().cast()
}
