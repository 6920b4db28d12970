//! The radix trees: walking one without locks, and locking the leaf that a walk found.
//! [`super::grow`] and [`super::shrink`] change it, node by node.
//!
//! Lock order: a leaf's, then its node's `state`, then the `state` of the
//! parent, and so on up to the root's. Never the other way; a walk down holds none.

use core::ptr::NonNull;

use super::{
    Index, Lead,
    guard::LeafGuard,
    leaf::{Leaf, Word},
    memory::Memory,
    node::{Child, FANOUT, Node, below, child_number, key},
};
use crate::{
    entry::{OFFSET_BITS, OFFSET_MAX, TYPES},
    host::{Entered, Host, Lock},
    pool::Ref,
    sync::{AtomicPtr, Ordering, fence, spin_loop},
};

/// The top of one tree.
///
/// # Invariants
/// `top` is null or a node of the pool, its level in the bits that alignment leaves
/// free. It changes under `lock` only.
pub(crate) struct Root<H: Host> {
    pub(super) top: AtomicPtr<Node<H>>,
    pub(super) lock: Lock<H, ()>,
}

/// Where a walk ended.
pub(super) enum Place<'a, H: Host> {
    /// At the child word of a node: a leaf, or null.
    Child(Visit<'a, H>),
    /// The tree is empty.
    Empty,
    /// The tree is too low for the position; its top and level.
    TooLow(Ref<'a, Node<H>>, u32),
}

/// A look at one child word, to be believed only once it is [`valid`](Self::valid).
pub(super) struct Visit<'a, H: Host> {
    pub(super) node: Ref<'a, Node<H>>,
    pub(super) level: u32,
    pub(super) child: Child,
    version: u64,
    keyed: bool,
}

impl<'a, H: Host> Visit<'a, H> {
    /// A look at a child of a node of level 1 that had the key of the position.
    pub(super) fn keyed(node: Ref<'a, Node<H>>, child: Child, version: u64) -> Self {
        Self { node, level: 1, child, version, keyed: true }
    }
}

impl<H: Host> Visit<'_, H> {
    /// True if all that was read since the visit began was in the tree at one moment.
    ///
    /// Having seen the node's key, and no change of its version from before to after,
    /// says: the node was at this position all along and unlinked no child, so the
    /// child it led to was its child all along. A node or leaf that was unlinked has
    /// its node's version raised (with Release) before its memory is used again, and
    /// whatever a reader finds in reused memory was stored after that (with Release
    /// too); having loaded such a value with Acquire, the fence here makes sure that the
    /// raised version is seen.
    pub(super) fn valid(&self) -> bool {
        fence(Ordering::Acquire);
        self.keyed && self.node.version.load(Ordering::Relaxed) == self.version
    }

    /// True if the leaf before the one that is missing has large words at its end. A hint: that leaf may be another's by now, and
    /// nothing of what is read there is used.
    // Not inlined: who asks has no stack left for it.
    #[inline(never)]
    pub(super) fn is_behind_large(&self, position: u64, memory: &Memory<H>) -> bool {
        // A node's first leaf has none before it there.
        if self.level > 1 || child_number(1, position) == 0 {
            return false;
        }
        let before = self.node.child(1, position.wrapping_sub(FANOUT as u64));
        // Acquire: what is found there was laid down before it was linked.
        let before = Child(before.load(Ordering::Acquire)).leaf(memory);
        before.is_some_and(Leaf::ends_large)
    }

    /// True if it saw a leaf that can be locked.
    pub(super) fn is_unlocked_leaf(&self) -> bool {
        self.level == 1 && self.child.is_free()
    }

    /// The first position after the visited one that may have a leaf: under the next child of
    /// the node that is not null, or behind the node. `None` behind the last offset.
    fn skip_absent(&self, position: u64) -> Option<u64> {
        // Positions under one child of this node, less one.
        let span = below(self.level.wrapping_sub(1));
        let mut next = position | span;
        let mut number = child_number(self.level, position).wrapping_add(1);
        while number < FANOUT as u64 {
            let candidate = next.wrapping_add(1);
            let child = self.node.child(self.level, candidate).load(Ordering::Acquire);
            if !child.is_null() {
                break;
            }
            next = candidate | span;
            number = number.wrapping_add(1);
        }
        // The top level's children go beyond the last offset: behind it lies nothing.
        if next & OFFSET_MAX == OFFSET_MAX { None } else { Some(next.wrapping_add(1)) }
    }
}

/// A look at a leaf, for words of it one after the other, each to be believed by itself.
pub(super) struct View<'a, H: Host> {
    visit: Visit<'a, H>,
    leaf: Leaf<'a>,
}

impl<'a, H: Host> View<'a, H> {
    /// `leaf` is the one that the visit saw.
    pub(super) fn new(visit: Visit<'a, H>, leaf: Leaf<'a>) -> Self {
        Self { visit, leaf }
    }

    /// Where it looks.
    pub(super) fn lead(&self) -> Lead<'a, H> {
        Lead { node: self.visit.node, leaf: self.leaf }
    }

    /// The word at `position`, which is one of the leaf's, or null; `None` where the visit is not
    /// valid any more.
    #[inline]
    pub(super) fn get(&self, position: u64) -> Option<Word> {
        // Acquire: what the word refers to was stored before it.
        let word = self.leaf.load(position, Ordering::Acquire);
        self.visit.valid().then_some(word)
    }
}

impl<H: Host> Root<H> {
    pub(super) const fn new() -> Self {
        Self { top: AtomicPtr::new(core::ptr::null_mut()), lock: Lock::new(()) }
    }

    pub(super) fn load_top<'a>(&self, memory: &'a Memory<H>) -> Option<(Ref<'a, Node<H>>, u32)> {
        // Acquire: the node was laid down before it became the top.
        let top = self.top.load(Ordering::Acquire);
        let node = NonNull::new(top.map_addr(|a| a & !63))?;
        Some((memory.node(node), (top.addr() & 63) as u32))
    }

    pub(super) fn store_top(&self, node: Ref<'_, Node<H>>, level: u32) {
        // INVARIANT: levels are at most 9. Release: publishes the node's contents.
        let top = node.as_ptr().as_ptr().map_addr(|a| a | level as usize);
        self.top.store(top, Ordering::Release);
    }

    pub(super) fn is_top(&self, memory: &Memory<H>, node: Ref<'_, Node<H>>, level: u32) -> bool {
        self.load_top(memory)
            .is_some_and(|(top, now)| top.as_ptr() == node.as_ptr() && now == level)
    }
}

impl<H: Host> Index<H> {
    /// The tree of a position.
    pub(super) fn root(&self, position: u64) -> &Root<H> {
        let [first, ..] = &self.roots;
        // In bounds by the remainder.
        &self.roots.get((position >> OFFSET_BITS) as usize % TYPES).unwrap_or(first).0
    }

    /// Follows the children to where `position` would be. Takes no lock; what it
    /// returns may be out of date or plain wrong until validated.
    #[inline]
    pub(super) fn walk(&self, position: u64) -> Place<'_, H> {
        let top = self.root(position).load_top(&self.memory);
        let Some((mut node, mut level)) = top else { return Place::Empty };
        if position & OFFSET_MAX > below(level) {
            return Place::TooLow(node, level);
        }
        loop {
            // Acquire on all three, and in this order: see `Visit::valid`.
            let version = node.version.load(Ordering::Acquire);
            let keyed = node.key.load(Ordering::Acquire) == key(level, position);
            let child = Child(node.child(level, position).load(Ordering::Acquire));
            match child.node() {
                // A reused node's children may lie at any level; the count down ends
                // the walk all the same.
                Some(below) if level > 1 => {
                    node = self.memory.node(below);
                    level = level.wrapping_sub(1);
                }
                _ => {
                    return Place::Child(Visit { node, level, child, version, keyed });
                }
            }
        }
    }

    /// The word at `position`, null where there is none. Takes no lock.
    #[inline(never)]
    pub(super) fn walk_to(&self, position: u64) -> Word {
        loop {
            let Place::Child(visit) = self.walk(position) else {
                return core::ptr::null_mut();
            };
            let word = match visit.child.leaf(&self.memory) {
                // Acquire: what the word refers to was stored before it.
                Some(leaf) => leaf.load(position, Ordering::Acquire),
                None => core::ptr::null_mut(),
            };
            if visit.valid() {
                return word;
            }
            spin_loop();
        }
    }

    /// A look at the leaf of `position` that was valid, if there is one. Takes no lock.
    #[inline(never)]
    pub(super) fn walk_to_view(&self, position: u64) -> Option<View<'_, H>> {
        loop {
            let Place::Child(visit) = self.walk(position) else { return None };
            let leaf = visit.child.leaf(&self.memory);
            if visit.valid() {
                return leaf.map(|leaf| View::new(visit, leaf));
            }
            spin_loop();
        }
    }

    /// The leaf of `position`, if there is one, and the node above it. It was not locked, and was
    /// in the tree if it can be locked.
    #[inline(never)]
    pub(super) fn walk_to_leaf(&self, position: u64) -> Option<(Ref<'_, Node<H>>, Leaf<'_>)> {
        loop {
            let Place::Child(visit) = self.walk(position) else { return None };
            match visit.child.leaf(&self.memory) {
                Some(leaf) if visit.is_unlocked_leaf() => return Some((visit.node, leaf)),
                None if visit.valid() => return None,
                _ => {}
            }
            spin_loop();
        }
    }

    /// Locks the leaf of `position`, if there is one that is not locked.
    /// `Err` where it is, or where the tree changed meanwhile.
    // Not inlined: a guard's making takes more stack than the guard.
    #[inline(never)]
    pub(super) fn try_find(
        &self,
        position: u64,
    ) -> core::result::Result<Option<LeafGuard<'_, H>>, ()> {
        let Place::Child(visit) = self.walk(position) else { return Ok(None) };
        match visit.child.leaf(&self.memory) {
            Some(leaf) if visit.is_unlocked_leaf() => {
                self.lock(visit.node, leaf, position).map(Some).ok_or(())
            }
            Some(_) => Err(()),
            None if visit.valid() => Ok(None),
            None => Err(()),
        }
    }

    /// Locks the leaf of `position`, to which `node` led, if it is not locked and in the tree
    /// still.
    #[inline]
    pub(super) fn lock<'a>(
        &'a self,
        node: Ref<'a, Node<H>>,
        leaf: Leaf<'a>,
        position: u64,
    ) -> Option<LeafGuard<'a, H>> {
        let unlocked = Child::free(leaf);
        let entered = Entered::new(self.host());
        let word = node.get().child(1, position);
        // Acquire: pairs with the Release of the last holder's unlocking, and of linking.
        word.compare_exchange(
            unlocked.0,
            Child::locked(leaf).0,
            Ordering::Acquire,
            Ordering::Relaxed,
        )
        .ok()?;
        // A leaf of the node is locked.
        if node.still_above(position) {
            return Some(LeafGuard::new(self, node, leaf, position, entered));
        }
        // The node was reused: this is the leaf of another position.
        word.store(unlocked.0, Ordering::Release);
        None
    }

    /// Locks the first leaf that holds positions from `first` on, up to `last`, which is of the
    /// same tree: the guard's position is the first of them.
    #[inline(never)]
    pub(super) fn next_leaf(&self, first: u64, last: u64) -> Option<LeafGuard<'_, H>> {
        let mut position = first;
        while position <= last {
            // An empty or a low tree ends the search.
            let Place::Child(visit) = self.walk(position) else { return None };
            match visit.child.leaf(&self.memory) {
                Some(leaf) if visit.is_unlocked_leaf() => {
                    if let Some(guard) = self.lock(visit.node, leaf, position) {
                        return Some(guard);
                    }
                }
                Some(_) => {}
                None => {
                    let next = visit.skip_absent(position);
                    if visit.valid() {
                        position = next?;
                        continue;
                    }
                }
            }
            spin_loop();
        }
        None
    }
}
