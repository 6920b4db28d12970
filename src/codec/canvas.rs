//! Where a decoder puts tags.

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

    /// Writes the next block.
    #[inline(always)]
    pub(super) fn put_changes(&mut self, changes: &Changes) {
        if self.wet {
            changes.write(self.sink, self.done, 0);
        }
        self.done = self.done.wrapping_add(BLOCK_WORDS);
    }
}

/// A tag in every granule of a word.
#[inline(always)]
pub(super) fn pattern(tag: u64) -> u64 {
    tag.wrapping_mul(ALL_GRANULES)
}

/// A block as some changes of the tag, put down in any order and without a branch: by what each word
/// differs from the one before it.
pub(super) struct Changes {
    differences: [u64; BLOCK_WORDS + 1],
}

impl Changes {
    /// All granules have the tag that was before them.
    #[inline(always)]
    pub(super) const fn none() -> Self {
        Self { differences: [0; BLOCK_WORDS + 1] }
    }

    /// Changes the tag by `delta` from granule `at` of the block on, below 256.
    #[inline(always)]
    pub(super) fn add(&mut self, at: usize, delta: u64) {
        let everywhere = pattern(delta);
        let here = everywhere << (at.wrapping_mul(4) & 60);
        let index = at / GRANULES_PER_WORD % BLOCK_WORDS;
        // Both are there: there is one more than words.
        if let Some(word) = self.differences.get_mut(index) {
            *word ^= here;
        }
        if let Some(next) = self.differences.get_mut(index.wrapping_add(1)) {
            // What differs in a part of this word does so in all of those behind it.
            *next ^= here ^ everywhere;
        }
    }

    /// Writes the words, the first to word `base`, where the one before them would be `before`;
    /// returns what the word behind them would be.
    #[inline(never)]
    pub(super) fn write(
        &self,
        sink: &mut (impl TagSink + ?Sized),
        base: usize,
        before: u64,
    ) -> u64 {
        let [words @ .., behind] = &self.differences;
        let mut word = before;
        let mut put = |base: usize| {
            for (difference, index) in words.iter().zip(base..) {
                word ^= difference;
                sink.set_word(index, word);
            }
        };
        // Most pages are of one block: their sink is known to hold it.
        if base == 0 {
            put(0)
        } else {
            put(base)
        }
        word ^ behind
    }
}

/// A block from the first granule to the last, as changes of the tag: for many of them.
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
        let base = blocks.done;
        Self { blocks, word: 0, fill: 0, base, end: base.wrapping_add(BLOCK_WORDS) }
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
