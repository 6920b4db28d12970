//! Growing a tree: room for a word where there is none.

use core::ptr::NonNull;

use super::{
    guard::PIN,
    leaf::Word,
    memory::{Kit, Memory},
    node::{Child, Node, key, level_for},
    tree::{Place, Root, Visit},
};
use crate::{
    entry::OFFSET_MAX,
    error::Result,
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

/// What to do at a position once there is room.
#[derive(Clone, Copy)]
pub(super) struct Job {
    pub(super) position: u64,
    pub(super) word: Word,
    pub(super) then: Then,
}

impl<H: Host> Root<H> {
    /// Does `then` under the lock of the leaf of `position` once it can hold `word`: links
    /// one where there is none, widens one that is too narrow. Returns the word that was
    /// replaced, or null.
    #[inline(never)]
    pub(super) fn with_room<'a>(
        &'a self,
        shared: &'a Memory<H>,
        position: u64,
        word: Word,
        then: Then,
        flags: AllocFlags,
    ) -> Result<Word> {
        let mut kit = Kit::new(shared);
        let job = Job { position, word, then };
        loop {
            let done = match self.walk(shared, position) {
                Place::Child(visit) => match visit.child.leaf(shared) {
                    Some(leaf) if leaf.holds(word) => self.do_there(shared, &visit, job),
                    Some(_) => {
                        kit.fill(0, word, flags)?;
                        self.widen(shared, &visit, &mut kit, job)
                    }
                    None if visit.valid() => {
                        kit.fill(visit.level.wrapping_sub(1), word, flags)?;
                        self.link(shared, &visit, &mut kit, job)
                    }
                    None => None,
                },
                Place::Empty => {
                    let level = level_for(position & OFFSET_MAX);
                    kit.fill(level, word, flags)?;
                    self.plant(shared, level, &mut kit, job)
                }
                Place::TooLow(top, level) => {
                    // One node to grow by; those below it are asked for once it stands,
                    // so ask for all now: an error must leave the tree as it was.
                    let target = level_for(position & OFFSET_MAX);
                    let nodes = target.wrapping_sub(level).wrapping_add(target.wrapping_sub(1));
                    kit.fill(nodes, word, flags)?;
                    self.grow(shared, top, level, position, &mut kit);
                    None
                }
            };
            if let Some(result) = done {
                return result;
            }
            spin_loop();
        }
    }

    /// Locks the leaf and does the job there.
    #[inline(never)]
    fn do_there<'a>(
        &'a self,
        shared: &'a Memory<H>,
        visit: &Visit<'a, H>,
        job: Job,
    ) -> Option<Result<Word>> {
        self.try_lock(shared, visit).map(|guard| guard.finish(job))
    }

    /// Locks a leaf, puts the kit's in its place, and does the job there.
    #[inline(never)]
    fn widen<'a>(
        &'a self,
        shared: &'a Memory<H>,
        visit: &Visit<'a, H>,
        kit: &mut Kit<'a, H>,
        job: Job,
    ) -> Option<Result<Word>> {
        let wide = kit.leaf()?;
        match self.try_lock(shared, visit) {
            Some(mut guard) => {
                guard.widen(wide);
                Some(guard.finish(job))
            }
            None => {
                kit.put_back(wide);
                None
            }
        }
    }

    /// Links a chain of nodes and a leaf, with the job done in it, under the null child that
    /// `visit` saw.
    #[inline(never)]
    fn link<'a>(
        &'a self,
        shared: &'a Memory<H>,
        visit: &Visit<'a, H>,
        kit: &mut Kit<'a, H>,
        job: Job,
    ) -> Option<Result<Word>> {
        let _state = visit.node.state.lock(&shared.host);
        let word = visit.node.child(visit.level, visit.position);
        // Relaxed: it changes from null under `state` only.
        if !visit.still_placed() || !word.load(Ordering::Relaxed).is_null() {
            return None;
        }
        let chain = Chain::build(visit.level, Some(visit.node), kit, job)?;
        visit.node.add_child();
        // Release: publishes the chain. INVARIANT: null to a child under `state`.
        word.store(chain.child.0, Ordering::Release);
        chain.give_keys(shared, job.position);
        Some(Ok(core::ptr::null_mut()))
    }

    /// Makes a chain with a leaf, with the job done in it, the whole tree, where the tree is
    /// empty.
    #[inline(never)]
    fn plant<'a>(
        &'a self,
        shared: &'a Memory<H>,
        level: u32,
        kit: &mut Kit<'a, H>,
        job: Job,
    ) -> Option<Result<Word>> {
        let _root = self.lock.lock(&shared.host);
        if !self.top.load(Ordering::Relaxed).is_null() {
            return None;
        }
        let chain = Chain::build(level.wrapping_add(1), None, kit, job)?;
        self.store_top(chain.top?, level);
        chain.give_keys(shared, job.position);
        Some(Ok(core::ptr::null_mut()))
    }

    /// Puts one node above the top, so that the tree holds higher offsets.
    #[inline(never)]
    fn grow(
        &self,
        shared: &Memory<H>,
        old: Ref<'_, Node<H>>,
        level: u32,
        position: u64,
        kit: &mut Kit<'_, H>,
    ) {
        let _root = self.lock.lock(&shared.host);
        if !self.is_top(shared, old, level) {
            return;
        }
        let Some(node) = kit.node() else { return };
        let first = position & !OFFSET_MAX;
        let level = level.wrapping_add(1);
        node.parent.store(core::ptr::null_mut(), Ordering::Relaxed);
        node.child(level, first).store(Child::from_node(old.as_ptr()).0, Ordering::Relaxed);
        node.add_child();
        // A remover of `old` that waits for the root's lock looks at the parent again
        // once it has it. Release: it locks the parent next.
        old.parent.store(node.as_ptr().as_ptr(), Ordering::Release);
        self.store_top(node, level);
        // INVARIANT: keyed once linked.
        node.key.store(key(level, first), Ordering::Release);
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

impl<'a, H: Host> Chain<'a, H> {
    /// A chain to be linked below a node of level `above`, the job done in its leaf. Empty-handed
    /// where the kit is short, which callers have seen to.
    fn build(
        above: u32,
        parent: Option<Ref<'a, Node<H>>>,
        kit: &mut Kit<'a, H>,
        job: Job,
    ) -> Option<Self> {
        if !kit.has(above.wrapping_sub(1)) {
            return None;
        }
        let position = job.position;
        let mut top = None;
        let mut lowest = parent;
        let mut level = above.wrapping_sub(1);
        while level > 0 {
            let node = kit.node()?;
            node.parent.store(
                lowest.map_or(core::ptr::null_mut(), |p| p.as_ptr().as_ptr()),
                Ordering::Relaxed,
            );
            node.add_child();
            if let (Some(_), Some(upper)) = (top, lowest) {
                let child = Child::from_node(node.as_ptr());
                upper.child(level.wrapping_add(1), position).store(child.0, Ordering::Relaxed);
            }
            top = top.or(Some(node));
            lowest = Some(node);
            level = level.wrapping_sub(1);
        }
        let leaf = kit.leaf()?;
        let node = lowest?;
        // INVARIANT: noted before the leaf's word can be found.
        kit.shared.hints.note(position, node.as_ptr());
        // Nobody else knows of the leaf, and with its word null nobody else uses the count.
        // INVARIANT: above 0, as it must be for a leaf that is not locked.
        let count = match job.then {
            Then::Replace => {
                leaf.swap(position, job.word);
                1
            }
            Then::Pin => PIN,
        };
        node.count(position).store(count, Ordering::Relaxed);
        let word = Child::from_leaf(leaf);
        let child = match top {
            None => word,
            Some(top) => {
                node.child(1, position).store(word.0, Ordering::Relaxed);
                Child::from_node(top.as_ptr())
            }
        };
        Some(Self { child, top, node })
    }

    /// Gives the chain's nodes their keys, now that they are linked. The place above is locked.
    fn give_keys(self, shared: &Memory<H>, position: u64) {
        // The node above the chain has its key already.
        let Some(top) = self.top else { return };
        // The leaf's own node comes last: until it has its key nobody can lock the leaf, so
        // nobody takes the chain apart again while this goes through it.
        let mut node = self.node;
        let mut level = 1u32;
        while node.as_ptr() != top.as_ptr() {
            let Some(parent) = NonNull::new(node.parent.load(Ordering::Relaxed)) else { break };
            node = shared.node(parent);
            level = level.wrapping_add(1);
            // Release: publishes the node to readers that got hold of it before.
            node.key.store(key(level, position), Ordering::Release);
        }
        // Release: as above.
        self.node.key.store(key(1, position), Ordering::Release);
    }
}
