//! The tags of runs, one after the other: four bits each; or three, those above the lowest, where they
//! are alternately odd and even.
//!
//! Sixteen at a time they are a word, a nibble each, and go through few registers: what takes the
//! tags of a block apart has none to spare.

use super::{
    ALL_GRANULES,
    bits::{Reader, Writer},
    nibbles::{Nibbles, beside_zeroes},
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
pub(super) fn are_odd_even(tags: &Nibbles) -> bool {
    let lowest = alternating(tags.sixteen(0) & 1);
    (0..tags.len()).step_by(LANES).zip(0usize..).all(|(at, index)| {
        let those = match tags.len().wrapping_sub(at) {
            rest @ 0..LANES => !(u64::MAX << rest.wrapping_mul(4)),
            _ => u64::MAX,
        };
        (tags.sixteen(index) ^ lowest) & ALL_GRANULES & those == 0
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
#[inline(never)]
pub(super) fn write(
    tags: &Nibbles,
    count: usize,
    width: Width,
    out: &mut [u8],
    head: usize,
) -> usize {
    let mut writer = Writer::behind(out, head);
    if let Width::ThreeBehind(bit) = width {
        writer.bits(bit.into(), 1);
    }
    for (at, index) in (0..count).step_by(LANES).zip(0usize..) {
        let sixteen = tags.sixteen(index);
        let rest = count.wrapping_sub(at).min(LANES);
        if let Width::Four = width {
            writer.bytes(sixteen, rest.wrapping_add(1) >> 1);
        } else {
            let mut packed = sixteen >> 1 & ALL_GRANULES.wrapping_mul(7);
            for (shift, stays) in STEPS.into_iter().rev() {
                packed = packed & stays | packed >> shift & moves(shift, stays);
            }
            writer.bits(packed, rest.wrapping_mul(3));
        }
    }
    writer.finish()
}

/// Reads tags.
pub(super) struct Unpacker<'a> {
    reader: Reader<'a>,
    /// Where they have three bits: the lowest of the first.
    parity: Option<u8>,
}

impl<'a> Unpacker<'a> {
    /// Of three bits where the `parity` of the first of them is given, else of four.
    #[inline(always)]
    pub(super) fn new(reader: Reader<'a>, parity: Option<u8>) -> Self {
        Self { reader, parity }
    }

    /// The next sixteen.
    #[inline(never)]
    pub(super) fn sixteen(&mut self) -> u64 {
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

    /// Bytes up to the end of the next `count` tags. [`Error::Invalid`] if there are fewer.
    ///
    /// [`Error::Invalid`]: crate::error::Error::Invalid
    pub(super) fn check(&self, count: usize) -> Result<usize> {
        self.reader.ahead(count.wrapping_mul(self.width()))
    }

    fn width(&self) -> usize {
        if self.parity.is_some() { 3 } else { 4 }
    }

    /// Bytes begun so far, without the last `unused` tags. [`Error::Invalid`] if there are fewer.
    ///
    /// [`Error::Invalid`]: crate::error::Error::Invalid
    #[inline(never)]
    pub(super) fn finish(&self, unused: usize) -> Result<usize> {
        self.reader.check(unused.wrapping_mul(self.width()))
    }
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
            (self.nibbles, self.left) = (sixteen(), LANES as u8);
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

/// The tags of runs, those of tag 0 with the others.
pub(super) struct Runs<'a> {
    tags: Unpacker<'a>,
    /// Every other run is of tag 0, and has no tag.
    alternate: bool,
    /// Then: eight tags that are held.
    rest: Option<u32>,
    /// The tag that came last.
    last: u64,
}

impl<'a> Runs<'a> {
    /// Of all runs, or of those whose neighbours are of tag 0, which are not among the tags.
    #[inline(always)]
    pub(super) fn new(tags: Unpacker<'a>, alternate: bool) -> Self {
        Self { tags, alternate, rest: None, last: 0 }
    }

    /// By how much the tag changes, for sixteen runs; the first one from tag 0. A run of tag 0 before
    /// others is none.
    #[inline(never)]
    pub(super) fn sixteen_changes(&mut self) -> u64 {
        let tags = match (self.alternate, self.rest.take()) {
            (false, _) => self.tags.sixteen(),
            (true, Some(eight)) => beside_zeroes(eight),
            (true, None) => {
                let sixteen = self.tags.sixteen();
                self.rest = Some((sixteen >> 32) as u32);
                beside_zeroes(sixteen as u32)
            }
        };
        let changes = tags ^ (tags << 4 | self.last);
        self.last = tags >> 60;
        changes
    }

    /// Bytes begun so far, without the last `unused` runs. [`Error::Invalid`] if there are fewer.
    ///
    /// [`Error::Invalid`]: crate::error::Error::Invalid
    pub(super) fn finish(&self, unused: usize) -> Result<usize> {
        let tags = if self.alternate { unused >> 1 } else { unused };
        self.tags.finish(if self.rest.is_some() { tags.wrapping_add(LANES / 2) } else { tags })
    }
}
