//! Nodes of 64 children, and the words that lead to them and to leaves.

use core::{ptr::NonNull, sync::atomic::Ordering};

use super::{
    leaf::{Leaf, NARROW, WIDE, Word},
    memory::Memory,
};
use crate::{
    entry::{OFFSET_BITS, OFFSET_MAX},
    host::{Host, Lock},
    pool::Pooled,
    prefetch::{prefetch, prefetch_eight},
    sync::{AtomicPtr, AtomicU16, AtomicU64},
};

/// log2 of a leaf's slots and of a node's children.
pub(super) const FANOUT_BITS: u32 = 6;
/// Slots of a leaf, children of a node.
pub(crate) const FANOUT: usize = 1 << FANOUT_BITS;
/// The bits of a position that choose a slot of its leaf.
pub(super) const SLOT_MASK: u64 = (1 << FANOUT_BITS) - 1;
/// The level of a tree that holds the highest offset: leaves are level 0.
pub(super) const LEVEL_MAX: u32 = 9;
/// The key of a node that is not in a tree. No position has this key: levels end at 9.
pub(super) const NO_KEY: u64 = u64::MAX;

/// A child as its parent keeps it: a pointer with what must be known about it in the
/// bits that alignment leaves free.
///
/// | bit | meaning |
/// |---|---|
/// | 0, `FREE` | nobody has the leaf locked: it, its count and this word belong to whoever takes the bit away |
/// | 1, `WIDE` | the child is a wide leaf |
/// | 2, `NARROW` | the child is a narrow leaf; neither: a [`Node`] |
/// | 6 up | the pointer, every upper bit kept (KASAN tags, 52-bit addresses) |
///
/// # Invariants
/// A pointer marked as a leaf of a kind is to memory of the pool of that kind, one that
/// is not to memory of the nodes' pool; no other word has `FREE`. This holds for every word ever found in a node, of whatever
/// tree or none, and is what makes a walk without locks safe: memory of a pool
/// never changes its type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Child(pub(super) *mut u8);

impl Child {
    const FREE: usize = 1;
    const BITS: usize = 63;

    /// The word of a leaf that nobody has locked.
    pub(super) fn free(leaf: Leaf<'_>) -> Self {
        // INVARIANT: marked as what it is.
        Self(leaf.marked().as_ptr().wrapping_byte_add(Self::FREE))
    }

    /// The word of a leaf that someone has locked.
    pub(super) fn locked(leaf: Leaf<'_>) -> Self {
        // INVARIANT: as above.
        Self(leaf.marked().as_ptr())
    }

    pub(super) fn from_node<H: Host>(node: NonNull<Node<H>>) -> Self {
        // INVARIANT: alignment leaves the marks clear.
        Self(node.as_ptr().cast())
    }

    pub(super) fn is_free(self) -> bool {
        self.0.addr() & Self::FREE != 0
    }

    /// The leaf, where this is one that can be locked. Elsewhere as [`leaf`](Self::leaf).
    #[inline]
    pub(super) fn free_leaf<H: Host>(self, _memory: &Memory<H>) -> Option<Leaf<'_>> {
        if !self.is_free() {
            return None;
        }
        let marked = self.0.wrapping_byte_sub(Self::FREE);
        // SAFETY: `FREE` is only in words of leaves (this type's invariant), which are not null.
        let marked = unsafe { NonNull::new_unchecked(marked) };
        // SAFETY: as above, without that bit; its pool is borrowed with the memory.
        Some(unsafe { Leaf::from_marked(marked) })
    }

    /// The leaf, where this is one. `_memory` is what it lies in.
    #[inline]
    pub(super) fn leaf<H: Host>(self, _memory: &Memory<H>) -> Option<Leaf<'_>> {
        if self.0.addr() & (WIDE | NARROW) == 0 {
            return None;
        }
        // A word with a mark is not null.
        let marked = NonNull::new(self.0.map_addr(|a| a & !Self::FREE))?;
        // SAFETY: without that bit, a marked child is a leaf's word (this type's
        // invariant); its pool is borrowed with the memory.
        Some(unsafe { Leaf::from_marked(marked) })
    }

    /// The node, where this is one.
    #[inline]
    pub(super) fn node<H: Host>(self) -> Option<NonNull<Node<H>>> {
        // A node's word has no bits to mask.
        if self.0.addr() & Self::BITS == 0 { NonNull::new(self.0.cast()) } else { None }
    }
}

/// 64 children, leaves at level 1 and nodes above.
///
/// # Invariants
/// - While in a tree, `key` names the position; otherwise it is [`NO_KEY`]. It is set
///   after the node was linked and taken away before the node is unlinked, both under
///   the parent's lock.
/// - `version` grows after a leaf was unlinked, and once this node has lost its key, before that
///   leaf's memory, or this node's, is used for anything else. A child that is a node has its own
///   to tell. Where a child gets another place, it grows before the child goes: the null it leaves
///   says nothing of the positions below.
/// - A child word turns from null to a child only under `state`; back to null only
///   under `state` and, for a leaf, by whoever has it locked.
/// - While a leaf is locked, the child may become another leaf with the same words; the
///   version grows before the old one is used for anything else.
/// - `count[i]` belongs to whoever has the leaf `children[i]` locked: the records of
///   that leaf plus the pins on it. A leaf that nobody has locked has a count above 0.
/// - A node in a tree has at least one child, except while `state` is held.
/// - The last of `children` is of no position, and null: there is one behind each.
#[repr(C, align(64))]
pub(crate) struct Node<H: Host> {
    // First, for the pool's link.
    children: [AtomicPtr<u8>; FANOUT + 1],
    pub(super) key: AtomicU64,
    pub(super) version: AtomicU64,
    /// Null for the top of a tree. Changes under the lock of the place it is linked from.
    pub(super) parent: AtomicPtr<Node<H>>,
    pub(super) state: Lock<H, ()>,
    /// Children that are not null. Written under `state`, or by the only owner.
    children_len: AtomicU16,
    counts: [AtomicU16; FANOUT],
}

impl<H: Host> Node<H> {
    /// True if this is the node above the leaf of `position`, wherever that may be.
    ///
    /// When it is, and then the child is null, there was a moment without a leaf in between:
    /// either the node was in its place still when its child was read, or it had died, and a
    /// node of level 1 dies when it has no leaf left.
    #[inline]
    pub(super) fn is_above(&self, position: u64) -> bool {
        // Acquire: what is read next is this node's own, see `Visit::valid`.
        self.key.load(Ordering::Acquire) == key(1, position)
    }

    /// True if this is the node above the leaf of `position`; holds as long as a leaf of it is
    /// locked, which the caller has done.
    pub(super) fn still_above(&self, position: u64) -> bool {
        // No older key is seen: it changes while no leaf is linked, or before one can be locked, and a
        // leaf was linked with Release, and locked with Acquire, behind all keys from before. Acquire:
        // a leaf may be locked before the chain it lies in was linked. Who finds the key finds the
        // way to it from the top, too, and changes nothing of it before that was written.
        self.key.load(Ordering::Acquire) == key(1, position)
    }

    /// The child that leads to `position` from a node of `level`.
    pub(super) fn child(&self, level: u32, position: u64) -> &AtomicPtr<u8> {
        self.child_at(child_number(level, position))
    }

    /// In bounds: a child's number is below 64, and there is one behind each.
    #[inline(always)]
    fn child_at(&self, number: u64) -> &AtomicPtr<u8> {
        let [first, ..] = &self.children;
        self.children.get(number as usize).unwrap_or(first)
    }

    /// Asks for a line of cache in the leaf behind that of `position`, as far from its beginning as that of `position` is, for who
    /// goes from leaf to leaf: the next one may lie anywhere, and most of the wait is for its address to be translated. A model of
    /// all interleavings has no use for it.
    #[inline(always)]
    pub(super) fn prefetch_next(&self, position: u64) {
        if cfg!(any(loom, shuttle)) {
            return;
        }
        let slot = (position & SLOT_MASK) as usize;
        prefetch(self.next_leaf(position).cast::<Word>().wrapping_add(slot).cast());
    }

    /// The same for all lines, of who begins with a leaf.
    #[inline(always)]
    pub(super) fn prefetch_next_at_first(&self, position: u64) {
        if position & SLOT_MASK == 0 && !cfg!(any(loom, shuttle)) {
            prefetch_eight(self.next_leaf(position));
        }
    }

    /// The same for one line, which is all that a narrow leaf has.
    #[inline(always)]
    pub(super) fn prefetch_next_narrow(&self, position: u64) {
        if !cfg!(any(loom, shuttle)) {
            prefetch(self.next_leaf(position));
        }
    }

    /// For hints alone: marked, or null; anything that a child may be where the node is not held.
    #[inline(always)]
    pub(super) fn next_leaf(&self, position: u64) -> *const u8 {
        // Relaxed: nothing is read where it leads.
        self.child_at(child_number(1, position).wrapping_add(1)).load(Ordering::Relaxed)
    }

    /// Records and pins of the leaf of `position`, in a node of level 1.
    pub(super) fn count(&self, position: u64) -> &AtomicU16 {
        choose(&self.counts, child_number(1, position))
    }

    /// Children that are not null.
    pub(super) fn children(&self) -> u16 {
        self.children_len.load(Ordering::Relaxed)
    }

    pub(super) fn set_children(&self, children: u16) {
        self.children_len.store(children, Ordering::Relaxed);
    }

    pub(super) fn add_child(&self) {
        self.set_children(self.children().wrapping_add(1));
    }

    /// Returns how many are left.
    pub(super) fn remove_child(&self) -> u16 {
        let left = self.children().wrapping_sub(1);
        self.set_children(left);
        left
    }

    /// Says that a child was unlinked, or this node: readers who were under way look again.
    pub(super) fn bump_version(&self) {
        // Only holders of `state` write, so load and store need not be one step. Release:
        // whoever sees the new version sees the unlinking before it.
        let next = self.version.load(Ordering::Relaxed).wrapping_add(1);
        self.version.store(next, Ordering::Release);
    }
}

// SAFETY: the first field is an array of `AtomicPtr`; all others are atomics and a lock,
// which may be used by shared reference at any time; nothing in it needs a drop.
unsafe impl<H: Host> Pooled for Node<H> {
    unsafe fn init(at: NonNull<Self>) {
        let empty = Self {
            children: [const { AtomicPtr::new(core::ptr::null_mut()) }; FANOUT + 1],
            key: AtomicU64::new(NO_KEY),
            version: AtomicU64::new(0),
            parent: AtomicPtr::new(core::ptr::null_mut()),
            state: Lock::new(()),
            children_len: AtomicU16::new(0),
            counts: [const { AtomicU16::new(0) }; FANOUT],
        };
        // SAFETY: the caller owns memory of this layout.
        unsafe { at.write(empty) };
    }
}

/// The number of the child that leads to `position` from a node of `level`.
pub(super) const fn child_number(level: u32, position: u64) -> u64 {
    let offset = position & OFFSET_MAX;
    offset.wrapping_shr(level.wrapping_mul(FANOUT_BITS)) & SLOT_MASK
}

/// The key of the node of `level` above `position`: the first position below it, and
/// its level, less one, in the bits that are always clear there.
pub(super) const fn key(level: u32, position: u64) -> u64 {
    position & !below(level) | level.wrapping_sub(1) as u64
}

/// The positions below a node of `level`, less one: the mask of an offset's bits that
/// choose among them. The swap type and all above it never belong to the mask.
pub(super) const fn below(level: u32) -> u64 {
    let bits = level.wrapping_add(1).wrapping_mul(FANOUT_BITS);
    if bits >= OFFSET_BITS { OFFSET_MAX } else { !(u64::MAX << bits) }
}

/// The lowest level, 1 at least, whose node holds `offset` when it begins at 0.
pub(super) fn level_for(offset: u64) -> u32 {
    (1..LEVEL_MAX).find(|&level| offset <= below(level)).unwrap_or(LEVEL_MAX)
}

/// Element `number % 64`, in bounds by construction.
pub(super) fn choose<T>(array: &[T; FANOUT], number: u64) -> &T {
    let [first, ..] = array;
    array.get(number as usize & (FANOUT - 1)).unwrap_or(first)
}
