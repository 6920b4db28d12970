//! Numbers of four bits, of the runs or the cells of a block.

use super::block::{BLOCK_WORDS, TAGS};
use crate::tags::GRANULES_PER_WORD;

/// Numbers in a word.
pub(super) const NIBBLES: usize = GRANULES_PER_WORD;

/// The words of a block, and the numbers that come to be in their place: tags, then, in the second half, others; [`TAGS`] each. One word more:
/// from any byte of the others eight can be read.
// As bytes: what stands beside them is not aligned to words, either.
pub(super) type Words = [[u8; size_of::<u64>()]; BLOCK_WORDS + 1];
/// Sixteen numbers in a word, in order; behind the last there are zeroes in its word, or in the next where it ends one.
pub(super) type Nibbles = [[u8; size_of::<u64>()]; TAGS / NIBBLES];

/// Tags, and other numbers.
pub(super) fn halves(words: &Words) -> (&Nibbles, &Nibbles) {
    let [tags @ .., _, _, _, _, _, _, _, _, _] = words;
    let [_, _, _, _, _, _, _, _, others @ .., _] = words;
    (tags, others)
}

/// The numbers that are no tags.
pub(super) fn others(words: &mut Words) -> &mut Nibbles {
    let [_, _, _, _, _, _, _, _, others @ .., _] = words;
    others
}

/// One of some words; those that are not there are 0.
#[inline(always)]
pub(super) fn word(words: &[[u8; size_of::<u64>()]], index: usize) -> u64 {
    u64::from_le_bytes(words.get(index).copied().unwrap_or_default())
}

/// Eight numbers, from `8 * index` on, a byte each.
#[inline(always)]
pub(super) fn eight(numbers: &Nibbles, index: usize) -> u64 {
    beside_zeroes((word(numbers, index >> 1) >> ((index & 1) << 5)) as u32)
}

/// Sets a number that is 0.
pub(super) fn set(numbers: &mut Nibbles, at: usize, number: u8) {
    if let Some(word) = numbers.get_mut(at / NIBBLES) {
        let number = u64::from(number) << (at % NIBBLES).wrapping_mul(4);
        *word = (u64::from_le_bytes(*word) | number).to_le_bytes();
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
    pub(super) fn push(&mut self, number: u64, to: &mut [[u8; size_of::<u64>()]]) {
        self.held = self.held >> 4 | number << 60;
        if self.len % NIBBLES == NIBBLES - 1 {
            put(to, self.len, self.held);
        }
        self.len = self.len.wrapping_add(1);
    }

    /// Puts down the last; returns how many there are.
    #[inline(always)]
    pub(super) fn finish(self, to: &mut [[u8; size_of::<u64>()]]) -> usize {
        let missing = (NIBBLES - 1).wrapping_sub(self.len % NIBBLES);
        // In two steps: a word has no sixteen nibbles more.
        let sixteen = self.held >> 4 >> missing.wrapping_mul(4);
        put(to, self.len, sixteen);
        self.len
    }
}

/// Puts down sixteen of which the last is number `last`.
#[inline(always)]
fn put(to: &mut [[u8; size_of::<u64>()]], last: usize, sixteen: u64) {
    if let Some(word) = to.get_mut(last / NIBBLES) {
        *word = sixteen.to_le_bytes();
    }
}

/// Eight numbers, each with a zero behind it.
pub(super) fn beside_zeroes(eight: u32) -> u64 {
    let numbers = u64::from(eight);
    let numbers = (numbers | numbers << 16) & 0x0000_ffff_0000_ffff;
    let numbers = (numbers | numbers << 8) & 0x00ff_00ff_00ff_00ff;
    (numbers | numbers << 4) & 0x0f0f_0f0f_0f0f_0f0f
}
