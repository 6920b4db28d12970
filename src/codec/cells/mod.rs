//! Cells: a run of zeroes and a run of another tag, again and again, of few shapes.

mod decode;
mod shapes;
mod survey;

use super::{
    bits::{LANES, ONES, Writer},
    block::{Block, CELLS, GRANULES},
    layout::Layout,
    nibbles::{Kind, eight},
    packed::{self, Width},
    starts,
};
pub(super) use decode::decode;
use shapes::Shape;
pub(super) use shapes::Shapes;
pub(super) use survey::survey;

const ODD_EVEN: u8 = 0x40;
const SAME_ZEROES: u8 = 0x20;
/// The most shapes of cells in one block that are looked for. Twice as many save half a byte a page, and take an eighth more time.
const SHAPES: usize = 4;
/// The most shapes of cells in one block that a decoder takes.
const SHAPES_MAX: usize = 8;
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
        Shape::of(self.zeroes() as u32, self.others().max(1) as u32)
    }
}

/// The cells of a block that has a boundary; the first and the last may be parts of larger ones. Where runs
/// touch each is a cell, whatever its tag.
struct Cells<'a> {
    block: &'a Block,
    starts: starts::Cursor,
    /// Where the next cell begins, and whether with zeroes.
    begin: usize,
    zero: bool,
}

impl<'a> Cells<'a> {
    #[inline(always)]
    fn new(block: &'a Block) -> Self {
        let zero = block.alternates() && block.zero_first();
        Self { block, starts: block.starts.cursor(), begin: 0, zero }
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
        let at = if self.zero { self.starts.next(&self.block.starts) } else { begin };
        self.zero = self.block.alternates();
        self.begin = if at < GRANULES { self.starts.next(&self.block.starts) } else { at };
        Some(Cell { begin, at, end: self.begin })
    }
}

/// Writes the cells behind the `head` bytes that [`write_head`] wrote.
#[inline(always)]
pub(super) fn encode(block: &Block, layout: &Layout, out: &mut [u8], head: usize) -> usize {
    if layout.shapes.len == 1 {
        write_tags(block, layout, out, head)
    } else {
        write_cells(block, layout, out, head)
    }
}

/// Writes the tags of cells of one shape.
#[inline(never)]
fn write_tags(block: &Block, layout: &Layout, out: &mut [u8], head: usize) -> usize {
    let width = if layout.odd_even { Width::Three } else { Width::Four };
    // A cell whose run lies behind the block has a tag all the same.
    packed::write(&block.words, layout.cells.into(), width, out, head)
}

/// Writes the numbers of the cells' shapes, and their tags, eight of each at a time.
#[inline(never)]
fn write_cells(block: &Block, layout: &Layout, out: &mut [u8], head: usize) -> usize {
    let mut writer = Writer::behind(out, head);
    let bits = index_bits(layout.shapes.len.into());
    // Of three bits, a tag comes without its lowest.
    let (up, those) = if layout.odd_even { (bits.wrapping_sub(1), 0x0e) } else { (bits, 0x0f) };
    let width = up.wrapping_add(4);
    let cells = usize::from(layout.cells);
    for (first, index) in (0..cells).step_by(LANES).zip(0usize..) {
        let tags = eight(&block.words, Kind::Tags, index) & ONES.wrapping_mul(those);
        let values = eight(&block.words, Kind::Shapes, index) | tags << (up & 7);
        writer.numbers(values, width, cells.wrapping_sub(first).min(LANES));
    }
    writer.finish()
}

/// Writes what stands before the cells; returns how many bytes it is.
#[inline(never)]
pub(super) fn write_head(layout: &Layout, out: &mut [u8]) -> usize {
    let shapes = &layout.shapes;
    let same = shapes.same_zeroes;
    let mut writer = Writer::behind(out, 0);
    writer.byte(
        CELLS
            | shapes.len.wrapping_sub(1)
            | if layout.odd_even { ODD_EVEN } else { 0 }
            | if same { SAME_ZEROES } else { 0 },
    );
    writer.byte(layout.skip | if layout.odd_even { layout.parity << 7 } else { 0 });
    if same {
        writer.byte(shapes.first().0 as u8);
    }
    for shape in shapes.known() {
        if !same {
            writer.byte(shape.0 as u8);
        }
        writer.byte((shape.0 >> 8) as u8);
    }
    writer.finish()
}

/// Bits of the number of one of `len` shapes.
pub(super) fn index_bits(len: usize) -> u32 {
    usize::BITS.wrapping_sub(len.saturating_sub(1).leading_zeros())
}
