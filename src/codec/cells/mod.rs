//! Cells: a run of zeroes and a run of another tag, again and again, of few shapes.

mod decode;
mod shapes;

use super::{
    bits::{LANES, Writer},
    block::{Block, CELLS, GRANULES, TAGS},
    few,
    layout::Layout,
    nibbles::{self, Appender},
    packed::{self, Width},
    runs::BITMAP_BYTES,
    starts,
};
pub(super) use decode::decode;
use shapes::Shape;
pub(super) use shapes::Shapes;

const ODD_EVEN: u8 = 0x40;
const SAME_ZEROES: u8 = 0x20;
/// Shapes of cells in one block. Twice as many were measured to save a hundredth of a byte a page, and take stack.
const SHAPES: usize = 8;
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

/// Looks for the cells of a block, and their shapes. There are none in [`Layout::cells`] where there would be
/// too many shapes, and where other formats are shorter anyway. Runs that touch are cells of one shape, or none.
// One after the other: what one has on the stack the next does not need.
#[inline(always)]
pub(super) fn survey(block: &mut Block, layout: &mut Layout) {
    let found = if block.alternates() {
        block.boundaries() > 0
            && (survey_grid(block, layout) || survey_all(block, layout).is_some())
    } else {
        block.boundaries() > few::UNORDERED && survey_grid(block, layout)
    };
    if !found {
        layout.cells = 0;
    }
}

#[inline(always)]
fn survey_all(block: &mut Block, layout: &mut Layout) -> Option<()> {
    let last = survey_whole(block, layout)?;
    survey_cut(block, layout, last)
}

/// True if all cells are like the second of them.
#[inline(never)]
fn survey_grid(block: &Block, layout: &mut Layout) -> bool {
    if block.period() == 0 {
        return false;
    }
    let mut cells = Cells::new(block);
    let (Some(first), Some(cell)) = (cells.next(), cells.next()) else { return false };
    layout.shapes = Shapes::of_one(cell.shape());
    let Some((_, skip)) = layout.shapes.find_first(first) else { return false };
    layout.skip = skip;
    layout.cells = block.cells() as u8;
    true
}

/// A cell that the block's end cuts: where it begins, and its run. 0 and 0, if it is the first, too.
// Small, so that it goes through a register.
#[derive(Clone, Copy)]
struct Last {
    begin: u16,
    at: u16,
}

/// The shapes of the cells that the block's ends have not cut, and which cells have which; every other run of the
/// block is of tag 0.
#[inline(never)]
fn survey_whole(block: &mut Block, layout: &mut Layout) -> Option<Last> {
    let shapes = &mut layout.shapes;
    *shapes = Shapes::new();
    let mut cells = Cells::new(block);
    cells.next()?;
    // All of the others begin with zeroes.
    let Cells { mut starts, mut begin, .. } = cells;
    let most = most_bytes(block);
    let tags = block.len();
    let (places, numbers) = (&block.starts, nibbles::others(&mut block.words));
    let mut appender = Appender::default();
    // The cells that are cut get theirs later.
    appender.push(0, numbers);
    let mut last = Last { begin: 0, at: 0 };
    while begin < GRANULES {
        let at = starts.next(places);
        let end = if at < GRANULES { starts.next(places) } else { at };
        if end >= GRANULES {
            appender.push(0, numbers);
            last = Last { begin: begin as u16, at: at as u16 };
            break;
        }
        let shape = Cell { begin, at, end }.shape();
        let number = match shapes.find(shape) {
            Some(number) => number,
            None => {
                let number = shapes.add(shape)?;
                if bytes_beside_tags(shapes, tags) > most {
                    return None;
                }
                number
            }
        };
        appender.push(number.into(), numbers);
        begin = end;
    }
    let cells = appender.finish(numbers);
    layout.cells = cells as u8;
    // There is one more where all cells are of two granules: a grid.
    (cells <= TAGS).then_some(last)
}

/// Bytes that cells may take beside their tags: with more the starts take less, in a bitmap or a list.
#[inline(always)]
fn most_bytes(block: &Block) -> usize {
    // Three bits in four, should they do, are an eighth of a byte for each tag that a list does not save.
    let list = block.boundaries().wrapping_add(block.len() >> 3);
    list.min(BITMAP_BYTES)
}

/// Bytes of the shapes and of the cells' numbers of them.
#[inline(always)]
fn bytes_beside_tags(shapes: &Shapes, tags: usize) -> usize {
    // There are as many cells as tags, if the block's beginning does not cut one off without.
    let numbers = tags.wrapping_mul(index_bits(shapes.len.into()) as usize) >> 3;
    shapes.bytes().wrapping_add(numbers)
}

/// The ends of the block cut cells: they come last, to find what they are part of. Shapes that are added
/// last come last: the first cell still finds what it found.
#[inline(never)]
fn survey_cut(block: &mut Block, layout: &mut Layout, last: Last) -> Option<()> {
    let first = Cells::new(block).next()?;
    let shapes = &mut layout.shapes;
    let numbers = nibbles::others(&mut block.words);
    let (number, skip) = match shapes.find_first(first) {
        Some(found) => found,
        None => (shapes.find_or_add(first.shape())?, 0),
    };
    layout.skip = skip;
    nibbles::set(numbers, 0, number);
    if last.begin > 0 {
        let last = Cell { begin: last.begin.into(), at: last.at.into(), end: GRANULES };
        let number = match shapes.find_last(last) {
            Some(number) => number,
            None => shapes.find_or_add(last.shape())?,
        };
        nibbles::set(numbers, usize::from(layout.cells).wrapping_sub(1), number);
    }
    Some(())
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
    packed::write(block.tags(), layout.cells.into(), width, out, head)
}

/// Writes the numbers of the cells' shapes, and their tags.
#[inline(never)]
fn write_cells(block: &Block, layout: &Layout, out: &mut [u8], head: usize) -> usize {
    let mut writer = Writer::behind(out, head);
    let mut left = usize::from(layout.cells);
    let mut index = 0usize;
    while left > 0 {
        let count = left.min(LANES);
        let (values, width) = eight_values(block, layout, index);
        writer.numbers(values, width, count);
        index = index.wrapping_add(1);
        left = left.wrapping_sub(count);
    }
    writer.finish()
}

/// The numbers of eight cells' shapes and above them the tags, from cell `8 * index` on, a byte each; and
/// how many bits of it.
#[inline(never)]
fn eight_values(block: &Block, layout: &Layout, index: usize) -> (u64, u32) {
    let bits = index_bits(layout.shapes.len.into());
    let (tags, numbers) = nibbles::halves(&block.words);
    let (tags, tag_bits) = match (nibbles::eight(tags, index), layout.odd_even) {
        (tags, false) => (tags, 4),
        (tags, true) => (tags >> 1 & 0x0707_0707_0707_0707, 3),
    };
    (nibbles::eight(numbers, index) | tags << (bits & 7), bits.wrapping_add(tag_bits))
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
