//! Where the nodes above leaves are: a short cut past the levels between root and leaf.

use core::ptr::NonNull;

use super::node::{Node, below};
use crate::{
    host::Host,
    sync::{AtomicPtr, AtomicU8, Ordering},
};

/// Places for hints, each for 4096 entries: 8 GiB of 4 KiB pages before two nodes share a
/// place and one of them is found by walking. A model of all interleavings has two places, so
/// that nodes share them.
const PLACES: usize = 1 << PLACES_LOG2;
const PLACES_LOG2: u32 = if cfg!(any(loom, shuttle)) { 1 } else { 9 };
/// Takes a position to its place, in the upper bits of the product: one bit puts offsets in their
/// order, 4096 to a place, the other each type's a quarter of the places on from the last one's.
const FACTOR: u64 = 1 << (52 - PLACES_LOG2) | 1 << 4;

/// The node last linked above the leaves of each of many stretches of positions.
///
/// A hint may be out of date or another position's: the node's key says whose it is.
///
/// # Invariants
/// - A hint is null or a node of the pool, in whatever life.
/// - A place's count is that of the nodes that lead to its leaves, from before such a node is noted until it is
///   forgotten; or it is `MANY`, and stays so.
/// - Where a hint is null, no position of its place has a word: a node is noted before any leaf under it has one, and
///   only [`forget`](Self::forget) and [`clear`](Self::clear) make a hint null again.
pub(super) struct Hints<H: Host> {
    nodes: [AtomicPtr<Node<H>>; PLACES],
    counts: [AtomicU8; PLACES],
}

/// More nodes in one place than are counted.
const MANY: u8 = u8::MAX;

impl<H: Host> Hints<H> {
    pub(super) const fn new() -> Self {
        Self {
            nodes: [const { AtomicPtr::new(core::ptr::null_mut()) }; PLACES],
            counts: [const { AtomicU8::new(0) }; PLACES],
        }
    }

    /// Null where neither `position` nor any other of its place has a word.
    #[inline]
    pub(super) fn get(&self, position: u64) -> *mut Node<H> {
        // Acquire: the node was laid down before it was noted.
        place(&self.nodes, position).load(Ordering::Acquire)
    }

    /// Notes a node that leads to the leaf of `position`, and to no other yet; for as long as it does, nobody else
    /// has it.
    pub(super) fn add(&self, position: u64, node: NonNull<Node<H>>) {
        // Acquire: what those have noted who went before, and have counted down, this note comes after.
        self.count(position, |count| count.wrapping_add(1), Ordering::Acquire);
        self.put(position, node);
    }

    /// Notes the node above the leaf of `position` once more, as others may share its place. Its lock is held: it
    /// cannot be forgotten meanwhile.
    #[inline]
    pub(super) fn note(&self, position: u64, node: NonNull<Node<H>>) {
        // A look first: mostly it is still noted. Relaxed: however old what is seen, it is not null now.
        if place(&self.nodes, position).load(Ordering::Relaxed) != node.as_ptr() {
            self.put(position, node);
        }
    }

    fn put(&self, position: u64, node: NonNull<Node<H>>) {
        // INVARIANT: of the pool; not null.
        // Release: the node was laid down before. A store would do: it comes before the exchange in `forget`, which
        // finds it, or behind. But a checker takes a store for one that such an exchange may not have found.
        place(&self.nodes, position).swap(node.as_ptr(), Ordering::Release);
    }

    /// Undoes an [`add`](Self::add): no leaf is under the node any more, and nobody else has it.
    // Not inlined: what it works with would be kept on the stack of whoever takes a chain of nodes apart.
    #[inline(never)]
    pub(super) fn forget(&self, position: u64, node: NonNull<Node<H>>) {
        // Release: see `add`. Acquire: so that who finds null below knows of all that these have done.
        let left = self.count(position, |count| count.wrapping_sub(1), Ordering::AcqRel);
        if left == 0 {
            // INVARIANT: all others that were noted had been forgotten. Who comes now has counted before it
            // notes, and notes after that count: before this, and this finds it, as no other note can be of this
            // node; or behind it.
            // Release: who finds null finds, too, that there is nothing. Relaxed: nothing is done.
            let _ = place(&self.nodes, position).compare_exchange(
                node.as_ptr(),
                core::ptr::null_mut(),
                Ordering::Release,
                Ordering::Relaxed,
            );
        }
    }

    /// Forgets all nodes. Those in the tree must be [counted](Self::recount) again before anyone looks.
    pub(super) fn clear(&mut self) {
        // One by one: all of it at once would be built on the stack.
        self.nodes.iter_mut().for_each(|node| *node = AtomicPtr::new(core::ptr::null_mut()));
        self.counts.iter_mut().for_each(|count| *count = AtomicU8::new(0));
    }

    /// Adds a node above the leaf of `position`, if it is not the one that was added last.
    pub(super) fn recount(&self, position: u64, node: NonNull<Node<H>>) {
        if self.get(position) != node.as_ptr() {
            self.add(position, node);
        }
    }

    /// Changes the count of `position`'s place, unless that is `MANY`; returns it.
    fn count(&self, position: u64, change: impl Fn(u8) -> u8, ordering: Ordering) -> u8 {
        let count = place(&self.counts, position);
        // Relaxed, here and where it is another: only the exchange tells.
        let mut before = count.load(Ordering::Relaxed);
        while before != MANY {
            let after = change(before);
            match count.compare_exchange(before, after, ordering, Ordering::Relaxed) {
                Ok(_) => return after,
                Err(now) => before = now,
            }
        }
        MANY
    }
}

/// What belongs to the place of `position`.
fn place<T>(of: &[T; PLACES], position: u64) -> &T {
    // What is multiplied is the node's position, so that all below one node share its place.
    let node = position & !below(1);
    let number = node.wrapping_mul(FACTOR) >> (u64::BITS - PLACES_LOG2);
    let [first, ..] = of;
    // In bounds by the shift.
    of.get(number as usize).unwrap_or(first)
}
