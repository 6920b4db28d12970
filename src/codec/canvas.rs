//! Where a decoder puts a block's tags: a quarter of it at a time, so that a kernel's stack
//! never holds more.

use super::{
    ALL_GRANULES,
    block::{BLOCK_WORDS, GRANULES},
};
use crate::tags::TagSink;

/// Words of a quarter: 64 granules.
const QUARTER: usize = BLOCK_WORDS / 4;

/// The blocks of a page, in order; each from its first granule to its last.
pub(super) struct Canvas<'a, S: TagSink + ?Sized> {
    sink: &'a mut S,
    /// False where nothing is to be written yet: to find out whether the bytes are good.
    wet: bool,
    /// By how much each granule of the quarter differs from the one before it.
    changes: [u64; QUARTER],
    /// The word of the page that the quarter begins with.
    base: u16,
    /// The tag before the quarter, in every granule.
    before: u64,
}

impl<'a, S: TagSink + ?Sized> Canvas<'a, S> {
    pub(super) fn new(sink: &'a mut S, wet: bool) -> Self {
        Self { sink, wet, changes: [0; QUARTER], base: 0, before: 0 }
    }

    /// Changes the tag by `delta` from granule `at` of the block on; of no effect behind the
    /// block's end. Calls come in ascending order of `at`.
    #[inline(always)]
    pub(super) fn change(&mut self, at: u16, delta: u8) {
        if at >= GRANULES {
            return;
        }
        while self.quarter() < at >> 6 {
            self.flush();
        }
        if let Some(word) = self.changes.get_mut(usize::from(at >> 4 & 3)) {
            *word ^= u64::from(delta) << (at & 15).wrapping_mul(4);
        }
    }

    /// Ends a block.
    #[inline(always)]
    pub(super) fn finish(&mut self) {
        for _ in self.quarter()..4 {
            self.flush();
        }
        self.before = 0;
    }

    /// Writes all of a block that consists of these words; nothing else of it was told.
    pub(super) fn raw(&mut self, words: impl Iterator<Item = u64>) {
        for word in words {
            self.write(word);
        }
    }

    fn quarter(&self) -> u16 {
        self.base >> 2 & 3
    }

    /// Makes tags of the changes: each granule's is all changes up to it, XORed.
    #[inline(never)]
    fn flush(&mut self) {
        for mut tags in core::mem::take(&mut self.changes) {
            tags ^= tags << 4;
            tags ^= tags << 8;
            tags ^= tags << 16;
            tags ^= tags << 32;
            tags ^= self.before;
            self.before = (tags >> 60).wrapping_mul(ALL_GRANULES);
            self.write(tags);
        }
    }

    fn write(&mut self, word: u64) {
        if self.wet {
            self.sink.set_word(self.base.into(), word);
        }
        self.base = self.base.wrapping_add(1);
    }
}
