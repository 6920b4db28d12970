//! Where the nodes above leaves are: a short cut past the levels between root and leaf.

use core::ptr::NonNull;

use super::node::{Node, below};
use crate::{
    host::Host,
    sync::{AtomicPtr, Ordering},
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
/// - Where a hint is null, no position of its place has a word: a node is noted before any
///   leaf under it has one, and hints become null again by [`clear`](Self::clear) alone.
pub(super) struct Hints<H: Host> {
    nodes: [AtomicPtr<Node<H>>; PLACES],
}

impl<H: Host> Hints<H> {
    pub(super) const fn new() -> Self {
        Self { nodes: [const { AtomicPtr::new(core::ptr::null_mut()) }; PLACES] }
    }

    /// Null where neither `position` nor any other of its place has a word.
    #[inline]
    pub(super) fn get(&self, position: u64) -> *mut Node<H> {
        // Acquire: the node was laid down before it was noted.
        self.place(position).load(Ordering::Acquire)
    }

    /// Notes the node above the leaf of `position`, which has been linked.
    pub(super) fn note(&self, position: u64, node: NonNull<Node<H>>) {
        // INVARIANT: of the pool, and never null again.
        self.place(position).store(node.as_ptr(), Ordering::Release);
    }

    /// Forgets all nodes. Those in the tree must be noted again before anyone looks.
    pub(super) fn clear(&mut self) {
        self.nodes.iter_mut().for_each(|node| *node = AtomicPtr::new(core::ptr::null_mut()));
    }

    fn place(&self, position: u64) -> &AtomicPtr<Node<H>> {
        // What is multiplied is the node's position, so that all below one node share its place.
        let node = position & !below(1);
        let number = node.wrapping_mul(FACTOR) >> (u64::BITS - PLACES_LOG2);
        let [first, ..] = &self.nodes;
        // In bounds by the shift.
        self.nodes.get(number as usize).unwrap_or(first)
    }
}
