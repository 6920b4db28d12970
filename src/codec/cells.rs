//! Cells: a run of zeroes and a run of another tag, again and again, of few shapes.

use super::{
    bits::{Reader, Writer},
    block::{Block, CELLS, GRANULES, Spans},
    canvas::Canvas,
    layout::Layout,
};
use crate::{
    error::{Error, Result},
    tags::TagSink,
};

const ODD_EVEN: u8 = 0x40;
const SAME_ZEROES: u8 = 0x20;
/// Shapes of cells in one block, as an encoder makes them. More, of which there may be 16, were
/// measured to save a hundredth of a byte a page, and take stack.
const SHAPES: usize = 8;
/// The most granules that a first cell can have before the block.
const SKIP_MAX: u16 = 127;

/// A run of zeroes and a run of another tag, as they lie in the block.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    pub(super) zeroes: u16,
    others: u16,
    pub(super) tag: u8,
    /// It ends where the block does, so it may be part of a longer one.
    pub(super) last: bool,
}

/// The cells of a block; the first and the last may be parts of larger ones.
pub(super) struct Cells<'a> {
    block: &'a Block,
    spans: Spans<'a>,
}

impl<'a> Cells<'a> {
    pub(super) fn new(block: &'a Block) -> Self {
        Self { block, spans: block.spans() }
    }
}

impl Iterator for Cells<'_> {
    type Item = Cell;

    #[inline(always)]
    fn next(&mut self) -> Option<Cell> {
        let (at, len) = self.spans.next()?;
        let tag = self.block.tag(at as u8);
        let mut cell = Cell { zeroes: 0, others: len, tag, last: false };
        if tag == 0 {
            cell.zeroes = len;
            // Zeroes at the block's end begin a cell that does not go on.
            let (at, len) = self.spans.next().unwrap_or((0, 0));
            cell.others = len;
            cell.tag = if len > 0 { self.block.tag(at as u8) } else { 0 };
        }
        cell.last = self.spans.is_done();
        Some(cell)
    }
}

/// Writes the cells behind the `head` bytes that [`write_head`] wrote.
#[inline(never)]
pub(super) fn encode(block: &Block, layout: &Layout, out: &mut [u8], head: usize) -> usize {
    let mut writer = Writer::behind(out, head);
    let index_bits = index_bits(layout.shapes.len.into());
    let (tag_shift, tag_bits) = if layout.odd_even { (1, 3) } else { (0, 4) };
    let bits = index_bits.wrapping_add(tag_bits);
    let mut first = true;
    // Cells of one shape come in rows: only where it changes is it looked for.
    let mut shape = None;
    let mut number = 0;
    for cell in Cells::new(block) {
        let its = Shapes::shape(&cell);
        if first || cell.last || its != shape {
            number = layout.shapes.number_of(cell, first);
            shape = if first { None } else { its };
            first = false;
        }
        writer.bits(number | cell.tag >> tag_shift << index_bits, bits);
    }
    writer.finish()
}

/// Writes what stands before the cells; returns how many bytes it is.
#[inline(never)]
pub(super) fn write_head(layout: &Layout, out: &mut [u8]) -> usize {
    let shapes = &layout.shapes;
    let same = shapes.same_zeroes();
    let mut writer = Writer::new(out);
    writer.byte(
        CELLS
            | shapes.len.wrapping_sub(1)
            | if layout.odd_even { ODD_EVEN } else { 0 }
            | if same { SAME_ZEROES } else { 0 },
    );
    writer.byte(layout.skip | if layout.odd_even { layout.parity << 7 } else { 0 });
    if same {
        writer.byte(shapes.known().first().map_or(0, |shape| shape.zeroes));
    }
    for shape in shapes.known() {
        if !same {
            writer.byte(shape.zeroes);
        }
        writer.byte(shape.others);
    }
    writer.finish()
}

#[inline(never)]
pub(super) fn decode(
    canvas: &mut Canvas<'_, impl TagSink + ?Sized>,
    bytes: &[u8],
) -> Result<usize> {
    let mut placed = Placed::new(bytes);
    placed.begin()?;
    while let Some((at, tag)) = placed.next()? {
        canvas.change(at, tag);
        canvas.change(placed.at, tag);
    }
    canvas.finish();
    placed.reader.finish()
}

/// The cells of an encoding, one after the other.
struct Placed<'a> {
    reader: Reader<'a>,
    /// Where in the bytes the shapes are, a byte or two each: zeroes, where they differ, and the
    /// others less one.
    shapes: u8,
    len: u8,
    /// The zeroes of all of them, where they have the same.
    same: Option<u8>,
    index_bits: u8,
    /// Bits that a tag has in the bytes, 3 or 4.
    tag_bits: u8,
    /// Where there are 3: the lowest bit of the next tag.
    parity: u8,
    /// Granules of the next cell that lie before the block.
    skip: u16,
    /// Where the next cell begins, in the block or behind it.
    at: u16,
}

impl<'a> Placed<'a> {
    #[inline(always)]
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(bytes),
            shapes: 2,
            len: 0,
            same: None,
            index_bits: 0,
            tag_bits: 4,
            parity: 0,
            skip: 0,
            at: 0,
        }
    }

    /// Reads what stands before the cells. Apart from [`new`](Self::new), so that all is built
    /// where it stays.
    #[inline(never)]
    fn begin(&mut self) -> Result<()> {
        let first = self.reader.byte();
        let skip = self.reader.byte();
        self.skip = u16::from(skip) & SKIP_MAX;
        self.parity = skip >> 7;
        let odd_even = first & ODD_EVEN != 0;
        if first & 0x10 != 0 || self.parity != 0 && !odd_even {
            return Err(Error::Invalid);
        }
        self.tag_bits = if odd_even { 3 } else { 4 };
        let len = usize::from(first & 0x0f).wrapping_add(1);
        self.len = len as u8;
        self.index_bits = index_bits(len) as u8;
        self.same = if first & SAME_ZEROES != 0 { Some(self.reader.byte()) } else { None };
        let step = if self.same.is_some() { 1 } else { 2 };
        self.shapes = if self.same.is_some() { 3 } else { 2 };
        self.reader.bytes(len.wrapping_mul(step)).map(drop).ok_or(Error::Invalid)
    }

    /// Where the next cell's others begin, and their tag; they end where the cell behind begins.
    // Not inlined: one for all sinks, and little stack.
    #[inline(never)]
    fn next(&mut self) -> Result<Option<(u16, u8)>> {
        // A cell is a granule long at least, so this ends; and where the bytes end, too.
        if self.at >= GRANULES || self.reader.overrun() {
            return Ok(None);
        }
        let value = self.reader.bits(u32::from(self.index_bits.wrapping_add(self.tag_bits)));
        let index = usize::from(value & !(u8::MAX << (self.index_bits & 7)));
        if index >= self.len.into() {
            return Err(Error::Invalid);
        }
        let shapes = usize::from(self.shapes);
        let (zeroes, others) = match self.same {
            Some(zeroes) => {
                let &[others] = self.reader.look(shapes.wrapping_add(index))?;
                (zeroes, others)
            }
            None => {
                let at = shapes.wrapping_add(index.wrapping_mul(2));
                let &[zeroes, others] = self.reader.look(at)?;
                (zeroes, others)
            }
        };
        let (zeroes, others) = (u16::from(zeroes), u16::from(others).wrapping_add(1));
        let three = self.tag_bits & 1;
        let tag = value >> (self.index_bits & 7) << three | self.parity;
        self.parity ^= three;
        let after_zeroes = self.skip.saturating_sub(zeroes);
        let at = self.at.wrapping_add(zeroes.saturating_sub(self.skip));
        // The first cell, too, has a granule in the block.
        let others = others.saturating_sub(after_zeroes);
        if others == 0 {
            return Err(Error::Invalid);
        }
        self.skip = 0;
        self.at = at.wrapping_add(others);
        Ok(Some((at, tag)))
    }
}

/// A cell's lengths, the second less one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shape {
    zeroes: u8,
    others: u8,
}

/// The shapes of a block's cells.
pub(super) struct Shapes {
    shapes: [Shape; SHAPES],
    pub(super) len: u8,
}

impl Shapes {
    pub(super) const fn new() -> Self {
        Self { shapes: [Shape { zeroes: 0, others: 0 }; SHAPES], len: 0 }
    }

    /// The number of the shape that a cell was given: the `first` of its block, the last, or
    /// one between them.
    #[inline(never)]
    fn number_of(&self, cell: Cell, first: bool) -> u8 {
        let found = match first {
            true => self.find_first(&cell).map(|(index, _)| index),
            false if cell.last => self.find_last(&cell),
            false => self.find(&cell),
        };
        found.unwrap_or(0) as u8
    }

    fn known(&self) -> &[Shape] {
        self.shapes.get(..self.len.into()).unwrap_or_default()
    }

    /// The shape of a cell. One without a run is cut off by the block's end: any length does.
    pub(super) fn shape(cell: &Cell) -> Option<Shape> {
        let others = cell.others.saturating_sub(1) as u8;
        Some(Shape { zeroes: u8::try_from(cell.zeroes).ok()?, others })
    }

    /// `None` where there are too many.
    pub(super) fn add(&mut self, cell: &Cell) -> Option<()> {
        if self.find(cell).is_none() {
            *self.shapes.get_mut(usize::from(self.len))? = Self::shape(cell)?;
            self.len = self.len.wrapping_add(1);
        }
        Some(())
    }

    fn find(&self, cell: &Cell) -> Option<usize> {
        let shape = Self::shape(cell)?;
        self.known().iter().position(|known| *known == shape)
    }

    /// The shape that a cell at the block's end is the beginning of.
    pub(super) fn find_last(&self, cell: &Cell) -> Option<usize> {
        self.known().iter().position(|shape| {
            let zeroes = u16::from(shape.zeroes);
            match cell.others.checked_sub(1) {
                None => zeroes >= cell.zeroes,
                Some(others) => zeroes == cell.zeroes && u16::from(shape.others) >= others,
            }
        })
    }

    /// The shape that a cell at the block's beginning is the end of, and how much of it
    /// lies before.
    pub(super) fn find_first(&self, cell: &Cell) -> Option<(usize, u8)> {
        self.known().iter().zip(0usize..).find_map(|(shape, index)| {
            let zeroes = u16::from(shape.zeroes);
            let others = u16::from(shape.others).wrapping_add(1);
            let whole = zeroes.wrapping_add(others);
            let skip = whole.checked_sub(cell.zeroes.wrapping_add(cell.others))?;
            let fits = if cell.last {
                // Cut off at both ends: only as it is.
                skip == 0 && zeroes == cell.zeroes
            } else {
                others == cell.others || cell.zeroes == 0 && others > cell.others
            };
            (fits && skip <= SKIP_MAX).then_some((index, skip as u8))
        })
    }

    fn same_zeroes(&self) -> bool {
        let [first, ..] = self.shapes;
        self.known().iter().all(|shape| shape.zeroes == first.zeroes)
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
