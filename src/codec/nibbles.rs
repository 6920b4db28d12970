//! Numbers of four bits, of the runs and the cells of a block: in the room of its words, which are done with by then.

use super::block::{BLOCK_WORDS, TAGS};
use crate::tags::GRANULES_PER_WORD;

/// Numbers in a word.
pub(super) const NIBBLES: usize = GRANULES_PER_WORD;
const _: () = assert!(TAGS * 2 == NIBBLES * BLOCK_WORDS);

/// The words of a block, and one more: from any byte of the others eight can be read. Later on what the tags and other numbers
/// of its runs are, [`TAGS`] each: sixteen in a word, in order; behind the last there are zeroes in its word, or in the next where it
/// ends one. Tags are in every other word, from the first, numbers in those between them.
// By turns, so that runs every other of which has a tag can be taken out of the words one by one, and put down in their place. As
// bytes: what stands beside them is not aligned to words, either.
pub(super) type Words = [[u8; size_of::<u64>()]; BLOCK_WORDS + 1];

/// One word; 0 if there is none.
#[inline(always)]
pub(super) fn word(words: &Words, index: usize) -> u64 {
    u64::from_le_bytes(words.get(index).copied().unwrap_or_default())
}

/// Puts down a word, if there is one.
#[inline(always)]
pub(super) fn set_word(words: &mut Words, index: usize, word: u64) {
    if let Some(place) = words.get_mut(index) {
        *place = word.to_le_bytes();
    }
}

/// Whose numbers.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Tags,
    Shapes,
}

/// Sixteen numbers, from number `16 * index` on.
#[inline(always)]
pub(super) fn sixteen(words: &Words, kind: Kind, index: usize) -> u64 {
    word(words, place(kind, index))
}

/// Puts down sixteen numbers.
#[inline(always)]
pub(super) fn set_sixteen(words: &mut Words, kind: Kind, index: usize, numbers: u64) {
    set_word(words, place(kind, index), numbers);
}

fn place(kind: Kind, index: usize) -> usize {
    index.wrapping_mul(2) | kind as usize
}

/// Eight numbers, from `8 * index` on, a byte each.
#[inline(always)]
pub(super) fn eight(words: &Words, kind: Kind, index: usize) -> u64 {
    beside_zeroes((sixteen(words, kind, index >> 1) >> ((index & 1) << 5)) as u32)
}

/// Sets a number that is 0.
pub(super) fn set(words: &mut Words, kind: Kind, at: usize, number: u8) {
    let others = sixteen(words, kind, at / NIBBLES);
    let number = u64::from(number) << (at % NIBBLES).wrapping_mul(4);
    set_sixteen(words, kind, at / NIBBLES, others | number);
}

/// Some numbers one after the other, of which there are `len` in all: those of the last word, in the lowest nibbles, of some in
/// the highest.
#[inline(always)]
pub(super) fn last_of(held: u64, len: usize) -> u64 {
    // In two steps: a word has no sixteen nibbles more.
    let missing = (NIBBLES - 1).wrapping_sub(len % NIBBLES);
    held >> 4 >> missing.wrapping_mul(4)
}

/// Eight numbers, each with a zero behind it.
pub(super) fn beside_zeroes(eight: u32) -> u64 {
    let numbers = u64::from(eight);
    let numbers = (numbers | numbers << 16) & 0x0000_ffff_0000_ffff;
    let numbers = (numbers | numbers << 8) & 0x00ff_00ff_00ff_00ff;
    (numbers | numbers << 4) & 0x0f0f_0f0f_0f0f_0f0f
}
