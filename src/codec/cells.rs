//! Cells: a run of zeroes and a run of another tag, again and again, of few shapes.

use super::{
    bits::{Reader, Writer},
    block::{BLOCK_WORDS, Block, CELLS, GRANULES, Spans, Words, change, spread},
    layout::Layout,
};
use crate::error::{Error, Result};

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
    for cell in Cells::new(block) {
        let index = layout.shapes.number_of(cell, first);
        first = false;
        writer.bits(index | cell.tag >> tag_shift << index_bits, bits);
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
pub(super) fn decode(words: &mut Words, bytes: &[u8]) -> Result<usize> {
    let mut reader = Reader::new(bytes);
    let first = reader.byte();
    if first & 0x10 != 0 {
        return Err(Error::Invalid);
    }
    let odd_even = first & ODD_EVEN != 0;
    let skip = reader.byte();
    let mut parity = skip >> 7;
    if parity != 0 && !odd_even {
        return Err(Error::Invalid);
    }
    let len = usize::from(first & 0x0f).wrapping_add(1);
    // The shapes stay where they are.
    let same = if first & SAME_ZEROES != 0 { Some(reader.byte()) } else { None };
    let step = if same.is_some() { 1 } else { 2 };
    let shapes = reader.bytes(len.wrapping_mul(step)).ok_or(Error::Invalid)?;
    let index_bits = index_bits(len);
    let (tag_shift, tag_bits, flip) = if odd_even { (1, 3, 1) } else { (0, 4, 0) };
    let mut skip = u16::from(skip) & SKIP_MAX;
    let mut at = 0u16;
    *words = [0; BLOCK_WORDS];
    // A cell is a granule long at least, so this ends; and where the bytes end, too.
    while at < GRANULES && !reader.overrun() {
        let index = usize::from(reader.bits(index_bits)).wrapping_mul(step);
        let mut shape = shapes.get(index..).ok_or(Error::Invalid)?.iter().copied();
        let zeroes = u16::from(same.or_else(|| shape.next()).ok_or(Error::Invalid)?);
        let others = u16::from(shape.next().ok_or(Error::Invalid)?).wrapping_add(1);
        let tag = reader.bits(tag_bits) << tag_shift | parity;
        parity ^= flip;
        let after_zeroes = skip.saturating_sub(zeroes);
        at = at.wrapping_add(zeroes.saturating_sub(skip));
        // The first cell, too, has a granule in the block.
        let others = others.saturating_sub(after_zeroes);
        if others == 0 {
            return Err(Error::Invalid);
        }
        skip = 0;
        change(words, at, tag);
        at = at.wrapping_add(others);
        change(words, at, tag);
    }
    spread(words);
    reader.finish()
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
        let found = if first {
            self.find_first(&cell).map(|(index, _)| index)
        } else if cell.last {
            self.find_last(&cell)
        } else {
            self.find(&cell)
        };
        found.unwrap_or(0) as u8
    }

    fn known(&self) -> &[Shape] {
        self.shapes.get(..self.len.into()).unwrap_or_default()
    }

    /// The shape of a cell. One without a run is cut off by the block's end: any length does.
    fn shape(cell: &Cell) -> Option<Shape> {
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
