//! Where a decoder puts tags: two words at a time, so that a kernel's stack never holds more.

use super::block::GRANULES;
use crate::tags::{GRANULES_PER_WORD, TagSink};

/// Words that are painted together.
const WORDS: usize = 2;
/// Their granules.
pub(super) const STRIP: usize = WORDS * GRANULES_PER_WORD;

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
/// branch. What lies between them comes of all changes at once, when a strip of the block is done.
pub(super) struct Canvas<'a, 'b, S: TagSink + ?Sized> {
    blocks: &'a mut Blocks<'b, S>,
    /// By how much each granule of the strip differs from the one before it; the first, from 0.
    changes: [u64; WORDS],
    /// Where the strip ends.
    end: usize,
}

impl<'a, 'b, S: TagSink + ?Sized> Canvas<'a, 'b, S> {
    /// Begins a block.
    #[inline(always)]
    pub(super) fn new(blocks: &'a mut Blocks<'b, S>) -> Self {
        Self { blocks, changes: [0; WORDS], end: STRIP }
    }

    /// Changes the tag by `delta`, a nibble, from granule `at` of the block on; of no effect behind
    /// the block's end. Calls come in ascending order of `at`.
    #[inline(always)]
    pub(super) fn change(&mut self, at: usize, delta: u64) {
        if at < self.end || self.advance(at) {
            self.change_here(at, delta);
        }
    }

    /// The same for a granule of the strip at hand.
    #[inline(always)]
    pub(super) fn change_here(&mut self, at: usize, delta: u64) {
        if let Some(word) = self.changes.get_mut(at / GRANULES_PER_WORD % WORDS) {
            *word ^= delta << (at % GRANULES_PER_WORD).wrapping_mul(4);
        }
    }

    /// Ends the strips before granule `at`. False if that is all of them.
    #[inline(never)]
    pub(super) fn advance(&mut self, at: usize) -> bool {
        while self.end <= at && self.end <= GRANULES {
            let mut last = 0;
            for change in &mut self.changes {
                // Each granule's tag is all changes up to it, XORed.
                let mut tags = core::mem::take(change) ^ last;
                tags ^= tags << 4;
                tags ^= tags << 8;
                tags ^= tags << 16;
                tags ^= tags << 32;
                last = tags >> 60;
                self.blocks.put(tags);
            }
            let [first, ..] = &mut self.changes;
            *first = last;
            self.end = self.end.wrapping_add(STRIP);
        }
        at < GRANULES
    }
}
