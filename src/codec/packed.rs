//! The tags of runs, one after the other: four bits each; or three, those above the lowest, where they
//! are alternately odd and even.
//!
//! Sixteen at a time they are a word, a nibble each, and go through few registers: what takes the
//! tags of a block apart has none to spare.

use super::{
    ALL_GRANULES,
    bits::{bits_at, put},
    nibbles::{self, Kind::Tags, NIBBLES, Words},
};

/// Shifts that bring four tags of three bits to four, two at a time, and so on; and what of a
/// word stays where it is.
const STEPS: [(u32, u64); 4] = [
    (8, 0x0000_0000_00ff_ffff),
    (4, 0x0000_0fff_0000_0fff),
    (2, 0x003f_003f_003f_003f),
    (1, 0x0707_0707_0707_0707),
];

/// What of a word does not stay, while it is packed.
const fn moves(shift: u32, stays: u64) -> u64 {
    stays << shift.wrapping_mul(3)
}

/// The lowest bits of tags that are alternately odd and even, the first of this parity.
fn alternating(parity: u64) -> u64 {
    0x1010_1010_1010_1010 ^ ALL_GRANULES.wrapping_mul(parity)
}

/// True if tags are alternately odd and even. Others show it soon.
pub(super) fn are_odd_even(words: &Words, len: usize) -> bool {
    let lowest = alternating(nibbles::sixteen(words, Tags, 0) & 1);
    (0..len).step_by(NIBBLES).zip(0usize..).all(|(at, index)| {
        let those = match len.wrapping_sub(at) {
            rest @ 0..NIBBLES => !(u64::MAX << rest.wrapping_mul(4)),
            _ => u64::MAX,
        };
        (nibbles::sixteen(words, Tags, index) ^ lowest) & ALL_GRANULES & those == 0
    })
}

/// How tags are written.
#[derive(Clone, Copy)]
pub(super) enum Width {
    Four,
    /// Three bits of those that are alternately odd and even.
    Three,
    /// The same, behind a bit of this value.
    ThreeBehind(u8),
}

/// Writes the first `count` tags behind the first `head` bytes; returns the length with them.
// Sixteen are whole bytes, which are written in a word; what it has behind them comes next.
#[inline(never)]
pub(super) fn write(
    words: &Words,
    count: usize,
    width: Width,
    out: &mut [u8],
    head: usize,
) -> usize {
    let (bits, first, mut held) = match width {
        Width::Four => (4usize, 0u32, 0u64),
        Width::Three => (3, 0, 0),
        Width::ThreeBehind(bit) => (3, 1, bit.into()),
    };
    let mut at = head;
    for index in 0..count.div_ceil(NIBBLES) {
        let mut tags = nibbles::sixteen(words, Tags, index);
        if bits == 3 {
            tags = tags >> 1 & ALL_GRANULES.wrapping_mul(7);
            for (shift, stays) in STEPS.into_iter().rev() {
                tags = tags & stays | tags >> shift & moves(shift, stays);
            }
        }
        put(out, at, tags << first | held);
        if first > 0 {
            held = tags >> 47;
        }
        at = at.saturating_add(bits << 1);
    }
    let bits = count.wrapping_mul(bits).wrapping_add(first as usize);
    head.saturating_add(bits.wrapping_add(7) >> 3)
}

/// Bits of a tag: three, where the `parity` of the first of those that are alternately odd and even is given.
pub(super) fn width(parity: Option<u8>) -> usize {
    if parity.is_some() { 3 } else { 4 }
}

/// Sixteen tags from bit `at` on, between bytes unless they are of three bits.
// Of nothing that lies in memory, as all that decodes: it would take stack.
#[inline(always)]
pub(super) fn sixteen(bytes: &[u8], at: usize, parity: Option<u8>) -> u64 {
    let mut tags = bits_at(bytes, at);
    let Some(parity) = parity else { return tags };
    for (shift, stays) in STEPS {
        tags = tags & stays | (tags & moves(shift, stays)) << shift;
    }
    tags << 1 | alternating(parity.into())
}

/// Nibbles that are read and not used yet.
// Without what they are read from: these stay in registers.
#[derive(Default)]
pub(super) struct Held {
    left: u8,
    nibbles: u64,
}

impl Held {
    /// The next; `sixteen` gives more where there is none.
    #[inline(always)]
    pub(super) fn next(&mut self, sixteen: impl FnOnce() -> u64) -> u64 {
        if self.left == 0 {
            (self.nibbles, self.left) = (sixteen(), NIBBLES as u8);
        }
        self.left = self.left.wrapping_sub(1);
        let next = self.nibbles & 15;
        self.nibbles >>= 4;
        next
    }

    pub(super) fn left(&self) -> usize {
        self.left.into()
    }
}
