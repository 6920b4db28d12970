//! Cells: a run of zeroes and a run of another tag, again and again, of few shapes.

use super::{
    ALL_GRANULES,
    bits::{LANES, Reader, Writer},
    block::{BLOCK_WORDS, Block, CELLS, GRANULES, Tags},
    canvas::Blocks,
    layout::Layout,
    runs,
};
use crate::{
    error::{Error, Result},
    tags::{GRANULES_PER_WORD, TagSink},
};

/// The lowest bit of each byte.
const EVERY_BYTE: u64 = 0x0101_0101_0101_0101;
const ODD_EVEN: u8 = 0x40;
const SAME_ZEROES: u8 = 0x20;
/// Shapes of cells in one block. Twice as many were measured to save a hundredth of a byte a page, and take stack.
const SHAPES: usize = 8;
/// Shapes of cells where runs touch: so that others, most often random ones, are given up soon.
const TOUCHING_SHAPES: u8 = 4;
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
        Shape { zeroes: self.zeroes() as u8, others: self.others().saturating_sub(1) as u8 }
    }
}

/// Goes through the cells of a block that has a boundary, and looks for their shapes. With `keep`, it
/// leaves in the block a byte for each cell: the tag in the lower half, the number of its shape in the
/// upper. False where there are too many shapes; of a block that alternates, the tags are left all the
/// same.
#[inline(never)]
pub(super) fn gather(block: &mut Block, layout: &mut Layout, keep: bool) -> bool {
    let alternates = layout.alternate;
    let (starts, tags) = block.parts();
    let shapes = &mut layout.shapes;
    shapes.len = 0;
    let mut ends = starts.iter(false);
    let put = |tags: &mut Tags, at, byte| {
        if keep {
            tags.put(at, byte);
        }
    };
    let (mut first, mut last) = (None, None);
    let (mut fits, mut extra) = (true, 0);
    let (mut shape, mut number) = (None, 0);
    let mut count = 0usize;
    // Cell `n` begins at granule `2 * n - 1` or behind it, its byte takes the place of granules
    // `2 * n` and `2 * n + 1`: what a cell begins with is read before the one in front is put down.
    let mut begin = 0;
    let mut ahead = tags.of(0);
    while begin < GRANULES {
        // A cell whose run lies behind the block has tag 0.
        let (mut at, mut tag) = (begin, ahead);
        if tag == 0 {
            at = ends.next_or_end();
            tag = if at < GRANULES { tags.of(at) } else { 0 };
        }
        let end = if at < GRANULES { ends.next_or_end() } else { at };
        ahead = if alternates { 0 } else { tags.of(end) };
        let cell = Cell { begin, at, end };
        if begin == 0 {
            first = Some(cell);
        } else if cell.is_last() {
            last = Some(cell);
        } else if fits && shape != Some(cell.shape()) {
            // Cells of one shape come in rows: only where it changes is it looked for.
            shape = Some(cell.shape());
            match shapes.find_or_add(cell.shape()) {
                Some(its) if alternates || cell.len() > 1 && its < TOUCHING_SHAPES => {
                    number = its << 4;
                }
                _ if alternates => fits = false,
                _ => return false,
            }
            let grid = count == 1 && (alternates || cell.zeroes() == 0);
            if grid && starts.are_periodic(cell.len()) {
                // All are like this one. The last, too, whatever the block's end cut off.
                let mut at = cell.at;
                while at < GRANULES {
                    at = at.wrapping_add(cell.len());
                    let ahead = tags.of(at);
                    put(tags, count, tag);
                    count = count.wrapping_add(1);
                    tag = ahead;
                }
                extra = u8::from(at.wrapping_sub(cell.zeroes()) < GRANULES);
                break;
            }
        }
        put(tags, count, tag | number);
        count = count.wrapping_add(1);
        begin = end;
    }
    // What is read of the last eight, and is none of them.
    (count..count.wrapping_add(LANES)).for_each(|at| put(tags, at, 0));
    layout.cells = (count as u8).wrapping_add(extra);
    layout.tags = count as u8;
    layout.skip = 0;
    // The ends of the block cut cells: they come last, to find what they are part of. Shapes that
    // are added last come last: the first cell still finds what it found.
    if let Some(first) = first {
        let found =
            shapes.find_first(&first).or_else(|| Some((shapes.find_or_add(first.shape())?, 0)));
        let (its, skip) = found.unwrap_or_default();
        fits &= found.is_some();
        layout.skip = skip;
        put(tags, 0, tags.byte(0) | its << 4);
    }
    if let Some(last) = last {
        let found = shapes.find_last(&last).or_else(|| shapes.find_or_add(last.shape()));
        fits &= found.is_some();
        let at = count.wrapping_sub(1);
        put(tags, at, tags.byte(at) & 15 | found.unwrap_or_default() << 4);
        layout.tags = layout.tags.wrapping_sub(u8::from(last.at >= GRANULES));
    }
    fits
}

/// Writes the cells behind the `head` bytes that [`write_head`] wrote.
#[inline(never)]
pub(super) fn encode(block: &Block, layout: &Layout, out: &mut [u8], head: usize) -> usize {
    let mut writer = Writer::behind(out, head);
    let index_bits = index_bits(layout.shapes.len.into());
    let (shift, mask, tag_bits) = if layout.odd_even { (1, 0x07, 3) } else { (0, 0x0f, 4) };
    let cells = usize::from(layout.cells);
    for at in (0..cells).step_by(LANES) {
        let eight = block.gathered().eight(at);
        let tags = eight >> shift & EVERY_BYTE.wrapping_mul(mask);
        let numbers = eight >> 4 & EVERY_BYTE.wrapping_mul(7) | tags << index_bits;
        writer.numbers(
            numbers,
            index_bits.wrapping_add(tag_bits),
            cells.wrapping_sub(at).min(LANES),
        );
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
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    bytes: &[u8],
) -> Result<usize> {
    let head = Head::read(bytes)?;
    // Most often there is one shape, and nothing to be looked up for a cell.
    match head.shapes {
        [_] if head.same.is_some() => {
            let shape = head.shape(0);
            head.paint(blocks, bytes, |_| shape)
        }
        _ => head.paint(blocks, bytes, |index| head.shape(index)),
    }
}

/// What stands before the cells of an encoding.
#[derive(Clone, Copy)]
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

    /// Decodes the cells.
    #[inline(always)]
    fn paint(
        &self,
        blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
        bytes: &[u8],
        shape: impl Fn(usize) -> Option<(usize, usize)>,
    ) -> Result<usize> {
        let mut reader = Reader::behind(bytes, self.len);
        let tag_bits = if self.odd_even { 3 } else { 4 };
        let width = self.index_bits.wrapping_add(tag_bits);
        let index_mask = EVERY_BYTE.wrapping_mul(!(u64::MAX << (self.index_bits & 7)));
        let tag_mask = EVERY_BYTE.wrapping_mul(!(u64::MAX << tag_bits));
        let mut line = Line { word: 0, used: 0, words: 0 };
        let mut skip = self.skip;
        // A cell is a granule long at least, so this ends.
        loop {
            let eight = reader.numbers(width);
            let mut numbers = eight & index_mask;
            let mut tags = eight >> (self.index_bits & 7) & tag_mask;
            if self.odd_even {
                tags = runs::odd_even(tags, self.parity.into());
            }
            for left in (0..LANES).rev() {
                let (zeroes, others) = shape((numbers & 7) as usize).ok_or(Error::Invalid)?;
                let tag = tags & 15;
                (numbers, tags) = (numbers >> 8, tags >> 8);
                let len = zeroes.wrapping_add(others);
                if skip == 0 && len <= GRANULES_PER_WORD {
                    // Most are: all of it at once.
                    let run =
                        ALL_GRANULES >> GRANULES_PER_WORD.wrapping_sub(others).wrapping_mul(4);
                    line =
                        line.cell(blocks, len, (run << zeroes.wrapping_mul(4)).wrapping_mul(tag));
                } else {
                    // The first cell, too, has a granule in the block.
                    let others = others.saturating_sub(skip.saturating_sub(zeroes));
                    if others == 0 {
                        return Err(Error::Invalid);
                    }
                    line = line.run(blocks, zeroes.saturating_sub(skip), 0);
                    line = line.run(blocks, others, tag);
                    skip = 0;
                }
                if line.words >= BLOCK_WORDS {
                    return reader.check(left.wrapping_mul(width as usize));
                }
            }
        }
    }
}

/// A block's words as they fill up. What lies behind the block is dropped.
// By value everywhere, so that it stays in registers.
#[derive(Clone, Copy)]
struct Line {
    /// The granules of the word at hand, and 0 behind them.
    word: u64,
    /// How many bits those are, 63 at most.
    used: usize,
    /// Words that are done.
    words: usize,
}

impl Line {
    /// Appends `len` granules, 16 at most; above them there is nothing in `tags`.
    #[inline(always)]
    fn cell(
        mut self,
        blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
        len: usize,
        tags: u64,
    ) -> Self {
        let word = self.word | tags << (self.used & 63);
        let used = self.used.wrapping_add(len.wrapping_mul(4));
        if used >= 64 {
            blocks.put(word);
            self.words = self.words.wrapping_add(1);
            self.word = tags >> 1 >> (!self.used & 63);
        } else {
            self.word = word;
        }
        self.used = used & 63;
        self
    }

    /// Appends `len` granules of one tag.
    #[inline(never)]
    fn run(mut self, blocks: &mut Blocks<'_, impl TagSink + ?Sized>, len: usize, tag: u64) -> Self {
        let fill = tag.wrapping_mul(ALL_GRANULES);
        self.word |= fill << (self.used & 63);
        let mut used = self.used.wrapping_add(len.wrapping_mul(4));
        while used >= 64 && self.words < BLOCK_WORDS {
            blocks.put(self.word);
            self.word = fill;
            self.words = self.words.wrapping_add(1);
            used = used.wrapping_sub(64);
        }
        self.used = used & 63;
        self.word &= !(u64::MAX << self.used);
        self
    }
}

/// A cell's lengths, the second less one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shape {
    zeroes: u8,
    others: u8,
}

impl Shape {
    /// Granules.
    fn len(self) -> usize {
        usize::from(self.zeroes).wrapping_add(self.others.into()).wrapping_add(1)
    }
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

    fn known(&self) -> &[Shape] {
        self.shapes.get(..self.len.into()).unwrap_or_default()
    }

    /// The number of a shape; `None` where there are too many.
    fn find_or_add(&mut self, shape: Shape) -> Option<u8> {
        let found = self.known().iter().position(|known| *known == shape);
        let number = found.unwrap_or(self.len.into()) as u8;
        if found.is_none() {
            *self.shapes.get_mut(usize::from(number))? = shape;
            self.len = self.len.wrapping_add(1);
        }
        Some(number)
    }

    /// The shape that a cell at the block's end is the beginning of.
    fn find_last(&self, cell: &Cell) -> Option<u8> {
        let found = self.known().iter().position(|shape| {
            let zeroes = usize::from(shape.zeroes);
            match cell.others().checked_sub(1) {
                None => zeroes >= cell.zeroes(),
                Some(others) => zeroes == cell.zeroes() && usize::from(shape.others) >= others,
            }
        });
        found.map(|number| number as u8)
    }

    /// The shape that a cell at the block's beginning is the end of, and how much of it
    /// lies before.
    fn find_first(&self, cell: &Cell) -> Option<(u8, u8)> {
        self.known().iter().zip(0u8..).find_map(|(shape, number)| {
            let zeroes = usize::from(shape.zeroes);
            let others = usize::from(shape.others).wrapping_add(1);
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
