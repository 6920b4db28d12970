//! The index: which word belongs to which swap entry.
//!
//! One radix tree a swap type, 64 slots a leaf, 64 children a node, as high as the
//! highest offset needs. A word is whatever the user of the index makes of it; null is
//! "nothing here".
//!
//! - **Looking up takes no lock** and writes nothing: walk down, read, then see whether
//!   what was read was in the tree all the while ([`tree`], `Visit::valid`). It rests on
//!   leaves and nodes keeping their type for good ([`crate::pool`]).
//! - **Changing takes the leaf's lock**, one bit of the word that leads to it.
//!   Nothing wider is ever held in the way of another leaf (TAG-17).
//! - **Growing and shrinking** lock one node at a time, from the leaf upwards. What is
//!   linked leads somewhere: leaves and nodes go when they are empty.
//!
//! Nothing is allocated, and nothing given back, with a lock held.

mod directory;
mod exchange;
mod grow;
mod guard;
mod hints;
mod leaf;
mod look;
mod memory;
mod node;
mod reserve;
mod shrink;
mod staged;
mod sweep;
mod tree;

#[cfg(test)]
mod tests;

pub(crate) use guard::LeafGuard;
pub(crate) use leaf::Word;
pub(crate) use look::{Lead, Seen};
pub(crate) use reserve::Reserved;
pub(crate) use staged::Staged;

use grow::Then;
use leaf::Leaf;
use memory::Memory;
use node::{Child, Node};
use tree::Root;

use crate::{
    entry::{SwapEntry, TYPES},
    error::{Error, Result},
    host::{AllocFlags, Host},
    lanes::OwnLine,
    pool::Ref,
    sync::{Ordering, spin_loop},
};

/// A word for each entry of all swap types.
pub(crate) struct Index<H: Host> {
    memory: Memory<H>,
    // Types do not share a line.
    roots: [OwnLine<Root<H>>; TYPES],
}

impl<H: Host> Index<H> {
    pub(crate) const fn new(host: H) -> Self {
        Self { memory: Memory::new(host), roots: [const { OwnLine(Root::new()) }; TYPES] }
    }

    pub(crate) fn host(&self) -> &H {
        &self.memory.host
    }

    /// Takes the word of `entry` out; null where there is none.
    pub(crate) fn take(&self, entry: SwapEntry) -> Word {
        // A look first: where there is no word, nothing is locked.
        if self.get(entry).is_null() {
            return core::ptr::null_mut();
        }
        let leaf = self.find(entry.raw());
        leaf.map_or(core::ptr::null_mut(), |mut leaf| leaf.take(entry.raw()))
    }

    /// As [`take`](Self::take), but the word is handed to `each`, with no lock held, unless it is
    /// null or small; and false, with nothing taken, where that would have to walk, to wait, or to
    /// unlink the leaf.
    #[inline]
    pub(crate) fn take_known(&self, entry: SwapEntry, each: impl FnOnce(Word)) -> bool {
        let position = entry.raw();
        let Some(node) = self.memory.hinted(position) else { return true };
        if !node.is_above(position) {
            return false;
        }
        // Acquire: see `Visit::valid`.
        let child = Child(node.child(1, position).load(Ordering::Acquire));
        match child.free_leaf(&self.memory) {
            Some(leaf) => self
                .lock(node, leaf, position)
                .is_some_and(|leaf| leaf.take_but_last(position, each)),
            None => child.0.is_null(),
        }
    }

    /// The leaf of `position`, where its hint leads there, and the node above it.
    #[inline]
    fn known_leaf(&self, position: u64) -> Option<(Ref<'_, Node<H>>, Leaf<'_>)> {
        let node = self.memory.hinted(position).filter(|node| node.is_above(position))?;
        // Acquire: see `Visit::valid`.
        let child = Child(node.child(1, position).load(Ordering::Acquire));
        Some((node, child.leaf(&self.memory)?))
    }

    /// Locks the leaf of `position` where its hint leads there and nobody else has it locked.
    #[inline]
    fn lock_known(&self, position: u64) -> Option<LeafGuard<'_, H>> {
        let node = self.memory.hinted(position).filter(|node| node.is_above(position))?;
        // Acquire: see `Visit::valid`.
        let child = Child(node.child(1, position).load(Ordering::Acquire));
        self.lock(node, child.free_leaf(&self.memory)?, position)
    }

    /// Locks the leaf of `entry`, if there is one.
    #[inline]
    pub(crate) fn lock_leaf(&self, entry: SwapEntry) -> Option<LeafGuard<'_, H>> {
        self.find(entry.raw())
    }

    /// The same, where it is the one that `lead` leads to, and nobody else has it locked.
    #[inline]
    pub(crate) fn lock_led<'a>(
        &'a self,
        entry: SwapEntry,
        lead: Lead<'a, H>,
    ) -> Option<LeafGuard<'a, H>> {
        self.lock(lead.node, lead.leaf, entry.raw())
    }

    /// As [`lock_leaf`](Self::lock_leaf), by the position.
    #[inline]
    fn find(&self, position: u64) -> Option<LeafGuard<'_, H>> {
        let mut found = self.known_leaf(position);
        loop {
            let (node, leaf) = found.or_else(|| self.walk_to_leaf(position))?;
            if let Some(guard) = self.lock(node, leaf, position) {
                return Some(guard);
            }
            spin_loop();
            found = None;
        }
    }

    /// Puts `word` at `entry` and returns the word that was there, or null; `None`, and the index
    /// is as before, where there is no memory. May sleep where `flags` allow it, before any lock
    /// is taken.
    #[inline]
    pub(crate) fn insert(&self, entry: SwapEntry, word: Word, flags: AllocFlags) -> Option<Word> {
        self.with_room(entry.raw(), word, Then::Replace, flags)
    }

    /// The same; `None`, too, where that would take memory, or to walk or to wait.
    #[inline]
    pub(crate) fn insert_known(&self, entry: SwapEntry, word: Word) -> Option<Word> {
        let position = entry.raw();
        self.lock_known(position)?.replace_known(position, word)
    }

    /// Sees to it that the leaf of `entry` is there and can hold `word`, and stays until it
    /// is unpinned. Otherwise as [`insert`](Self::insert).
    pub(crate) fn pin(&self, entry: SwapEntry, word: Word, flags: AllocFlags) -> Result<()> {
        let is_pinned = self.pin_leaf(entry.raw(), word, flags);
        is_pinned.then_some(()).ok_or(Error::NoMemory)
    }

    /// As [`pin`](Self::pin), by the position; false where there is no memory.
    #[inline]
    fn pin_leaf(&self, position: u64, word: Word, flags: AllocFlags) -> bool {
        self.pin_known(position, word) || self.with_room(position, word, Then::Pin, flags).is_some()
    }

    /// The same; false, too, where that would take memory, or to walk or to wait.
    // Not inlined: its stack is given back before there is a walk.
    #[inline(never)]
    fn pin_known(&self, position: u64, word: Word) -> bool {
        self.lock_known(position).is_some_and(|leaf| leaf.pin_known(word))
    }

    /// Undoes one [`pin`](Self::pin).
    pub(crate) fn unpin(&self, entry: SwapEntry) {
        self.unpin_leaf(entry.raw());
    }

    #[inline(never)]
    fn unpin_leaf(&self, position: u64) {
        if let Some(mut leaf) = self.find(position) {
            leaf.unpin();
        }
    }

    /// Locks the leaves of two entries and calls `body`; where they share a leaf, the
    /// second guard is `None`. Without calling it, `None`: the second has no leaf. The
    /// first must be pinned.
    #[inline(never)]
    pub(crate) fn find_both<R>(
        &self,
        first: SwapEntry,
        second: SwapEntry,
        body: impl FnOnce(&mut LeafGuard<'_, H>, Option<&mut LeafGuard<'_, H>>) -> R,
    ) -> Option<R> {
        loop {
            let mut one = self.find(first.raw())?;
            if one.covers(second.raw()) {
                return Some(body(&mut one, None));
            }
            // Not waiting for the second lock while holding the first, nobody can wait
            // for us in a circle.
            match self.try_find(second.raw()) {
                Ok(Some(mut other)) => return Some(body(&mut one, Some(&mut other))),
                Ok(None) => return None,
                Err(()) => drop(one),
            }
            spin_loop();
        }
    }

    /// Gives pooled memory back to the host; returns the bytes.
    pub(crate) fn shrink(&mut self) -> usize {
        // Only hints to nodes that stay are left. The tree is ours alone meanwhile.
        self.memory.hints.clear();
        self.for_each_leaf(|leaf| leaf.hint());
        let Memory { host, nodes, wides, narrows, .. } = &mut self.memory;
        let leaves = wides.shrink(host).saturating_add(narrows.shrink(host));
        nodes.shrink(host).saturating_add(leaves)
    }
}

/// Whoever has put words in has drained them before: leaves that still hold some are leaked, and
/// what the words refer to with them.
impl<H: Host> Drop for Index<H> {
    fn drop(&mut self) {
        let Memory { host, nodes, wides, narrows, .. } = &mut self.memory;
        nodes.clear(host);
        wides.clear(host);
        narrows.clear(host);
    }
}
