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
//! | `1ouu dddd` | cells | see below |
//!
//! **Tags**, of list and bitmap: a nibble for each run. With `a` set, every other run is of
//! tag 0 and has no nibble; with `z`, the first run is. With `o` (bitmap with `a` only),
//! tags are alternately odd and even and take three bits; the lowest bit of the first
//! tag stands before them.
//!
//! **Cells**: what allocators lay out, a run of zeroes (possibly empty) and a run of one
//! other tag. `dddd` is one less than the number of shapes, `uu` bit 5 says that all shapes
//! have as many zeroes, bit 4 is 0. A byte follows: how many granules of the first cell lie
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
const GRANULES: usize = 256;
/// Bytes of a raw block, without its first byte.
const RAW_BYTES: usize = GRANULES / 2;
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
const SKIP_MAX: usize = 127;

/// The tags of 256 granules, and where its runs begin.
pub(super) struct Block {
    words: [u64; BLOCK_WORDS],
    /// A bit for each granule whose tag differs from the one before it.
    starts: [u64; 4],
}

impl Block {
    /// Reads block `number` of a page.
    pub(super) fn read(source: &(impl TagSource + ?Sized), number: usize) -> Self {
        let base = number.wrapping_mul(BLOCK_WORDS);
        Self::new(core::array::from_fn(|i| source.word(base.wrapping_add(i))))
    }

    fn new(words: [u64; BLOCK_WORDS]) -> Self {
        let mut starts = [0; 4];
        // The first granule begins no boundary: it is compared with itself.
        let mut before = words.first().map_or(0, |word| word & 15);
        for (word, index) in words.iter().zip(0u32..) {
            let differs = word ^ (word << 4 | before);
            before = word >> 60;
            let bits = nibbles_to_bits(differs);
            if let Some(quarter) = starts.get_mut((index >> 2) as usize) {
                *quarter |= bits << (index & 3).wrapping_mul(16);
            }
        }
        Self { words, starts }
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

    /// The granules from which on the tag is another one, in order.
    pub(super) fn starts(&self) -> impl Iterator<Item = u8> {
        self.starts.iter().zip([0u8, 64, 128, 192]).flat_map(|(quarter, base)| {
            let mut rest = *quarter;
            core::iter::from_fn(move || {
                let bit = rest.trailing_zeros() as u8;
                let found = (rest != 0).then_some(base | bit);
                rest &= rest.wrapping_sub(1);
                found
            })
        })
    }

    /// The runs in order: granule, length, tag.
    fn runs(&self) -> impl Iterator<Item = (u8, usize, u8)> {
        let mut next = self.starts();
        let mut begin = Some(0u8);
        core::iter::from_fn(move || {
            let granule = begin?;
            begin = next.next();
            let end = begin.map_or(GRANULES, usize::from);
            Some((granule, end.wrapping_sub(granule.into()), self.tag(granule)))
        })
    }

    /// Encodes to `out`; returns the length.
    pub(super) fn encode(&self, out: &mut [u8; ENCODED_MAX]) -> usize {
        let boundaries = self.boundaries() as usize;
        if boundaries == 0 {
            let mut writer = Writer::new(out);
            writer.byte(self.tag(0));
            return writer.finish();
        }
        let tags = Tags::of(self);
        let list = tags.nibble_bytes(boundaries).saturating_add(2).saturating_add(boundaries);
        let bitmap = tags.bytes(boundaries).saturating_add(1 + GRANULES / 8);
        let cells = Cells::of(self);
        let cells_len = cells.as_ref().map_or(usize::MAX, Cells::len);
        match cells {
            Some(cells) if cells_len <= list.min(bitmap).min(ENCODED_MAX) => {
                self.encode_cells(&cells, out)
            }
            _ if list <= bitmap && list < ENCODED_MAX => self.encode_list(&tags, boundaries, out),
            _ if bitmap < ENCODED_MAX => self.encode_bitmap(&tags, out),
            _ => self.encode_raw(out),
        }
    }

    fn encode_raw(&self, out: &mut [u8; ENCODED_MAX]) -> usize {
        let mut writer = Writer::new(out);
        writer.byte(RAW);
        self.words.iter().flat_map(|word| word.to_le_bytes()).for_each(|byte| writer.byte(byte));
        writer.finish()
    }

    fn encode_list(&self, tags: &Tags, boundaries: usize, out: &mut [u8; ENCODED_MAX]) -> usize {
        let mut writer = Writer::new(out);
        writer.byte(LIST | tags.flags());
        // Fewer than 127, or a list would not be the shortest.
        writer.byte(boundaries as u8);
        self.starts().for_each(|granule| writer.byte(granule));
        self.runs()
            .filter(|(_, _, tag)| !tags.alternate || *tag != 0)
            .for_each(|(_, _, tag)| writer.bits(tag, 4));
        writer.finish()
    }

    fn encode_bitmap(&self, tags: &Tags, out: &mut [u8; ENCODED_MAX]) -> usize {
        let mut writer = Writer::new(out);
        let odd_even = tags.alternate && tags.odd_even;
        writer.byte(BITMAP | tags.flags() | if odd_even { BITMAP_ODD_EVEN } else { 0 });
        self.starts
            .iter()
            .flat_map(|quarter| quarter.to_le_bytes())
            .for_each(|byte| writer.byte(byte));
        let mut first = odd_even;
        for (_, _, tag) in self.runs() {
            if tags.alternate && tag == 0 {
                continue;
            }
            if first {
                writer.bits(tag & 1, 1);
                first = false;
            }
            if odd_even { writer.bits(tag >> 1, 3) } else { writer.bits(tag, 4) }
        }
        writer.finish()
    }

    fn encode_cells(&self, cells: &Cells, out: &mut [u8; ENCODED_MAX]) -> usize {
        let mut writer = Writer::new(out);
        let odd_even = cells.odd_even;
        let shapes = cells.shapes.get(..cells.len).unwrap_or_default();
        let last = shapes.len().wrapping_sub(1) as u8;
        let same = cells.same_zeroes();
        writer.byte(
            CELLS | last | if odd_even { ODD_EVEN } else { 0 } | if same { SAME_ZEROES } else { 0 },
        );
        writer.byte(cells.skip | cells.parity << 7);
        if same {
            writer.byte(shapes.first().map_or(0, |shape| shape.zeroes));
        }
        for shape in shapes {
            if !same {
                writer.byte(shape.zeroes);
            }
            writer.byte(shape.others);
        }
        let index_bits = cells.index_bits();
        let tag_bits = if odd_even { 3 } else { 4 };
        for (number, cell) in self.cells().enumerate() {
            let index = cells.find(&cell, number == 0).unwrap_or(0);
            writer.bits(index as u8, index_bits);
            writer.bits(if odd_even { cell.tag >> 1 } else { cell.tag }, tag_bits);
        }
        writer.finish()
    }

    /// The cells of the block; the first and the last may be parts of larger ones.
    fn cells(&self) -> impl Iterator<Item = Cell> {
        let mut runs = self.runs();
        let mut at = 0usize;
        core::iter::from_fn(move || {
            let (_, len, tag) = runs.next()?;
            let (zeroes, others, tag) = if tag == 0 {
                match runs.next() {
                    Some((_, others, tag)) => (len, others, tag),
                    None => (len, 0, 0),
                }
            } else {
                (0, len, tag)
            };
            at = at.saturating_add(zeroes).saturating_add(others);
            Some(Cell { zeroes, others, tag, last: at >= GRANULES })
        })
    }

    /// Decodes a block; returns it and the bytes used. [`Error::Invalid`] for what no
    /// encoder writes or what ends too early.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, usize)> {
        let mut reader = Reader::new(bytes);
        let first = reader.byte();
        let mut block = Self { words: [0; BLOCK_WORDS], starts: [0; 4] };
        if first & CELLS != 0 {
            block.decode_cells(first, &mut reader)?;
        } else {
            match (first & 0xf0, first & 0x0f) {
                (0, tag) => block.words = [u64::from(tag).wrapping_mul(ALL_GRANULES); BLOCK_WORDS],
                (RAW, 0) => {
                    for word in &mut block.words {
                        *word = u64::from_le_bytes(core::array::from_fn(|_| reader.byte()));
                    }
                }
                (LIST, flags @ 0..4) => block.decode_list(flags, &mut reader)?,
                (BITMAP, flags @ 0..8) => block.decode_bitmap(flags, &mut reader)?,
                _ => return Err(Error::Invalid),
            }
        }
        if reader.overrun() { Err(Error::Invalid) } else { Ok((block, reader.used())) }
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
        for (granule, len, _) in self.runs() {
            if alternate {
                zero = !zero;
                if !zero {
                    continue;
                }
            }
            let tag = if odd_even { reader.bits(3) << 1 | parity } else { reader.bits(4) };
            parity ^= 1;
            fill(&mut words, granule.into(), len, tag);
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
        let mut skip = usize::from(skip) & SKIP_MAX;
        let mut at = 0usize;
        // A cell is a granule long at least, so this ends; and where the bytes end, too.
        while at < GRANULES && !reader.overrun() {
            let index = usize::from(reader.bits(index_bits));
            let shape = shapes.get(index).filter(|_| index < len).ok_or(Error::Invalid)?;
            let tag = if odd_even { reader.bits(3) << 1 | parity } else { reader.bits(4) };
            parity ^= 1;
            let zeroes = usize::from(shape.zeroes);
            let others = usize::from(shape.others).wrapping_add(1);
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

/// What must be known of a block's tags to choose a format.
struct Tags {
    /// Every other run is of tag 0.
    alternate: bool,
    /// The first run is.
    zero_first: bool,
    /// The tags of the other runs are alternately odd and even.
    odd_even: bool,
}

impl Tags {
    fn of(block: &Block) -> Self {
        let zero_first = block.tag(0) == 0;
        let (mut alternate, mut odd_even) = (true, true);
        let mut zero = !zero_first;
        let mut parity = None;
        for (_, _, tag) in block.runs() {
            zero = !zero;
            alternate &= (tag == 0) == zero;
            if tag != 0 {
                odd_even &= parity.is_none_or(|before| before != tag & 1);
                parity = Some(tag & 1);
            }
        }
        Self { alternate, zero_first: zero_first && alternate, odd_even }
    }

    fn flags(&self) -> u8 {
        (if self.alternate { LIST_ALTERNATES } else { 0 })
            | if self.zero_first { LIST_ZERO_FIRST } else { 0 }
    }

    /// Runs that need a tag.
    fn tagged(&self, boundaries: usize) -> usize {
        let runs = boundaries.saturating_add(1);
        match (self.alternate, self.zero_first) {
            (false, _) => runs,
            (true, true) => runs >> 1,
            (true, false) => runs.saturating_add(1) >> 1,
        }
    }

    fn nibble_bytes(&self, boundaries: usize) -> usize {
        self.tagged(boundaries).saturating_add(1) >> 1
    }

    fn bytes(&self, boundaries: usize) -> usize {
        if self.alternate && self.odd_even {
            self.tagged(boundaries).saturating_mul(3).saturating_add(1).div_ceil(8)
        } else {
            self.nibble_bytes(boundaries)
        }
    }
}

/// A run of zeroes and a run of another tag, as they lie in the block.
struct Cell {
    zeroes: usize,
    others: usize,
    tag: u8,
    /// It ends where the block does, so it may be longer than it seems.
    last: bool,
}

/// A cell's lengths, the second less one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Shape {
    zeroes: u8,
    others: u8,
}

/// The shapes of a block's cells.
struct Cells {
    shapes: [Shape; SHAPES],
    len: usize,
    /// Granules of the first cell before the block.
    skip: u8,
    count: usize,
    odd_even: bool,
    /// The lowest bit of the first tag, where `odd_even`.
    parity: u8,
}

impl Cells {
    /// `None` where there are too many shapes.
    fn of(block: &Block) -> Option<Self> {
        let mut cells = Self {
            shapes: [Shape::default(); SHAPES],
            len: 0,
            skip: 0,
            count: 0,
            odd_even: true,
            parity: 0,
        };
        let mut next_parity = None;
        let mut first = None;
        let mut last = None;
        for cell in block.cells() {
            if cell.tag != 0 {
                let parity = cell.tag & 1;
                match next_parity {
                    None => cells.parity = parity,
                    Some(next) => cells.odd_even &= next == parity,
                }
                next_parity = Some(parity ^ 1);
            }
            cells.count = cells.count.wrapping_add(1);
            if cells.count == 1 {
                first = Some(cell);
            } else if cell.last {
                last = Some(cell);
            } else {
                cells.add(&cell)?;
            }
        }
        // The ends of the block cut cells: they come last, to find what they are part of.
        let first = first?;
        match cells.find(&first, true) {
            Some(_) => cells.skip = cells.skip_of(&first)?,
            None => cells.add(&first)?,
        }
        if let Some(last) = last {
            if cells.find(&last, false).is_none() {
                cells.add(&last)?;
            }
        }
        cells.parity &= u8::from(cells.odd_even);
        Some(cells)
    }

    fn known(&self) -> &[Shape] {
        self.shapes.get(..self.len).unwrap_or_default()
    }

    fn add(&mut self, cell: &Cell) -> Option<()> {
        // A cell without a run of its own is cut off by the block's end: any length does.
        let shape = Shape {
            zeroes: u8::try_from(cell.zeroes).ok()?,
            others: cell.others.saturating_sub(1) as u8,
        };
        if !self.known().contains(&shape) {
            *self.shapes.get_mut(self.len)? = shape;
            self.len = self.len.wrapping_add(1);
        }
        Some(())
    }

    /// The number of the shape that the cell has, or, at the block's ends, is part of.
    fn find(&self, cell: &Cell, first: bool) -> Option<usize> {
        self.known().iter().position(|shape| {
            let (zeroes, others) =
                (usize::from(shape.zeroes), usize::from(shape.others).wrapping_add(1));
            if first {
                return Self::part_of(cell, zeroes, others).is_some();
            }
            if !cell.last {
                return zeroes == cell.zeroes && others == cell.others;
            }
            if cell.others == 0 {
                zeroes >= cell.zeroes
            } else {
                zeroes == cell.zeroes && others >= cell.others
            }
        })
    }

    /// How many granules of a shape lie before the block where `cell` is what is left.
    fn part_of(cell: &Cell, zeroes: usize, others: usize) -> Option<usize> {
        let whole = zeroes.wrapping_add(others);
        if cell.last {
            // Cut at both ends.
            return (cell.zeroes == zeroes && cell.others == others).then_some(0);
        }
        let skip = whole.checked_sub(cell.zeroes.wrapping_add(cell.others))?;
        let fits = others == cell.others || cell.zeroes == 0 && others > cell.others;
        (fits && skip <= SKIP_MAX).then_some(skip)
    }

    fn skip_of(&self, cell: &Cell) -> Option<u8> {
        let shape = self.known().get(self.find(cell, true)?)?;
        let others = usize::from(shape.others).wrapping_add(1);
        Self::part_of(cell, shape.zeroes.into(), others).map(|skip| skip as u8)
    }

    fn same_zeroes(&self) -> bool {
        self.known()
            .iter()
            .all(|shape| self.known().first().is_some_and(|f| f.zeroes == shape.zeroes))
    }

    fn index_bits(&self) -> u32 {
        index_bits(self.len)
    }

    /// Bytes of the encoding.
    fn len(&self) -> usize {
        let shapes =
            if self.same_zeroes() { self.len.wrapping_add(1) } else { self.len.wrapping_mul(2) };
        let bits = self.index_bits().wrapping_add(if self.odd_even { 3 } else { 4 }) as usize;
        self.count.saturating_mul(bits).div_ceil(8).saturating_add(shapes).saturating_add(2)
    }
}

/// Bits of the number of one of `len` shapes.
fn index_bits(len: usize) -> u32 {
    usize::BITS.wrapping_sub(len.saturating_sub(1).leading_zeros())
}

/// Sets `len` granules from `at` on, all in the block and zero until now, to `tag`.
#[inline]
fn fill(words: &mut [u64; BLOCK_WORDS], at: usize, len: usize, tag: u8) {
    let pattern = u64::from(tag).wrapping_mul(ALL_GRANULES);
    let end = at.wrapping_add(len);
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
