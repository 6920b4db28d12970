//! Blocks: the tags of 256 granules, in the shortest of five formats.
//!
//! The first byte says which, and how long the block is follows from what it says:
//!
//! | first byte | format | what follows |
//! |---|---|---|
//! | `0000 tttt` | one run | nothing: `tttt` is the tag |
//! | `0001 0000` | raw | 128 bytes |
//! | `0010 00za` | list | number of boundaries, then each boundary's granule, then tags |
//! | `0011 0oza` | bitmap | 32 bytes, a bit for each granule that begins a run (the first never set), then tags |
//! | `1os0 dddd` | cells | see below |
//!
//! **Tags**, of list and bitmap: a nibble for each run. With `a` set, every other run is of
//! tag 0 and has no nibble; with `z`, the first run is. With `o` (bitmap with `a` only),
//! tags are alternately odd and even and take three bits; the lowest bit of the first
//! tag stands before them.
//!
//! **Cells**: what allocators lay out, a run of zeroes (possibly empty) and a run of one
//! other tag. `dddd` is one less than the number of shapes; `s` says that all shapes have as
//! many zeroes. A byte follows: how many granules of the first cell lie
//! before the block in its lowest 7 bits, and in bit 7 the lowest bit of the first tag,
//! where `o` is set. Then the shapes: one byte of zeroes for all of them, or one each
//! before the other byte, which is the run's length less one. Then, for each cell until
//! the block is full, the number of its shape in as many bits as there must be, and its
//! tag in four bits (three with `o`). What goes over the block's end is cut off.
//!
//! A cell whose run lies outside of the block has a tag all the same, 0.

use super::{
    ALL_GRANULES,
    bits::{Reader, Writer},
};
use crate::{
    error::{Error, Result},
    tags::{TagSink, TagSource},
};

/// Words of a block.
pub(super) const BLOCK_WORDS: usize = 16;
/// Granules of a block.
const GRANULES: u16 = 256;
/// Bytes of a raw block, without its first byte.
const RAW_BYTES: usize = BLOCK_WORDS * size_of::<u64>();
/// No block is longer.
pub(super) const ENCODED_MAX: usize = RAW_BYTES + 1;

const RAW: u8 = 0x10;
const LIST: u8 = 0x20;
const BITMAP: u8 = 0x30;
const CELLS: u8 = 0x80;
const ODD_EVEN: u8 = 0x40;
const SAME_ZEROES: u8 = 0x20;
const LIST_ALTERNATES: u8 = 1;
const LIST_ZERO_FIRST: u8 = 2;
const BITMAP_ODD_EVEN: u8 = 4;

/// Shapes of cells in one block.
const SHAPES: usize = 16;
/// The most granules that a first cell can have before the block.
const SKIP_MAX: u16 = 127;

/// The tags of 256 granules, and where its runs begin.
pub(super) struct Block {
    words: [u64; BLOCK_WORDS],
    /// A bit for each granule whose tag differs from the one before it.
    starts: [u64; 4],
}

impl Block {
    /// A block of tag 0.
    pub(super) const fn new() -> Self {
        Self { words: [0; BLOCK_WORDS], starts: [0; 4] }
    }

    /// Reads block `number` of a page.
    pub(super) fn read(&mut self, source: &(impl TagSource + ?Sized), number: usize) {
        let base = number.wrapping_mul(BLOCK_WORDS);
        for (word, i) in self.words.iter_mut().zip(0usize..) {
            *word = source.word(base.wrapping_add(i));
        }
        self.starts = [0; 4];
        // The first granule begins no boundary: it is compared with itself.
        let mut before = self.words.first().map_or(0, |word| word & 15);
        for (word, index) in self.words.iter().zip(0u32..) {
            let differs = word ^ (word << 4 | before);
            before = word >> 60;
            let bits = nibbles_to_bits(differs);
            if let Some(quarter) = self.starts.get_mut((index >> 2) as usize) {
                *quarter |= bits << (index & 3).wrapping_mul(16);
            }
        }
    }

    /// Writes the tags as block `number` of a page.
    pub(super) fn write(&self, sink: &mut (impl TagSink + ?Sized), number: usize) {
        let base = number.wrapping_mul(BLOCK_WORDS);
        for (word, i) in self.words.iter().zip(0usize..) {
            sink.set_word(base.wrapping_add(i), *word);
        }
    }

    /// The tag of a granule.
    pub(super) fn tag(&self, granule: u8) -> u8 {
        let word = self.words.get(usize::from(granule >> 4)).copied().unwrap_or(0);
        (word >> (granule & 15).wrapping_mul(4)) as u8 & 15
    }

    /// How often the tag changes.
    pub(super) fn boundaries(&self) -> u32 {
        self.starts.iter().map(|quarter| quarter.count_ones()).fold(0, u32::wrapping_add)
    }

    /// The runs in order.
    pub(super) fn runs(&self) -> Runs<'_> {
        let [rest, ..] = self.starts;
        Runs { block: self, rest, quarter: 0, at: 0 }
    }

    /// Writes the block in the format that `layout`, its own, chose; returns the length,
    /// and how much of it fits `out` is written.
    pub(super) fn encode(&self, layout: &Layout, out: &mut [u8]) -> usize {
        let writer = Writer::new(out);
        match layout.format {
            Format::One => self.encode_one(writer),
            Format::List => self.encode_list(layout, writer),
            Format::Bitmap => self.encode_bitmap(layout, writer),
            Format::Cells => self.encode_cells(layout, writer),
            Format::Raw => self.encode_raw(writer),
        }
    }

    fn encode_one(&self, mut writer: Writer<'_>) -> usize {
        writer.byte(self.tag(0));
        writer.finish()
    }

    fn encode_raw(&self, mut writer: Writer<'_>) -> usize {
        writer.byte(RAW);
        self.words.iter().flat_map(|word| word.to_le_bytes()).for_each(|byte| writer.byte(byte));
        writer.finish()
    }

    fn encode_list(&self, layout: &Layout, mut writer: Writer<'_>) -> usize {
        writer.byte(LIST | layout.flags());
        // Fewer than 127, or a list would not be the shortest.
        writer.byte(self.boundaries() as u8);
        self.runs().skip(1).for_each(|run| writer.byte(run.at as u8));
        self.runs()
            .filter(|run| !layout.alternate || run.tag != 0)
            .for_each(|run| writer.bits(run.tag, 4));
        writer.finish()
    }

    fn encode_bitmap(&self, layout: &Layout, mut writer: Writer<'_>) -> usize {
        let odd_even = layout.alternate && layout.odd_even;
        writer.byte(BITMAP | layout.flags() | if odd_even { BITMAP_ODD_EVEN } else { 0 });
        self.starts
            .iter()
            .flat_map(|quarter| quarter.to_le_bytes())
            .for_each(|byte| writer.byte(byte));
        if odd_even {
            writer.bits(layout.parity, 1);
        }
        for run in self.runs().filter(|run| !layout.alternate || run.tag != 0) {
            if odd_even { writer.bits(run.tag >> 1, 3) } else { writer.bits(run.tag, 4) }
        }
        writer.finish()
    }

    fn encode_cells(&self, layout: &Layout, mut writer: Writer<'_>) -> usize {
        let shapes = &layout.shapes;
        let odd_even = layout.odd_even;
        let same = shapes.same_zeroes();
        writer.byte(
            CELLS
                | shapes.len.wrapping_sub(1)
                | if odd_even { ODD_EVEN } else { 0 }
                | if same { SAME_ZEROES } else { 0 },
        );
        let parity = if odd_even { layout.parity << 7 } else { 0 };
        writer.byte(layout.skip | parity);
        if same {
            writer.byte(shapes.known().first().map_or(0, |shape| shape.zeroes));
        }
        for shape in shapes.known() {
            if !same {
                writer.byte(shape.zeroes);
            }
            writer.byte(shape.others);
        }
        let index_bits = index_bits(shapes.len.into());
        let (tag_shift, tag_bits) = if odd_even { (1, 3) } else { (0, 4) };
        let shape_of = |cell: &Cell, number: usize| {
            if number == 0 {
                shapes.find_first(cell).map_or(0, |(index, _)| index)
            } else if cell.last {
                shapes.find_last(cell).unwrap_or(0)
            } else {
                shapes.find(cell).unwrap_or(0)
            }
        };
        for (cell, number) in self.cells().zip(0usize..) {
            let index = shape_of(&cell, number) as u8;
            writer.bits(
                index | cell.tag >> tag_shift << index_bits,
                index_bits.wrapping_add(tag_bits),
            );
        }
        writer.finish()
    }

    /// The cells of the block; the first and the last may be parts of larger ones.
    fn cells(&self) -> impl Iterator<Item = Cell> {
        let mut runs = self.runs();
        core::iter::from_fn(move || {
            let run = runs.next()?;
            let (zeroes, others) = match run.tag {
                // Zeroes at the block's end begin a cell that does not go on.
                0 => (run.len, runs.next().unwrap_or(Run { at: 0, len: 0, tag: 0 })),
                _ => (0, run),
            };
            Some(Cell { zeroes, others: others.len, tag: others.tag, last: runs.at >= GRANULES })
        })
    }

    /// Takes on the tags of an encoded block; returns the bytes used. [`Error::Invalid`] for
    /// what no encoder writes or what ends too early.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut reader = Reader::new(bytes);
        let first = reader.byte();
        *self = Self::new();
        if first & CELLS != 0 {
            self.decode_cells(first, &mut reader)?;
        } else {
            match (first & 0xf0, first & 0x0f) {
                (0, tag) => self.words = [u64::from(tag).wrapping_mul(ALL_GRANULES); BLOCK_WORDS],
                (RAW, 0) => {
                    for word in &mut self.words {
                        *word = u64::from_le_bytes(core::array::from_fn(|_| reader.byte()));
                    }
                }
                (LIST, flags @ 0..4) => self.decode_list(flags, &mut reader)?,
                (BITMAP, flags @ 0..8) => self.decode_bitmap(flags, &mut reader)?,
                _ => return Err(Error::Invalid),
            }
        }
        if reader.overrun() { Err(Error::Invalid) } else { Ok(reader.used()) }
    }

    fn decode_list(&mut self, flags: u8, reader: &mut Reader<'_>) -> Result<()> {
        for _ in 0..reader.byte() {
            let granule = reader.byte();
            if let Some(quarter) = self.starts.get_mut(usize::from(granule >> 6)) {
                *quarter |= 1 << (granule & 63);
            }
        }
        self.decode_tags(flags, reader)
    }

    fn decode_bitmap(&mut self, flags: u8, reader: &mut Reader<'_>) -> Result<()> {
        for quarter in &mut self.starts {
            *quarter = u64::from_le_bytes(core::array::from_fn(|_| reader.byte()));
        }
        self.decode_tags(flags, reader)
    }

    /// Reads the tags of the runs that `starts` tells, and fills the block with them.
    fn decode_tags(&mut self, flags: u8, reader: &mut Reader<'_>) -> Result<()> {
        let alternate = flags & LIST_ALTERNATES != 0;
        let odd_even = flags & BITMAP_ODD_EVEN != 0;
        let zero_first = flags & LIST_ZERO_FIRST != 0;
        if self.starts.first().is_some_and(|quarter| quarter & 1 != 0)
            || !alternate && (odd_even || zero_first)
        {
            return Err(Error::Invalid);
        }
        let mut parity = if odd_even { reader.bits(1) } else { 0 };
        let mut zero = zero_first;
        let mut words = [0; BLOCK_WORDS];
        for run in self.runs() {
            if alternate {
                zero = !zero;
                if !zero {
                    continue;
                }
            }
            let tag = if odd_even { reader.bits(3) << 1 | parity } else { reader.bits(4) };
            parity ^= 1;
            fill(&mut words, run.at, run.len, tag);
        }
        self.words = words;
        Ok(())
    }

    fn decode_cells(&mut self, first: u8, reader: &mut Reader<'_>) -> Result<()> {
        if first & 0x10 != 0 {
            return Err(Error::Invalid);
        }
        let odd_even = first & ODD_EVEN != 0;
        let skip = reader.byte();
        let mut parity = skip >> 7;
        if parity != 0 && !odd_even {
            return Err(Error::Invalid);
        }
        let mut shapes = [Shape::default(); SHAPES];
        let len = usize::from(first & 0x0f).wrapping_add(1);
        let same = if first & SAME_ZEROES != 0 { Some(reader.byte()) } else { None };
        for shape in shapes.iter_mut().take(len) {
            shape.zeroes = same.unwrap_or_else(|| reader.byte());
            shape.others = reader.byte();
        }
        let index_bits = index_bits(len);
        let (tag_shift, tag_bits, flip) = if odd_even { (1, 3, 1) } else { (0, 4, 0) };
        let mut skip = u16::from(skip) & SKIP_MAX;
        let mut at = 0u16;
        // A cell is a granule long at least, so this ends; and where the bytes end, too.
        while at < GRANULES && !reader.overrun() {
            let index = usize::from(reader.bits(index_bits));
            let shape = shapes.get(index).filter(|_| index < len).ok_or(Error::Invalid)?;
            let tag = reader.bits(tag_bits) << tag_shift | parity;
            parity ^= flip;
            let zeroes = u16::from(shape.zeroes);
            let others = u16::from(shape.others).wrapping_add(1);
            let after_zeroes = skip.saturating_sub(zeroes);
            at = at.wrapping_add(zeroes.saturating_sub(skip));
            // The first cell, too, has a granule in the block.
            let others = others.saturating_sub(after_zeroes);
            if others == 0 {
                return Err(Error::Invalid);
            }
            skip = 0;
            if at < GRANULES {
                fill(&mut self.words, at, others.min(GRANULES.wrapping_sub(at)), tag);
            }
            at = at.wrapping_add(others);
        }
        Ok(())
    }
}

/// Granules of one tag.
pub(super) struct Run {
    pub(super) at: u16,
    pub(super) len: u16,
    pub(super) tag: u8,
}

/// Goes through a block's runs.
pub(super) struct Runs<'a> {
    block: &'a Block,
    /// Starts of runs still to come, in this quarter of the block.
    rest: u64,
    quarter: u16,
    at: u16,
}

impl Iterator for Runs<'_> {
    type Item = Run;

    #[inline]
    fn next(&mut self) -> Option<Run> {
        if self.at >= GRANULES {
            return None;
        }
        while self.rest == 0 && self.quarter < 4 {
            self.quarter = self.quarter.wrapping_add(1);
            self.rest = self.block.starts.get(usize::from(self.quarter)).copied().unwrap_or(0);
        }
        // Behind the last quarter: 4 * 64 + 64 is past the block, and cut off.
        let bit = self.rest.trailing_zeros() as u16;
        let end = self.quarter.wrapping_mul(64).wrapping_add(bit).min(GRANULES);
        self.rest &= self.rest.wrapping_sub(1);
        let at = self.at;
        self.at = end;
        Some(Run { at, len: end.wrapping_sub(at), tag: self.block.tag(at as u8) })
    }
}

/// A run of zeroes and a run of another tag, as they lie in the block.
struct Cell {
    zeroes: u16,
    others: u16,
    tag: u8,
    /// It ends where the block does, so it may be part of a longer one.
    last: bool,
}

/// A cell's lengths, the second less one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Shape {
    zeroes: u8,
    others: u8,
}

/// The shapes of a block's cells.
struct Shapes {
    shapes: [Shape; SHAPES],
    len: u8,
}

impl Shapes {
    fn known(&self) -> &[Shape] {
        self.shapes.get(..self.len.into()).unwrap_or_default()
    }

    /// The shape of a cell. One without a run is cut off by the block's end: any length does.
    fn shape(cell: &Cell) -> Option<Shape> {
        let others = cell.others.saturating_sub(1) as u8;
        Some(Shape { zeroes: u8::try_from(cell.zeroes).ok()?, others })
    }

    /// `None` where there are too many.
    fn add(&mut self, cell: &Cell) -> Option<()> {
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
    fn find_last(&self, cell: &Cell) -> Option<usize> {
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
    fn find_first(&self, cell: &Cell) -> Option<(usize, u8)> {
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

    fn bytes(&self) -> usize {
        let len = usize::from(self.len);
        if self.same_zeroes() { len.wrapping_add(1) } else { len.wrapping_mul(2) }
    }
}

/// The formats of a block.
#[derive(Clone, Copy)]
enum Format {
    One,
    List,
    Bitmap,
    Cells,
    Raw,
}

/// What must be known of a block to choose a format, found in one pass, and the choice.
pub(super) struct Layout {
    format: Format,
    /// Bytes of the block's encoding.
    len: u16,
    /// Every other run is of tag 0.
    alternate: bool,
    /// The first run is.
    zero_first: bool,
    /// The tags of the other runs are alternately odd and even.
    odd_even: bool,
    /// The lowest bit of the first of them.
    parity: u8,
    shapes: Shapes,
    /// Granules of the first cell before the block.
    skip: u8,
}

impl Layout {
    /// The layout of a block of one run.
    pub(super) const fn one_run() -> Self {
        Self {
            format: Format::One,
            len: 1,
            alternate: true,
            zero_first: false,
            odd_even: true,
            parity: 0,
            shapes: Shapes { shapes: [Shape { zeroes: 0, others: 0 }; SHAPES], len: 0 },
            skip: 0,
        }
    }

    /// Goes through a block and chooses the shortest format.
    pub(super) fn choose(&mut self, block: &Block) {
        *self = Self::one_run();
        let boundaries = block.boundaries() as usize;
        if boundaries > 0 {
            let cells = self.look_for_cells(block);
            self.choose_shortest(boundaries, cells);
        }
    }

    /// Bytes of the encoding, [`ENCODED_MAX`] at most.
    pub(super) fn len(&self) -> usize {
        self.len.into()
    }

    /// The number of cells, or `None` where they have too many shapes.
    fn look_for_cells(&mut self, block: &Block) -> Option<usize> {
        let layout = self;
        let mut count = 0usize;
        let mut fits = true;
        let mut parity = 0;
        let mut ends = (None, None);
        for cell in block.cells() {
            if count == 0 {
                parity = cell.tag & 1;
                layout.parity = parity;
            }
            // A cell without zeroes touches the run before it.
            layout.alternate &= cell.zeroes > 0 || count == 0;
            layout.odd_even &= cell.tag & 1 == parity || cell.tag == 0;
            parity ^= 1;
            count = count.wrapping_add(1);
            if count == 1 {
                ends.0 = Some(cell);
            } else if cell.last {
                ends.1 = Some(cell);
            } else if fits {
                fits = layout.shapes.add(&cell).is_some();
            }
        }
        layout.zero_first = layout.alternate && block.tag(0) == 0;
        // The ends of the block cut cells: they come last, to find what they are part of.
        if let (Some(first), true) = (&ends.0, fits) {
            match layout.shapes.find_first(first) {
                Some((_, skip)) => layout.skip = skip,
                None => fits = layout.shapes.add(first).is_some(),
            }
        }
        if let (Some(last), true) = (&ends.1, fits) {
            if layout.shapes.find_last(last).is_none() {
                fits = layout.shapes.add(last).is_some();
            }
        }
        // Shapes that were added last come last: the first cell still finds what it found.
        fits.then_some(count)
    }

    fn choose_shortest(&mut self, boundaries: usize, cells: Option<usize>) {
        let list = self.nibble_bytes(boundaries).saturating_add(2).saturating_add(boundaries);
        let bitmap = self.tag_bytes(boundaries).saturating_add(1 + size_of::<[u64; 4]>());
        let cells = cells.map_or(usize::MAX, |count| self.cells_bytes(count));
        let (mut format, mut len) = (Format::Raw, ENCODED_MAX);
        for (other, bytes) in
            [(Format::Bitmap, bitmap), (Format::List, list), (Format::Cells, cells)]
        {
            if bytes < len || bytes == len && !matches!(format, Format::Raw) {
                (format, len) = (other, bytes);
            }
        }
        // Not more than ENCODED_MAX.
        (self.format, self.len) = (format, len as u16);
    }

    fn flags(&self) -> u8 {
        (if self.alternate { LIST_ALTERNATES } else { 0 })
            | if self.zero_first { LIST_ZERO_FIRST } else { 0 }
    }

    /// Runs that need a tag in a list or a bitmap.
    fn tagged(&self, boundaries: usize) -> usize {
        let runs = boundaries.saturating_add(1);
        match (self.alternate, self.zero_first) {
            (false, _) => runs,
            (true, true) => runs >> 1,
            (true, false) => runs.saturating_add(1) >> 1,
        }
    }

    /// Bytes of the tags of a list.
    fn nibble_bytes(&self, boundaries: usize) -> usize {
        self.tagged(boundaries).saturating_add(1) >> 1
    }

    /// Bytes of the tags of a bitmap.
    fn tag_bytes(&self, boundaries: usize) -> usize {
        if self.alternate && self.odd_even {
            self.tagged(boundaries).saturating_mul(3).saturating_add(1).div_ceil(8)
        } else {
            self.nibble_bytes(boundaries)
        }
    }

    /// Bytes of `count` cells.
    fn cells_bytes(&self, count: usize) -> usize {
        let tag_bits = if self.odd_even { 3 } else { 4 };
        let bits = index_bits(self.shapes.len.into()).wrapping_add(tag_bits) as usize;
        let shapes = self.shapes.bytes();
        count.saturating_mul(bits).div_ceil(8).saturating_add(shapes).saturating_add(2)
    }
}

/// Bits of the number of one of `len` shapes.
fn index_bits(len: usize) -> u32 {
    usize::BITS.wrapping_sub(len.saturating_sub(1).leading_zeros())
}

/// Sets `len` granules from `at` on, all in the block and zero until now, to `tag`.
#[inline]
fn fill(words: &mut [u64; BLOCK_WORDS], at: u16, len: u16, tag: u8) {
    let at = usize::from(at);
    let pattern = u64::from(tag).wrapping_mul(ALL_GRANULES);
    let end = at.wrapping_add(len.into());
    let (first, last) = (at >> 4, end.wrapping_sub(1) >> 4);
    let head = pattern << (at & 15).wrapping_mul(4);
    // Granules of the last word that lie behind the end are shifted out.
    let tail = u64::MAX >> (end.wrapping_neg() & 15).wrapping_mul(4);
    if first == last {
        if let Some(word) = words.get_mut(first) {
            *word |= head & tail;
        }
        return;
    }
    if let Some(word) = words.get_mut(first) {
        *word |= head;
    }
    if let Some(middle) = words.get_mut(first.wrapping_add(1)..last) {
        middle.fill(pattern);
    }
    if let Some(word) = words.get_mut(last) {
        *word |= pattern & tail;
    }
}

/// A bit for each nibble that is not zero.
fn nibbles_to_bits(word: u64) -> u64 {
    let halves = word | word >> 2;
    let mut bits = (halves | halves >> 1) & ALL_GRANULES;
    // Every fourth bit, packed: by halves.
    bits = (bits | bits >> 3) & 0x0303_0303_0303_0303;
    bits = (bits | bits >> 6) & 0x000f_000f_000f_000f;
    bits = (bits | bits >> 12) & 0x0000_00ff_0000_00ff;
    (bits | bits >> 24) & 0xffff
}
