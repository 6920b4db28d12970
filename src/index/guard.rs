//! A locked leaf.

use super::{
    Index,
    exchange::Part,
    leaf::{Kind, Leaf, Wide, Word, is_small},
    node::{Child, FANOUT, Node, SLOT_MASK},
};
use crate::{
    host::{Entered, Host},
    pool::Ref,
    sync::Ordering,
};

/// Having one tells you: the leaf is linked at its position, its slots and count are
/// yours to change, and this CPU runs nothing else that calls the library.
///
/// When it drops, the leaf is unlocked, or, where it was left with neither record nor
/// pin, unlinked.
///
/// # Invariants
/// The word of the leaf in `node` is that of `leaf` locked, by us.
pub(crate) struct LeafGuard<'a, H: Host> {
    index: &'a Index<H>,
    node: Ref<'a, Node<H>>,
    leaf: Leaf<'a>,
    /// One of the leaf's positions, the one that was looked for.
    position: u64,
    /// Undoes the `enter` before the lock was taken.
    cookie: H::Cookie,
}

/// One pin in a leaf's count; records are counted below it.
pub(super) const PIN: u16 = 128;

impl<'a, H: Host> LeafGuard<'a, H> {
    pub(super) fn new(
        index: &'a Index<H>,
        node: Ref<'a, Node<H>>,
        leaf: Leaf<'a>,
        position: u64,
        entered: Entered<'a, H>,
    ) -> Self {
        // INVARIANT: the CPU is ours until the guard drops.
        Self { index, node, leaf, position, cookie: entered.into_cookie() }
    }

    /// The position that was looked for, or, by [`Index::next_leaf`], found.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The word in the slot of `position`, which lies in this leaf.
    pub(crate) fn get(&self, position: u64) -> Word {
        // Relaxed: taking the lock was an Acquire, and only its holders write.
        self.leaf.load(position, Ordering::Relaxed)
    }

    /// The same, and asks for slots of the next leaf, whose turn it is soon where one goes from position to position.
    #[inline(always)]
    pub(crate) fn get_ahead(&self, position: u64) -> Word {
        let Kind::Wide(leaf) = self.leaf.kind() else { return self.get(position) };
        self.node.prefetch_next(position);
        // Relaxed: as above.
        leaf.get().slot(position).load(Ordering::Relaxed)
    }

    /// Puts `word`, or nothing where it is null, into the slot of `position`, and returns
    /// the word that was there. `Err` with the word where the leaf is too narrow for it.
    #[inline]
    pub(crate) fn replace(
        &mut self,
        position: u64,
        word: Word,
    ) -> core::result::Result<Word, Word> {
        if !self.leaf.holds(word) {
            return Err(word);
        }
        let old = self.leaf.swap(position, word);
        match (old.is_null(), word.is_null()) {
            (true, false) => self.set_count(self.count().wrapping_add(1)),
            (false, true) => self.set_count(self.count().wrapping_sub(1)),
            _ => {}
        }
        Ok(old)
    }

    /// Takes the word at `position` out; null where there is none.
    #[inline]
    pub(crate) fn take(&mut self, position: u64) -> Word {
        // Null fits every leaf.
        self.replace(position, core::ptr::null_mut()).unwrap_or(core::ptr::null_mut())
    }

    /// [`take`](Self::take), unlock, and hand the word to `each`, unless it is null or lay in a
    /// narrow leaf, where all are small. False, with nothing taken, where the leaf holds one
    /// record, and nothing else keeps it.
    #[inline]
    pub(super) fn take_but_last(self, position: u64, each: impl FnOnce(Word)) -> bool {
        if self.count() == 1 {
            self.unlock();
            return false;
        }
        match self.leaf.kind() {
            Kind::Narrow(leaf) => {
                if leaf.get().take(position) {
                    self.count_one_less();
                }
                self.unlock();
            }
            Kind::Wide(leaf) => {
                self.node.prefetch_next_at_first(position);
                let word = leaf.get().swap(position, core::ptr::null_mut());
                if word.is_null() {
                    self.unlock();
                } else {
                    self.count_one_less();
                    self.unlock();
                    each(word);
                }
            }
        }
        true
    }

    /// [`replace`](Self::replace) by a word that is not null, and unlock; `None`, with
    /// nothing replaced, where the leaf is too narrow.
    #[inline]
    pub(super) fn replace_known(self, position: u64, word: Word) -> Option<Word> {
        let old = match self.leaf.kind() {
            Kind::Wide(leaf) => {
                self.node.prefetch_next_at_first(position);
                Some(leaf.get().swap(position, word))
            }
            Kind::Narrow(leaf) => is_small(word).then(|| {
                if position & SLOT_MASK == 0 {
                    self.node.prefetch_next_narrow(position);
                }
                leaf.get().swap(position, word)
            }),
        };
        if old.is_some_and(|old| old.is_null()) {
            self.store_count(self.count().wrapping_add(1));
        }
        self.unlock();
        old
    }

    /// Exchanges staged words for those of the leaf, and unlocks it; true if some are staged now.
    /// `None`, with nothing exchanged, where the leaf is too narrow.
    #[inline]
    pub(super) fn exchange_known(self, part: &Part<'_>) -> Option<bool> {
        let holds = self.leaf.is_wide() || is_small(part.largest());
        let replaced = holds.then(|| self.exchange(part, 0));
        self.unlock();
        replaced
    }

    /// As [`exchange_known`](Self::exchange_known) in a leaf that can hold the words, and undoes
    /// one [`pin`](Self::pin).
    #[inline]
    pub(super) fn exchange_pinned(self, part: &Part<'_>) -> bool {
        let replaced = self.exchange(part, PIN);
        self.unlock();
        replaced
    }

    #[inline]
    fn exchange(&self, part: &Part<'_>, pins: u16) -> bool {
        let (added, replaced) = part.exchange(self.leaf);
        // Not 0: a staged leaf has a word.
        self.store_count(self.count().wrapping_add(added).wrapping_sub(pins));
        replaced
    }

    /// Unlocks the leaf, whose count is not 0, as it never is before something is taken out of it.
    #[inline]
    pub(crate) fn unlock(self) {
        // What its drop does to a leaf that stays.
        let guard = core::mem::ManuallyDrop::new(self);
        guard.release();
        guard.index.host().exit(guard.cookie);
    }

    #[inline]
    fn release(&self) {
        // Release: the next holder finds what we wrote.
        let unlocked = Child::free(self.leaf);
        self.node.child(1, self.position).store(unlocked.0, Ordering::Release);
    }

    /// Moves all words of a narrow leaf to the unused one that `wide` gives, which takes its place, locked as it was.
    /// Returns the narrow one, unused now; `None`, with nothing moved, where the leaf is wide, or there is none.
    pub(super) fn widen(
        &mut self,
        wide: impl FnOnce() -> Option<Ref<'a, Wide>>,
    ) -> Option<Leaf<'a>> {
        let Kind::Narrow(narrow) = self.leaf.kind() else { return None };
        let wide = wide()?;
        narrow.get().copy_to(wide.get());
        self.leaf = Leaf::wide(wide);
        // Release: readers find the words. INVARIANT: it stays locked.
        let word = Child::locked(self.leaf);
        self.node.child(1, self.position).store(word.0, Ordering::Release);
        {
            let _state = self.node.get().state.lock(self.index.host());
            self.node.bump_version();
        }
        narrow.get().wipe();
        Some(Leaf::narrow(narrow))
    }

    /// Keeps the leaf linked until [`unpin`](Self::unpin), with or without records, and unlocks
    /// it. False where 511 callers have pinned it at once, and there is no room for one more.
    pub(super) fn pin(mut self) -> bool {
        let pinned = self.count().checked_add(PIN);
        if let Some(pinned) = pinned {
            self.set_count(pinned);
        }
        self.unlock();
        pinned.is_some()
    }

    /// The same; false, too, where the leaf is too narrow for `word`.
    #[inline]
    pub(super) fn pin_known(self, word: Word) -> bool {
        if self.leaf.holds(word) {
            return self.pin();
        }
        self.unlock();
        false
    }

    /// Undoes one [`pin`](Self::pin).
    pub(crate) fn unpin(&mut self) {
        self.set_count(self.count().wrapping_sub(PIN));
    }

    /// Adds the leaf's node to hints that have been cleared; leaves come in their order.
    pub(super) fn hint(&self) {
        self.index.memory.hints.recount(self.position, self.node.as_ptr());
    }

    /// True if `position` is one of this leaf's.
    pub(crate) fn covers(&self, position: u64) -> bool {
        (self.position ^ position) < FANOUT as u64
    }

    /// True if a pin keeps the leaf linked.
    pub(super) fn is_pinned(&self) -> bool {
        self.count() >= PIN
    }

    /// Takes the leaf out of its tree, records and all; it is not pinned.
    pub(super) fn detach(self) -> Detached<'a, H> {
        // What its drop does, but for giving the leaf back.
        let mut guard = core::mem::ManuallyDrop::new(self);
        guard.set_count(0);
        if !guard.index.unlink_beside_others(guard.node, guard.position) {
            guard.index.unlink(guard.node, guard.position);
        }
        guard.index.host().exit(guard.cookie);
        Detached { index: guard.index, leaf: guard.leaf }
    }

    fn count(&self) -> u16 {
        self.node.count(self.position).load(Ordering::Relaxed)
    }

    #[inline]
    fn count_one_less(&self) {
        self.store_count(self.count().wrapping_sub(1));
    }

    fn set_count(&mut self, count: u16) {
        self.store_count(count);
    }

    /// As [`set_count`](Self::set_count), where a guard that is not borrowed mutably need not lie
    /// in memory.
    #[inline]
    fn store_count(&self, count: u16) {
        self.node.count(self.position).store(count, Ordering::Relaxed);
    }
}

impl<H: Host> Drop for LeafGuard<'_, H> {
    #[inline]
    fn drop(&mut self) {
        if self.count() == 0 {
            unlink(self.index, self.node, self.leaf, self.position);
        } else {
            self.release();
        }
        self.index.host().exit(self.cookie);
    }
}

/// Unlinks a locked leaf without records. Its guard's parts one by one, so that a guard
/// need not lie in memory.
// Inlined: whoever frees a slot has no stack for a frame more.
#[inline(always)]
fn unlink<H: Host>(index: &Index<H>, node: Ref<'_, Node<H>>, leaf: Leaf<'_>, position: u64) {
    index.unlink(node, position);
    // SAFETY: from the leaves' pool, out of the tree, and without records: empty.
    unsafe { index.memory.give_leaf(leaf) };
}

/// A leaf that is in no tree any more, with the records that were in it.
pub(crate) struct Detached<'a, H: Host> {
    index: &'a Index<H>,
    leaf: Leaf<'a>,
}

impl<H: Host> Detached<'_, H> {
    /// Takes each record out, in the order of positions, and hands those that are not small to
    /// `each`.
    #[inline]
    pub(crate) fn for_each(self, each: &mut impl FnMut(Word)) {
        self.leaf.empty(each);
        // SAFETY: from the leaves' pool, out of the tree, and empty now.
        unsafe { self.index.memory.give_leaf(self.leaf) };
    }
}
