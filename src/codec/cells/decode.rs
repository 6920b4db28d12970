//! Cells out of bytes: short ones of one shape some at a time, others as changes of the tag.

use core::num::NonZero;

use super::{
    super::{
        ALL_GRANULES,
        bits::{LANES, bits_at, bytes_to, numbers_at, put},
        block::{BLOCK_BYTES, GRANULES},
        canvas::{Brush, Canvas, pattern},
        nibbles::NIBBLES,
        packed,
    },
    ODD_EVEN, SAME_ZEROES, SHAPES_MAX, SKIP_MAX, index_bits,
    shapes::Shape,
};
use crate::tags::GRANULES_PER_WORD;

/// Bits of a block's tags: cells are counted in them, four a granule.
const TAG_BITS: usize = GRANULES * 4;
/// Granules of a cell of which a word holds two.
const GRID_MAX: usize = GRANULES_PER_WORD / 2;

/// What stands before the cells of an encoding.
#[derive(Clone, Copy)]
struct Head {
    first: u8,
    second: u8,
}

impl Head {
    #[inline(always)]
    fn read(bytes: &[u8]) -> Option<Self> {
        let &[first, second] = bytes.first_chunk()?;
        let head = Self { first, second };
        if first & 0x18 != 0 || head.parity() != 0 && !head.odd_even() || head.len() > bytes.len() {
            return None;
        }
        Some(head)
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

    /// The bit that the cells begin with, of which the last of these is behind `count` cells.
    fn cell_at(self, count: usize) -> usize {
        let width = self.number_bits().wrapping_add(packed::width(self.odd()) as u32);
        self.len().wrapping_mul(8).wrapping_add(count.wrapping_mul(width as usize))
    }

    /// Bits of the number of a shape.
    fn number_bits(self) -> u32 {
        index_bits(self.count())
    }

    /// Where the tags are alternately odd and even: the parity of the first.
    fn odd(self) -> Option<u8> {
        self.odd_even().then_some(self.parity())
    }
}

/// Decodes cells.
#[inline(always)]
pub(in crate::codec) fn decode(canvas: &mut Canvas, bytes: &[u8]) -> Option<NonZero<usize>> {
    let head = Head::read(bytes)?;
    match head.shape(bytes, 0)?.len() {
        // Not of one granule: tags of three bits would not move out of each other's way (`Spread::cells`), and no encoder
        // has such cells.
        len @ 2..=GRID_MAX if head.count() == 1 => decode_grid(canvas, bytes, len),
        _ if head.count() == 1 => decode_equal(canvas, bytes),
        _ => decode_long(canvas, bytes),
    }
}

/// Eight cells from bit `at` on: the numbers of their shapes, of so many bits, and their tags, a byte each. They are
/// even in number, so that all turns of odd and even are like the first.
// Of nothing that lies in memory: it would take stack.
#[inline(never)]
fn eight(bytes: &[u8], at: usize, bits: u32, odd: Option<u8>) -> (u64, u64) {
    let values = numbers_at(bytes, at, bits.wrapping_add(packed::width(odd) as u32));
    let mask = 0x0101_0101_0101_0101u64.wrapping_mul(!(u64::MAX << (bits & 7)));
    let tags = (values & !mask) >> (bits & 7);
    let tags = match odd {
        None => tags,
        Some(0) => tags << 1 | 0x0100_0100_0100_0100,
        Some(_) => tags << 1 | 0x0001_0001_0001_0001,
    };
    (values & mask, tags)
}

/// Those of some cells, a byte each.
#[derive(Default)]
struct Held {
    numbers: u64,
    tags: u64,
    left: usize,
}

impl Held {
    /// The next cell's number, and its tag.
    #[inline(always)]
    fn next(&mut self, eight: impl FnOnce() -> (u64, u64)) -> (usize, u64) {
        if self.left == 0 {
            (self.numbers, self.tags) = eight();
            self.left = LANES;
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

/// Two to the power of `LOG` cells of one shape beside one another in a word: two, four or, if they are of two granules, eight.
struct Spread<const LOG: u32> {
    /// Bits of a tag as it is read.
    width: u32,
    /// So many tags beside one another; and, of eight, four apart from four.
    dense: u64,
    fours: u64,
    /// What brings pairs apart, and what is kept then; and the same of all tags.
    pairs: (u64, u64),
    each: (u64, u64),
    /// A cell of the lowest tag that is read, and what all have that is not.
    run: u64,
    odd: u64,
    /// Bits of all.
    bits: u32,
}

impl<const LOG: u32> Spread<LOG> {
    #[inline(always)]
    fn new(shape: Shape, odd: Option<u8>) -> Self {
        let (width, step) = (packed::width(odd) as u32, (shape.len() as u32).wrapping_mul(4));
        let many = |count: u32| !(u64::MAX << (width.wrapping_mul(count) & 63));
        let beside = |of: u64, count: u32| of | of.wrapping_shl(step.wrapping_mul(count));
        let ones = (0..LOG).fold(1, |ones, log| beside(ones, 1 << log));
        // Tags, and the same again so far above that the second half of them lies where it belongs. Of four no two meet.
        let apart = |count: u32| 1 | 1 << (step.wrapping_sub(width).wrapping_mul(count) & 63);
        let run = run_of(shape);
        let (run, odd) = match odd {
            None => (run, 0),
            // Every other cell has the lowest bit, from the first or from the second on. What comes behind the last cell goes round
            // to bits that are no cell's lowest, and are not kept.
            Some(parity) => {
                let first = ones & beside(beside(0xf, 2), 4);
                (run << 1, (if parity == 0 { ones ^ first } else { first }).wrapping_mul(run))
            }
        };
        Self {
            width,
            dense: many(1 << LOG),
            fours: beside(many(4), 4),
            pairs: (
                apart(2),
                if LOG == 3 { beside(beside(many(2), 2), 4) } else { beside(many(2), 2) },
            ),
            each: (apart(1), ones.wrapping_mul(many(1))),
            run,
            odd,
            bits: step << LOG,
        }
    }

    /// The cells of the first tags of these.
    #[inline(always)]
    fn cells(&self, tags: u64) -> u64 {
        let mut tags = tags & self.dense;
        if LOG == 3 {
            // Eight would meet.
            let apart = u8::BITS.wrapping_sub(self.width);
            tags = (tags | tags << (apart << 2)) & self.fours;
            tags = (tags | tags << (apart << 1)) & self.pairs.1;
            tags = (tags | tags << apart) & self.each.1;
        } else {
            if LOG == 2 {
                tags = tags.wrapping_mul(self.pairs.0) & self.pairs.1;
            }
            tags = tags.wrapping_mul(self.each.0) & self.each.1;
        }
        tags.wrapping_mul(self.run) | self.odd
    }
}

/// What stands before cells of one shape, and that shape.
#[inline(always)]
fn read_equal(bytes: &[u8]) -> Option<(Head, Shape)> {
    let head = Head::read(bytes)?;
    let shape = head.shape(bytes, 0)?;
    // The first cell, too, has a granule in the block.
    (head.skip() < shape.len()).then_some((head, shape))
}

/// The bytes of cells of one shape; `None` if there are fewer.
// Asked for when they are decoded: until then it would take a place on the stack.
#[inline(never)]
fn end_of_equal(bytes: &[u8]) -> Option<NonZero<usize>> {
    let (head, shape) = read_equal(bytes)?;
    let granules = GRANULES.wrapping_add(head.skip()) as u32;
    bytes_to(bytes, head.cell_at(granules.div_ceil(shape.len() as u32) as usize))
}

/// Decodes cells of one shape, no longer than half a word, some whole ones at a time.
#[inline(always)]
fn decode_grid(canvas: &mut Canvas, bytes: &[u8], len: usize) -> Option<NonZero<usize>> {
    match len {
        2 => lay::<3>(canvas, bytes),
        3..=4 => lay::<2>(canvas, bytes),
        _ => lay::<1>(canvas, bytes),
    }
}

/// Lays cells of one shape, two to the power of `LOG` at a time, which fit a word, from the first to the last.
// Eight bytes at a time, those that come next over what is behind the last of them: it does not matter where words end, and no way is
// taken by that.
#[inline(never)]
fn lay<const LOG: u32>(canvas: &mut Canvas, bytes: &[u8]) -> Option<NonZero<usize>> {
    let (head, shape) = read_equal(bytes)?;
    let spread = Spread::<LOG>::new(shape, head.odd());
    let canvas = canvas.words().as_flattened_mut();
    let mut at = head.cell_at(0);
    let mut tags = bits_at(bytes, at);
    let mut cells = spread.cells(tags);
    // What of the first cell lies before the block goes nowhere.
    let before = (head.skip() as u32).wrapping_mul(4);
    put(canvas, 0, cells >> (before & 63));
    // The others begin in the middle of a byte, all of them, or none.
    let begin = spread.bits.wrapping_sub(before);
    let (odd, mut byte) = (begin & 4, (begin >> 3) as usize);
    let mut left = NIBBLES >> LOG;
    while byte < BLOCK_BYTES {
        tags >>= (spread.width << LOG) & 63;
        left = left.wrapping_sub(1);
        if left == 0 {
            at = NIBBLES.wrapping_mul(spread.width as usize).wrapping_add(at);
            tags = bits_at(bytes, at);
            left = NIBBLES >> LOG;
        }
        // In two steps: it may be all of a word that is not in that byte.
        let in_byte = cells >> 1 >> (spread.bits.wrapping_sub(1).wrapping_sub(odd) & 63);
        cells = spread.cells(tags);
        put(canvas, byte, cells << odd | in_byte);
        byte = byte.wrapping_add((spread.bits >> 3) as usize);
    }
    end_of_equal(bytes)
}

/// Paints a block of cells, run by run.
#[inline(always)]
fn paint(
    mut brush: Brush<'_>,
    head: Head,
    mut next: impl FnMut() -> Option<(Shape, u64)>,
) -> Option<()> {
    let (shape, tag) = next()?;
    // The first cell, too, has a granule in the block.
    let mut end = shape.len().checked_sub(head.skip()).filter(|end| *end > 0)?;
    let mut begin = end.saturating_sub(shape.others()).wrapping_mul(4);
    end = end.wrapping_mul(4);
    let mut tag = pattern(tag);
    // A cell is a granule long at least, so this ends.
    while begin < TAG_BITS {
        brush.change_at(begin, tag);
        if end >= TAG_BITS {
            break;
        }
        brush.change_at(end, tag);
        let (shape, next_tag) = next()?;
        begin = end.wrapping_add(shape.zeroes().wrapping_mul(4));
        end = begin.wrapping_add(shape.others().wrapping_mul(4));
        tag = pattern(next_tag);
    }
    brush.finish();
    Some(())
}

/// Decodes cells of one shape, of any length.
#[inline(never)]
fn decode_equal(canvas: &mut Canvas, bytes: &[u8]) -> Option<NonZero<usize>> {
    let (head, shape) = read_equal(bytes)?;
    let (zeroes, others) = (shape.zeroes().wrapping_mul(4), shape.others().wrapping_mul(4));
    let mut end = shape.len().wrapping_sub(head.skip()).wrapping_mul(4);
    let mut begin = end.saturating_sub(others);
    let mut at = head.cell_at(0);
    let mut brush = canvas.brush();
    'cells: loop {
        let mut tags = packed::sixteen(bytes, at, head.odd());
        at = at.wrapping_add(packed::width(head.odd()).wrapping_mul(NIBBLES));
        for _ in 0..NIBBLES {
            // A cell is a granule long at least, so this ends.
            if begin >= TAG_BITS {
                break 'cells;
            }
            let tag = pattern(tags & 15);
            brush.change_at(begin, tag);
            if end >= TAG_BITS {
                break 'cells;
            }
            brush.change_at(end, tag);
            begin = end.wrapping_add(zeroes);
            end = begin.wrapping_add(others);
            tags >>= 4;
        }
    }
    brush.finish();
    end_of_equal(bytes)
}

/// Decodes cells of any shapes.
#[inline(never)]
fn decode_long(canvas: &mut Canvas, bytes: &[u8]) -> Option<NonZero<usize>> {
    let head = Head::read(bytes)?;
    let mut shapes = [Shape(0); SHAPES_MAX];
    for (place, number) in shapes.iter_mut().zip(0..head.count()) {
        *place = head.shape(bytes, number)?;
    }
    let (bits, odd) = (head.number_bits(), head.odd());
    let (mut held, mut count) = (Held::default(), 0usize);
    paint(canvas.brush(), head, || {
        let (number, tag) = held.next(|| {
            count = count.wrapping_add(LANES);
            eight(bytes, head.cell_at(count.wrapping_sub(LANES)), bits, odd)
        });
        shapes.get(number).filter(|_| number < head.count()).map(|shape| (*shape, tag))
    })?;
    bytes_to(bytes, head.cell_at(count.wrapping_sub(held.left)))
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use super::*;
    use crate::codec::block::BLOCK_WORDS;

    /// Cells of one shape one after the other, granule by granule.
    fn slowly(zeroes: usize, others: usize, skip: usize, tags: &[u64]) -> [u64; BLOCK_WORDS] {
        let cell = |tag: &u64| [vec![0; zeroes], vec![*tag; others]].concat();
        let granules: Vec<u64> = tags.iter().flat_map(cell).skip(skip).take(GRANULES).collect();
        core::array::from_fn(|word| {
            (0..16).fold(0, |sum, i| sum | granules[word * 16 + i] << (4 * i))
        })
    }

    #[test]
    fn codec_cells_of_one_shape_are_those_that_are_written() {
        let mut seed = 1_u64;
        for (len, odd) in (1..=20).flat_map(|len| [None, Some(0), Some(1)].map(|odd| (len, odd))) {
            for (zeroes, skip) in
                (0..len).flat_map(|zeroes| (0..len).map(move |skip| (zeroes, skip)))
            {
                let width = packed::width(odd);
                let (mut bits, mut tags) = (vec![false; 32], Vec::new());
                for number in 0..(GRANULES + skip).div_ceil(len) as u64 {
                    seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(number);
                    let read = seed >> 40 & ((1 << width) - 1);
                    bits.extend((0..width).map(|bit| read >> bit & 1 == 1));
                    tags.push(odd.map_or(read, |odd| read << 1 | (number ^ u64::from(odd)) & 1));
                }
                let byte =
                    |bits: &[bool]| (0..).zip(bits).fold(0, |b, (i, bit)| b | u8::from(*bit) << i);
                let mut bytes: Vec<u8> = bits.chunks(8).map(byte).collect();
                bytes[0] = if odd.is_some() { ODD_EVEN } else { 0 };
                bytes[1] = odd.unwrap_or(0) << 7 | skip as u8;
                bytes[2] = zeroes as u8;
                bytes[3] = (len - zeroes - 1) as u8;
                let mut canvas = Canvas::new();
                let used = decode(&mut canvas, &bytes).unwrap();
                let mut words = [!0; BLOCK_WORDS];
                canvas.write(&mut words, 0, 0);
                assert_eq!(
                    words,
                    slowly(zeroes, len - zeroes, skip, &tags),
                    "{len} {zeroes} {skip} {odd:?}"
                );
                assert_eq!(used.get(), bytes.len(), "{len} {zeroes} {skip} {odd:?}");
            }
        }
    }
}
