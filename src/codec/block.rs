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
//! | `1os0 dddd` | cells | see below |
//!
//! **Tags**, of list and bitmap: a nibble for each run. With `a` set, every other run is of
//! tag 0 and has no nibble; with `z`, the first run is. With `o` (bitmap with `a` only),
//! tags are alternately odd and even and take three bits; the lowest bit of the first
//! tag stands before them.
//!
//! **Cells**: what allocators lay out, a run of zeroes (possibly empty) and a run of one
//! other tag. `dddd` is one less than the number of shapes; `s` says that all shapes have as
//! many zeroes. A byte follows: how many granules of the first cell lie
//! before the block in its lowest 7 bits, and in bit 7 the lowest bit of the first tag,
//! where `o` is set. Then the shapes: one byte of zeroes for all of them, or one each
//! before the other byte, which is the run's length less one. Then, for each cell until
//! the block is full, the number of its shape in as many bits as there must be, and its
//! tag in four bits (three with `o`). What goes over the block's end is cut off.
//!
//! A cell whose run lies outside of the block has a tag all the same, 0.

use super::{ALL_GRANULES, bits::Writer, canvas::Canvas, cells, layout::Layout, runs};
use crate::{
    error::{Error, Result},
    tags::{TagSink, TagSource},
};

/// Words of a block.
pub(super) const BLOCK_WORDS: usize = 16;
/// Granules of a block.
pub(super) const GRANULES: u16 = 256;
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

/// The tags of a block.
pub(super) type Words = [u64; BLOCK_WORDS];

/// The tags of 256 granules, and where their runs begin.
pub(super) struct Block {
    words: Words,
    /// A bit for each granule whose tag differs from the one before it.
    starts: [u64; 4],
}

impl Block {
    /// A block of tag 0.
    pub(super) const fn new() -> Self {
        Self { words: [0; BLOCK_WORDS], starts: [0; 4] }
    }

    /// Reads block `number` of a page.
    pub(super) fn read(&mut self, source: &(impl TagSource + ?Sized), number: usize) {
        let base = number.wrapping_mul(BLOCK_WORDS);
        for (word, i) in self.words.iter_mut().zip(0usize..) {
            *word = source.word(base.wrapping_add(i));
        }
        self.starts = [0; 4];
        // The first granule begins no boundary: it is compared with itself.
        let mut before = self.words.first().map_or(0, |word| word & 15);
        for (word, index) in self.words.iter().zip(0u32..) {
            let differs = word ^ (word << 4 | before);
            before = word >> 60;
            let bits = nibbles_to_bits(differs);
            if let Some(quarter) = self.starts.get_mut((index >> 2) as usize) {
                *quarter |= bits << (index & 3).wrapping_mul(16);
            }
        }
    }

    /// The tag of a granule.
    pub(super) fn tag(&self, granule: u8) -> u8 {
        let word = self.words.get(usize::from(granule >> 4)).copied().unwrap_or(0);
        (word >> (granule & 15).wrapping_mul(4)) as u8 & 15
    }

    /// How often the tag changes.
    pub(super) fn boundaries(&self) -> u32 {
        self.starts.iter().map(|quarter| quarter.count_ones()).fold(0, u32::wrapping_add)
    }

    /// The runs in order: where they begin, and their tag.
    pub(super) fn runs(&self) -> impl Iterator<Item = (u16, u8)> {
        Spans::new(&self.starts).map(|(at, _)| (at, self.tag(at as u8)))
    }

    /// The bits of [`runs`](Self::runs), as a bitmap block has them: the first is never set.
    pub(super) fn starts(&self) -> impl Iterator<Item = u8> {
        self.starts.iter().flat_map(|quarter| quarter.to_le_bytes())
    }

    pub(super) fn spans(&self) -> Spans<'_> {
        Spans::new(&self.starts)
    }

    /// Writes the block in the format that `layout`, its own, chose; returns the length,
    /// and how much of it fits `out` is written.
    #[inline]
    pub(super) fn encode(&self, layout: &Layout, out: &mut [u8]) -> usize {
        match layout.format() {
            Format::One => self.encode_one(out),
            Format::List => runs::encode_list(self, layout, out),
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
        let mut writer = Writer::new(out);
        writer.byte(self.tag(0));
        writer.finish()
    }

    #[inline(never)]
    fn encode_raw(&self, out: &mut [u8]) -> usize {
        let mut writer = Writer::new(out);
        writer.byte(RAW);
        self.words.iter().flat_map(|word| word.to_le_bytes()).for_each(|byte| writer.byte(byte));
        writer.finish()
    }
}

/// Decodes a block; returns the bytes used. [`Error::Invalid`] for what no encoder writes or
/// what ends too early; what the canvas got is unspecified then.
// What has a frame of its own here is not inlined: a kernel's stack is small, and what is
// inlined adds up.
pub(super) fn decode(
    canvas: &mut Canvas<'_, impl TagSink + ?Sized>,
    bytes: &[u8],
) -> Result<usize> {
    let first = bytes.first().copied().ok_or(Error::Invalid)?;
    match (first & 0xf0, first & 0x0f) {
        (0, tag) => {
            canvas.change(0, tag);
            canvas.finish();
            Ok(1)
        }
        (RAW, 0) => {
            let words = bytes.get(1..ENCODED_MAX).ok_or(Error::Invalid)?;
            canvas.raw((0..BLOCK_WORDS).map(|index| words.word(index)));
            Ok(ENCODED_MAX)
        }
        (LIST, flags @ 0..4) => runs::decode_list(canvas, bytes, flags),
        (BITMAP, flags @ 0..8) => runs::decode_bitmap(canvas, bytes, flags),
        (form, _) if form & CELLS != 0 => cells::decode(canvas, bytes),
        _ => Err(Error::Invalid),
    }
}

/// The granule and the length of each run that a block's starts tell.
pub(super) struct Spans<'a> {
    starts: &'a [u64; 4],
    /// Starts still to come, in this quarter of the block.
    rest: u64,
    quarter: u16,
    at: u16,
}

impl<'a> Spans<'a> {
    fn new(starts: &'a [u64; 4]) -> Self {
        let [rest, ..] = *starts;
        Self { starts, rest, quarter: 0, at: 0 }
    }
}

impl Spans<'_> {
    /// True where all of the block was gone through.
    pub(super) fn is_done(&self) -> bool {
        self.at >= GRANULES
    }
}

impl Iterator for Spans<'_> {
    type Item = (u16, u16);

    #[inline]
    fn next(&mut self) -> Option<(u16, u16)> {
        if self.at >= GRANULES {
            return None;
        }
        while self.rest == 0 && self.quarter < 4 {
            self.quarter = self.quarter.wrapping_add(1);
            self.rest = self.starts.get(usize::from(self.quarter)).copied().unwrap_or(0);
        }
        // Behind the last quarter: 4 * 64 + 64 is past the block, and cut off.
        let bit = self.rest.trailing_zeros() as u16;
        let end = self.quarter.wrapping_mul(64).wrapping_add(bit).min(GRANULES);
        self.rest &= self.rest.wrapping_sub(1);
        let at = self.at;
        self.at = end;
        Some((at, end.wrapping_sub(at)))
    }
}

/// A bit for each nibble that is not zero.
fn nibbles_to_bits(word: u64) -> u64 {
    let halves = word | word >> 2;
    let mut bits = (halves | halves >> 1) & ALL_GRANULES;
    // Every fourth bit, packed: by halves.
    bits = (bits | bits >> 3) & 0x0303_0303_0303_0303;
    bits = (bits | bits >> 6) & 0x000f_000f_000f_000f;
    bits = (bits | bits >> 12) & 0x0000_00ff_0000_00ff;
    (bits | bits >> 24) & 0xffff
}
