//! Cells out of bytes: those of one shape by the word, others as changes of the tag.

use super::{
    super::{
        ALL_GRANULES,
        bits::{LANES, Reader},
        block::BLOCK_WORDS,
        canvas::{Blocks, pattern},
        packed::{self, Unpacker},
    },
    ODD_EVEN, SAME_ZEROES, SHAPES, SKIP_MAX, index_bits,
};
use crate::{
    error::{Error, Result},
    tags::{GRANULES_PER_WORD, TagSink},
};

/// What stands before the cells of an encoding.
struct Head {
    first: u8,
    second: u8,
}

impl Head {
    #[inline(always)]
    fn read(bytes: &[u8]) -> Result<Self> {
        let &[first, second] = bytes.first_chunk().ok_or(Error::Invalid)?;
        let head = Self { first, second };
        if first & 0x18 != 0 || head.parity() != 0 && !head.odd_even() || head.len() > bytes.len() {
            return Err(Error::Invalid);
        }
        Ok(head)
    }

    /// Shapes.
    fn count(&self) -> usize {
        usize::from(self.first & 7).wrapping_add(1)
    }

    /// All shapes have as many zeroes.
    fn same_zeroes(&self) -> bool {
        self.first & SAME_ZEROES != 0
    }

    /// The tags are alternately odd and even.
    fn odd_even(&self) -> bool {
        self.first & ODD_EVEN != 0
    }

    /// Then: the lowest bit of the first.
    fn parity(&self) -> u8 {
        self.second >> 7
    }

    /// Granules of the first cell that lie before the block.
    fn skip(&self) -> usize {
        usize::from(self.second) & SKIP_MAX
    }

    /// Bytes of it.
    fn len(&self) -> usize {
        let count = self.count();
        if self.same_zeroes() {
            count.wrapping_add(3)
        } else {
            count.wrapping_add(1).wrapping_mul(2)
        }
    }

    /// The zeroes and the others of a shape, in these bytes.
    #[inline(always)]
    fn shape(&self, bytes: &[u8], index: usize) -> Option<(usize, usize)> {
        if index >= self.count() {
            return None;
        }
        let at = if self.same_zeroes() { 2 } else { index.wrapping_mul(2).wrapping_add(2) };
        let others = if self.same_zeroes() { index.wrapping_add(3) } else { at.wrapping_add(1) };
        let zeroes = usize::from(*bytes.get(at)?);
        Some((zeroes, usize::from(*bytes.get(others)?).wrapping_add(1)))
    }
}

/// Decodes cells.
#[inline(always)]
pub(in crate::codec) fn decode(
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    bytes: &[u8],
) -> Result<usize> {
    // Most often they are short, and there is one shape.
    let head = Head::read(bytes)?;
    let lengths = (0..head.count()).filter_map(|index| head.shape(bytes, index));
    let short = lengths.map(|(zeroes, others)| zeroes.wrapping_add(others)).max();
    match (short, head.count()) {
        (Some(0..=GRANULES_PER_WORD), 1) => decode_grid(blocks, bytes),
        (Some(0..=GRANULES_PER_WORD), _) => decode_short(blocks, bytes),
        _ => decode_long(blocks, bytes),
    }
}

/// The shapes' numbers and the tags of cells.
struct Values<'a> {
    reader: Reader<'a>,
    number_bits: u8,
    /// The tags are alternately odd and even; the first is odd.
    odd_even: bool,
    odd: bool,
}

impl<'a> Values<'a> {
    #[inline(always)]
    fn new(bytes: &'a [u8], head: &Head) -> Self {
        Self {
            reader: Reader::behind(bytes, head.len()),
            number_bits: index_bits(head.count()) as u8,
            odd_even: head.odd_even(),
            odd: head.parity() > 0,
        }
    }

    fn width(&self) -> u32 {
        u32::from(self.number_bits).wrapping_add(if self.odd_even { 3 } else { 4 })
    }

    /// The next eight numbers, and tags, a byte each. They are even in number, so that all turns of odd
    /// and even are like the first.
    #[inline(never)]
    fn eight(&mut self) -> (u64, u64) {
        let values = self.reader.numbers(self.width());
        let bits = u32::from(self.number_bits) & 7;
        let mask = 0x0101_0101_0101_0101u64.wrapping_mul(!(u64::MAX << bits));
        let tags = (values & !mask) >> bits;
        let tags = match (self.odd_even, self.odd) {
            (false, _) => tags,
            (true, true) => tags << 1 | 0x0001_0001_0001_0001,
            (true, false) => tags << 1 | 0x0100_0100_0100_0100,
        };
        (values & mask, tags)
    }

    /// Bytes begun so far, without the last `unused` cells. [`Error::Invalid`] if there are fewer.
    #[inline(never)]
    fn finish(&self, unused: u32) -> Result<usize> {
        self.reader.check(unused.wrapping_mul(self.width()) as usize)
    }
}

/// Those of some cells, a byte each.
// Without what they are read from: these stay in registers.
#[derive(Default)]
struct Held {
    numbers: u64,
    tags: u64,
    left: u32,
}

impl Held {
    /// The next cell's number, and its tag.
    #[inline(always)]
    fn next(&mut self, values: &mut Values<'_>) -> (usize, u64) {
        if self.left == 0 {
            (self.numbers, self.tags) = values.eight();
            self.left = LANES as u32;
        }
        self.left = self.left.wrapping_sub(1);
        let next = ((self.numbers & 7) as usize, self.tags & 15);
        self.numbers >>= 8;
        self.tags >>= 8;
        next
    }
}

/// The granules of a run behind so many zeroes, all in a word.
#[inline(always)]
fn run_of(zeroes: usize, others: usize) -> u64 {
    let run = ALL_GRANULES >> (GRANULES_PER_WORD.wrapping_sub(others).wrapping_mul(4) & 63);
    run << (zeroes.wrapping_mul(4) & 63)
}

/// Decodes cells of one shape, no longer than a word, a whole one at a time.
#[inline(never)]
fn decode_grid(blocks: &mut Blocks<'_, impl TagSink + ?Sized>, bytes: &[u8]) -> Result<usize> {
    let head = Head::read(bytes)?;
    let (zeroes, others) = head.shape(bytes, 0).ok_or(Error::Invalid)?;
    let len = zeroes.wrapping_add(others);
    let skip = head.skip();
    // The first cell, too, has a granule in the block.
    if skip >= len {
        return Err(Error::Invalid);
    }
    let parity = if head.odd_even() { Some(head.parity()) } else { None };
    let mut unpacker = Unpacker::new(Reader::behind(bytes, head.len()), parity);
    let mut tags = packed::Held::default();
    let run = run_of(zeroes, others);
    let step = len.wrapping_mul(4);
    // The first cell begins in a word before the block, if it is cut.
    let mut before = skip > 0;
    let mut used = skip.wrapping_neg().wrapping_mul(4) & 63;
    let mut word = 0;
    let end = blocks.done.wrapping_add(BLOCK_WORDS);
    while blocks.done < end {
        let cell = tags.next(|| unpacker.sixteen()).wrapping_mul(run);
        word |= cell << (used & 63);
        used = used.wrapping_add(step);
        if used >= 64 {
            if !before {
                blocks.put(word);
            }
            before = false;
            used = used.wrapping_sub(64);
            // What of the cell lies in the next word: its last granules.
            word = cell >> 1 >> (step.wrapping_sub(used).wrapping_sub(1) & 63);
        }
    }
    unpacker.finish(tags.left())
}

/// Shapes no longer than a word: their runs, and their bits; none of a shape that there is not.
struct ShortShapes {
    runs: [u64; SHAPES],
    steps: [u8; SHAPES],
}

impl ShortShapes {
    #[inline(always)]
    fn read(head: &Head, bytes: &[u8]) -> Self {
        let mut shapes = Self { runs: [0; SHAPES], steps: [0; SHAPES] };
        (0..head.count()).for_each(|number| shapes.read_one(head, bytes, number));
        shapes
    }

    // Apart: what it has on the stack is not needed longer.
    #[inline(never)]
    fn read_one(&mut self, head: &Head, bytes: &[u8], number: usize) {
        let shape = head.shape(bytes, number);
        let places = (self.runs.get_mut(number), self.steps.get_mut(number));
        if let (Some((zeroes, others)), (Some(run), Some(step))) = (shape, places) {
            *run = run_of(zeroes, others);
            *step = zeroes.wrapping_add(others).wrapping_mul(4) as u8;
        }
    }

    #[inline(always)]
    fn get(&self, number: usize) -> (u64, usize) {
        let run = self.runs.get(number).copied().unwrap_or(0);
        (run, self.steps.get(number).copied().unwrap_or(0).into())
    }
}

/// Decodes cells that are no longer than a word, a whole one at a time.
#[inline(never)]
fn decode_short(blocks: &mut Blocks<'_, impl TagSink + ?Sized>, bytes: &[u8]) -> Result<usize> {
    let head = Head::read(bytes)?;
    let shapes = ShortShapes::read(&head, bytes);
    let mut values = Values::new(bytes, &head);
    let mut held = Held::default();
    // Bits of the next cell that lie before the block, which only the first has.
    let mut skip = head.skip().wrapping_mul(4);
    let (mut word, mut used) = (0, 0usize);
    let end = blocks.done.wrapping_add(BLOCK_WORDS);
    while blocks.done < end {
        let (index, tag) = held.next(&mut values);
        let (run, step) = shapes.get(index);
        // Every cell has a granule in the block, and a shape that there is not has none.
        if step <= skip {
            return Err(Error::Invalid);
        }
        let cell = tag.wrapping_mul(run) >> (skip & 63);
        let step = step.wrapping_sub(skip);
        skip = 0;
        word |= cell << (used & 63);
        used = used.wrapping_add(step);
        if used >= 64 {
            blocks.put(word);
            used = used.wrapping_sub(64);
            // What of the cell lies in the next word: its last granules.
            word = cell >> 1 >> (step.wrapping_sub(used).wrapping_sub(1) & 63);
        }
    }
    values.finish(held.left)
}

/// Decodes cells of any shapes, run by run.
#[inline(never)]
fn decode_long(blocks: &mut Blocks<'_, impl TagSink + ?Sized>, bytes: &[u8]) -> Result<usize> {
    let head = Head::read(bytes)?;
    let mut values = Values::new(bytes, &head);
    let mut held = Held::default();
    let mut skip = head.skip();
    // The word at hand, and its granules that are done.
    let (mut word, mut used) = (0, 0usize);
    let end = blocks.done.wrapping_add(BLOCK_WORDS);
    // A cell is a granule long at least, so this ends.
    while blocks.done < end {
        let (index, tag) = held.next(&mut values);
        let (mut zeroes, mut others) = head.shape(bytes, index).ok_or(Error::Invalid)?;
        if skip > 0 {
            // The first cell, too, has a granule in the block.
            others = others.saturating_sub(skip.saturating_sub(zeroes));
            zeroes = zeroes.saturating_sub(skip);
            if others == 0 {
                return Err(Error::Invalid);
            }
            skip = 0;
        }
        used = used.wrapping_add(zeroes);
        if used >= GRANULES_PER_WORD {
            blocks.put_words(word, 0, used / GRANULES_PER_WORD, end);
            (word, used) = (0, used % GRANULES_PER_WORD);
        }
        let run = pattern(tag);
        word |= run << (used.wrapping_mul(4) & 63);
        used = used.wrapping_add(others);
        if used >= GRANULES_PER_WORD {
            blocks.put_words(word, run, used / GRANULES_PER_WORD, end);
            (word, used) = (run, used % GRANULES_PER_WORD);
        }
        word &= !(u64::MAX << (used.wrapping_mul(4) & 63));
    }
    values.finish(held.left)
}
