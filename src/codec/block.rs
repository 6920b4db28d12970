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
    tags::TagSource,
};

/// Words of a block.
pub(super) const BLOCK_WORDS: usize = 16;
/// Granules of a block.
const GRANULES: u16 = 256;
/// Bytes of a bitmap block's first byte and bitmap.
const BITMAP_BYTES: usize = 1 + size_of::<[u64; 4]>();
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

/// The tags of a block.
pub(super) type Words = [u64; BLOCK_WORDS];

/// The tags of 256 granules, and where their runs begin.
pub(super) struct Block {
    words: Words,
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

    /// The tag of a granule.
    pub(super) fn tag(&self, granule: u8) -> u8 {
        let word = self.words.get(usize::from(granule >> 4)).copied().unwrap_or(0);
        (word >> (granule & 15).wrapping_mul(4)) as u8 & 15
    }

    /// How often the tag changes.
    pub(super) fn boundaries(&self) -> u32 {
        self.starts.iter().map(|quarter| quarter.count_ones()).fold(0, u32::wrapping_add)
    }

    /// The runs in order: where they begin, and their tag.
    pub(super) fn runs(&self) -> impl Iterator<Item = (u16, u8)> {
        Spans::new(&self.starts).map(|(at, _)| (at, self.tag(at as u8)))
    }

    /// Writes the block in the format that `layout`, its own, chose; returns the length,
    /// and how much of it fits `out` is written.
    #[inline]
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

    #[inline(never)]
    fn encode_list(&self, layout: &Layout, mut writer: Writer<'_>) -> usize {
        writer.byte(LIST | layout.flags());
        // Fewer than 127, or a list would not be the shortest.
        writer.byte(self.boundaries() as u8);
        self.runs().skip(1).for_each(|(at, _)| writer.byte(at as u8));
        self.runs()
            .filter(|(_, tag)| !layout.alternate || *tag != 0)
            .for_each(|(_, tag)| writer.bits(tag, 4));
        writer.finish()
    }

    #[inline(never)]
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
        for (_, tag) in self.runs().filter(|(_, tag)| !layout.alternate || *tag != 0) {
            if odd_even { writer.bits(tag >> 1, 3) } else { writer.bits(tag, 4) }
        }
        writer.finish()
    }

    #[inline(never)]
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
    #[inline]
    fn cells(&self) -> impl Iterator<Item = Cell> {
        let mut spans = Spans::new(&self.starts);
        core::iter::from_fn(
            #[inline]
            move || {
                let (at, len) = spans.next()?;
                let tag = self.tag(at as u8);
                let mut cell = Cell { zeroes: 0, others: len, tag, last: false };
                if tag == 0 {
                    cell.zeroes = len;
                    // Zeroes at the block's end begin a cell that does not go on.
                    let (at, len) = spans.next().unwrap_or((0, 0));
                    cell.others = len;
                    cell.tag = if len > 0 { self.tag(at as u8) } else { 0 };
                }
                cell.last = spans.at >= GRANULES;
                Some(cell)
            },
        )
    }
}

/// Decodes a block to `words`; returns the bytes used. [`Error::Invalid`] for what no
/// encoder writes or what ends too early; `words` is unspecified then.
// What has a frame of its own here is not inlined: a kernel's stack is small, and what is
// inlined adds up.
pub(super) fn decode(words: &mut Words, bytes: &[u8]) -> Result<usize> {
    let first = bytes.first().copied().ok_or(Error::Invalid)?;
    match (first & 0xf0, first & 0x0f) {
        (0, tag) => {
            *words = [u64::from(tag).wrapping_mul(ALL_GRANULES); BLOCK_WORDS];
            Ok(1)
        }
        (RAW, 0) => decode_raw(words, bytes),
        (LIST, flags @ 0..4) => decode_runs(words, bytes, flags),
        (BITMAP, flags @ 0..8) => decode_runs(words, bytes, flags),
        (form, _) if form & CELLS != 0 => decode_cells(words, bytes),
        _ => Err(Error::Invalid),
    }
}

fn decode_raw(words: &mut Words, bytes: &[u8]) -> Result<usize> {
    let bytes = bytes.get(1..ENCODED_MAX).ok_or(Error::Invalid)?;
    for (word, i) in words.iter_mut().zip(0usize..) {
        *word = bytes.word(i);
    }
    Ok(ENCODED_MAX)
}

/// Decodes a list or a bitmap: fills `words` with the tags of the runs that it tells.
#[inline(never)]
fn decode_runs(words: &mut Words, bytes: &[u8], flags: u8) -> Result<usize> {
    let mut reader = Reader::new(bytes);
    let mut starts = [0u64; 4];
    if reader.byte() & 0xf0 == BITMAP {
        for quarter in &mut starts {
            *quarter = reader.word();
        }
    } else {
        for _ in 0..reader.byte() {
            let granule = reader.byte();
            if let Some(quarter) = starts.get_mut(usize::from(granule >> 6)) {
                *quarter |= 1 << (granule & 63);
            }
        }
    }
    let alternate = flags & LIST_ALTERNATES != 0;
    let odd_even = flags & BITMAP_ODD_EVEN != 0;
    let zero_first = flags & LIST_ZERO_FIRST != 0;
    if starts.first().is_some_and(|quarter| quarter & 1 != 0)
        || !alternate && (odd_even || zero_first)
    {
        return Err(Error::Invalid);
    }
    let (tag_shift, tag_bits, flip) = if odd_even { (1, 3, 1) } else { (0, 4, 0) };
    let mut parity = if odd_even { reader.bits(1) } else { 0 };
    let mut zero = zero_first;
    *words = [0; BLOCK_WORDS];
    for (at, len) in Spans::new(&starts) {
        if alternate {
            zero = !zero;
            if !zero {
                continue;
            }
        }
        let tag = reader.bits(tag_bits) << tag_shift | parity;
        parity ^= flip;
        fill(words, at, len, tag);
    }
    reader.finish()
}

#[inline(never)]
fn decode_cells(words: &mut Words, bytes: &[u8]) -> Result<usize> {
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
        if at < GRANULES {
            fill(words, at, others.min(GRANULES.wrapping_sub(at)), tag);
        }
        at = at.wrapping_add(others);
    }
    reader.finish()
}

/// The granule and the length of each run that a block's starts tell.
pub(super) struct Spans<'a> {
    starts: &'a [u64; 4],
    /// Starts still to come, in this quarter of the block.
    rest: u64,
    quarter: u16,
    at: u16,
}

impl<'a> Spans<'a> {
    fn new(starts: &'a [u64; 4]) -> Self {
        let [rest, ..] = *starts;
        Self { starts, rest, quarter: 0, at: 0 }
    }
}

impl Iterator for Spans<'_> {
    type Item = (u16, u16);

    #[inline]
    fn next(&mut self) -> Option<(u16, u16)> {
        if self.at >= GRANULES {
            return None;
        }
        while self.rest == 0 && self.quarter < 4 {
            self.quarter = self.quarter.wrapping_add(1);
            self.rest = self.starts.get(usize::from(self.quarter)).copied().unwrap_or(0);
        }
        // Behind the last quarter: 4 * 64 + 64 is past the block, and cut off.
        let bit = self.rest.trailing_zeros() as u16;
        let end = self.quarter.wrapping_mul(64).wrapping_add(bit).min(GRANULES);
        self.rest &= self.rest.wrapping_sub(1);
        let at = self.at;
        self.at = end;
        Some((at, end.wrapping_sub(at)))
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
    #[inline(never)]
    pub(super) fn choose(&mut self, block: &Block) {
        (self.format, self.len) = (Format::One, 1);
        (self.alternate, self.zero_first, self.odd_even) = (true, false, true);
        (self.parity, self.skip, self.shapes.len) = (0, 0, 0);
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
        let bitmap = self.tag_bytes(boundaries).saturating_add(BITMAP_BYTES);
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
fn fill(words: &mut Words, at: u16, len: u16, tag: u8) {
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
