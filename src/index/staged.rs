//! All or nothing for a range of entries.

use core::ptr::NonNull;

use super::{
    Index,
    grow::Then,
    leaf::{Leaf, Word, is_small},
    node::{Child, FANOUT, FANOUT_BITS, NO_KEY, Node, SLOT_MASK},
};
use crate::{
    entry::SwapEntry,
    error::{Error, Result},
    host::{AllocFlags, Host},
    pool::Ref,
    sync::Ordering,
};

/// The bit of a key that says "of staged leaves", clear in the keys of the index's own nodes.
const STAGED: u64 = 1 << 63;

/// Positions below a node.
const WITHIN_NODE: u64 = (FANOUT * FANOUT) as u64;

/// A word that only wide leaves hold; never stored.
const WIDE: Word = core::ptr::without_provenance_mut(usize::MAX);

/// Words that are held back until all of them are there, and then change places with the
/// index's words, leaf by leaf.
///
/// They lie in wide leaves, in nodes that are in no tree and lead one to the next by their
/// `parent`. Someone who knows such a node from a life before finds a key that is no
/// position's, and every leaf locked.
///
/// # Invariants
/// - `last`, the nodes it leads to and the leaves in them are this one's alone.
/// - The key of such a node is the first position of its first leaf, with [`STAGED`]. The
///   child `n` behind that is null or leads to the leaf, locked, 64 times `n`
///   positions on, and its count is the leaf's [`Slots`]. No child is behind the number of
///   children.
pub(crate) struct Staged<'a, H: Host> {
    last: Option<Ref<'a, Node<H>>>,
}

/// Which slots of a staged leaf may hold words, the first in six bits and the last in six, and
/// whether any of the words is not small.
#[derive(Clone, Copy)]
struct Slots(u16);

impl Slots {
    const LAST: u16 = 6;
    const IS_WIDE: u16 = 1 << 12;

    fn only(slot: u16) -> Self {
        Self(slot | slot << Self::LAST)
    }

    /// With one behind the last.
    fn and(self, slot: u16, word: Word) -> Self {
        let wide = if is_small(word) { self.0 & Self::IS_WIDE } else { Self::IS_WIDE };
        Self(self.0 & SLOT_MASK as u16 | slot << Self::LAST | wide)
    }

    fn first(self) -> u64 {
        u64::from(self.0) & SLOT_MASK
    }

    fn last(self) -> u64 {
        u64::from(self.0 >> Self::LAST) & SLOT_MASK
    }

    fn is_small(self) -> bool {
        self.0 & Self::IS_WIDE == 0
    }
}

impl<H: Host> Staged<'_, H> {
    pub(crate) const fn new() -> Self {
        Self { last: None }
    }
}

/// What is done with staged words. All of one [`Staged`] by one index.
impl<H: Host> Index<H> {
    /// Stages `word`, which is not null, for an entry that lies behind all that have one.
    #[inline(never)]
    pub(crate) fn stage<'a>(
        &'a self,
        staged: &mut Staged<'a, H>,
        entry: SwapEntry,
        word: Word,
        flags: AllocFlags,
    ) -> Result<()> {
        let position = entry.raw();
        // Mostly there is a leaf: what else it takes stands in a function of its own.
        if let Some(node) = staged.last {
            let within = within(node, position);
            // Relaxed: ours alone.
            let child = Child(node.child(1, within).load(Ordering::Relaxed));
            if let (Some(leaf), true) = (child.leaf(&self.memory), within < WITHIN_NODE) {
                let count = node.count(within);
                let slots = Slots(count.load(Ordering::Relaxed));
                count.store(slots.and((within & SLOT_MASK) as u16, word).0, Ordering::Relaxed);
                leaf.swap(within, word);
                return Ok(());
            }
        }
        self.stage_first(staged, position, word, flags)
    }

    /// Stages the first word of a leaf.
    #[inline(never)]
    fn stage_first<'a>(
        &'a self,
        staged: &mut Staged<'a, H>,
        position: u64,
        word: Word,
        flags: AllocFlags,
    ) -> Result<()> {
        let known = staged.last.filter(|node| within(*node, position) < WITHIN_NODE);
        let node = match known {
            Some(node) => node,
            None => self.begin_node(staged, position, flags)?,
        };
        let within = within(node, position);
        let leaf = self.begin_leaf(node, within, flags)?;
        let slot = (within & SLOT_MASK) as u16;
        node.count(within).store(Slots::only(slot).and(slot, word).0, Ordering::Relaxed);
        leaf.swap(within, word);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn begin_node<'a>(
        &'a self,
        staged: &mut Staged<'a, H>,
        position: u64,
        flags: AllocFlags,
    ) -> Result<Ref<'a, Node<H>>> {
        let node = self.memory.nodes.take(self.host(), flags).ok_or(Error::NoMemory)?;
        let node = self.memory.node(node);
        // Release on all that a late reader may find in memory that was in a tree: see
        // `Visit::valid`.
        let before = staged.last.map_or(core::ptr::null_mut(), |last| last.as_ptr().as_ptr());
        node.parent.store(before, Ordering::Release);
        node.key.store(position & !SLOT_MASK | STAGED, Ordering::Release);
        // INVARIANT: from the pool, and without a child yet.
        staged.last = Some(node);
        Ok(node)
    }

    #[inline(never)]
    fn begin_leaf<'a>(
        &'a self,
        node: Ref<'a, Node<H>>,
        within: u64,
        flags: AllocFlags,
    ) -> Result<Leaf<'a>> {
        let leaf = self.memory.take_leaf(WIDE, flags).ok_or(Error::NoMemory)?;
        // INVARIANT: of the pool, and locked. Release: as in `begin_node`.
        node.child(1, within).store(Child::locked(leaf).0, Ordering::Release);
        node.set_children((within >> FANOUT_BITS).wrapping_add(1) as u16);
        Ok(leaf)
    }

    /// Exchanges the staged words with the index's own: afterwards the index holds what
    /// was staged, and `staged` what was there. On an error the index is as before.
    #[inline(never)]
    pub(crate) fn exchange(&self, staged: &Staged<'_, H>, flags: AllocFlags) -> Result<()> {
        let mut next = staged.last;
        while let Some(node) = next {
            for number in 0..node.children() {
                if self.pin_part(node, number, flags).is_none() {
                    self.unpin_before(staged, node, number);
                    return Err(Error::NoMemory);
                }
            }
            next = self.before(node);
        }
        // Pinned leaves are there and stay: nothing fails from here on.
        let mut next = staged.last;
        while let Some(node) = next {
            (0..node.children()).for_each(|number| self.exchange_part(node, number));
            next = self.before(node);
        }
        Ok(())
    }

    /// Sees to it that the index has a leaf that holds what is staged in a node's child, and
    /// pins it; `None` where there is no memory.
    fn pin_part(&self, node: Ref<'_, Node<H>>, number: u16, flags: AllocFlags) -> Option<()> {
        let Some(part) = self.part(node, number) else { return Some(()) };
        let word = if part.is_small { core::ptr::null_mut() } else { WIDE };
        self.with_room(part.first, word, Then::Pin, flags).map(drop)
    }

    /// Takes pins back, in the order in which they were given, but for those from one on.
    #[cold]
    #[inline(never)]
    fn unpin_before(&self, staged: &Staged<'_, H>, end: Ref<'_, Node<H>>, end_number: u16) {
        let mut next = staged.last;
        while let Some(node) = next {
            for number in 0..node.children() {
                if node.as_ptr() == end.as_ptr() && number == end_number {
                    return;
                }
                if let Some(part) = self.part(node, number) {
                    self.unpin_leaf(part.first);
                }
            }
            next = self.before(node);
        }
    }

    #[inline(never)]
    fn exchange_part(&self, node: Ref<'_, Node<H>>, number: u16) {
        let Some(part) = self.part(node, number) else { return };
        let Some(mut leaf) = self.find(part.first) else { return };
        for position in part.first..=part.last {
            let word = part.leaf.load(position, Ordering::Relaxed);
            if word.is_null() {
                continue;
            }
            // The index's leaf was made to hold it, and gets no narrower while it is pinned.
            if let Ok(old) = leaf.replace(position, word) {
                part.leaf.swap(position, old);
            }
        }
        leaf.unpin();
    }

    /// Ends the staging: hands every word that is staged now, and is not small, to `each`.
    #[inline(never)]
    pub(crate) fn end_staging(&self, staged: Staged<'_, H>, mut each: impl FnMut(Word)) {
        let mut next = staged.last;
        while let Some(node) = next {
            for number in 0..node.children() {
                let Some(Part { leaf, first, last, .. }) = self.part(node, number) else {
                    continue;
                };
                for position in first..=last {
                    let word = leaf.swap(position, core::ptr::null_mut());
                    if !is_small(word) {
                        each(word);
                    }
                }
                node.child(1, first_within(number)).store(core::ptr::null_mut(), Ordering::Release);
                // SAFETY: from the leaves' pool, in no tree, and empty.
                unsafe { self.memory.give_leaf(leaf) };
            }
            next = self.before(node);
            node.set_children(0);
            node.key.store(NO_KEY, Ordering::Release);
            node.bump_version();
            // SAFETY: from the nodes' pool, in no tree, and without a child.
            unsafe { self.memory.nodes.give(self.host(), node.as_ptr()) };
        }
    }

    /// The node that was begun before another.
    fn before<'a>(&'a self, node: Ref<'a, Node<H>>) -> Option<Ref<'a, Node<H>>> {
        NonNull::new(node.parent.load(Ordering::Relaxed)).map(|node| self.memory.node(node))
    }

    /// The leaf of child `number` of a node of staged leaves.
    fn part<'a>(&'a self, node: Ref<'a, Node<H>>, number: u16) -> Option<Part<'a>> {
        let at = first_within(number);
        let leaf = Child(node.child(1, at).load(Ordering::Relaxed)).leaf(&self.memory)?;
        let slots = Slots(node.count(at).load(Ordering::Relaxed));
        let at = first_of(node).wrapping_add(at);
        let (first, last) = (at | slots.first(), at | slots.last());
        Some(Part { leaf, first, last, is_small: slots.is_small() })
    }
}

/// A staged leaf, and the positions that may have words in it.
struct Part<'a> {
    leaf: Leaf<'a>,
    first: u64,
    last: u64,
    is_small: bool,
}

/// How far behind its node's first position child `number` begins.
fn first_within(number: u16) -> u64 {
    u64::from(number).wrapping_mul(FANOUT as u64)
}

/// The first position of a node's first leaf.
fn first_of<H: Host>(node: Ref<'_, Node<H>>) -> u64 {
    // Relaxed: ours alone.
    node.key.load(Ordering::Relaxed) & !STAGED
}

/// How far a position lies behind that.
fn within<H: Host>(node: Ref<'_, Node<H>>, position: u64) -> u64 {
    position.wrapping_sub(first_of(node))
}
