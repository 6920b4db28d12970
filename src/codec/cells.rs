//! Cells: a run of zeroes and a run of another tag, again and again, of few shapes.

use super::{
    ALL_GRANULES,
    bits::{LANES, Reader, Writer},
    block::{BLOCK_WORDS, Block, CELLS, Cursor, GRANULES, TagCursor},
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
    block: &'a Block,
    starts: Cursor,
    tags: TagCursor,
    /// Where the next cell begins, and whether with zeroes; that is asked of the tag where runs touch.
    begin: usize,
    zero: bool,
    /// There, the last cell's tag.
    tag: u8,
}

impl<'a> Cells<'a> {
    #[inline(always)]
    fn new(block: &'a Block) -> Self {
        Self {
            block,
            starts: block.starts.cursor(),
            tags: TagCursor::default(),
            begin: 0,
            zero: block.zero_first(),
            tag: 0,
        }
    }

    /// The tag of the cell that came last; to be asked for each of them, or for none. A cell whose run
    /// lies behind the block has tag 0.
    #[inline(always)]
    fn tag(&mut self, cell: Cell) -> u8 {
        if self.block.alternates() && cell.at < GRANULES {
            self.tag = self.tags.next(&self.block.tags);
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
        if !self.block.alternates() {
            self.tag = self.tags.next(&self.block.tags);
            self.zero = self.tag == 0;
        }
        let mut at = begin;
        if self.zero {
            at = self.starts.next(&self.block.starts);
            if !self.block.alternates() {
                self.tag = self.tags.next(&self.block.tags);
            }
        }
        self.zero = true;
        self.begin = if at < GRANULES { self.starts.next(&self.block.starts) } else { at };
        Some(Cell { begin, at, end: self.begin })
    }
}

/// Looks for the shapes of the cells of a block that has a boundary. Returns how many cells there are, or
/// `None` where there are too many shapes.
// In three, one after the other: what one has on the stack the next does not need.
#[inline(always)]
pub(super) fn survey(block: &Block, layout: &mut Layout) -> Option<usize> {
    if let Some(count) = survey_grid(block, layout) {
        return Some(count.into());
    }
    let survey = survey_whole(block, &mut layout.shapes)?;
    survey_cut(block, layout, survey)?;
    Some(survey.count.into())
}

/// The number of cells, if all are like the second of them; the bits of their starts tell.
#[inline(never)]
fn survey_grid(block: &Block, layout: &mut Layout) -> Option<u16> {
    let mut cells = Cells::new(block);
    let (first, cell) = (cells.next()?, cells.next()?);
    // They tell where zeroes are between all cells, or none.
    let tell = block.alternates() || cell.zeroes() == 0;
    if cell.is_last() || !tell || !block.starts.are_periodic(cell.len()) {
        return None;
    }
    layout.shapes = Shapes::of_one(cell.shape());
    let (_, skip) = layout.shapes.find_first(first)?;
    layout.skip = skip;
    let granules = GRANULES.wrapping_sub(first.len()).wrapping_add(cell.len());
    // The last, too, whatever the block's end cut off.
    Some(granules.wrapping_sub(1).checked_div(cell.len())?.wrapping_add(1) as u16)
}

/// What was found of cells.
// Small, so that it goes through a register.
#[derive(Clone, Copy)]
struct Survey {
    /// How many there are, the first and the last too.
    count: u16,
    /// Where the last begins, and its run; 0 and 0, if it is the first, too.
    begin: u16,
    at: u16,
}

/// The shapes of the cells that the block's ends have not cut.
#[inline(never)]
fn survey_whole(block: &Block, shapes: &mut Shapes) -> Option<Survey> {
    let alternates = block.alternates();
    let most = if alternates { SHAPES } else { TOUCHING_SHAPES };
    shapes.len = 0;
    let mut cells = Cells::new(block);
    cells.next()?;
    let mut survey = Survey { count: 1, begin: 0, at: 0 };
    let mut shape = None;
    for cell in cells {
        survey.count = survey.count.wrapping_add(1);
        if cell.is_last() {
            (survey.begin, survey.at) = (cell.begin as u16, cell.at as u16);
        } else if shape != Some(cell.shape()) {
            // Cells of one shape come in rows: only where it changes is it looked for.
            shape = Some(cell.shape());
            shapes.find_or_add(cell.shape(), most)?;
            if !alternates && cell.len() < 2 {
                return None;
            }
        }
    }
    Some(survey)
}

/// The ends of the block cut cells: they come last, to find what they are part of. Shapes that are added
/// last come last: the first cell still finds what it found.
#[inline(never)]
fn survey_cut(block: &Block, layout: &mut Layout, survey: Survey) -> Option<()> {
    let first = Cells::new(block).next()?;
    let shapes = &mut layout.shapes;
    layout.skip = 0;
    match shapes.find_first(first) {
        Some((_, skip)) => layout.skip = skip,
        None => shapes.find_or_add(first.shape(), SHAPES)?,
    }
    if survey.begin > 0 {
        let last = Cell { begin: survey.begin.into(), at: survey.at.into(), end: GRANULES };
        if shapes.find_last(last).is_none() {
            shapes.find_or_add(last.shape(), SHAPES)?;
        }
    }
    Some(())
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
    // Cells of one shape come in rows: only where it changes is it looked for.
    let (mut shape, mut number) = (None, 0);
    let mut cells = Cells::new(block);
    while let Some(cell) = cells.next() {
        if shape != Some(cell.shape()) || cell.is_last() {
            number = shapes.number_of(cell);
            shape = if cell.begin > 0 { Some(cell.shape()) } else { None };
        }
        // In two steps, with one width less to be kept at hand.
        writer.small(number, index_bits as usize);
        let (tag, bits) = layout.packed_tag(cells.tag(cell));
        writer.small(tag, bits);
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
pub(super) fn decode(
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    bytes: &[u8],
) -> Result<usize> {
    // Most often there is one shape, and it is no longer than a word.
    let head = Head::read(bytes)?;
    match head.shape(bytes, 0) {
        Some((zeroes, others))
            if head.count() == 1 && zeroes.wrapping_add(others) <= GRANULES_PER_WORD =>
        {
            decode_grid(blocks, bytes)
        }
        _ => decode_cells(blocks, bytes),
    }
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
    let mut tags = Unpacker::new(Reader::behind(bytes, head.len()), parity);
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
fn decode_cells(blocks: &mut Blocks<'_, impl TagSink + ?Sized>, bytes: &[u8]) -> Result<usize> {
    let head = Head::read(bytes)?;
    let index_bits = index_bits(head.count());
    let width = index_bits.wrapping_add(if head.odd_even() { 3 } else { 4 });
    let mut reader = Reader::behind(bytes, head.len());
    let mut canvas = Canvas::new(blocks);
    let (mut at, mut skip) = (0, head.skip());
    let (mut eight, mut left) = (0, 0usize);
    let three = u32::from(head.odd_even());
    let mut parity = head.parity();
    // A cell is a granule long at least, so this ends.
    while at < GRANULES {
        if left == 0 {
            (eight, left) = (reader.numbers(width), LANES);
        }
        left = left.wrapping_sub(1);
        let value = eight as u8;
        eight >>= 8;
        let index = value & !(u8::MAX << (index_bits & 7));
        let tag = value >> (index_bits & 7) << three | parity;
        parity ^= three as u8;
        let (mut zeroes, mut others) =
            head.shape(reader.bytes(), index.into()).ok_or(Error::Invalid)?;
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

    fn of_one(shape: Shape) -> Self {
        let mut shapes = [Shape(0); SHAPES];
        shapes[0] = shape;
        Self { shapes, len: 1 }
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
    fn number_of(&self, cell: Cell) -> u8 {
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
    fn find_last(&self, cell: Cell) -> Option<u8> {
        let found = self.known().iter().position(|shape| match cell.others() {
            0 => shape.zeroes() >= cell.zeroes(),
            others => shape.zeroes() == cell.zeroes() && shape.others() >= others,
        });
        found.map(|number| number as u8)
    }

    /// The shape that a cell at the block's beginning is the end of, and how much of it
    /// lies before.
    fn find_first(&self, cell: Cell) -> Option<(u8, u8)> {
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
