//! Growing a tree: room for a word where there is none.

use core::ptr::NonNull;

use super::{
    Index,
    guard::{LeafGuard, PIN},
    leaf::{Leaf, Word},
    memory::Kit,
    node::{Child, Node, key, level_for},
    tree::Place,
};
use crate::{
    entry::OFFSET_MAX,
    host::{AllocFlags, Host},
    pool::Ref,
    sync::{Ordering, spin_loop},
};

/// What to do once there is room for a word.
#[derive(Clone, Copy)]
pub(super) enum Then {
    /// Put it there.
    Replace,
    /// Keep the leaf, for it to be put there later.
    Pin,
}

/// What to do at a position once there is room, and the memory gathered for that.
struct Job<'a, H: Host> {
    position: u64,
    word: Word,
    then: Then,
    kit: Kit<'a, H>,
}

impl<H: Host> Index<H> {
    /// Does `then` under the lock of the leaf of `position` once it can hold `word`: links
    /// one where there is none, widens one that is too narrow. Returns the word that was
    /// replaced, or null; `None`, and the index is as before, where there is no memory.
    // What it calls is not inlined: none needs stack while another does.
    #[inline(never)]
    pub(super) fn with_room(
        &self,
        position: u64,
        word: Word,
        then: Then,
        flags: AllocFlags,
    ) -> Option<Word> {
        let mut job = Job { position, word, then, kit: Kit::new(self) };
        loop {
            match self.walk(position) {
                Place::Child(visit) => match visit.child.leaf(&self.memory) {
                    Some(_) if !visit.is_unlocked_leaf() => {}
                    Some(leaf) if leaf.holds(word) => {
                        if let Some(done) = job.do_there(visit.node, leaf) {
                            return done;
                        }
                    }
                    Some(leaf) => {
                        job.kit.fill(0, word, flags)?;
                        if let Some(done) = job.widen(visit.node, leaf) {
                            return done;
                        }
                    }
                    None if visit.valid() => {
                        if visit.is_behind_large(position, &self.memory) {
                            job.kit.prefer_wide();
                        }
                        job.kit.fill(visit.level.wrapping_sub(1), word, flags)?;
                        if job.link(visit.node, visit.level) {
                            return Some(core::ptr::null_mut());
                        }
                    }
                    None => {}
                },
                Place::Empty => {
                    let level = level_for(position & OFFSET_MAX);
                    job.kit.fill(level, word, flags)?;
                    if job.plant(level) {
                        return Some(core::ptr::null_mut());
                    }
                }
                Place::TooLow(top, level) => {
                    // One node to grow by; those below it are asked for once it stands,
                    // so ask for all now: an error must leave the tree as it was.
                    let target = level_for(position & OFFSET_MAX);
                    let nodes = target.wrapping_sub(level).wrapping_add(target.wrapping_sub(1));
                    job.kit.fill(nodes, word, flags)?;
                    job.grow(top, level);
                }
            }
            spin_loop();
        }
    }
}

impl<'a, H: Host> Job<'a, H> {
    /// Locks the leaf that a visit found and does the job there.
    #[inline(never)]
    fn do_there(&self, node: Ref<'a, Node<H>>, leaf: Leaf<'a>) -> Option<Option<Word>> {
        let guard = self.kit.index.lock(node, leaf, self.position)?;
        Some(self.do_in(guard))
    }

    /// Does the job in a leaf that holds the word, and unlocks it.
    fn do_in(&self, guard: LeafGuard<'a, H>) -> Option<Word> {
        match self.then {
            // The leaf was seen to hold it, and gets no narrower.
            Then::Replace => guard.replace_known(self.position, self.word),
            Then::Pin => guard.pin().then_some(core::ptr::null_mut()),
        }
    }

    /// Locks the leaf that a visit found, puts the kit's in its place, and does the job there.
    #[inline(never)]
    fn widen(&mut self, node: Ref<'a, Node<H>>, leaf: Leaf<'a>) -> Option<Option<Word>> {
        let index = self.kit.index;
        let mut guard = index.lock(node, leaf, self.position)?;
        let Some(narrow) = guard.widen(|| self.kit.wide()) else {
            guard.unlock();
            return None;
        };
        let done = self.do_in(guard);
        // SAFETY: a leaf of this index's, out of the tree, and emptied.
        unsafe { index.memory.give_leaf(narrow) };
        Some(done)
    }

    /// Links a chain of nodes and a leaf, with the job done in it, under the null child of a node
    /// of `level`; true if it was null still.
    #[inline(never)]
    fn link(&mut self, node: Ref<'a, Node<H>>, level: u32) -> bool {
        let _state = node.get().state.lock(self.kit.index.host());
        let word = node.child(level, self.position);
        // Acquire: it got its key behind all that is in it, of this life. With `state` held, it stays
        // where it is.
        if node.key.load(Ordering::Acquire) != key(level, self.position) {
            return false;
        }
        // Relaxed: it changes from null under `state` only.
        if !word.load(Ordering::Relaxed).is_null() {
            return false;
        }
        let Some(chain) = self.chain(level, Some(node)) else { return false };
        node.add_child();
        // Release: publishes the chain. INVARIANT: null to a child under `state`.
        word.store(chain.child.0, Ordering::Release);
        self.give_keys(chain);
        true
    }

    /// Makes a chain with a leaf, with the job done in it, the whole tree, where the tree is
    /// empty; true if it was.
    #[inline(never)]
    fn plant(&mut self, level: u32) -> bool {
        let index = self.kit.index;
        let root = index.root(self.position);
        let _root = root.lock.lock(index.host());
        if !root.top.load(Ordering::Relaxed).is_null() {
            return false;
        }
        let Some(chain) = self.chain(level.wrapping_add(1), None) else { return false };
        let Some(top) = chain.top else { return false };
        root.store_top(top, level);
        self.give_keys(chain);
        true
    }

    /// Puts one node above the top, so that the tree holds higher offsets.
    #[inline(never)]
    fn grow(&mut self, old: Ref<'a, Node<H>>, level: u32) {
        let index = self.kit.index;
        let root = index.root(self.position);
        let Some(node) = self.kit.node() else { return };
        {
            // Whoever takes `old` out finds its parent as soon as `old` names it. This keeps them
            // from the node until it has its key: else it would get one after it had died.
            let _state = node.get().state.lock(index.host());
            let _root = root.lock.lock(index.host());
            if root.is_top(&index.memory, old, level) {
                let first = self.position & !OFFSET_MAX;
                let level = level.wrapping_add(1);
                node.parent.store(core::ptr::null_mut(), Ordering::Relaxed);
                // Release: as in `chain`.
                node.child(level, first).store(Child::from_node(old.as_ptr()).0, Ordering::Release);
                node.add_child();
                // A remover of `old` that waits for the root's lock looks at the parent again
                // once it has it. Release: it locks the parent next.
                old.parent.store(node.as_ptr().as_ptr(), Ordering::Release);
                root.store_top(node, level);
                // INVARIANT: keyed once linked.
                node.key.store(key(level, first), Ordering::Release);
                return;
            }
        }
        self.kit.keep(node);
    }

    /// A chain to be linked below a node of level `above`, the job done in its leaf. Empty-handed
    /// where the kit is short, which callers have seen to.
    fn chain(&mut self, above: u32, parent: Option<Ref<'a, Node<H>>>) -> Option<Chain<'a, H>> {
        if !self.kit.has(above.wrapping_sub(1)) {
            return None;
        }
        let position = self.position;
        let mut top = None;
        let mut lowest = parent;
        let mut level = above.wrapping_sub(1);
        while level > 0 {
            let node = self.kit.node()?;
            node.parent.store(
                lowest.map_or(core::ptr::null_mut(), |p| p.as_ptr().as_ptr()),
                Ordering::Relaxed,
            );
            node.add_child();
            if let (Some(_), Some(upper)) = (top, lowest) {
                let child = Child::from_node(node.as_ptr());
                // Release, here and below: a late reader may know these nodes from a life before.
                upper.child(level.wrapping_add(1), position).store(child.0, Ordering::Release);
            }
            top = top.or(Some(node));
            lowest = Some(node);
            level = level.wrapping_sub(1);
        }
        let leaf = self.kit.leaf()?;
        let node = lowest?;
        // INVARIANT: noted before the leaf's word can be found.
        let hints = &self.kit.index.memory.hints;
        match top {
            // Locked by the caller.
            None => hints.note(position, node.as_ptr()),
            Some(_) => hints.add(position, node.as_ptr()),
        }
        // Nobody else knows of the leaf, and with its word null nobody else uses the count.
        // INVARIANT: above 0, as it must be for a leaf that is not locked.
        let count = match self.then {
            Then::Replace => {
                leaf.swap(position, self.word);
                1
            }
            Then::Pin => PIN,
        };
        node.count(position).store(count, Ordering::Relaxed);
        let word = Child::free(leaf);
        let child = match top {
            None => word,
            Some(top) => {
                // Or lock the leaf: it must see then that the node's key is another.
                node.child(1, position).store(word.0, Ordering::Release);
                Child::from_node(top.as_ptr())
            }
        };
        Some(Chain { child, top, node })
    }

    /// Gives a chain's nodes their keys, now that they are linked. The place above is locked.
    fn give_keys(&self, chain: Chain<'a, H>) {
        // The node above the chain has its key already.
        let Some(top) = chain.top else { return };
        // The leaf's own node comes last: until it has its key nobody can lock the leaf, so
        // nobody takes the chain apart again while this goes through it.
        let mut node = chain.node;
        let mut level = 1u32;
        while node.as_ptr() != top.as_ptr() {
            let Some(parent) = NonNull::new(node.parent.load(Ordering::Relaxed)) else { break };
            node = self.kit.index.memory.node(parent);
            level = level.wrapping_add(1);
            // Release: publishes the node to readers that got hold of it before.
            node.key.store(key(level, self.position), Ordering::Release);
        }
        // Release: as above.
        chain.node.key.store(key(1, self.position), Ordering::Release);
    }
}

/// Nodes that lead to one leaf, laid down to be linked in one step: a tree never
/// shows a node that leads nowhere, nor a leaf that is empty.
struct Chain<'a, H: Host> {
    /// What the place above links to.
    child: Child,
    /// The highest node, unless the place above is the leaf's own node.
    top: Option<Ref<'a, Node<H>>>,
    /// The leaf's node, the place above or the lowest of the chain.
    node: Ref<'a, Node<H>>,
}
