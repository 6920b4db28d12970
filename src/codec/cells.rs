//! Cells: a run of zeroes and a run of another tag, again and again, of few shapes.

use super::{
    ALL_GRANULES,
    bits::{LANES, Reader, Writer},
    block::{BLOCK_WORDS, Block, CELLS, GRANULES, Iter, TagIter},
    canvas::{Blocks, Canvas},
    layout::Layout,
    packed::{self, Unpacker},
};
use crate::{
    error::{Error, Result},
    tags::{GRANULES_PER_WORD, TagSink},
};

const ODD_EVEN: u8 = 0x40;
const SAME_ZEROES: u8 = 0x20;
/// Shapes of cells in one block. Twice as many were measured to save a hundredth of a byte a page, and take stack.
const SHAPES: usize = 8;
/// Shapes of cells where runs touch: so that others, most often random ones, are given up soon.
const TOUCHING_SHAPES: usize = 3;
/// The most granules that a first cell can have before the block.
const SKIP_MAX: usize = 127;

/// A run of zeroes and a run of another tag, as they lie in the block.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    begin: usize,
    /// Where the run of the other tag begins, or the block's end.
    at: usize,
    end: usize,
}

impl Cell {
    fn zeroes(&self) -> usize {
        self.at.wrapping_sub(self.begin)
    }

    fn others(&self) -> usize {
        self.end.wrapping_sub(self.at)
    }

    /// Its granules.
    pub(super) fn len(&self) -> usize {
        self.end.wrapping_sub(self.begin)
    }

    /// It ends where the block does, so it may be part of a longer one.
    pub(super) fn is_last(&self) -> bool {
        self.end >= GRANULES
    }

    /// The shape. One without a run is cut off by the block's end: any length does.
    // Fits: the block has a boundary, so no run is as long as it.
    pub(super) fn shape(&self) -> Shape {
        Shape(self.zeroes() as u16 | (self.others().saturating_sub(1) as u16) << 8)
    }
}

/// The cells of a block that has a boundary; the first and the last may be parts of larger ones.
struct Cells<'a> {
    starts: Iter<'a>,
    tags: TagIter<'a>,
    /// Where the next cell begins, and whether with zeroes; that is asked of the tag where runs touch.
    begin: usize,
    zero: bool,
    alternates: bool,
    /// There, the last cell's tag.
    tag: u8,
}

impl<'a> Cells<'a> {
    #[inline(always)]
    fn new(block: &'a Block) -> Self {
        Self {
            starts: block.starts.iter(false),
            tags: block.tags.iter(),
            begin: 0,
            zero: block.zero_first(),
            alternates: block.alternates(),
            tag: 0,
        }
    }

    /// The tag of the cell that came last; to be asked for each of them, or for none. A cell whose run
    /// lies behind the block has tag 0.
    #[inline(always)]
    fn tag(&mut self, cell: &Cell) -> u8 {
        if self.alternates && cell.at < GRANULES {
            self.tag = self.tags.next();
        }
        if cell.at < GRANULES { self.tag } else { 0 }
    }
}

impl Iterator for Cells<'_> {
    type Item = Cell;

    #[inline(always)]
    fn next(&mut self) -> Option<Cell> {
        let begin = self.begin;
        if begin >= GRANULES {
            return None;
        }
        if !self.alternates {
            self.tag = self.tags.next();
            self.zero = self.tag == 0;
        }
        let mut at = begin;
        if self.zero {
            at = self.starts.next_or_end();
            if !self.alternates {
                self.tag = self.tags.next();
            }
        }
        self.zero = true;
        self.begin = if at < GRANULES { self.starts.next_or_end() } else { at };
        Some(Cell { begin, at, end: self.begin })
    }
}

/// Looks for the shapes of the cells of a block that has a boundary. Returns how many cells there are, or
/// `None` where there are too many shapes.
#[inline(never)]
pub(super) fn survey(block: &Block, layout: &mut Layout) -> Option<usize> {
    let alternates = block.alternates();
    let most = if alternates { SHAPES } else { TOUCHING_SHAPES };
    let shapes = &mut layout.shapes;
    (shapes.len, layout.skip) = (0, 0);
    let mut cells = Cells::new(block);
    let first = cells.next()?;
    let mut count = 1usize;
    let mut last = None;
    let mut shape = None;
    for cell in cells {
        count = count.wrapping_add(1);
        if cell.is_last() {
            last = Some(cell);
        } else if shape != Some(cell.shape()) {
            // Cells of one shape come in rows: only where it changes is it looked for.
            shape = Some(cell.shape());
            shapes.find_or_add(cell.shape(), most)?;
            if !alternates && cell.len() < 2 {
                return None;
            }
            // Starts of runs tell the cells where zeroes are between all of them, or none.
            let tells = count == 2 && (alternates || cell.zeroes() == 0);
            if tells && block.starts.are_periodic(cell.len()) && shapes.find_first(&first).is_some()
            {
                // All are like this one. The last, too, whatever the block's end cut off.
                let rest = GRANULES.wrapping_sub(first.len());
                let up = cell.len().wrapping_sub(1);
                count = rest.wrapping_add(up).checked_div(cell.len())?.wrapping_add(1);
                break;
            }
        }
    }
    // The ends of the block cut cells: they come last, to find what they are part of. Shapes that
    // are added last come last: the first cell still finds what it found.
    match shapes.find_first(&first) {
        Some((_, skip)) => layout.skip = skip,
        None => shapes.find_or_add(first.shape(), SHAPES)?,
    }
    if let Some(last) = last {
        if shapes.find_last(&last).is_none() {
            shapes.find_or_add(last.shape(), SHAPES)?;
        }
    }
    Some(count)
}

/// Writes the cells behind the `head` bytes that [`write_head`] wrote.
#[inline(always)]
pub(super) fn encode(block: &Block, layout: &Layout, out: &mut [u8], head: usize) -> usize {
    match *layout.shapes.known() {
        // Then the tags of its cells are those of its runs.
        [shape] if block.alternates() || shape.zeroes() == 0 => {
            write_tags(block, layout, shape, out, head)
        }
        _ => write_cells(block, layout, out, head),
    }
}

/// Writes the tags of cells of one shape.
#[inline(never)]
fn write_tags(block: &Block, layout: &Layout, shape: Shape, out: &mut [u8], head: usize) -> usize {
    let mut writer = Writer::behind(out, head);
    // A cell whose run lies behind the block has a tag all the same.
    let granules = GRANULES.wrapping_add(layout.skip.into());
    let whole = granules.checked_rem(shape.len()).unwrap_or(0);
    let extra = usize::from((1..=shape.zeroes()).contains(&whole));
    let count = block.tags.len().wrapping_add(extra);
    packed::write(&block.tags, count, layout.odd_even, &mut writer);
    writer.finish()
}

/// Writes the numbers of the cells' shapes, and their tags.
#[inline(never)]
fn write_cells(block: &Block, layout: &Layout, out: &mut [u8], head: usize) -> usize {
    let mut writer = Writer::behind(out, head);
    let shapes = &layout.shapes;
    let index_bits = index_bits(shapes.len.into());
    let (shift, tag_bits) = if layout.odd_even { (1, 3) } else { (0, 4) };
    let width = index_bits.wrapping_add(tag_bits);
    // Cells of one shape come in rows: only where it changes is it looked for.
    let (mut shape, mut number) = (None, 0);
    let (mut held, mut count) = (0, 0usize);
    let mut cells = Cells::new(block);
    while let Some(cell) = cells.next() {
        if shape != Some(cell.shape()) || cell.is_last() {
            number = shapes.number_of(&cell);
            shape = if cell.begin > 0 { Some(cell.shape()) } else { None };
        }
        let value = number | cells.tag(&cell) >> shift << (index_bits & 7);
        held = held >> 8 | u64::from(value) << 56;
        count = count.wrapping_add(1);
        if count % LANES == 0 {
            writer.numbers(held, width, LANES);
        }
    }
    let rest = count % LANES;
    if rest > 0 {
        writer.numbers(held >> LANES.wrapping_sub(rest).wrapping_mul(8), width, rest);
    }
    writer.finish()
}

/// Writes what stands before the cells; returns how many bytes it is.
#[inline(never)]
pub(super) fn write_head(layout: &Layout, out: &mut [u8]) -> usize {
    let shapes = &layout.shapes;
    let same = shapes.same_zeroes();
    let mut writer = Writer::behind(out, 0);
    writer.byte(
        CELLS
            | shapes.len.wrapping_sub(1)
            | if layout.odd_even { ODD_EVEN } else { 0 }
            | if same { SAME_ZEROES } else { 0 },
    );
    writer.byte(layout.skip | if layout.odd_even { layout.parity << 7 } else { 0 });
    if same {
        writer.byte(shapes.known().first().map_or(0, |shape| shape.0 as u8));
    }
    for shape in shapes.known() {
        if !same {
            writer.byte(shape.0 as u8);
        }
        writer.byte((shape.0 >> 8) as u8);
    }
    writer.finish()
}

pub(super) fn decode(
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    bytes: &[u8],
) -> Result<usize> {
    let head = Head::read(bytes)?;
    match head.grid() {
        Some(shape) => decode_grid(blocks, head.tags(bytes), shape, head.skip),
        None => decode_cells(blocks, &head, Reader::behind(bytes, head.len)),
    }
}

/// What stands before the cells of an encoding.
struct Head<'a> {
    /// A byte or two each: zeroes, where they differ, and the others less one.
    shapes: &'a [u8],
    /// The zeroes of all of them, where they have the same.
    same: Option<u8>,
    index_bits: u32,
    /// The tags are alternately odd and even.
    odd_even: bool,
    /// Then: the lowest bit of the first.
    parity: u8,
    /// Granules of the first cell that lie before the block.
    skip: usize,
    /// Bytes of it.
    len: usize,
}

impl<'a> Head<'a> {
    #[inline(always)]
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let (&[first, skip], rest) = bytes.split_first_chunk().ok_or(Error::Invalid)?;
        let odd_even = first & ODD_EVEN != 0;
        let parity = skip >> 7;
        if first & 0x18 != 0 || parity != 0 && !odd_even {
            return Err(Error::Invalid);
        }
        let count = usize::from(first & 7).wrapping_add(1);
        let (same, rest) = match rest {
            &[zeroes, ref rest @ ..] if first & SAME_ZEROES != 0 => (Some(zeroes), rest),
            rest => (None, rest),
        };
        let (len, before) = if same.is_some() { (count, 3) } else { (count.wrapping_mul(2), 2) };
        Ok(Self {
            shapes: rest.get(..len).ok_or(Error::Invalid)?,
            same,
            index_bits: index_bits(count),
            odd_even,
            parity,
            skip: usize::from(skip) & SKIP_MAX,
            len: len.wrapping_add(before),
        })
    }

    /// The zeroes and the others of a shape.
    #[inline(always)]
    fn shape(&self, index: usize) -> Option<(usize, usize)> {
        let (zeroes, others) = match self.same {
            Some(zeroes) => (zeroes, *self.shapes.get(index)?),
            None => {
                let shape = self.shapes.get(index.wrapping_mul(2)..)?;
                let &[zeroes, others] = shape.first_chunk()?;
                (zeroes, others)
            }
        };
        Some((zeroes.into(), usize::from(others).wrapping_add(1)))
    }

    /// The zeroes and the others of all cells, where they have one shape and it is no longer
    /// than a word.
    #[inline(always)]
    fn grid(&self) -> Option<(usize, usize)> {
        let shape = if self.index_bits == 0 { self.shape(0) } else { None };
        shape.filter(|(zeroes, others)| zeroes.wrapping_add(*others) <= GRANULES_PER_WORD)
    }

    /// The tags of cells of one shape.
    #[inline(always)]
    fn tags<'b>(&self, bytes: &'b [u8]) -> Unpacker<'b> {
        let parity = if self.odd_even { Some(self.parity.into()) } else { None };
        Unpacker::new(Reader::behind(bytes, self.len), parity)
    }
}

/// Decodes cells of one shape, a whole cell at a time.
#[inline(never)]
fn decode_grid(
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    mut tags: Unpacker<'_>,
    (zeroes, others): (usize, usize),
    skip: usize,
) -> Result<usize> {
    let len = zeroes.wrapping_add(others);
    // The first cell, too, has a granule in the block.
    if skip >= len {
        return Err(Error::Invalid);
    }
    let run = ALL_GRANULES >> GRANULES_PER_WORD.wrapping_sub(others).wrapping_mul(4);
    let run = run << zeroes.wrapping_mul(4);
    let step = len.wrapping_mul(4);
    // The first cell begins in a word before the block, if it is cut.
    let mut before = skip > 0;
    let mut used = skip.wrapping_neg().wrapping_mul(4) & 63;
    let mut word = 0;
    let end = blocks.done.wrapping_add(BLOCK_WORDS);
    while blocks.done < end {
        let cell = tags.next().wrapping_mul(run);
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
    tags.finish()
}

/// Decodes cells of any shapes.
#[inline(never)]
fn decode_cells(
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    head: &Head<'_>,
    mut reader: Reader<'_>,
) -> Result<usize> {
    let width = head.index_bits.wrapping_add(if head.odd_even { 3 } else { 4 });
    let mut canvas = Canvas::new(blocks);
    let (mut at, mut skip) = (0, head.skip);
    let (mut eight, mut left) = (0, 0usize);
    let three = u32::from(head.odd_even);
    let mut parity = head.parity;
    // A cell is a granule long at least, so this ends.
    while at < GRANULES {
        if left == 0 {
            (eight, left) = (reader.numbers(width), LANES);
        }
        left = left.wrapping_sub(1);
        let value = eight as u8;
        eight >>= 8;
        let index = value & !(u8::MAX << (head.index_bits & 7));
        let tag = value >> (head.index_bits & 7) << three | parity;
        parity ^= three as u8;
        let (mut zeroes, mut others) = head.shape(index.into()).ok_or(Error::Invalid)?;
        if skip > 0 {
            // The first cell, too, has a granule in the block.
            others = others.saturating_sub(skip.saturating_sub(zeroes));
            zeroes = zeroes.saturating_sub(skip);
            if others == 0 {
                return Err(Error::Invalid);
            }
            skip = 0;
        }
        at = at.wrapping_add(zeroes);
        canvas.change(at, tag.into());
        at = at.wrapping_add(others);
        canvas.change(at, tag.into());
    }
    canvas.advance(GRANULES);
    reader.check(left.wrapping_mul(width as usize))
}

/// A cell's lengths: zeroes in the lower byte, the others less one in the upper.
// One number, so that two are compared at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape(u16);

impl Shape {
    fn zeroes(self) -> usize {
        (self.0 & 0xff).into()
    }

    fn others(self) -> usize {
        usize::from(self.0 >> 8).wrapping_add(1)
    }

    /// Granules.
    fn len(self) -> usize {
        self.zeroes().wrapping_add(self.others())
    }
}

/// The shapes of a block's cells.
pub(super) struct Shapes {
    shapes: [Shape; SHAPES],
    pub(super) len: u8,
}

impl Shapes {
    pub(super) const fn new() -> Self {
        Self { shapes: [Shape(0); SHAPES], len: 0 }
    }

    fn known(&self) -> &[Shape] {
        self.shapes.get(..self.len.into()).unwrap_or_default()
    }

    fn find(&self, shape: Shape) -> Option<u8> {
        let found = self.known().iter().position(|known| *known == shape);
        found.map(|number| number as u8)
    }

    /// `None` where there would be more than `most`.
    fn find_or_add(&mut self, shape: Shape, most: usize) -> Option<()> {
        if self.find(shape).is_none() {
            *self.shapes.get_mut(..most)?.get_mut(usize::from(self.len))? = shape;
            self.len = self.len.wrapping_add(1);
        }
        Some(())
    }

    /// The number of the shape that a cell was given.
    #[inline(never)]
    fn number_of(&self, cell: &Cell) -> u8 {
        let found = if cell.begin == 0 {
            self.find_first(cell).map(|(number, _)| number)
        } else if cell.is_last() {
            self.find_last(cell)
        } else {
            self.find(cell.shape())
        };
        found.unwrap_or(0)
    }

    /// The shape that a cell at the block's end is the beginning of.
    fn find_last(&self, cell: &Cell) -> Option<u8> {
        let found = self.known().iter().position(|shape| match cell.others() {
            0 => shape.zeroes() >= cell.zeroes(),
            others => shape.zeroes() == cell.zeroes() && shape.others() >= others,
        });
        found.map(|number| number as u8)
    }

    /// The shape that a cell at the block's beginning is the end of, and how much of it
    /// lies before.
    fn find_first(&self, cell: &Cell) -> Option<(u8, u8)> {
        self.known().iter().zip(0u8..).find_map(|(shape, number)| {
            let (zeroes, others) = (shape.zeroes(), shape.others());
            let skip = shape.len().checked_sub(cell.len())?;
            let fits = if cell.is_last() {
                // Cut off at both ends: only as it is.
                skip == 0 && zeroes == cell.zeroes()
            } else {
                others == cell.others() || cell.zeroes() == 0 && others > cell.others()
            };
            (fits && skip <= SKIP_MAX).then_some((number, skip as u8))
        })
    }

    fn same_zeroes(&self) -> bool {
        let [first, ..] = self.shapes;
        self.known().iter().all(|shape| shape.zeroes() == first.zeroes())
    }

    pub(super) fn bytes(&self) -> usize {
        let len = usize::from(self.len);
        if self.same_zeroes() { len.wrapping_add(1) } else { len.wrapping_mul(2) }
    }
}

/// Bits of the number of one of `len` shapes.
pub(super) fn index_bits(len: usize) -> u32 {
    usize::BITS.wrapping_sub(len.saturating_sub(1).leading_zeros())
}
