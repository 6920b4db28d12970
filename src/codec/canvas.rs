//! Where a decoder puts tags: a word at a time, so that a kernel's stack holds no more.

use super::{ALL_GRANULES, block::BLOCK_WORDS};
use crate::tags::{GRANULES_PER_WORD, TagSink};

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

    /// Writes the next `count` words, of which the first is this one and the others are `fill`; of no
    /// effect from word `end` on.
    #[inline(never)]
    pub(super) fn put_words(&mut self, word: u64, fill: u64, count: usize, end: usize) {
        let end = self.done.wrapping_add(count).min(end);
        let mut word = word;
        while self.done < end {
            self.put(word);
            word = fill;
        }
    }
}

/// A difference of tags, from a granule on: in every granule of a word.
#[inline(always)]
pub(super) fn pattern(delta: u64) -> u64 {
    delta.wrapping_mul(ALL_GRANULES)
}

/// Some words of a page, from the first granule to the last, as changes of the tag.
pub(super) struct Canvas<'a, 'b, S: TagSink + ?Sized> {
    blocks: &'a mut Blocks<'b, S>,
    /// The word at hand, and what those behind it are filled with, as far as is known.
    word: u64,
    fill: u64,
    /// The first word, of which granules are counted, and the end.
    base: usize,
    end: usize,
}

impl<'a, 'b, S: TagSink + ?Sized> Canvas<'a, 'b, S> {
    /// The next block.
    #[inline(always)]
    pub(super) fn new(blocks: &'a mut Blocks<'b, S>) -> Self {
        Self::of_words(blocks, BLOCK_WORDS)
    }

    /// The next so many words.
    #[inline(always)]
    pub(super) fn of_words(blocks: &'a mut Blocks<'b, S>, words: usize) -> Self {
        let base = blocks.done;
        Self { blocks, word: 0, fill: 0, base, end: base.wrapping_add(words) }
    }

    /// Changes the tag from granule `at` on by a [`pattern`]; of no effect behind the end. Calls come
    /// in ascending order of `at`; else what comes of it does not matter.
    #[inline(always)]
    pub(super) fn change(&mut self, at: usize, pattern: u64) {
        let index = self.base.wrapping_add(at / GRANULES_PER_WORD).min(self.end);
        while self.blocks.done < index {
            self.next_word();
        }
        // At the end this is of a word that is never written.
        self.change_here(at % GRANULES_PER_WORD, pattern);
    }

    /// The same for a granule of the word at hand, below 16.
    #[inline(always)]
    pub(super) fn change_here(&mut self, granule: usize, pattern: u64) {
        self.word ^= pattern << (granule.wrapping_mul(4) & 63);
        self.fill ^= pattern;
    }

    /// Ends the word at hand.
    #[inline(always)]
    pub(super) fn next_word(&mut self) {
        self.blocks.put(self.word);
        self.word = self.fill;
    }

    /// Ends the words.
    #[inline(always)]
    pub(super) fn finish(mut self) {
        while self.blocks.done < self.end {
            self.next_word();
        }
    }
}
