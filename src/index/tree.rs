//! One radix tree: walking it without locks, growing and shrinking it node by node.
//!
//! Lock order: a leaf's `LOCK` bit, then its node's `state`, then the `state` of the
//! parent, and so on up to the root's. Never the other way; a walk down holds none.

use core::ptr::NonNull;

use super::{
    guard::{LeafGuard, PIN},
    leaf::Word,
    memory::{Kit, Memory},
    node::{Child, FANOUT, NO_KEY, Node, below, child_number, key, level_for},
};
use crate::{
    entry::OFFSET_MAX,
    error::Result,
    host::{AllocFlags, Entered, Guard, Host, Lock},
    pool::Ref,
    sync::{AtomicPtr, Ordering, fence, spin_loop},
};

/// The top of one tree.
///
/// # Invariants
/// `top` is null or a node of the pool, its level in the bits that alignment leaves
/// free. It changes under `lock` only.
pub(crate) struct Root<H: Host> {
    top: AtomicPtr<Node<H>>,
    lock: Lock<H, ()>,
}

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
    position: u64,
    version: u64,
    keyed: bool,
}

impl<'a, H: Host> Visit<'a, H> {
    /// A look at a child of a node of level 1 that had the key of `position`.
    pub(super) fn keyed(node: Ref<'a, Node<H>>, child: Child, position: u64, version: u64) -> Self {
        Self { node, level: 1, child, position, version, keyed: true }
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

    /// The first position after the visit's that may have a leaf: under the next child of
    /// the node that is not null, or behind the node. `None` behind the last offset.
    fn skip_absent(&self) -> Option<u64> {
        // Positions under one child of this node, less one.
        let span = below(self.level.wrapping_sub(1));
        let mut next = self.position | span;
        let mut number = child_number(self.level, self.position).wrapping_add(1);
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

    /// True if the node is at this position; holds as long as a lock in it is held.
    fn still_placed(&self) -> bool {
        // Relaxed: a lock of the node is held, and its key changes while linked children
        // and `state` are locked by nobody else.
        self.node.key.load(Ordering::Relaxed) == key(self.level, self.position)
    }
}

impl<H: Host> Root<H> {
    pub(super) const fn new() -> Self {
        Self { top: AtomicPtr::new(core::ptr::null_mut()), lock: Lock::new(()) }
    }

    fn load_top<'a>(&self, shared: &'a Memory<H>) -> Option<(Ref<'a, Node<H>>, u32)> {
        // Acquire: the node was laid down before it became the top.
        let top = self.top.load(Ordering::Acquire);
        let node = NonNull::new(top.map_addr(|a| a & !63))?;
        Some((shared.node(node), (top.addr() & 63) as u32))
    }

    fn store_top(&self, node: Ref<'_, Node<H>>, level: u32) {
        // INVARIANT: levels are at most 9. Release: publishes the node's contents.
        let top = node.as_ptr().as_ptr().map_addr(|a| a | level as usize);
        self.top.store(top, Ordering::Release);
    }

    /// Follows the children to where `position` would be. Takes no lock; what it
    /// returns may be out of date or plain wrong until validated.
    #[inline]
    pub(super) fn walk<'a>(&self, shared: &'a Memory<H>, position: u64) -> Place<'a, H> {
        let Some((mut node, mut level)) = self.load_top(shared) else { return Place::Empty };
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
                    node = shared.node(below);
                    level = level.wrapping_sub(1);
                }
                _ => {
                    return Place::Child(Visit { node, level, child, position, version, keyed });
                }
            }
        }
    }

    /// The word at `position`, null where there is none. Takes no lock.
    #[inline]
    pub(super) fn get(&self, shared: &Memory<H>, position: u64) -> Word {
        loop {
            let Place::Child(visit) = self.walk(shared, position) else {
                return core::ptr::null_mut();
            };
            let word = match visit.child.leaf(shared) {
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

    /// Locks the leaf of `position`, if there is one.
    // Not inlined, like all below that leaves a guard behind: a guard's making takes more
    // stack than the guard.
    #[inline(never)]
    pub(super) fn find<'a>(
        &'a self,
        shared: &'a Memory<H>,
        position: u64,
    ) -> Option<LeafGuard<'a, H>> {
        loop {
            let Place::Child(visit) = self.walk(shared, position) else { return None };
            match visit.child.leaf(shared) {
                Some(_) => {
                    if let Some(guard) = self.try_lock(shared, &visit) {
                        return Some(guard);
                    }
                }
                None if visit.valid() => return None,
                None => {}
            }
            spin_loop();
        }
    }

    /// Locks the leaf of `position`, if there is one that is not locked.
    /// `Err` where it is, or where the tree changed meanwhile.
    #[inline(never)]
    pub(super) fn try_find<'a>(
        &'a self,
        shared: &'a Memory<H>,
        position: u64,
    ) -> core::result::Result<Option<LeafGuard<'a, H>>, ()> {
        let Place::Child(visit) = self.walk(shared, position) else { return Ok(None) };
        match visit.child.leaf(shared) {
            Some(_) => self.try_lock(shared, &visit).map(Some).ok_or(()),
            None if visit.valid() => Ok(None),
            None => Err(()),
        }
    }

    /// Locks the leaf that a visit found, if it found an unlocked one and it is there still.
    fn try_lock<'a>(
        &'a self,
        shared: &'a Memory<H>,
        visit: &Visit<'a, H>,
    ) -> Option<LeafGuard<'a, H>> {
        if visit.child.is_locked() || visit.level != 1 {
            return None;
        }
        self.lock(shared, visit.node, visit.child, visit.position)
    }

    /// Locks the leaf of `position`, to which `child` led from `node`, if that is no lock
    /// of another and it is so still.
    #[inline]
    pub(super) fn lock<'a>(
        &'a self,
        shared: &'a Memory<H>,
        node: Ref<'a, Node<H>>,
        child: Child,
        position: u64,
    ) -> Option<LeafGuard<'a, H>> {
        let leaf = child.leaf(shared)?;
        let unlocked = Child::from_leaf(leaf);
        let entered = Entered::new(&shared.host);
        let word = node.get().child(1, position);
        // Acquire: pairs with the Release of the last holder's unlocking, and of linking.
        word.compare_exchange(
            unlocked.0,
            unlocked.locked().0,
            Ordering::Acquire,
            Ordering::Relaxed,
        )
        .ok()?;
        // Relaxed: a lock of the node is held, and its key changes while linked children
        // and `state` are locked by nobody else.
        if node.key.load(Ordering::Relaxed) == key(1, position) {
            return Some(LeafGuard::new(shared, self, node, leaf, position, entered));
        }
        // The node was reused: this is the leaf of another position.
        word.store(unlocked.0, Ordering::Release);
        None
    }

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

    /// Unlinks a leaf whose word's `LOCK` the caller holds, and every node above it that
    /// is left with no child. The leaf is the caller's alone afterwards.
    #[inline(never)]
    pub(super) fn unlink<'a>(
        &'a self,
        shared: &'a Memory<H>,
        mut node: Ref<'a, Node<H>>,
        position: u64,
    ) {
        let mut level = 1u32;
        let mut state = node.get().state.lock(&shared.host);
        // INVARIANT: to null under `state` and `LOCK`, which ends with this; the version
        // grows after that and before the leaf is used for anything else.
        node.child(1, position).store(core::ptr::null_mut(), Ordering::Release);
        node.bump_version();
        while node.remove_child() == 0 {
            // INVARIANT: `state` keeps others from linking below; the key goes before the
            // link does, and the version grows before the node is used for anything else.
            node.key.store(NO_KEY, Ordering::Release);
            node.bump_version();
            let emptied = node.as_ptr();
            match self.lock_parent(shared, &node) {
                Above::Root(_root) => {
                    self.top.store(core::ptr::null_mut(), Ordering::Release);
                    drop(state);
                    // SAFETY: unlinked, with no child left: empty, and nobody's but ours.
                    return unsafe { shared.nodes.give(&shared.host, emptied) };
                }
                Above::Node(parent, parent_state) => {
                    level = level.wrapping_add(1);
                    parent.child(level, position).store(core::ptr::null_mut(), Ordering::Release);
                    node = parent;
                    drop(core::mem::replace(&mut state, parent_state));
                    // SAFETY: as above.
                    unsafe { shared.nodes.give(&shared.host, emptied) };
                }
            }
        }
        let lone = level > 1 && node.children() == 1;
        drop(state);
        if lone {
            self.collapse(shared);
        }
    }

    /// Locks the place that a node is linked from. The caller holds the node's `state`.
    fn lock_parent<'a>(&'a self, shared: &'a Memory<H>, node: &Node<H>) -> Above<'a, H> {
        loop {
            // Acquire: the parent is locked next, so its contents must be there.
            let seen = node.parent.load(Ordering::Acquire);
            let above = match NonNull::new(seen) {
                None => Above::Root(self.lock.lock(&shared.host)),
                Some(parent) => {
                    let parent = shared.node(parent);
                    Above::Node(parent, parent.get().state.lock(&shared.host))
                }
            };
            // Relaxed: the parent changes under the lock just taken, if it is the right one.
            if node.parent.load(Ordering::Relaxed) == seen {
                return above;
            }
        }
    }

    /// Takes nodes off the top that only lead to the first of their children.
    #[inline(never)]
    fn collapse(&self, shared: &Memory<H>) {
        while let Some((top, level)) = self.load_top(shared) {
            let state = top.state.lock(&shared.host);
            let lowest = Child(top.child(level, 0).load(Ordering::Acquire));
            let Some(lowest) = lowest.node().filter(|_| level > 1 && top.children() == 1) else {
                return;
            };
            let root = self.lock.lock(&shared.host);
            // Until here `top` may have been anything; from here it is the top.
            if !self.is_top(shared, top, level) {
                return;
            }
            let lowest = shared.node(lowest);
            // INVARIANT: no key before no link; parents change under the lock of the
            // place the node is linked from, both the old one and the new.
            top.key.store(NO_KEY, Ordering::Release);
            lowest.parent.store(core::ptr::null_mut(), Ordering::Release);
            self.store_top(lowest, level.wrapping_sub(1));
            top.child(level, 0).store(core::ptr::null_mut(), Ordering::Release);
            top.remove_child();
            top.bump_version();
            drop(root);
            drop(state);
            // SAFETY: unlinked, its only child taken away: empty, and nobody's but ours.
            unsafe { shared.nodes.give(&shared.host, top.as_ptr()) };
        }
    }

    fn is_top(&self, shared: &Memory<H>, node: Ref<'_, Node<H>>, level: u32) -> bool {
        self.load_top(shared)
            .is_some_and(|(top, now)| top.as_ptr() == node.as_ptr() && now == level)
    }

    /// Locks the first leaf that holds positions from `first` on, up to `last`, and says
    /// from which position on it does. Both are positions of this tree.
    #[inline(never)]
    pub(super) fn next_leaf<'a>(
        &'a self,
        shared: &'a Memory<H>,
        first: u64,
        last: u64,
    ) -> Option<(LeafGuard<'a, H>, u64)> {
        let mut position = first;
        while position <= last {
            // An empty or a low tree ends the search.
            let Place::Child(visit) = self.walk(shared, position) else { return None };
            match visit.child.leaf(shared) {
                Some(_) => {
                    if let Some(guard) = self.try_lock(shared, &visit) {
                        return Some((guard, position));
                    }
                }
                None => {
                    let next = visit.skip_absent();
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

/// The place a node is linked from, locked.
enum Above<'a, H: Host> {
    Root(Guard<'a, H, ()>),
    Node(Ref<'a, Node<H>>, Guard<'a, H, ()>),
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
