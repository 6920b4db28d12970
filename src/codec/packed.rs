//! The tags of runs, one after the other: four bits each; or three, those above the lowest, where they
//! are alternately odd and even.
//!
//! Sixteen at a time they are a word, a nibble each, and go through few registers: what takes the
//! tags of a block apart has none to spare.

use super::{
    ALL_GRANULES,
    bits::{Reader, Writer},
    block::Tags,
};
use crate::error::Result;

/// Tags in a word.
const LANES: usize = 16;
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
pub(super) fn are_odd_even(tags: &Tags) -> bool {
    let lowest = alternating(tags.sixteen(0) & 1);
    (0..tags.len()).step_by(LANES).zip(0usize..).all(|(at, index)| {
        let those = match tags.len().wrapping_sub(at) {
            rest @ 0..LANES => !(u64::MAX << rest.wrapping_mul(4)),
            _ => u64::MAX,
        };
        (tags.sixteen(index) ^ lowest) & ALL_GRANULES & those == 0
    })
}

/// Writes the first `count` tags: of three bits where `three` says so, else of four; those begin
/// between bytes.
#[inline(never)]
pub(super) fn write(tags: &Tags, count: usize, three: bool, writer: &mut Writer<'_>) {
    for (at, index) in (0..count).step_by(LANES).zip(0usize..) {
        let sixteen = tags.sixteen(index);
        let rest = count.wrapping_sub(at).min(LANES);
        if three {
            let mut packed = sixteen >> 1 & ALL_GRANULES.wrapping_mul(7);
            for (shift, stays) in STEPS.into_iter().rev() {
                packed = packed & stays | packed >> shift & moves(shift, stays);
            }
            writer.bits(packed, rest.wrapping_mul(3));
        } else {
            writer.bytes(sixteen, rest.wrapping_add(1) >> 1);
        }
    }
}

/// Reads tags.
pub(super) struct Unpacker<'a> {
    reader: Reader<'a>,
    /// Where they have three bits: the lowest of the first.
    parity: Option<u8>,
    /// Tags that are held.
    left: u8,
    held: u64,
}

impl<'a> Unpacker<'a> {
    /// Of three bits where the `parity` of the first of them is given, else of four.
    #[inline(always)]
    pub(super) fn new(reader: Reader<'a>, parity: Option<u8>) -> Self {
        Self { reader, parity, left: 0, held: 0 }
    }

    #[inline(never)]
    fn sixteen(&mut self) -> u64 {
        match self.parity {
            None => self.reader.bits(64),
            Some(parity) => {
                let mut tags = self.reader.bits(48);
                for (shift, stays) in STEPS {
                    tags = tags & stays | (tags & moves(shift, stays)) << shift;
                }
                tags << 1 | alternating(parity.into())
            }
        }
    }

    #[inline(always)]
    pub(super) fn next(&mut self) -> u64 {
        if self.left == 0 {
            (self.held, self.left) = (self.sixteen(), LANES as u8);
        }
        self.left = self.left.wrapping_sub(1);
        let tag = self.held & 15;
        self.held >>= 4;
        tag
    }

    /// Bytes begun so far, without the tags that are held. [`Error::Invalid`] if there are fewer.
    ///
    /// [`Error::Invalid`]: crate::error::Error::Invalid
    pub(super) fn finish(&self) -> Result<usize> {
        let width = if self.parity.is_some() { 3 } else { 4 };
        self.reader.check(usize::from(self.left).wrapping_mul(width))
    }
}
