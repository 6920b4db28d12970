//! Shrinking a tree: a leaf goes when it is empty, and a node with its last child.

use core::ptr::NonNull;

use super::{
    Index,
    node::{Child, NO_KEY, Node},
};
use crate::{
    host::{Guard, Host},
    pool::Ref,
    sync::Ordering,
};

impl<H: Host> Index<H> {
    /// Unlinks a leaf that the caller has locked, and every node above it that
    /// is left with no child. The leaf is the caller's alone afterwards.
    // In two, one after the other: what one has on the stack the other does not need.
    #[inline]
    pub(super) fn unlink<'a>(&'a self, node: Ref<'a, Node<H>>, position: u64) {
        if self.unlink_upwards(node, position) {
            self.collapse(position);
        }
    }

    /// The same; true where that has left a node above with one child.
    #[inline(never)]
    fn unlink_upwards<'a>(&'a self, mut node: Ref<'a, Node<H>>, position: u64) -> bool {
        let mut level = 1u32;
        let mut state = node.get().state.lock(self.host());
        cut(node, position);
        while node.remove_child() == 0 {
            // INVARIANT: `state` keeps others from linking below; the key goes before the
            // link does, and the version grows before the node is used for anything else.
            node.key.store(NO_KEY, Ordering::Release);
            node.bump_version();
            let emptied = node.as_ptr();
            if level == 1 {
                // With no leaf left; the lock and then its keyless life keep it ours until it is given back.
                self.memory.hints.forget(position, emptied);
            }
            match self.lock_parent(&node, position) {
                Above::Root(_root) => {
                    self.root(position).top.store(core::ptr::null_mut(), Ordering::Release);
                    drop(state);
                    // SAFETY: unlinked, with no child left: empty, and nobody's but ours.
                    unsafe { self.memory.nodes.give(self.host(), emptied) };
                    return false;
                }
                Above::Node(parent, parent_state) => {
                    level = level.wrapping_add(1);
                    parent.child(level, position).store(core::ptr::null_mut(), Ordering::Release);
                    node = parent;
                    drop(core::mem::replace(&mut state, parent_state));
                    // SAFETY: as above.
                    unsafe { self.memory.nodes.give(self.host(), emptied) };
                }
            }
        }
        level > 1 && node.children() == 1
    }

    /// As [`unlink`](Self::unlink), for one of many: false, with nothing done, where the leaf is the
    /// last of its node.
    #[inline]
    pub(super) fn unlink_beside_others(&self, node: Ref<'_, Node<H>>, position: u64) -> bool {
        let _state = node.get().state.lock(self.host());
        let stays = node.children() > 1;
        if stays {
            cut(node, position);
            node.remove_child();
        }
        stays
    }

    /// Locks the place that a node above `position` is linked from. The caller holds the node's
    /// `state`.
    fn lock_parent(&self, node: &Node<H>, position: u64) -> Above<'_, H> {
        loop {
            // Acquire: the parent is locked next, so its contents must be there.
            let seen = node.parent.load(Ordering::Acquire);
            let above = match NonNull::new(seen) {
                None => Above::Root(self.root(position).lock.lock(self.host())),
                Some(parent) => {
                    let parent = self.memory.node(parent);
                    Above::Node(parent, parent.get().state.lock(self.host()))
                }
            };
            // Relaxed: the parent changes under the lock just taken, if it is the right one.
            if node.parent.load(Ordering::Relaxed) == seen {
                return above;
            }
        }
    }

    /// Takes nodes off the top of the tree of `position` that only lead to the first of their
    /// children.
    #[inline(never)]
    fn collapse(&self, position: u64) {
        let tree = self.root(position);
        while let Some((top, level)) = tree.load_top(&self.memory) {
            let state = top.state.lock(self.host());
            // A look first, for want of which all would meet at the root's lock. Until `top` is known
            // to be the top it may be anything, an unused node with its pool's link for a child.
            if level < 2 || top.children() != 1 {
                return;
            }
            let root = tree.lock.lock(self.host());
            if !tree.is_top(&self.memory, top, level) {
                return;
            }
            // With both locks it stays the top, and keeps its children.
            let lowest = Child(top.child(level, 0).load(Ordering::Acquire));
            let Some(lowest) = lowest.node().filter(|_| top.children() == 1) else {
                return;
            };
            let lowest = self.memory.node(lowest);
            // INVARIANT: no key before no link; parents change under the lock of the
            // place the node is linked from, both the old one and the new.
            top.key.store(NO_KEY, Ordering::Release);
            lowest.parent.store(core::ptr::null_mut(), Ordering::Release);
            tree.store_top(lowest, level.wrapping_sub(1));
            // Before the child goes, which is not absent but elsewhere: whoever came while `top` had
            // its key and finds null must see that it is no answer.
            top.bump_version();
            top.child(level, 0).store(core::ptr::null_mut(), Ordering::Release);
            top.remove_child();
            drop(root);
            drop(state);
            // SAFETY: unlinked, its only child taken away: empty, and nobody's but ours.
            unsafe { self.memory.nodes.give(self.host(), top.as_ptr()) };
        }
    }
}

/// Takes a leaf off its node; the caller has locked it, and holds the node's `state`.
#[inline]
fn cut<H: Host>(node: Ref<'_, Node<H>>, position: u64) {
    // INVARIANT: to null under `state`, and locked, which ends with this; the version grows after
    // that and before the leaf is used for anything else.
    node.child(1, position).store(core::ptr::null_mut(), Ordering::Release);
    node.bump_version();
}

/// The place a node is linked from, locked.
enum Above<'a, H: Host> {
    Root(Guard<'a, H, ()>),
    Node(Ref<'a, Node<H>>, Guard<'a, H, ()>),
}
