//! What a decoder paints on: a block of tags.

use super::{ALL_GRANULES, block::BLOCK_WORDS};
use crate::tags::TagSink;

/// A tag in every granule of a word.
#[inline(always)]
pub(super) fn pattern(tag: u64) -> u64 {
    tag.wrapping_mul(ALL_GRANULES)
}

/// The words of a block, and one behind them.
// As bytes: eight can be put down anywhere.
type Words = [[u8; size_of::<u64>()]; BLOCK_WORDS + 1];

/// A block: changes of the tag, put down in any order and without a branch; or its words as they are.
// Of no sink: there is one of every decoder, whatever the tags go to. The words come first, and are aligned: otherwise some lie in two
// lines of a cache.
#[repr(C, align(8))]
pub(super) struct Canvas {
    /// By what each word differs from the one before it, or the words; and one behind them.
    words: Words,
    differences: bool,
}

impl Canvas {
    /// All granules have the tag that was before them.
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Self { words: [[0; size_of::<u64>()]; BLOCK_WORDS + 1], differences: true }
    }

    /// The words to be put down as they are, all of them, and one behind them; zeroes.
    #[inline(always)]
    pub(super) fn words(&mut self) -> &mut Words {
        self.differences = false;
        &mut self.words
    }

    /// For many changes, one behind the other; there are none yet.
    #[inline(always)]
    pub(super) fn brush(&mut self) -> Brush<'_> {
        Brush { words: self.words(), index: 0, word: 0 }
    }

    /// Changes the tag by a [`pattern`] from granule `at` of the block on, below 256.
    #[inline(always)]
    pub(super) fn change(&mut self, at: usize, pattern: u64) {
        let here = pattern << (at.wrapping_mul(4) & 63);
        let index = (at >> 4) % BLOCK_WORDS;
        // Both are there: there is one more than words.
        self.differ(index, here);
        // What differs in a part of this word does so in all of those behind it: the pattern without that part,
        // and a compiler does not take a difference apart.
        self.differ(index.wrapping_add(1), pattern.wrapping_sub(here));
    }

    #[inline(always)]
    fn differ(&mut self, index: usize, by: u64) {
        if let Some(word) = self.words.get_mut(index) {
            *word = (u64::from_le_bytes(*word) ^ by).to_le_bytes();
        }
    }

    /// Writes the words, the first to word `base`; of changes, where the word before them would be `before`,
    /// and what the word behind them would be is returned.
    #[inline(never)]
    pub(super) fn write(
        &self,
        sink: &mut (impl TagSink + ?Sized),
        base: usize,
        before: u64,
    ) -> u64 {
        let [words @ .., behind] = &self.words;
        if !self.differences {
            let words = words.iter().zip(base..);
            words.for_each(|(word, index)| sink.set_word(index, u64::from_le_bytes(*word)));
            return u64::from_le_bytes(*behind);
        }
        let mut word = before;
        let mut put = |base: usize| {
            for (difference, index) in words.iter().zip(base..) {
                word ^= u64::from_le_bytes(*difference);
                sink.set_word(index, word);
            }
        };
        // Most pages are of one block: their sink is known to hold it.
        if base == 0 {
            put(0)
        } else {
            put(base)
        }
        word ^ u64::from_le_bytes(*behind)
    }
}

/// Puts changes of the tag down in order: what a word has by now is in a register, where many that follow one another would
/// each wait for the one before to reach memory.
pub(super) struct Brush<'a> {
    words: &'a mut Words,
    index: usize,
    /// What changes within the word at `index`.
    word: u64,
}

impl Brush<'_> {
    /// Changes the tag by a [`pattern`] from bit `at` of the tags on, one that a granule begins with; not before the last.
    #[inline(always)]
    pub(super) fn change_at(&mut self, at: usize, pattern: u64) {
        let others = if at >> 6 == self.index { self.word } else { 0 };
        self.index = at >> 6;
        self.word = others ^ pattern << (at & 63);
        if let Some(place) = self.words.get_mut(self.index) {
            *place = self.word.to_le_bytes();
        }
    }

    /// Makes words of the changes.
    #[inline(always)]
    pub(super) fn finish(self) {
        // What all granules change by from the words before; each word's last one has all of its changes.
        let mut before = 0;
        for place in self.words {
            let changes = u64::from_le_bytes(*place);
            *place = (changes ^ before).to_le_bytes();
            before ^= pattern(changes >> 60);
        }
    }
}
