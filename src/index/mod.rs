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
mod memory;
mod node;
mod shrink;
mod staged;
mod tree;

#[cfg(test)]
mod tests;

pub(crate) use guard::LeafGuard;
pub(crate) use leaf::{Word, is_small};
pub(crate) use staged::Staged;

use directory::Directory;
use grow::Then;
use leaf::Leaf;
use memory::Memory;
use node::{Child, FANOUT, LEVEL_MAX, Node, SLOT_MASK};
use tree::{Root, View, Visit};

use crate::{
    entry::{EntryRange, SwapEntry, SwapType, TYPES},
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

/// Where a word was seen: its leaf, and the node above. Either may be another's by now.
pub(crate) struct Lead<'a, H: Host> {
    node: Ref<'a, Node<H>>,
    leaf: Leaf<'a>,
}

impl<H: Host> Clone for Lead<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: Host> Copy for Lead<'_, H> {}

/// What a look at an entry saw where its hint leads.
pub(crate) enum Seen<'a, H: Host> {
    /// Its word, or null.
    Word(Word, Lead<'a, H>),
    /// That it has none, nor a leaf for one.
    NoLeaf,
    /// Nothing to believe: a walk finds out.
    Nothing,
}

/// The nodes that one insertion may need: those down to its leaf, and those the tree
/// grows by.
const PATH_MAX: usize = 2 * LEVEL_MAX as usize;

/// Leaves and nodes in reserve.
#[derive(Clone, Copy)]
pub(crate) struct Reserved {
    leaves: usize,
    nodes: usize,
}

impl Reserved {
    /// What `nr` insertions within one aligned run may need.
    pub(crate) fn for_insertions(nr: usize) -> Self {
        if nr == 0 {
            return Self { leaves: 0, nodes: 0 };
        }
        // Wide leaves hold everything: one for each 64 entries begun, twice, since a range is staged in leaves of its
        // own first, and what tells of these.
        let leaves = nr.div_ceil(FANOUT).saturating_add(1);
        let directories = leaves.div_ceil(Directory::LEAVES);
        // Those above leaves, and a path to the top with its growth: twice, for two that come at once.
        let nodes = leaves.div_ceil(FANOUT - 1).saturating_add(PATH_MAX);
        Self {
            leaves: leaves.saturating_mul(2).saturating_add(directories),
            nodes: nodes.saturating_mul(2),
        }
    }
}

/// Words taken off a leaf in one go, to be let go of once it is unlocked.
const BATCH: usize = 2;

impl<H: Host> Index<H> {
    pub(crate) const fn new(host: H) -> Self {
        Self { memory: Memory::new(host), roots: [const { OwnLine(Root::new()) }; TYPES] }
    }

    pub(crate) fn host(&self) -> &H {
        &self.memory.host
    }

    /// The word of `entry`, or null. Takes no lock, writes nothing.
    #[inline]
    pub(crate) fn get(&self, entry: SwapEntry) -> Word {
        match self.look_up(entry) {
            Seen::Word(word, _) => word,
            Seen::NoLeaf => core::ptr::null_mut(),
            Seen::Nothing => self.walk_to(entry.raw()),
        }
    }

    /// As [`get`](Self::get), but without a walk.
    #[inline]
    pub(crate) fn look_up(&self, entry: SwapEntry) -> Seen<'_, H> {
        let position = entry.raw();
        let Some(node) = self.memory.hinted(position) else { return Seen::NoLeaf };
        // Acquire on all, and in this order: see `Visit::valid`.
        let version = node.version.load(Ordering::Acquire);
        if !node.is_above(position) {
            return Seen::Nothing;
        }
        let child = Child(node.child(1, position).load(Ordering::Acquire));
        let Some(leaf) = child.leaf(&self.memory) else {
            return if child.0.is_null() { Seen::NoLeaf } else { Seen::Nothing };
        };
        // Acquire: what the word refers to was stored before it, too.
        let word = leaf.load(position, Ordering::Acquire);
        if Visit::keyed(node, child, version).valid() {
            Seen::Word(word, Lead { node, leaf })
        } else {
            Seen::Nothing
        }
    }

    /// Calls `each` with the place in `range` and the word of every entry that has one, in order, and where it
    /// was seen. Takes no lock and writes nothing; each word was there at a moment of its own.
    #[inline]
    pub(crate) fn look_through<'a>(
        &'a self,
        range: EntryRange,
        mut each: impl FnMut(u64, Word, Lead<'a, H>),
    ) {
        let (first, last) = (range.first().raw(), range.last().raw());
        let mut position = first;
        while position <= last {
            // The last of all positions is half of what fits.
            let behind = (position | SLOT_MASK).min(last).wrapping_add(1);
            let Some(view) = self.view(position) else {
                position = behind;
                continue;
            };
            // As long as it is worth something; then once more from there.
            while let Some(word) = view.get(position) {
                if !word.is_null() {
                    each(position.wrapping_sub(first), word, view.lead());
                }
                position = position.wrapping_add(1);
                if position == behind {
                    break;
                }
            }
        }
    }

    /// A look at the leaf of `position`, if there is one.
    #[inline]
    fn view(&self, position: u64) -> Option<View<'_, H>> {
        let node = self.memory.hinted(position)?;
        // Acquire on both: see `Visit::valid`.
        let version = node.version.load(Ordering::Acquire);
        if node.is_above(position) {
            let child = Child(node.child(1, position).load(Ordering::Acquire));
            match child.leaf(&self.memory) {
                Some(leaf) => return Some(View::new(Visit::keyed(node, child, version), leaf)),
                None if child.0.is_null() => return None,
                None => {}
            }
        }
        self.walk_to_view(position)
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

    /// Takes every word of `range` out and hands those that are not small to `each`, with no
    /// lock held. A small word is no pointer: there is nothing to let go of. Where a leaf goes as
    /// a whole `each` may get small ones too, and nulls: whoever has to look at a word sees that
    /// by the way.
    #[inline(never)]
    pub(crate) fn drain(&self, range: EntryRange, mut each: impl FnMut(Word)) {
        let last = range.last().raw();
        let mut first = range.first().raw();
        loop {
            // Where there is a leaf, the next one follows mostly.
            let leaf = self.lock_known(first).or_else(|| self.next_leaf(first, last));
            let Some(leaf) = leaf else { return };
            let position = leaf.position();
            let end = position | SLOT_MASK;
            let whole = position & SLOT_MASK == 0 && end <= last;
            let done = if whole && !leaf.is_pinned() {
                leaf.detach().for_each(&mut each);
                end
            } else {
                drain_some(leaf, position, end.min(last), &mut each)
            };
            // Behind the last position of all, counting would begin anew.
            if done >= last {
                return;
            }
            first = done.wrapping_add(1);
        }
    }

    /// The first entry from `entry` on, of its swap type, that has a word.
    #[inline(never)]
    pub(crate) fn next(&self, entry: SwapEntry) -> Option<SwapEntry> {
        let last = EntryRange::area(entry.swap_type()).last().raw();
        let mut position = entry.raw();
        while let Some(leaf) = self.next_leaf(position, last) {
            let end = leaf.position() | SLOT_MASK;
            let mut here = leaf.position()..=end;
            if let Some(found) = here.find(|&position| !leaf.get(position).is_null()) {
                return SwapEntry::from_raw(found).ok();
            }
            position = end.wrapping_add(1);
        }
        None
    }

    /// Calls `each` with every word there is. Each leaf is locked while its words are
    /// looked at; leaves that come or go meanwhile may be missed.
    pub(crate) fn for_each(&self, mut each: impl FnMut(Word)) {
        self.for_each_leaf(|leaf| {
            let here = leaf.position()..=leaf.position() | SLOT_MASK;
            here.map(|p| leaf.get(p)).filter(|word| !word.is_null()).for_each(&mut each);
        });
    }

    fn for_each_leaf(&self, mut each: impl FnMut(LeafGuard<'_, H>)) {
        for area in SwapType::all().map(EntryRange::area) {
            let mut next = Some(area.first().raw());
            while let Some(leaf) = next.and_then(|next| self.next_leaf(next, area.last().raw())) {
                next = (leaf.position() | SLOT_MASK).checked_add(1);
                each(leaf);
            }
        }
    }

    /// Leaves and nodes that are kept for when the host has none.
    pub(crate) fn reserved(&self) -> Reserved {
        let Memory { host, nodes, wides, .. } = &self.memory;
        Reserved { leaves: wides.reserved(host), nodes: nodes.reserved(host) }
    }

    /// Sees to it that as many are kept as are wanted, or more. On an error they are as before.
    pub(crate) fn raise_reserve(&self, wanted: Reserved) -> Result<()> {
        let Memory { host, nodes, wides, .. } = &self.memory;
        let before = wides.reserved(host);
        wides.raise_reserve(host, wanted.leaves)?;
        nodes.raise_reserve(host, wanted.nodes).inspect_err(|_| wides.lower_reserve(host, before))
    }

    /// Gives back those that are more than are wanted.
    pub(crate) fn lower_reserve(&self, wanted: Reserved) {
        let Memory { host, nodes, wides, .. } = &self.memory;
        wides.lower_reserve(host, wanted.leaves);
        nodes.lower_reserve(host, wanted.nodes);
    }

    /// Bytes held from the host: for leaves and nodes in use or pooled, and in reserve.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let Memory { host, nodes, wides, narrows, .. } = &self.memory;
        let leaves = wides.bytes(host).saturating_add(narrows.bytes(host));
        let reserved = nodes.reserved_bytes(host).saturating_add(wides.reserved_bytes(host));
        (nodes.bytes(host).saturating_add(leaves), reserved)
    }

    /// Gives pooled memory back to the host; returns the bytes.
    pub(crate) fn shrink(&mut self) -> usize {
        // Only hints to nodes that stay are left. The tree is ours alone meanwhile.
        self.memory.hints.clear();
        self.for_each_leaf(|leaf| leaf.note());
        let Memory { host, nodes, wides, narrows, .. } = &mut self.memory;
        let leaves = wides.shrink(host).saturating_add(narrows.shrink(host));
        nodes.shrink(host).saturating_add(leaves)
    }
}

/// Takes words out of a leaf, from `first` to `last` or as many as can be kept until it is
/// unlocked; returns the last position that was looked at.
#[inline(always)]
fn drain_some<H: Host>(
    mut leaf: LeafGuard<'_, H>,
    first: u64,
    last: u64,
    each: &mut impl FnMut(Word),
) -> u64 {
    // A range that knows its end: behind the last position of all, counting would begin anew.
    let mut rest = first..=last;
    let mut batch: [Word; BATCH] = [core::ptr::null_mut(); BATCH];
    for place in &mut batch {
        let mut words = rest.by_ref().map(|position| leaf.take(position));
        *place = words.find(|word| !is_small(*word)).unwrap_or(core::ptr::null_mut());
    }
    drop(leaf);
    batch.into_iter().filter(|word| !word.is_null()).for_each(each);
    if rest.is_empty() { last } else { rest.start().wrapping_sub(1) }
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
