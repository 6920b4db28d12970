//! Where a decoder puts tags: a quarter of a block at a time, so that a kernel's stack never holds
//! more.

use super::{
    ALL_GRANULES,
    block::{GRANULES, QUARTERS, WORDS_OF_QUARTER},
};
use crate::tags::TagSink;

/// Granules of a quarter.
const QUARTER: usize = GRANULES / QUARTERS;

/// The words of a page, in order.
pub(super) struct Blocks<'a, S: TagSink + ?Sized> {
    sink: &'a mut S,
    /// False where nothing is to be written yet: to find out whether the bytes are good.
    wet: bool,
    /// Words that are done.
    pub(super) done: usize,
}

impl<'a, S: TagSink + ?Sized> Blocks<'a, S> {
    pub(super) fn new(sink: &'a mut S, wet: bool) -> Self {
        Self { sink, wet, done: 0 }
    }

    /// Writes the next word.
    #[inline(always)]
    pub(super) fn put(&mut self, word: u64) {
        if self.wet {
            self.sink.set_word(self.done, word);
        }
        self.done = self.done.wrapping_add(1);
    }
}

/// One block, from its first granule to its last, as changes of the tag: a few instructions each and no
/// branch. What lies between them comes of all changes at once, when a quarter is done.
pub(super) struct Canvas<'a, 'b, S: TagSink + ?Sized> {
    blocks: &'a mut Blocks<'b, S>,
    /// By how much each granule of the quarter differs from the one before it.
    changes: [u64; WORDS_OF_QUARTER],
    /// The tag before the quarter, in every granule.
    before: u64,
    /// Where the quarter ends.
    end: usize,
}

impl<'a, 'b, S: TagSink + ?Sized> Canvas<'a, 'b, S> {
    /// Begins a block.
    #[inline(always)]
    pub(super) fn new(blocks: &'a mut Blocks<'b, S>) -> Self {
        Self { blocks, changes: [0; WORDS_OF_QUARTER], before: 0, end: QUARTER }
    }

    /// Changes the tag by `delta`, a nibble, from granule `at` of the block on; of no effect behind
    /// the block's end. Calls come in ascending order of `at`.
    #[inline(always)]
    pub(super) fn change(&mut self, at: usize, delta: u64) {
        if at < self.end || self.advance(at) {
            self.change_here(at, delta);
        }
    }

    /// The same for a granule of the quarter at hand.
    #[inline(always)]
    pub(super) fn change_here(&mut self, at: usize, delta: u64) {
        if let Some(word) = self.changes.get_mut(at >> 4 & 3) {
            *word ^= delta << (at & 15).wrapping_mul(4);
        }
    }

    /// Ends the quarters before granule `at`. False if that is all of them.
    #[inline(never)]
    pub(super) fn advance(&mut self, at: usize) -> bool {
        while self.end <= at && self.end <= GRANULES {
            self.end_quarter();
        }
        at < GRANULES
    }

    /// Makes tags of the changes: each granule's is all changes up to it, XORed.
    #[inline(never)]
    pub(super) fn end_quarter(&mut self) {
        for change in &mut self.changes {
            let mut tags = core::mem::take(change);
            tags ^= tags << 4;
            tags ^= tags << 8;
            tags ^= tags << 16;
            tags ^= tags << 32;
            tags ^= self.before;
            self.before = (tags >> 60).wrapping_mul(ALL_GRANULES);
            self.blocks.put(tags);
        }
        self.end = self.end.wrapping_add(QUARTER);
    }
}
