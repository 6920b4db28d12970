//! What a decoder paints on: a block, by what each of its words differs from the one before it.

use super::{ALL_GRANULES, block::BLOCK_WORDS};
use crate::tags::{GRANULES_PER_WORD, TagSink};

/// A tag in every granule of a word.
#[inline(always)]
pub(super) fn pattern(tag: u64) -> u64 {
    tag.wrapping_mul(ALL_GRANULES)
}

/// A block of tags. Changes of the tag are put down in any order and without a branch; or whole words
/// one after the other.
// Of no sink: there is one of every decoder, whatever the tags go to.
pub(super) struct Canvas {
    differences: [u64; BLOCK_WORDS + 1],
}

impl Canvas {
    /// All granules have the tag that was before them.
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Self { differences: [0; BLOCK_WORDS + 1] }
    }

    /// Changes the tag by a [`pattern`] from granule `at` of the block on, below 256.
    #[inline(always)]
    pub(super) fn change(&mut self, at: usize, pattern: u64) {
        let here = pattern << (at.wrapping_mul(4) & 60);
        let index = at / GRANULES_PER_WORD % BLOCK_WORDS;
        // Both are there: there is one more than words.
        if let Some(word) = self.differences.get_mut(index) {
            *word ^= here;
        }
        if let Some(next) = self.differences.get_mut(index.wrapping_add(1)) {
            // What differs in a part of this word does so in all of those behind it.
            *next ^= here ^ pattern;
        }
    }

    /// Puts down words from the first on, where nothing was before.
    #[inline(always)]
    pub(super) fn words(&mut self) -> Words<'_> {
        let [words @ .., _] = &mut self.differences;
        Words { places: words.iter_mut(), last: 0 }
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

/// The words of a block that are still to be put down.
pub(super) struct Words<'a> {
    places: core::slice::IterMut<'a, u64>,
    last: u64,
}

impl Words<'_> {
    /// Puts down the next; false where it was the last, or there is none.
    #[inline(always)]
    pub(super) fn put(&mut self, word: u64) -> bool {
        if let Some(place) = self.places.next() {
            *place = word ^ self.last;
            self.last = word;
        }
        !self.places.as_slice().is_empty()
    }
}
