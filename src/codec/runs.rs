//! List and bitmap: every run of a block by itself.

use super::{
    bits::{Reader, Writer},
    block::{BITMAP, Block, GRANULES, LIST},
    canvas::Canvas,
    layout::Layout,
};
use crate::{
    error::{Error, Result},
    tags::TagSink,
};

/// Bytes of a bitmap.
pub(super) const BITMAP_BYTES: usize = size_of::<[u64; 4]>();
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

#[inline(never)]
pub(super) fn decode_list(
    canvas: &mut Canvas<'_, impl TagSink + ?Sized>,
    bytes: &[u8],
    flags: u8,
) -> Result<usize> {
    let mut tags = Tags::new(bytes);
    let len = tags.reader.byte().into();
    let starts = tags.reader.bytes(len).ok_or(Error::Invalid)?;
    tags.begin(flags)?;
    canvas.change(0, tags.next());
    let mut before = 0;
    for &at in starts {
        if at <= before {
            return Err(Error::Invalid);
        }
        canvas.change(at.into(), tags.next());
        before = at;
    }
    canvas.finish();
    tags.reader.finish()
}

#[inline(never)]
pub(super) fn decode_bitmap(
    canvas: &mut Canvas<'_, impl TagSink + ?Sized>,
    bytes: &[u8],
    flags: u8,
) -> Result<usize> {
    let mut tags = Tags::new(bytes);
    let bitmap = tags.reader.bytes(BITMAP_BYTES).ok_or(Error::Invalid)?;
    if bitmap.first().is_some_and(|bits| bits & 1 != 0) {
        return Err(Error::Invalid);
    }
    tags.begin(flags)?;
    canvas.change(0, tags.next());
    let mut base = 0u16;
    while base < GRANULES {
        // Behind the first byte. Looked for anew each time, which takes less stack.
        let mut rest = u64::from_le_bytes(*tags.reader.look(usize::from(base >> 3) | 1)?);
        while rest != 0 {
            canvas.change(base | rest.trailing_zeros() as u16, tags.next());
            rest &= rest.wrapping_sub(1);
        }
        base = base.wrapping_add(64);
    }
    canvas.finish();
    tags.reader.finish()
}

/// The tags of a block's runs, one after the other.
struct Tags<'a> {
    reader: Reader<'a>,
    /// Bits that a tag has in the bytes, 3 or 4.
    bits: u32,
    /// Where there are 3: the lowest bit of the next tag.
    parity: u8,
    /// Every other run is of tag 0.
    alternate: bool,
    /// The next run is one of these.
    zero: bool,
    before: u8,
}

impl<'a> Tags<'a> {
    /// Behind the block's first byte.
    #[inline(always)]
    fn new(bytes: &'a [u8]) -> Self {
        let mut reader = Reader::new(bytes);
        reader.byte();
        Self { reader, bits: 4, parity: 0, alternate: false, zero: false, before: 0 }
    }

    /// The tags begin here. Apart from [`new`](Self::new), so that they are built where they
    /// stay.
    #[inline(always)]
    fn begin(&mut self, flags: u8) -> Result<()> {
        self.alternate = flags & ALTERNATES != 0;
        self.zero = flags & ZERO_FIRST != 0;
        let odd_even = flags & ODD_EVEN != 0;
        if !self.alternate && (odd_even || self.zero) {
            return Err(Error::Invalid);
        }
        if odd_even {
            self.bits = 3;
            self.parity = self.reader.bits(1);
        }
        Ok(())
    }

    /// By how much the next run's tag differs from the one before it.
    // Not inlined: one for all sinks and both formats, and little stack.
    #[inline(never)]
    fn next(&mut self) -> u8 {
        let mut tag = 0;
        if !self.zero {
            let three = self.bits & 1;
            tag = self.reader.bits(self.bits) << three | self.parity;
            self.parity ^= three as u8;
        }
        self.zero = !self.zero && self.alternate;
        let delta = tag ^ self.before;
        self.before = tag;
        delta
    }
}
