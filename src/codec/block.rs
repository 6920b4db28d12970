//! Blocks: the tags of 256 granules, in the shortest of five formats.
//!
//! The first byte says which, and how long the block is follows from what it says:
//!
//! | first byte | format | what follows |
//! |---|---|---|
//! | `0000 tttt` | one run | nothing: `tttt` is the tag |
//! | `0001 0000` | raw | 128 bytes |
//! | `0010 00za` | list | number of boundaries, then each boundary's granule, then tags |
//! | `0011 0oza` | bitmap | 32 bytes, a bit for each granule that begins a run (the first never set), then tags |
//! | `1os0 0ddd` | cells | see below |
//!
//! **Tags**, of list and bitmap: a nibble for each run. With `a` set, every other run is of
//! tag 0 and has no nibble; with `z`, the first run is. With `o` (bitmap with `a` only),
//! tags are alternately odd and even and take three bits; the lowest bit of the first
//! tag stands before them.
//!
//! **Cells**: what allocators lay out, a run of zeroes (possibly empty) and a run of one
//! other tag. `ddd` is one less than the number of shapes; `s` says that all shapes have as
//! many zeroes. A byte follows: how many granules of the first cell lie
//! before the block in its lowest 7 bits, and in bit 7 the lowest bit of the first tag,
//! where `o` is set. Then the shapes: one byte of zeroes for all of them, or one each
//! before the other byte, which is the run's length less one. Then, for each cell until
//! the block is full, the number of its shape in as many bits as there must be, and its
//! tag in four bits (three with `o`). What goes over the block's end is cut off.
//!
//! A cell whose run lies outside of the block has a tag all the same, 0.

use super::{ALL_GRANULES, bits::Writer, canvas::Blocks, cells, layout::Layout, runs};
use crate::{
    error::{Error, Result},
    tags::{TagSink, TagSource},
};

/// Words of a block.
pub(super) const BLOCK_WORDS: usize = 16;
/// Words whose granules fill a word of one bit each.
pub(super) const WORDS_OF_QUARTER: usize = 4;
/// Such words of a block.
pub(super) const QUARTERS: usize = BLOCK_WORDS / WORDS_OF_QUARTER;
/// Granules of a block.
pub(super) const GRANULES: usize = 256;
/// Bytes of a raw block, without its first byte.
const RAW_BYTES: usize = BLOCK_WORDS * size_of::<u64>();
/// No block is longer.
pub(super) const ENCODED_MAX: usize = RAW_BYTES + 1;

const RAW: u8 = 0x10;
pub(super) const LIST: u8 = 0x20;
pub(super) const BITMAP: u8 = 0x30;
pub(super) const CELLS: u8 = 0x80;

/// The formats of a block.
#[derive(Clone, Copy)]
pub(super) enum Format {
    One,
    List,
    Bitmap,
    Cells,
    Raw,
}

/// The tags of 256 granules, and where their runs begin.
pub(super) struct Block {
    words: [u64; BLOCK_WORDS],
    pub(super) starts: Starts,
    /// How many starts there are.
    boundaries: u16,
    /// Every other run is of tag 0.
    alternate: bool,
}

impl Block {
    /// A block of tag 0.
    pub(super) const fn new() -> Self {
        let starts = Starts([0; QUARTERS]);
        Self { words: [0; BLOCK_WORDS], starts, boundaries: 0, alternate: true }
    }

    /// Reads block `number` of a page.
    pub(super) fn read(&mut self, source: &(impl TagSource + ?Sized), number: usize) {
        let mut index = number.wrapping_mul(BLOCK_WORDS);
        // As if tag 0 were before the block; but its first granule is never a start.
        let (mut before, mut first) = (0, 1);
        let mut boundaries = 0u32;
        // Lowest bits of granules: where a boundary is none between zero and not zero.
        let mut touching = 0;
        let quarters = self.words.chunks_exact_mut(WORDS_OF_QUARTER);
        for (words, starts) in quarters.zip(&mut self.starts.0) {
            let mut bits = 0;
            for (word, i) in words.iter_mut().zip(0u32..) {
                let tags = source.word(index);
                index = index.wrapping_add(1);
                *word = tags;
                let tag_before = tags << 4 | before;
                if tags != tag_before {
                    let differs = nonzero_granules(tags ^ tag_before);
                    let toggles = nonzero_granules(tags) ^ nonzero_granules(tag_before);
                    touching |= differs ^ toggles;
                    bits |= pack(differs) << (i & 3).wrapping_mul(16);
                }
                before = tags >> 60;
            }
            *starts = bits & !first;
            first = 0;
            boundaries = boundaries.wrapping_add(starts.count_ones());
        }
        self.boundaries = boundaries as u16;
        self.alternate = touching == 0;
    }

    /// The tag of a granule.
    #[inline(always)]
    pub(super) fn tag(&self, granule: usize) -> u8 {
        let word = self.words.get(granule >> 4 & (BLOCK_WORDS - 1)).copied().unwrap_or(0);
        (word >> (granule & 15).wrapping_mul(4)) as u8 & 15
    }

    /// How often the tag changes.
    pub(super) fn boundaries(&self) -> usize {
        self.boundaries.into()
    }

    /// True if every other run is of tag 0.
    pub(super) fn alternates(&self) -> bool {
        self.alternate
    }

    /// Where runs begin that need a tag in an encoding: all of them, or every other one.
    #[inline(always)]
    pub(super) fn tagged(&self) -> impl Iterator<Item = usize> {
        let every_other = self.alternate;
        let mut starts = self.starts.iter(!every_other || self.tag(0) != 0);
        core::iter::from_fn(move || {
            let at = starts.next()?;
            if every_other {
                starts.next_or_end();
            }
            Some(at)
        })
    }

    /// Writes the block in the format that `layout`, its own, chose; returns the length,
    /// and how much of it fits `out` is written.
    #[inline]
    pub(super) fn encode(&self, layout: &Layout, out: &mut [u8]) -> usize {
        match layout.format() {
            Format::One => self.encode_one(out),
            Format::List => runs::encode_list(self, out),
            Format::Bitmap => runs::encode_bitmap(self, layout, out),
            Format::Cells => {
                // One after the other, not one in the other: their stack is not needed at once.
                let head = cells::write_head(layout, out);
                cells::encode(self, layout, out, head)
            }
            Format::Raw => self.encode_raw(out),
        }
    }

    #[inline(never)]
    fn encode_one(&self, out: &mut [u8]) -> usize {
        let mut writer = Writer::behind(out, 0);
        writer.byte(self.tag(0));
        writer.finish()
    }

    #[inline(never)]
    fn encode_raw(&self, out: &mut [u8]) -> usize {
        let mut writer = Writer::behind(out, 0);
        writer.byte(RAW);
        self.words.iter().for_each(|word| writer.bytes(*word, size_of::<u64>()));
        writer.finish()
    }
}

/// Decodes a block; returns the bytes used. [`Error::Invalid`] for what no encoder writes or
/// what ends too early; what the blocks got is unspecified then.
// What has a frame of its own here is not inlined: a kernel's stack is small, and what is
// inlined adds up.
pub(super) fn decode(
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    bytes: &[u8],
) -> Result<usize> {
    let first = bytes.first().copied().ok_or(Error::Invalid)?;
    match (first & 0xf0, first & 0x0f) {
        (0, tag) => {
            let word = u64::from(tag).wrapping_mul(ALL_GRANULES);
            (0..BLOCK_WORDS).for_each(|_| blocks.put(word));
            Ok(1)
        }
        (RAW, 0) => {
            let words = bytes.get(1..ENCODED_MAX).ok_or(Error::Invalid)?;
            (0..BLOCK_WORDS).for_each(|index| blocks.put(words.word(index)));
            Ok(ENCODED_MAX)
        }
        (LIST, flags @ 0..4) => runs::decode_list(blocks, bytes, flags),
        (BITMAP, flags @ 0..8) => runs::decode_bitmap(blocks, bytes, flags),
        (form, _) if form & CELLS != 0 => cells::decode(blocks, bytes),
        _ => Err(Error::Invalid),
    }
}

/// The granules of a block where the tag changes: a bit each, never for the first.
pub(super) struct Starts(pub(super) [u64; QUARTERS]);

impl Starts {
    /// One after the other; with the block's first granule before them or not.
    #[inline(always)]
    pub(super) fn iter(&self, first: bool) -> Iter<'_> {
        let [rest, ..] = self.0;
        Iter { starts: &self.0, rest: rest | u64::from(first), base: 0 }
    }

    /// True if they come again every `period` granules, 1 to 255, and nowhere else; the
    /// block's first granule may be one or not.
    pub(super) fn are_periodic(&self, period: usize) -> bool {
        let [a, b, c, d] = self.0;
        let word = |i: usize| self.0.get((period >> 6).wrapping_add(i)).copied().unwrap_or(0);
        let (e, f, g, h) = (word(0), word(1), word(2), word(3));
        let bits = period & 63;
        let shift = |low: u64, high: u64| low >> bits | (high << 1) << (bits ^ 63);
        // The last `period` granules have nothing to be compared with: those before `end` have.
        let end = GRANULES.saturating_sub(period);
        let mask = |from: usize| match end.saturating_sub(from) {
            granules @ 0..64 => !(u64::MAX << granules),
            _ => u64::MAX,
        };
        let differs = (a ^ shift(e, f)) & !1 & mask(0)
            | (b ^ shift(f, g)) & mask(64)
            | (c ^ shift(g, h)) & mask(128)
            | (d ^ shift(h, 0)) & mask(192);
        differs == 0
    }
}

/// The granules where the tag changes, one after the other.
pub(super) struct Iter<'a> {
    starts: &'a [u64; QUARTERS],
    /// Starts still to come, in this quarter of the block.
    rest: u64,
    /// The quarter's first granule.
    base: usize,
}

impl Iter<'_> {
    /// The next of them, or the block's end.
    #[inline(always)]
    pub(super) fn next_or_end(&mut self) -> usize {
        while self.rest == 0 {
            self.base = self.base.wrapping_add(64);
            match self.starts.get(self.base >> 6) {
                Some(&rest) => self.rest = rest,
                None => return GRANULES,
            }
        }
        let at = self.base | self.rest.trailing_zeros() as usize;
        self.rest &= self.rest.wrapping_sub(1);
        at
    }
}

impl Iterator for Iter<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        Some(self.next_or_end()).filter(|at| *at < GRANULES)
    }
}

/// The lowest bit of each granule, set where its tag is not 0.
fn nonzero_granules(word: u64) -> u64 {
    let halves = word | word >> 2;
    (halves | halves >> 1) & ALL_GRANULES
}

/// Every fourth bit, packed: by halves, then by a multiplication that puts four groups side
/// by side; no two of its terms meet.
fn pack(bits: u64) -> u64 {
    let bits = (bits | bits >> 3) & 0x0303_0303_0303_0303;
    let bits = (bits | bits >> 6) & 0x000f_000f_000f_000f;
    bits.wrapping_mul(1 << 48 | 1 << 36 | 1 << 24 | 1 << 12) >> 48
}
