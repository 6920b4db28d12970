//! Numbers of four bits, of the runs or the cells of a block.

use super::block::TAGS;
use crate::tags::GRANULES_PER_WORD;

/// Numbers in a word.
pub(super) const NIBBLES: usize = GRANULES_PER_WORD;

/// Up to [`TAGS`] numbers, in order.
pub(super) struct Nibbles {
    /// Sixteen in a word; behind the last there are zeroes in its word, or in the next where it ends one.
    // As bytes: what stands beside them is not aligned to words, either.
    words: [[u8; size_of::<u64>()]; TAGS / NIBBLES],
    len: u16,
}

impl Nibbles {
    pub(super) const fn new() -> Self {
        Self { words: [[0; size_of::<u64>()]; TAGS / NIBBLES], len: 0 }
    }

    /// How many there are; more than [`TAGS`] where only their number is known.
    pub(super) fn len(&self) -> usize {
        self.len.into()
    }

    /// Only their number.
    pub(super) fn set_len(&mut self, len: usize) {
        self.len = len as u16;
    }

    /// Sixteen of them, from `16 * index` on.
    #[inline(always)]
    pub(super) fn sixteen(&self, index: usize) -> u64 {
        u64::from_le_bytes(self.words.get(index).copied().unwrap_or_default())
    }

    /// Eight of them, from `8 * index` on, a byte each; 0 behind the last.
    #[inline(always)]
    pub(super) fn eight(&self, index: usize) -> u64 {
        if index.wrapping_mul(8) >= self.len() {
            return 0;
        }
        beside_zeroes((self.sixteen(index >> 1) >> ((index & 1) << 5)) as u32)
    }

    /// Puts down sixteen of which the last is number `last`.
    #[inline(always)]
    fn put(&mut self, last: usize, sixteen: u64) {
        if let Some(word) = self.words.get_mut(last / NIBBLES) {
            *word = sixteen.to_le_bytes();
        }
    }

    /// Sets a number that is 0.
    pub(super) fn set(&mut self, at: usize, number: u8) {
        if let Some(word) = self.words.get_mut(at / NIBBLES) {
            let number = u64::from(number) << (at % NIBBLES).wrapping_mul(4);
            *word = (u64::from_le_bytes(*word) | number).to_le_bytes();
        }
    }
}

/// What is appended to numbers.
// Without the numbers: this stays in registers.
#[derive(Default)]
pub(super) struct Appender {
    /// The last of them, in the highest nibbles.
    held: u64,
    len: usize,
}

impl Appender {
    /// Appends the lowest nibble of a word.
    #[inline(always)]
    pub(super) fn push(&mut self, number: u64, to: &mut Nibbles) {
        self.held = self.held >> 4 | number << 60;
        if self.len % NIBBLES == NIBBLES - 1 {
            to.put(self.len, self.held);
        }
        self.len = self.len.wrapping_add(1);
    }

    /// Puts down the last; returns how many there are.
    #[inline(always)]
    pub(super) fn finish(self, to: &mut Nibbles) -> usize {
        let missing = (NIBBLES - 1).wrapping_sub(self.len % NIBBLES);
        // In two steps: a word has no sixteen nibbles more.
        let sixteen = self.held >> 4 >> missing.wrapping_mul(4);
        to.put(self.len, sixteen);
        to.set_len(self.len);
        self.len
    }
}

/// Eight numbers, each with a zero behind it.
pub(super) fn beside_zeroes(eight: u32) -> u64 {
    let numbers = u64::from(eight);
    let numbers = (numbers | numbers << 16) & 0x0000_ffff_0000_ffff;
    let numbers = (numbers | numbers << 8) & 0x00ff_00ff_00ff_00ff;
    (numbers | numbers << 4) & 0x0f0f_0f0f_0f0f_0f0f
}
