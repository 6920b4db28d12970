//! All or nothing for a range of entries.

use core::{ops::RangeInclusive, ptr::NonNull};

use super::{
    Index,
    leaf::{Kind, Leaf, Wide, Word, is_small},
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
/// They lie in wide leaves. All but the leaf at hand lie in nodes that are in no tree and lead one
/// to the next by their `parent`: a folio mostly needs none. Someone who knows such a node from a
/// life before finds a key that is no position's, and every leaf locked.
///
/// # Invariants
/// - `last`, the nodes it leads to, the leaves in them and that of `at_hand` are this one's alone.
/// - The key of such a node is the first position of its first leaf, with [`STAGED`]. The
///   child `n` behind that is null or leads to the leaf, locked, 64 times `n`
///   positions on, and its count is the leaf's [`Slots`]. No child is behind the number of
///   children.
pub(crate) struct Staged<'a, H: Host> {
    last: Option<Ref<'a, Node<H>>>,
    at_hand: Option<Part<'a>>,
}

/// A staged leaf, and the positions that may have words in it, all of it one leaf's.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) leaf: Ref<'a, Wide>,
    pub(super) first: u64,
    pub(super) last: u64,
    /// None of the words is larger.
    is_small: bool,
}

impl Part<'_> {
    /// Puts a word behind all others; false where the position is not of this leaf.
    #[inline]
    fn put(&mut self, position: u64, word: Word) -> bool {
        let here = (self.first ^ position) < FANOUT as u64;
        if here {
            self.leaf.get().put(position, word);
            self.last = position;
            self.is_small &= is_small(word);
        }
        here
    }

    /// Which eights of slots may have words.
    pub(super) fn eights(&self) -> RangeInclusive<usize> {
        let eight = |position: u64| (position & SLOT_MASK) as usize >> 3;
        eight(self.first)..=eight(self.last)
    }

    /// A word that a leaf holds which holds all of these.
    pub(super) fn largest(&self) -> Word {
        if self.is_small { core::ptr::null_mut() } else { WIDE }
    }
}

/// [`Part`]'s positions and whether all words are small, as a node keeps them of a leaf: the first slot in six bits,
/// the last in six.
#[derive(Clone, Copy)]
struct Slots(u16);

impl Slots {
    const LAST: u16 = 6;
    const IS_SMALL: u16 = 1 << 12;

    fn of(part: &Part<'_>) -> Self {
        let small = if part.is_small { Self::IS_SMALL } else { 0 };
        let slot = |position| (position & SLOT_MASK) as u16;
        Self(slot(part.first) | slot(part.last) << Self::LAST | small)
    }

    fn first(self) -> u64 {
        u64::from(self.0) & SLOT_MASK
    }

    fn last(self) -> u64 {
        u64::from(self.0 >> Self::LAST) & SLOT_MASK
    }

    fn is_small(self) -> bool {
        self.0 & Self::IS_SMALL != 0
    }
}

impl<H: Host> Staged<'_, H> {
    pub(crate) const fn new() -> Self {
        Self { last: None, at_hand: None }
    }
}

/// What is done with staged words. All of one [`Staged`] by one index.
impl<H: Host> Index<H> {
    /// Stages `word`, which is not null, for an entry that lies behind all that have one.
    #[inline(always)]
    pub(crate) fn stage<'a>(
        &'a self,
        staged: &mut Staged<'a, H>,
        entry: SwapEntry,
        word: Word,
        flags: AllocFlags,
    ) -> Result<()> {
        let position = entry.raw();
        let part = staged.at_hand.as_mut();
        if part.is_some_and(|part| part.put(position, word)) {
            return Ok(());
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
        if let Some(part) = staged.at_hand {
            self.lay_by(staged, &part, flags)?;
            staged.at_hand = None;
        }
        let leaf = self.memory.take_wide(flags).ok_or(Error::NoMemory)?;
        leaf.get().put(position, word);
        let is_small = is_small(word);
        // INVARIANT: from the pool.
        staged.at_hand = Some(Part { leaf, first: position, last: position, is_small });
        Ok(())
    }

    /// Puts the leaf at hand into a node.
    fn lay_by<'a>(
        &'a self,
        staged: &mut Staged<'a, H>,
        part: &Part<'a>,
        flags: AllocFlags,
    ) -> Result<()> {
        let known = staged.last.filter(|node| within(*node, part.first) < WITHIN_NODE);
        let node = match known {
            Some(node) => node,
            None => self.begin_node(staged, part.first, flags)?,
        };
        let within = within(node, part.first);
        node.count(within).store(Slots::of(part).0, Ordering::Relaxed);
        // INVARIANT: of the pool, and locked. Release: as in `begin_node`.
        let child = Child::locked(Leaf::wide(part.leaf));
        node.child(1, within).store(child.0, Ordering::Release);
        node.set_children((within >> FANOUT_BITS).wrapping_add(1) as u16);
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

    /// Exchanges the staged words with the index's own: afterwards the index holds what
    /// was staged, and `staged` what was there; whether that is anything. On an error the index is as before.
    #[inline(never)]
    pub(crate) fn exchange(&self, staged: &Staged<'_, H>, flags: AllocFlags) -> Result<bool> {
        // A folio in one leaf that is there, mostly.
        if let (None, Some(part)) = (staged.last, &staged.at_hand) {
            let leaf = self.lock_known(part.first);
            if let Some(replaced) = leaf.and_then(|leaf| leaf.exchange_known(part)) {
                return Ok(replaced);
            }
        }
        let mut pinned = 0usize;
        for part in self.parts(staged) {
            if self.pin_leaf(part.first, part.largest(), flags).is_none() {
                self.parts(staged).take(pinned).for_each(|part| self.unpin_leaf(part.first));
                return Err(Error::NoMemory);
            }
            pinned = pinned.wrapping_add(1);
        }
        // Pinned leaves are there and stay, and get no narrower: nothing fails from here on.
        let mut replaced = false;
        for part in self.parts(staged) {
            replaced |= self.find(part.first).is_some_and(|leaf| leaf.exchange_pinned(&part));
        }
        Ok(replaced)
    }

    /// Ends the staging: hands every word that is staged now, and is not small, to `each`; `empty` if none is.
    #[inline(never)]
    pub(crate) fn end_staging(
        &self,
        staged: Staged<'_, H>,
        empty: bool,
        mut each: impl FnMut(Word),
    ) {
        if !empty {
            self.parts(&staged).for_each(|part| part.leaf.get().empty(part.eights(), &mut each));
        }
        if let Some(part) = staged.at_hand {
            // SAFETY: from the leaves' pool, in no tree, and empty.
            unsafe { self.memory.give_leaf(Leaf::wide(part.leaf)) };
        }
        let mut next = staged.last;
        while let Some(node) = next {
            next = self.before(node);
            self.end_node(node);
        }
    }

    #[cold]
    #[inline(never)]
    fn end_node(&self, node: Ref<'_, Node<H>>) {
        for number in 0..node.children() {
            if let Some(part) = self.part(node, number) {
                node.child(1, first_within(number)).store(core::ptr::null_mut(), Ordering::Release);
                // SAFETY: from the leaves' pool, in no tree, and empty.
                unsafe { self.memory.give_leaf(Leaf::wide(part.leaf)) };
            }
        }
        node.set_children(0);
        node.key.store(NO_KEY, Ordering::Release);
        node.bump_version();
        // SAFETY: from the nodes' pool, in no tree, and without a child.
        unsafe { self.memory.nodes.give(self.host(), node.as_ptr()) };
    }

    /// The staged leaves.
    fn parts<'a>(&'a self, staged: &Staged<'a, H>) -> impl Iterator<Item = Part<'a>> {
        let (mut node, mut number, mut at_hand) = (staged.last, 0, staged.at_hand);
        core::iter::from_fn(move || {
            while let Some(here) = node {
                if number == here.children() {
                    (node, number) = (self.before(here), 0);
                    continue;
                }
                let part = self.part(here, number);
                number = number.wrapping_add(1);
                if part.is_some() {
                    return part;
                }
            }
            at_hand.take()
        })
    }

    /// The node that was begun before another.
    fn before<'a>(&'a self, node: Ref<'a, Node<H>>) -> Option<Ref<'a, Node<H>>> {
        NonNull::new(node.parent.load(Ordering::Relaxed)).map(|node| self.memory.node(node))
    }

    /// The leaf of child `number` of a node of staged leaves.
    fn part<'a>(&'a self, node: Ref<'a, Node<H>>, number: u16) -> Option<Part<'a>> {
        let at = first_within(number);
        let leaf = Child(node.child(1, at).load(Ordering::Relaxed)).leaf(&self.memory)?;
        let Kind::Wide(leaf) = leaf.kind() else { return None };
        let slots = Slots(node.count(at).load(Ordering::Relaxed));
        let at = first_of(node).wrapping_add(at);
        let (first, last) = (at | slots.first(), at | slots.last());
        Some(Part { leaf, first, last, is_small: slots.is_small() })
    }
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
