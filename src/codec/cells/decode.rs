//! Cells out of bytes: those of one shape by the word, others as changes of the tag.

use super::{
    super::{
        ALL_GRANULES,
        bits::{LANES, Reader},
        block::GRANULES,
        canvas::{Canvas, pattern},
        packed::{self, Unpacker},
    },
    ODD_EVEN, SAME_ZEROES, SHAPES, SKIP_MAX, index_bits,
    shapes::Shape,
};
use crate::{
    error::{Error, Result},
    tags::GRANULES_PER_WORD,
};

/// Granules of a cell of which a word holds two.
const GRID_MAX: usize = GRANULES_PER_WORD / 2;

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

    /// A shape, in these bytes.
    #[inline(always)]
    fn shape(&self, bytes: &[u8], index: usize) -> Option<Shape> {
        if index >= self.count() {
            return None;
        }
        let at = if self.same_zeroes() { 2 } else { index.wrapping_mul(2).wrapping_add(2) };
        let others = if self.same_zeroes() { index.wrapping_add(3) } else { at.wrapping_add(1) };
        Some(Shape(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(others)?])))
    }

    /// The tags of cells of one shape, in these bytes.
    #[inline(always)]
    fn tags<'a>(&self, bytes: &'a [u8]) -> Unpacker<'a> {
        let parity = if self.odd_even() { Some(self.parity()) } else { None };
        Unpacker::new(Reader::behind(bytes, self.len()), parity)
    }
}

/// Decodes cells.
#[inline(always)]
pub(in crate::codec) fn decode(canvas: &mut Canvas, bytes: &[u8]) -> Result<usize> {
    // Most often they are short, and there is one shape.
    let head = Head::read(bytes)?;
    let lengths = (0..head.count()).filter_map(|index| head.shape(bytes, index));
    match (lengths.map(|shape| shape.len()).max(), head.count()) {
        (Some(0..=GRID_MAX), 1) => decode_grid(canvas, bytes),
        (_, 1) => decode_like(canvas, bytes),

        _ => decode_long(canvas, bytes),
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

/// A cell of tag 1 that is no longer than a word.
#[inline(always)]
fn run_of(shape: Shape) -> u64 {
    let run = ALL_GRANULES >> (GRANULES_PER_WORD.wrapping_sub(shape.others()).wrapping_mul(4) & 63);
    run << (shape.zeroes().wrapping_mul(4) & 63)
}

/// Cells of one shape beside one another: four to a word where they fit, else two, or one.
struct Spread {
    /// A cell of tag 1.
    run: u64,
    /// Cells at once.
    cells: u32,
    /// Bits of one of them.
    step: u32,
    /// Two tags each, and one, as far apart as the cells they are of.
    pairs: u64,
    ones: u64,
}

impl Spread {
    /// Of cells that are no longer than a word.
    #[inline(always)]
    fn new(shape: Shape) -> Self {
        let step = (shape.len() as u32).wrapping_mul(4);
        let cells = match step {
            0..=16 => 4,
            17..=32 => 2,
            _ => 1,
        };
        let beside = |of: u64, by: u32| of | of.wrapping_shl(by);
        let ones = beside(0xf, if cells > 1 { step } else { 0 });
        let (pairs, ones) = match cells {
            4 => (beside(0xff, step.wrapping_mul(2)), beside(ones, step.wrapping_mul(2))),
            _ => (0xff, ones),
        };
        Self { run: run_of(shape), cells, step, pairs, ones }
    }

    /// The first tags of those in a word, in their cells.
    #[inline(always)]
    fn cells(&self, tags: u64) -> u64 {
        let apart = self.step.wrapping_sub(4);
        let pairs =
            (tags & 0xffff | (tags & 0xffff).wrapping_shl(apart.wrapping_mul(2))) & self.pairs;
        let ones = (pairs | pairs.wrapping_shl(apart)) & self.ones;
        ones.wrapping_mul(self.run)
    }
}

/// Decodes cells of one shape, no longer than a word, some whole ones at a time.
#[inline(never)]
fn decode_grid(canvas: &mut Canvas, bytes: &[u8]) -> Result<usize> {
    let head = Head::read(bytes)?;
    let shape = head.shape(bytes, 0).ok_or(Error::Invalid)?;
    let len = shape.len() as u32;
    // The first cell, too, has a granule in the block.
    let skip = head.skip() as u32;
    if skip >= len {
        return Err(Error::Invalid);
    }
    let count = (GRANULES as u32).wrapping_add(skip).div_ceil(len);
    let mut unpacker = head.tags(bytes);
    let used_bytes = unpacker.check(count as usize)?;
    let spread = Spread::new(shape);
    let whole = spread.step.wrapping_mul(spread.cells);
    let (mut tags, mut left) = (0u64, 0u32);
    // Bits that lie before the block, which only the first cell has; of cells at hand; of the word.
    let mut skip = skip.wrapping_mul(4);
    let mut step = whole.wrapping_sub(skip);
    let (mut word, mut used) = (0u64, 0u32);
    let mut words = canvas.words();
    loop {
        if left == 0 {
            (tags, left) = (unpacker.sixteen(), 16);
        }
        let cells = spread.cells(tags) >> (skip & 63);
        tags >>= spread.cells.wrapping_mul(4) & 63;
        left = left.wrapping_sub(spread.cells);
        word |= cells << (used & 63);
        used = used.wrapping_add(step);
        if used >= 64 {
            if !words.put(word) {
                return Ok(used_bytes);
            }
            used = used.wrapping_sub(64);
            // What of the cells lies in the next word: their last granules.
            word = cells >> 1 >> (step.wrapping_sub(used).wrapping_sub(1) & 63);
        }
        (step, skip) = (whole, 0);
    }
}

/// Paints a block of cells, run by run.
#[inline(always)]
fn paint(
    canvas: &mut Canvas,
    head: &Head,
    mut next: impl FnMut() -> Option<(Shape, u64)>,
) -> Result<()> {
    let (shape, tag) = next().ok_or(Error::Invalid)?;
    // The first cell, too, has a granule in the block.
    let mut end =
        shape.len().checked_sub(head.skip()).filter(|end| *end > 0).ok_or(Error::Invalid)?;
    let mut begin = end.saturating_sub(shape.others());
    let mut tag = pattern(tag);
    // A cell is a granule long at least, so this ends.
    while begin < GRANULES {
        canvas.change(begin, tag);
        if end >= GRANULES {
            break;
        }
        canvas.change(end, tag);
        let (shape, next_tag) = next().ok_or(Error::Invalid)?;
        begin = end.wrapping_add(shape.zeroes());
        end = begin.wrapping_add(shape.others());
        tag = pattern(next_tag);
    }
    Ok(())
}

/// Decodes cells of one shape, of any length.
#[inline(never)]
fn decode_like(canvas: &mut Canvas, bytes: &[u8]) -> Result<usize> {
    let head = Head::read(bytes)?;
    let shape = head.shape(bytes, 0).ok_or(Error::Invalid)?;
    let mut tags = head.tags(bytes);
    let mut held = packed::Held::default();
    paint(canvas, &head, || Some((shape, held.next(|| tags.sixteen()))))?;
    tags.finish(held.left())
}

/// Decodes cells of any shapes.
#[inline(never)]
fn decode_long(canvas: &mut Canvas, bytes: &[u8]) -> Result<usize> {
    let head = Head::read(bytes)?;
    let mut shapes = [Shape(0); SHAPES];
    for (place, index) in shapes.iter_mut().zip(0..head.count()) {
        *place = head.shape(bytes, index).ok_or(Error::Invalid)?;
    }
    let mut values = Values::new(bytes, &head);
    let mut held = Held::default();
    paint(canvas, &head, || {
        let (index, tag) = held.next(&mut values);
        shapes.get(index).filter(|_| index < head.count()).map(|shape| (*shape, tag))
    })?;
    values.finish(held.left)
}
