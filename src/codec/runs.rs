//! List and bitmap: every run of a block by itself.

use super::{
    bits::{Reader, Writer},
    block::{BITMAP, Block, LIST, Words, change, spread},
    layout::Layout,
};
use crate::error::{Error, Result};

/// Every other run is of tag 0.
const ALTERNATES: u8 = 1;
/// The first run is.
const ZERO_FIRST: u8 = 2;
/// Of a bitmap: the other tags are alternately odd and even.
const ODD_EVEN: u8 = 4;

fn flags(layout: &Layout) -> u8 {
    (if layout.alternate { ALTERNATES } else { 0 }) | if layout.zero_first { ZERO_FIRST } else { 0 }
}

#[inline(never)]
pub(super) fn encode_list(block: &Block, layout: &Layout, out: &mut [u8]) -> usize {
    let mut writer = Writer::new(out);
    writer.byte(LIST | flags(layout));
    // Fewer than 127, or a list would not be the shortest.
    writer.byte(block.boundaries() as u8);
    block.spans().skip(1).for_each(|(at, _)| writer.byte(at as u8));
    write_tags(block, layout.alternate, 0, 4, &mut writer);
    writer.finish()
}

#[inline(never)]
pub(super) fn encode_bitmap(block: &Block, layout: &Layout, out: &mut [u8]) -> usize {
    let odd_even = layout.alternate && layout.odd_even;
    let mut writer = Writer::new(out);
    writer.byte(BITMAP | flags(layout) | if odd_even { ODD_EVEN } else { 0 });
    block.starts().for_each(|byte| writer.byte(byte));
    let (shift, bits) = if odd_even { (1, 3) } else { (0, 4) };
    if odd_even {
        writer.bits(layout.parity, 1);
    }
    write_tags(block, layout.alternate, shift, bits, &mut writer);
    writer.finish()
}

#[inline]
fn write_tags(block: &Block, alternate: bool, shift: u32, bits: u32, writer: &mut Writer<'_>) {
    for (_, tag) in block.runs() {
        if !alternate || tag != 0 {
            writer.bits(tag >> (shift & 7), bits);
        }
    }
}

/// Decodes a list or a bitmap: each run's tag as a change at the run's first granule.
#[inline(never)]
pub(super) fn decode(words: &mut Words, bytes: &[u8], flags: u8) -> Result<usize> {
    let alternate = flags & ALTERNATES != 0;
    let odd_even = flags & ODD_EVEN != 0;
    let zero_first = flags & ZERO_FIRST != 0;
    if !alternate && (odd_even || zero_first) {
        return Err(Error::Invalid);
    }
    let mut reader = Reader::new(bytes);
    let is_bitmap = reader.byte() & 0xf0 == BITMAP;
    let len = if is_bitmap { size_of::<[u64; 4]>() } else { reader.byte().into() };
    let starts = reader.bytes(len).ok_or(Error::Invalid)?;
    let parity = if odd_even { reader.bits(1) } else { 0 };
    let mut tags = Tags { reader, alternate, odd_even, parity, zero: zero_first, before: 0 };
    *words = [0; 16];
    change(words, 0, tags.next());
    if is_bitmap {
        if starts.first().is_some_and(|bits| bits & 1 != 0) {
            return Err(Error::Invalid);
        }
        for (quarter, base) in starts.chunks_exact(8).zip([0u16, 64, 128, 192]) {
            let mut rest = quarter.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            while rest != 0 {
                let at = base | rest.trailing_zeros() as u16;
                rest &= rest.wrapping_sub(1);
                change(words, at, tags.next());
            }
        }
    } else {
        starts.iter().for_each(|at| change(words, u16::from(*at), tags.next()));
    }
    spread(words);
    tags.reader.finish()
}

/// The tags of a block's runs, one after the other.
struct Tags<'a> {
    reader: Reader<'a>,
    alternate: bool,
    odd_even: bool,
    /// The lowest bit of the next tag, where it has no bit of its own.
    parity: u8,
    /// The next run is one of those of tag 0.
    zero: bool,
    before: u8,
}

impl Tags<'_> {
    /// By how much the next run's tag differs from the one before it.
    #[inline]
    fn next(&mut self) -> u8 {
        let tag = if self.zero {
            0
        } else if self.odd_even {
            let tag = self.reader.bits(3) << 1 | self.parity;
            self.parity ^= 1;
            tag
        } else {
            self.reader.bits(4)
        };
        self.zero = !self.zero && self.alternate;
        let delta = tag ^ self.before;
        self.before = tag;
        delta
    }
}
