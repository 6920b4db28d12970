//! Cells out of bytes: short ones of one shape some at a time, others as changes of the tag.

use core::num::NonZero;

use super::{
    super::{
        ALL_GRANULES,
        bits::{LANES, bytes_to, numbers_at},
        block::GRANULES,
        canvas::{Canvas, pattern},
        packed,
    },
    ODD_EVEN, SAME_ZEROES, SHAPES, SKIP_MAX, index_bits,
    shapes::Shape,
};
use crate::tags::GRANULES_PER_WORD;

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
        0..=GRID_MAX if head.count() == 1 => decode_grid(canvas, bytes),
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

/// Cells of one shape beside one another, two in a word or, where they fit, four.
struct Spread {
    /// A cell of tag 1.
    run: u64,
    /// Bits of a cell, of those beside one another, and of their tags; and how many of those a word holds.
    step: u32,
    bits: usize,
    tag_bits: u32,
    groups: u32,
    /// Two tags each, and one, as far apart as the cells they are of.
    pairs: u64,
    ones: u64,
}

impl Spread {
    /// Of cells of [`GRID_MAX`] granules at the most.
    #[inline(always)]
    fn new(shape: Shape) -> Self {
        let step = (shape.len() as u32).wrapping_mul(4);
        let beside = |of: u64, by: u32| of | of.wrapping_shl(by);
        let (run, two) = (run_of(shape), beside(0xf, step));
        let bits = (step as usize).wrapping_mul(2);
        if shape.len() > GRID_MAX / 2 {
            return Self { run, step, bits, tag_bits: 8, groups: 8, pairs: 0xff, ones: two };
        }
        let four = step.wrapping_mul(2);
        let (pairs, ones) = (beside(0xff, four), beside(two, four));
        Self { run, step, bits: bits.wrapping_mul(2), tag_bits: 16, groups: 4, pairs, ones }
    }

    /// The cells of two or four tags.
    #[inline(always)]
    fn cells(&self, tags: u16) -> u64 {
        let (tags, apart) = (u64::from(tags), self.step.wrapping_sub(4));
        let pairs = (tags | tags.wrapping_shl(apart.wrapping_mul(2))) & self.pairs;
        let ones = (pairs | pairs.wrapping_shl(apart)) & self.ones;
        ones.wrapping_mul(self.run)
    }
}

/// Decodes cells of one shape, no longer than half a word, some whole ones at a time.
#[inline(never)]
fn decode_grid(canvas: &mut Canvas, bytes: &[u8]) -> Option<NonZero<usize>> {
    let head = Head::read(bytes)?;
    let shape = head.shape(bytes, 0)?;
    let (len, skip) = (shape.len() as u32, head.skip() as u32);
    // The first cell, too, has a granule in the block.
    if skip >= len {
        return None;
    }
    let count = (GRANULES as u32).wrapping_add(skip).div_ceil(len) as usize;
    let used = bytes_to(bytes, head.cell_at(count))?;
    let spread = Spread::new(shape);
    let words = canvas.words();
    // Bits of the first cell that lie before the block.
    let mut cut = skip.wrapping_mul(4);
    let (mut at, mut tags_at) = (0usize, head.cell_at(0));
    while at < GRANULES * 4 {
        let mut tags = packed::sixteen(bytes, tags_at, head.odd());
        tags_at = packed::width(head.odd()).wrapping_mul(16).wrapping_add(tags_at);
        for _ in 0..spread.groups {
            let cells = spread.cells(tags as u16) >> (cut & 63);
            if let Some(word) = words.get_mut(at / 64) {
                *word |= cells << (at & 63);
            }
            // Behind the block there is one more, and then none.
            if let Some(next) = words.get_mut((at / 64).wrapping_add(1)) {
                *next |= cells >> 1 >> (!at & 63);
            }
            at = spread.bits.wrapping_sub(cut as usize).wrapping_add(at);
            tags >>= spread.tag_bits;
            cut = 0;
        }
    }
    Some(used)
}

/// Paints a block of cells, run by run.
#[inline(always)]
fn paint(
    canvas: &mut Canvas,
    head: Head,
    mut next: impl FnMut() -> Option<(Shape, u64)>,
) -> Option<()> {
    let (shape, tag) = next()?;
    // The first cell, too, has a granule in the block.
    let mut end = shape.len().checked_sub(head.skip()).filter(|end| *end > 0)?;
    let mut begin = end.saturating_sub(shape.others());
    let mut tag = pattern(tag);
    // A cell is a granule long at least, so this ends.
    while begin < GRANULES {
        canvas.change(begin, tag);
        if end >= GRANULES {
            break;
        }
        canvas.change(end, tag);
        let (shape, next_tag) = next()?;
        begin = end.wrapping_add(shape.zeroes());
        end = begin.wrapping_add(shape.others());
        tag = pattern(next_tag);
    }
    Some(())
}

/// Decodes cells of any shapes.
#[inline(never)]
fn decode_long(canvas: &mut Canvas, bytes: &[u8]) -> Option<NonZero<usize>> {
    let head = Head::read(bytes)?;
    let mut shapes = [Shape(0); SHAPES];
    for (place, number) in shapes.iter_mut().zip(0..head.count()) {
        *place = head.shape(bytes, number)?;
    }
    let (bits, odd) = (head.number_bits(), head.odd());
    let (mut held, mut count) = (Held::default(), 0usize);
    paint(canvas, head, || {
        let (number, tag) = held.next(|| {
            count = count.wrapping_add(LANES);
            eight(bytes, head.cell_at(count.wrapping_sub(LANES)), bits, odd)
        });
        shapes.get(number).filter(|_| number < head.count()).map(|shape| (*shape, tag))
    })?;
    bytes_to(bytes, head.cell_at(count.wrapping_sub(held.left)))
}
