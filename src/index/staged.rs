//! All or nothing for a range of entries.

use super::{
    Index, STAGED,
    grow::Then,
    leaf::{Word, is_small},
    node::SLOT_MASK,
    tree::Root,
};
use crate::{
    entry::{EntryRange, SwapEntry},
    error::Result,
    host::{AllocFlags, Host},
};

/// A word that only wide leaves hold; never stored.
const WIDE: Word = core::ptr::without_provenance_mut(usize::MAX);

/// A private tree that holds the words of a range until all of them are there, and then
/// changes places with the index's words, leaf by leaf.
pub(crate) struct Staged<'a, H: Host> {
    index: &'a Index<H>,
    range: EntryRange,
    root: Root<H>,
}

impl<'a, H: Host> Staged<'a, H> {
    pub(crate) fn new(index: &'a Index<H>, range: EntryRange) -> Self {
        Self { index, range, root: Root::new() }
    }

    /// Stages `word` for `entry`, which lies in the range and has none staged.
    pub(crate) fn insert(&self, entry: SwapEntry, word: Word, flags: AllocFlags) -> Result<()> {
        let position = entry.raw() | STAGED;
        self.root.with_room(&self.index.memory, position, word, Then::Replace, flags).map(drop)
    }

    /// Exchanges the staged words with the index's own: afterwards the index holds what
    /// was staged, and this what was there. On an error the index is as before.
    #[inline(always)]
    pub(crate) fn exchange(&self, flags: AllocFlags) -> Result<()> {
        let mut next = Some(self.range.first());
        while let Some(entry) = next.and_then(|next| self.next_leaf(next)) {
            if let Err(error) = self.pin(entry, flags) {
                self.unpin_before(entry);
                return Err(error);
            }
            next = self.behind(entry);
        }
        // Pinned leaves are there and stay: nothing fails from here on.
        let mut next = Some(self.range.first());
        while let Some(entry) = next.and_then(|next| self.next_leaf(next)) {
            self.exchange_leaf(entry);
            next = self.behind(entry);
        }
        Ok(())
    }

    /// Makes the leaves of `entry` hold each other's words, and pins them.
    fn pin(&self, entry: SwapEntry, flags: AllocFlags) -> Result<()> {
        self.index.pin(entry, self.widest(entry), flags)?;
        let position = entry.raw() | STAGED;
        self.root
            .with_room(&self.index.memory, position, WIDE, Then::Pin, flags)
            .map(drop)
            .inspect_err(|_| self.index.unpin(entry))
    }

    fn unpin(&self, entry: SwapEntry) {
        self.index.unpin(entry);
        if let Some(mut staged) = self.root.find(&self.index.memory, entry.raw() | STAGED) {
            staged.unpin();
        }
    }

    #[cold]
    #[inline(never)]
    fn unpin_before(&self, end: SwapEntry) {
        let mut next = Some(self.range.first());
        while let Some(entry) = next.and_then(|next| self.next_leaf(next)) {
            if entry >= end {
                break;
            }
            self.unpin(entry);
            next = self.behind(entry);
        }
    }

    #[inline(never)]
    fn exchange_leaf(&self, entry: SwapEntry) {
        let position = entry.raw();
        let Some(mut leaf) = self.index.find(entry) else { return };
        if let Some(mut staged) = self.root.find(&self.index.memory, position | STAGED) {
            for position in position..=position | SLOT_MASK {
                let word = staged.get(position | STAGED);
                if word.is_null() {
                    continue;
                }
                // Both hold what they get: they were made to, and leaves never get narrower
                // while pinned.
                if let Ok(old) = leaf.replace(position, word) {
                    let _ = staged.replace(position | STAGED, old);
                }
            }
            staged.unpin();
        }
        leaf.unpin();
    }

    /// Ends the staging: hands every word that is staged now to `each`.
    #[inline(never)]
    pub(crate) fn finish(self, each: impl FnMut(Word)) {
        let (first, last) = (self.range.first().raw(), self.range.last().raw());
        self.index.drain_root(&self.root, first | STAGED, last | STAGED, each);
    }

    /// A word as wide as any that is staged in the leaf of `entry`.
    #[inline(never)]
    fn widest(&self, entry: SwapEntry) -> Word {
        let position = entry.raw();
        let staged = self.root.find(&self.index.memory, position | STAGED);
        let all_small = staged.is_some_and(|staged| {
            (position..=position | SLOT_MASK).all(|p| is_small(staged.get(p | STAGED)))
        });
        if all_small { core::ptr::null_mut() } else { WIDE }
    }

    /// The first entry from `entry` on whose leaf holds staged words.
    #[inline(never)]
    fn next_leaf(&self, entry: SwapEntry) -> Option<SwapEntry> {
        let (first, last) = (entry.raw() | STAGED, self.range.last().raw() | STAGED);
        let (_leaf, at) = self.root.next_leaf(&self.index.memory, first, last)?;
        SwapEntry::from_raw(at & !STAGED).ok()
    }

    /// The first entry behind the leaf of `entry`, if the area goes on there.
    fn behind(&self, entry: SwapEntry) -> Option<SwapEntry> {
        let next = (entry.raw() | SLOT_MASK).checked_add(1)?;
        SwapEntry::from_raw(next).ok().filter(|next| *next <= self.range.last())
    }
}
