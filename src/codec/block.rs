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
//! other tag. `ddd` is one less than the number of shapes; `s` says that all shapes have as
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
    nibbles::{Appender, Nibbles},
    packed::{self, Width},
    runs,
    starts::Starts,
};
use crate::tags::{GRANULES_PER_WORD, TagSink, TagSource};

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
    pub(super) tags: Nibbles,
    /// How many starts there are.
    boundaries: u16,
    /// Every other run is of tag 0, and has none in `tags`.
    alternate: bool,
    /// The first run is of tag 0.
    zero_first: bool,
}

impl Block {
    /// A block of tag 0.
    pub(super) const fn new() -> Self {
        Self {
            starts: Starts([0; QUARTERS]),
            tags: Nibbles::new(),
            boundaries: 0,
            alternate: true,
            zero_first: true,
        }
    }

    /// Reads block `number` of a page.
    // Apart: what it has on the stack is not needed longer.
    #[inline(never)]
    pub(super) fn read(&mut self, source: &(impl TagSource + ?Sized), number: usize) {
        let base = number.wrapping_mul(BLOCK_WORDS);
        // Most alternate, and the first granules of others tell that they do not.
        if let Some(touching) = self.scan::<_, true>(source, base) {
            // Where that word is full of runs, others are, too, and raw blocks need no more. Sixteen
            // come out as none.
            let begun = touching.wrapping_mul(ALL_GRANULES) >> 60;
            if begun.wrapping_sub(1) > 5 && has_more_runs(source, base, TAGS) {
                self.tags.set_len(TAGS + 1);
                self.boundaries = TAGS as u16;
            } else {
                self.scan::<_, false>(source, base);
            }
        }
    }

    /// Finds the runs; each word is read once. Where they ought to `ALTERNATE` and do not, returns the
    /// runs that begin in the word that tells.
    #[inline(never)]
    fn scan<S: TagSource + ?Sized, const ALTERNATE: bool>(
        &mut self,
        source: &S,
        base: usize,
    ) -> Option<u64> {
        let mut word = source.word(base);
        self.alternate = ALTERNATE;
        self.zero_first = word & 15 == 0;
        // Before the block is another tag, so that the first granule is a start like any other; and
        // zero where that is not, so that they alternate.
        let mut before = u64::from(self.zero_first);
        let mut nonzero_before = before;
        let mut tags = Appender::default();
        let mut index = base;
        for starts in &mut self.starts.0 {
            let mut bits = 0;
            let mut words = [0; WORDS_OF_QUARTER];
            // All ones where the run at hand has a tag.
            let begun = 0u64.wrapping_sub(nonzero_before);
            for place in &mut words {
                *place = word;
                let tag_before = word << 4 | before;
                before = word >> 60;
                let differs = nonzero_granules(word ^ tag_before);
                if ALTERNATE {
                    let nonzero = nonzero_granules(word);
                    if differs != nonzero ^ (nonzero << 4 | nonzero_before) {
                        return Some(differs);
                    }
                    nonzero_before = nonzero >> 60;
                }
                bits = bits >> GRANULES_PER_WORD | pack(differs) << 48;
                // Behind the last comes one that does not matter.
                index = index.wrapping_add(1);
                word = source.word(index);
            }
            *starts = bits;
            let mut rest = bits;
            if ALTERNATE {
                rest &= changed(bits) ^ begun;
            }
            // One after the other through all four: how many are in a word is not to be foretold.
            while rest != 0 {
                let at = rest.trailing_zeros() as usize;
                let word = words.get(at / GRANULES_PER_WORD).copied().unwrap_or(0);
                tags.push(word >> (at.wrapping_mul(4) & 60), &mut self.tags);
                rest &= rest.wrapping_sub(1);
            }
        }
        if let Some(starts) = self.starts.0.first_mut() {
            *starts &= !1;
        }
        let len = tags.finish(&mut self.tags);
        // Between tags there are zeroes, if they alternate, and at the ends there may be.
        let ends = usize::from(self.zero_first).wrapping_add(usize::from(before == 0));
        let boundaries = match len {
            0 => 0,
            _ if ALTERNATE => len.wrapping_sub(1).wrapping_mul(2).wrapping_add(ends),
            _ => len.wrapping_sub(1),
        };
        self.boundaries = boundaries as u16;
        None
    }

    /// True if there are more tags than are kept.
    pub(super) fn is_raw(&self) -> bool {
        self.tags.len() > TAGS
    }

    /// How often the tag changes.
    pub(super) fn boundaries(&self) -> usize {
        self.boundaries.into()
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
    pub(super) fn encode(&mut self, layout: &Layout, out: &mut [u8]) -> usize {
        let head = match layout.format() {
            Format::List => runs::write_list(self, out),
            Format::Bitmap => runs::write_bitmap(self, layout, out),
            Format::Cells => cells::write_head(layout, out),
            // One run: the first byte says all.
            Format::One | Format::Raw => {
                let tag = if self.zero_first { 0 } else { self.tags.sixteen(0) as u8 & 15 };
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
        packed::write(&self.tags, self.tags.len(), width, out, head)
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
// What has a frame of its own here is not inlined: a kernel's stack is small, and what is
// inlined adds up.
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
        (RAW, 0) => {
            let bytes = bytes.get(1..ENCODED_MAX)?;
            let words = canvas.words().iter_mut().take(BLOCK_WORDS);
            words.zip(0..).for_each(|(word, index)| *word = bytes.word(index));
            NonZero::new(ENCODED_MAX)
        }
        (LIST, flags @ 1..4) => runs::decode_list(canvas, bytes, flags),
        (BITMAP, flags @ 0..8) => runs::decode_bitmap(canvas, bytes, flags),
        (form, _) if form & CELLS != 0 => cells::decode(canvas, bytes),
        _ => None,
    }
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

/// Every fourth bit, packed: by halves, then by a multiplication that puts four groups side
/// by side; no two of its terms meet.
fn pack(bits: u64) -> u64 {
    let bits = (bits | bits >> 3) & 0x0303_0303_0303_0303;
    let bits = (bits | bits >> 6) & 0x000f_000f_000f_000f;
    bits.wrapping_mul(1 << 48 | 1 << 36 | 1 << 24 | 1 << 12) >> 48
}
