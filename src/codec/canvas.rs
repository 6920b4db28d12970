//! Where a decoder puts tags: a word, or a quarter of a block, at a time, so that a kernel's stack
//! never holds more.

use super::ALL_GRANULES;
use crate::tags::TagSink;

/// The words of a page, in order.
pub(super) struct Blocks<'a, S: TagSink + ?Sized> {
    sink: &'a mut S,
    /// False where nothing is to be written yet: to find out whether the bytes are good.
    wet: bool,
    /// Words that are done.
    done: usize,
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

    /// Writes the next words: each granule's tag is all `changes` up to it, XORed, and `before`,
    /// the tag before them in every granule; returns the last tag as that.
    #[inline(never)]
    pub(super) fn put_changes(&mut self, changes: &[u64], mut before: u64) -> u64 {
        for change in changes {
            let mut tags = *change;
            tags ^= tags << 4;
            tags ^= tags << 8;
            tags ^= tags << 16;
            tags ^= tags << 32;
            tags ^= before;
            before = (tags >> 60).wrapping_mul(ALL_GRANULES);
            self.put(tags);
        }
        before
    }
}
