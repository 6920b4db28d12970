//! Blocks: the tags of 256 granules, in one of five formats: the shortest of those that are looked at.
//!
//! The first byte says which, and how long the block is follows from what it says:
//!
//! | first byte | format | what follows |
//! |---|---|---|
//! | `0000 tttt` | one run | nothing: `tttt` is the tag |
//! | `0001 0000` | raw | 128 bytes |
//! | `0010 00za` | list | number of boundaries, then each boundary's granule, in order, then tags |
//! | `0011 0oza` | bitmap | 32 bytes, a bit for each granule that begins a run (the first never set), then tags |
//! | `1os0 0ddd` | cells | see below |
//!
//! **Tags**, of list and bitmap: a nibble for each run. With `a` set, every other run is of
//! tag 0 and has no nibble; with `z`, the first run is. With `o` (bitmap with `a` only),
//! tags are alternately odd and even and take three bits; the lowest bit of the first
//! tag stands before them.
//!
//! **Cells**: what allocators lay out, a run of zeroes (possibly empty) and a run of one
//! other tag. `ddd` is one less than the number of shapes, of which an encoder finds four at most; `s` says that all shapes have as
//! many zeroes. A byte follows: how many granules of the first cell lie
//! before the block in its lowest 7 bits, and in bit 7 the lowest bit of the first tag,
//! where `o` is set. Then the shapes: one byte of zeroes for all of them, or one each
//! before the other byte, which is the run's length less one. Then, for each cell until
//! the block is full, the number of its shape in as many bits as there must be, and its
//! tag in four bits (three with `o`). What goes over the block's end is cut off.
//!
//! A cell whose run lies outside of the block has a tag all the same, 0.

use core::num::NonZero;

use super::{
    ALL_GRANULES,
    canvas::{Canvas, pattern},
    cells,
    layout::Layout,
    nibbles::{Words, word},
    packed::{self, Width},
    runs,
    starts::Starts,
};
use crate::tags::{TagSink, TagSource};

/// Words of a block.
pub(super) const BLOCK_WORDS: usize = 16;
/// Words whose granules fill a word of one bit each.
pub(super) const WORDS_OF_QUARTER: usize = 4;
/// Such words of a block.
pub(super) const QUARTERS: usize = BLOCK_WORDS / WORDS_OF_QUARTER;
/// Granules of a block.
pub(super) const GRANULES: usize = 256;
/// Bytes of its tags.
pub(super) const BLOCK_BYTES: usize = BLOCK_WORDS * size_of::<u64>();
/// No block is longer: the first byte, and the tags as they are.
pub(super) const ENCODED_MAX: usize = BLOCK_BYTES + 1;

/// The most tags of a block that is not raw. A block that alternates has no more; one that does not
/// and has more could save a quarter of itself at the most.
pub(super) const TAGS: usize = 128;

/// The lower half of every byte.
pub(super) const LOWER: u64 = 0x0f0f_0f0f_0f0f_0f0f;
/// The lowest bit of every byte.
const EVERY_BYTE: u64 = 0x0101_0101_0101_0101;

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

/// The runs of 256 granules: where they begin, and their tags.
///
/// A block of more than [`TAGS`] tags is raw: it is read again when it is written.
pub(super) struct Block {
    pub(super) starts: Starts,
    /// As they were read; later on the tags, and the numbers of the cells' shapes.
    pub(super) words: Words,
    /// How many starts there are.
    boundaries: u16,
    /// Where the first run with a tag begins, if there is a period.
    first_tag: i16,
    /// Granules of each cell; 0 where they differ, or there are not two.
    period: u8,
    /// Every other run is of tag 0, and has none of the tags.
    alternate: bool,
    /// The first run is of tag 0.
    zero_first: bool,
}

impl Block {
    /// A block of tag 0.
    pub(super) const fn new() -> Self {
        Self {
            starts: Starts::new(),
            words: [[0; size_of::<u64>()]; BLOCK_WORDS + 1],
            boundaries: 0,
            first_tag: 0,
            period: 0,
            alternate: true,
            zero_first: true,
        }
    }

    /// Reads block `number` of a page, and finds where its runs begin.
    // Apart: what it has on the stack is not needed longer.
    #[inline(never)]
    pub(super) fn read(&mut self, source: &(impl TagSource + ?Sized), number: usize) {
        let base = number.wrapping_mul(BLOCK_WORDS);
        // Most alternate.
        if !self.scan::<_, true>(source, base) {
            // Raw blocks need no more.
            if has_more_runs(source, base, TAGS) {
                (self.alternate, self.boundaries) = (false, TAGS as u16);
                return;
            }
            self.scan::<_, false>(source, base);
        }
        self.find_runs();
    }

    /// Finds where runs begin, from what [`scan`](Self::scan) found; how many they are; and the period, if there is one.
    #[inline(never)]
    fn find_runs(&mut self) {
        if self.alternate {
            let mut before = 0;
            for quarter in 0..QUARTERS {
                let tagged = self.starts.quarter(quarter);
                self.starts.set_quarter(quarter, tagged ^ (tagged << 1 | before));
                before = tagged >> 63;
            }
        }
        self.starts.set_quarter(0, self.starts.quarter(0) & !1);
        self.zero_first = word(&self.words, 0) & 15 == 0;
        self.boundaries = self.starts.count() as u16;
        // Each cell ends where one without a tag begins, or where runs touch.
        let mut cursor = self.starts.cursor();
        let mut next = || cursor.next(&self.starts);
        let zero_first = self.alternate && self.zero_first;
        let first = if zero_first { next() } else { 0 };
        let end = next();
        let second = if self.alternate { next() } else { end };
        let period = next().wrapping_sub(end);
        let is_grid = period.wrapping_add(end) < GRANULES && self.starts.are_periodic(period);
        self.period = if is_grid { period as u8 } else { 0 };
        self.first_tag = if zero_first { first } else { second.wrapping_sub(period) } as i16;
    }

    /// Reads the words, each once, and finds, in place of the starts, the granules with a tag where runs `ALTERNATE`, and those
    /// that begin a run where they do not. False where they ought to alternate and do not.
    #[inline(never)]
    fn scan<S: TagSource + ?Sized, const ALTERNATE: bool>(
        &mut self,
        source: &S,
        base: usize,
    ) -> bool {
        self.alternate = ALTERNATE;
        let mut index = base;
        // What comes before the block does not matter: its first granule begins a run anyway.
        let mut before = 0u64;
        let mut tagged_before = 0u64;
        let quarters = self.words.chunks_exact_mut(WORDS_OF_QUARTER);
        for (words, quarter) in quarters.zip(0usize..) {
            let (mut bits, mut touching) = (0, 0);
            for (place, number) in words.iter_mut().zip(0u32..) {
                let word = source.word(index);
                index = index.wrapping_add(1);
                *place = word.to_le_bytes();
                let differs = word ^ (word << 4 | before >> 60);
                before = word;
                bits |= if ALTERNATE {
                    let tagged = nonzero_granules(word);
                    let both = tagged & (tagged << 4 | tagged_before >> 60);
                    tagged_before = tagged;
                    touching |= differs & both.wrapping_mul(15);
                    tagged
                } else {
                    nonzero_granules(differs)
                } << number;
            }
            if touching != 0 {
                return false;
            }
            self.starts.set_quarter(quarter, in_order(bits));
        }
        true
    }

    /// True if there are more tags than are kept.
    pub(super) fn is_raw(&self) -> bool {
        self.len() > TAGS
    }

    /// How often the tag changes.
    pub(super) fn boundaries(&self) -> usize {
        self.boundaries.into()
    }

    /// How many tags there are: one for each run, or for every other.
    pub(super) fn len(&self) -> usize {
        let runs = self.boundaries().wrapping_add(1);
        if self.alternate { runs.wrapping_add((!self.zero_first).into()) >> 1 } else { runs }
    }

    /// How many cells, each of which ends with a run with a tag; zeroes at the block's end are another.
    pub(super) fn cells(&self) -> usize {
        let zero_last = (self.boundaries & 1 == 0) == self.zero_first;
        self.len().wrapping_add((self.alternate && zero_last).into())
    }

    /// The granules of each cell, where all have as many, but for those that the block's ends cut; 0 for others.
    pub(super) fn period(&self) -> usize {
        self.period.into()
    }

    /// Where there is a period: the granule where the first run with a tag begins, which may lie before the block.
    pub(super) fn first_tag(&self) -> isize {
        self.first_tag.into()
    }

    /// Where the tag changes in a quarter, a bit each; of one that is not 0 before the block, too.
    #[inline(always)]
    pub(super) fn turns(&self, quarter: usize) -> u64 {
        let first = u64::from(quarter == 0 && !(self.alternate && self.zero_first));
        self.starts.quarter(quarter) | first
    }

    /// True if every other run is of tag 0.
    pub(super) fn alternates(&self) -> bool {
        self.alternate
    }

    /// True if the first run is of tag 0.
    pub(super) fn zero_first(&self) -> bool {
        self.zero_first
    }

    /// Writes the block in the format that `layout`, its own, chose, raw apart; returns the length,
    /// and how much of it fits `out` is written.
    // What stands before the tags and the tags one after the other, and a second function that does
    // nothing but call: a kernel's stack is small.
    #[inline(always)]
    pub(super) fn encode(&self, layout: &Layout, out: &mut [u8]) -> usize {
        let head = match layout.format() {
            Format::List => runs::write_list(self, out),
            Format::Bitmap => runs::write_bitmap(self, layout, out),
            Format::Cells => cells::write_head(layout, out),
            // One run: the first byte says all.
            Format::One | Format::Raw => {
                let tag = if self.zero_first { 0 } else { word(&self.words, 0) as u8 & 15 };
                out.iter_mut().take(1).for_each(|byte| *byte = tag);
                return 1;
            }
        };
        self.encode_tags(layout, out, head)
    }

    #[inline(never)]
    fn encode_tags(&self, layout: &Layout, out: &mut [u8], head: usize) -> usize {
        let width = match layout.format() {
            Format::Cells => return cells::encode(self, layout, out, head),
            Format::Bitmap if layout.odd_even => Width::ThreeBehind(layout.parity),
            _ => Width::Four,
        };
        packed::write(&self.words, self.len(), width, out, head)
    }
}

/// Writes block `number` of a page as it is; returns the length, and how much of it fits `out` is
/// written.
#[inline(never)]
pub(super) fn encode_raw(
    source: &(impl TagSource + ?Sized),
    number: usize,
    out: &mut [u8],
) -> usize {
    if let Some((first, rest)) = out.split_first_mut() {
        *first = RAW;
        let base = number.wrapping_mul(BLOCK_WORDS);
        (0..BLOCK_WORDS).for_each(|i| rest.set_word(i, source.word(base.wrapping_add(i))));
    }
    ENCODED_MAX
}

/// Decodes a block; returns the bytes used. `None` for what no encoder writes or
/// what ends too early; what the canvas, an empty one, got is unspecified then.
// Each format is decoded by a function of its own, which this one jumps to: a kernel's stack is small, and what is inlined
// adds up.
#[inline(never)]
pub(super) fn decode(canvas: &mut Canvas, bytes: &[u8]) -> Option<NonZero<usize>> {
    let first = bytes.first().copied()?;
    // Of all that is restored, these take least: they are asked for first.
    if first == LIST {
        return runs::decode_touching(canvas, bytes);
    }
    match (first & 0xf0, first & 0x0f) {
        (0, tag) => {
            canvas.change(0, pattern(tag.into()));
            Some(NonZero::<usize>::MIN)
        }
        (RAW, 0) => decode_raw(canvas, bytes),
        (LIST, flags @ 1..4) => runs::decode_list(canvas, bytes, flags),
        (BITMAP, flags @ 0..8) => runs::decode_bitmap(canvas, bytes, flags),
        (form, _) if form & CELLS != 0 => cells::decode(canvas, bytes),
        _ => None,
    }
}

#[inline(never)]
fn decode_raw(canvas: &mut Canvas, bytes: &[u8]) -> Option<NonZero<usize>> {
    let bytes = bytes.get(1..ENCODED_MAX)?;
    let words = canvas.words().as_flattened_mut().get_mut(..BLOCK_BYTES)?;
    words.copy_from_slice(bytes);
    NonZero::new(ENCODED_MAX)
}

/// True if there are more than `most` runs in sixteen words; of many of them, the first tell.
#[inline(never)]
pub(super) fn has_more_runs(source: &(impl TagSource + ?Sized), base: usize, most: usize) -> bool {
    let mut before = source.word(base) & 15;
    let mut runs = 1usize;
    (0..QUARTERS).any(|quarter| {
        // In each byte, of the granules in its place: 8 at the most.
        let mut counts = 0u64;
        for i in 0..WORDS_OF_QUARTER {
            let index = quarter.wrapping_mul(WORDS_OF_QUARTER).wrapping_add(i);
            let word = source.word(base.wrapping_add(index));
            let differs = nonzero_granules(word ^ (word << 4 | before));
            before = word >> 60;
            counts = counts.wrapping_add((differs & LOWER).wrapping_add(differs >> 4 & LOWER));
        }
        runs = runs.wrapping_add((counts.wrapping_mul(EVERY_BYTE) >> 56) as usize);
        runs > most
    })
}

/// The lowest bit of each granule, set where its tag is not 0.
pub(super) fn nonzero_granules(word: u64) -> u64 {
    let halves = word | word >> 2;
    (halves | halves >> 1) & ALL_GRANULES
}

/// Ones from each of these bits to the next, and from the one behind that to its next.
pub(super) fn changed(bits: u64) -> u64 {
    [1, 2, 4, 8, 16, 32].into_iter().fold(bits, |changed, shift| changed ^ changed << shift)
}

/// Bits that change places with those so far above them. Two turns of four by four: of bits, and of groups of four.
const SWAPS: [(u32, u64); 4] = [
    (3, 0x0a0a_0a0a_0a0a_0a0a),
    (6, 0x00cc_00cc_00cc_00cc),
    (12, 0x0000_f0f0_0000_f0f0),
    (24, 0x0000_0000_ff00_ff00),
];

fn swap(bits: u64, (by, those): (u32, u64)) -> u64 {
    let differs = (bits ^ bits >> by) & those;
    bits ^ differs ^ differs << by
}

/// The granules of four words, of which each group of four bits has those in the same place, one after the other.
fn in_order(bits: u64) -> u64 {
    SWAPS.into_iter().fold(bits, swap)
}

/// The other way round.
pub(super) fn by_words(bits: u64) -> u64 {
    SWAPS.into_iter().rev().fold(bits, swap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tags::GRANULES_PER_WORD;

    #[test]
    fn codec_granules_of_four_words_come_in_order() {
        for granule in 0..GRANULES / QUARTERS {
            let (word, nibble) = (granule / GRANULES_PER_WORD, granule % GRANULES_PER_WORD);
            assert_eq!(in_order(1 << (nibble * 4 + word)), 1 << granule);
            assert_eq!(by_words(1 << granule), 1 << (nibble * 4 + word));
        }
        assert_eq!(in_order(0x0123_4567_89ab_cdef).count_ones(), 32);
    }
}
