//! The memory of the trees: pools of leaves and nodes, and a kit of both gathered before
//! any lock is taken.

use core::ptr::NonNull;

use super::{
    Index,
    hints::Hints,
    leaf::{Kind, Leaf, Narrow, Wide, Word, is_small},
    node::Node,
};
use crate::{
    host::{AllocFlags, Host},
    pool::{Pool, Ref, Stack},
};

/// Leaves and nodes, and the host they come from.
pub(super) struct Memory<H: Host> {
    pub(super) host: H,
    pub(super) nodes: Pool<H, Node<H>>,
    pub(super) wides: Pool<H, Wide>,
    pub(super) narrows: Pool<H, Narrow>,
    pub(super) hints: Hints<H>,
}

impl<H: Host> Memory<H> {
    pub(super) const fn new(host: H) -> Self {
        Self {
            host,
            nodes: Pool::new(),
            wides: Pool::new(),
            narrows: Pool::new(),
            hints: Hints::new(),
        }
    }

    /// The node at a pointer found in a tree, or in what was one.
    pub(super) fn node(&self, node: NonNull<Node<H>>) -> Ref<'_, Node<H>> {
        // SAFETY: such pointers are to memory of this pool (`Child`'s and `Root`'s
        // invariants), which this borrow of `self` borrows.
        unsafe { Ref::new(node) }
    }

    /// The node that was last noted for `position`, if it is the one above its leaf:
    /// [`Node::is_above`] says so. `None`: there is no word, neither
    /// here nor anywhere that shares the hint.
    #[inline]
    pub(super) fn hinted(&self, position: u64) -> Option<Ref<'_, Node<H>>> {
        NonNull::new(self.hints.get(position)).map(|node| self.node(node))
    }

    /// An empty leaf that holds `word`, narrow if that will do.
    pub(super) fn take_leaf(&self, word: Word, flags: AllocFlags) -> Option<Leaf<'_>> {
        if is_small(word) {
            if let Some(leaf) = self.narrows.take(&self.host, flags) {
                // SAFETY: from a pool that is borrowed with `self`.
                return Some(Leaf::narrow(unsafe { Ref::new(leaf) }));
            }
        }
        self.take_wide(flags).map(Leaf::wide)
    }

    /// An empty leaf that holds every word.
    #[inline]
    pub(super) fn take_wide(&self, flags: AllocFlags) -> Option<Ref<'_, Wide>> {
        let leaf = self.wides.take(&self.host, flags)?;
        // SAFETY: from a pool that is borrowed with `self`.
        Some(unsafe { Ref::new(leaf) })
    }

    /// # Safety
    /// The leaf came from [`take_leaf`](Self::take_leaf), is in no tree, and all its slots
    /// are null.
    pub(super) unsafe fn give_leaf(&self, leaf: Leaf<'_>) {
        match leaf.kind() {
            // SAFETY: the caller's promise.
            Kind::Wide(leaf) => unsafe { self.wides.give(&self.host, leaf.as_ptr()) },
            // SAFETY: the caller's promise.
            Kind::Narrow(leaf) => unsafe { self.narrows.give(&self.host, leaf.as_ptr()) },
        }
    }
}

/// The nodes and the leaf that linking one position may need, gathered ahead because
/// nothing is allocated under a lock. What is left over goes back to the pools.
pub(super) struct Kit<'a, H: Host> {
    pub(super) index: &'a Index<H>,
    nodes: Stack,
    leaf: Option<Leaf<'a>>,
}

impl<'a, H: Host> Kit<'a, H> {
    pub(super) const fn new(index: &'a Index<H>) -> Self {
        Self { index, nodes: Stack::new(), leaf: None }
    }

    /// Sees to it that the kit holds `nodes` nodes and a leaf that holds `word`.
    #[cold]
    #[inline(never)]
    pub(super) fn fill(&mut self, nodes: u32, word: Word, flags: AllocFlags) -> Option<()> {
        let Memory { host, nodes: pool, .. } = &self.index.memory;
        while self.nodes.len() < nodes as usize {
            let node = pool.take(host, flags)?;
            // SAFETY: just taken from the pool, and given to the stack here.
            unsafe { self.nodes.push(node.cast()) };
        }
        if self.leaf.is_none() {
            self.leaf = Some(self.index.memory.take_leaf(word, flags)?);
        }
        Some(())
    }

    /// Has a wide leaf for whatever comes, if one lies unused: for a guess neither the host nor the reserve is asked.
    #[cold]
    #[inline(never)]
    pub(super) fn prefer_wide(&mut self) {
        let Memory { host, wides, .. } = &self.index.memory;
        if self.leaf.is_none() {
            // SAFETY: from a pool that is borrowed with the index.
            let wide = wides.take_unused(host).map(|leaf| unsafe { Ref::new(leaf) });
            self.leaf = wide.map(Leaf::wide);
        }
    }

    pub(super) fn has(&self, nodes: u32) -> bool {
        self.nodes.len() >= nodes as usize && self.leaf.is_some()
    }

    /// Hands out a node.
    pub(super) fn node(&mut self) -> Option<Ref<'a, Node<H>>> {
        self.nodes.pop().map(|node| self.index.memory.node(node.cast()))
    }

    /// Takes back a node that was handed out, as empty as it was.
    pub(super) fn keep(&mut self, node: Ref<'a, Node<H>>) {
        // SAFETY: handed out by `node`, and given back here.
        unsafe { self.nodes.push(node.as_ptr().cast()) };
    }

    /// Hands out the leaf, if it is a wide one.
    pub(super) fn wide(&mut self) -> Option<Ref<'a, Wide>> {
        let Kind::Wide(wide) = self.leaf?.kind() else { return None };
        self.leaf = None;
        Some(wide)
    }

    /// Hands out the leaf.
    pub(super) fn leaf(&mut self) -> Option<Leaf<'a>> {
        self.leaf.take()
    }
}

impl<H: Host> Drop for Kit<'_, H> {
    #[inline]
    fn drop(&mut self) {
        if self.nodes.len() > 0 || self.leaf.is_some() {
            self.empty();
        }
    }
}

impl<H: Host> Kit<'_, H> {
    #[cold]
    #[inline(never)]
    fn empty(&mut self) {
        let Memory { host, nodes, .. } = &self.index.memory;
        while let Some(node) = self.nodes.pop() {
            // SAFETY: taken from this pool by `fill`, and as empty as it was.
            unsafe { nodes.give(host, node.cast()) };
        }
        if let Some(leaf) = self.leaf.take() {
            // SAFETY: as above.
            unsafe { self.index.memory.give_leaf(leaf) };
        }
    }
}
