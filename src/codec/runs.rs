//! List and bitmap: every run of a block by itself.

use super::{
    bits::{Reader, Writer},
    block::{BITMAP, Block, LIST, QUARTERS},
    canvas::{Blocks, Canvas},
    layout::Layout,
    packed::{self, Unpacker},
};
use crate::{
    error::{Error, Result},
    tags::{TagSink, TagSource},
};

/// Bytes of a bitmap.
pub(super) const BITMAP_BYTES: usize = size_of::<[u64; QUARTERS]>();
/// Every other run is of tag 0.
const ALTERNATES: u8 = 1;
/// The first run is.
const ZERO_FIRST: u8 = 2;
/// Of a bitmap: the other tags are alternately odd and even.
const ODD_EVEN: u8 = 4;

fn flags(block: &Block) -> u8 {
    match (block.alternates(), block.zero_first()) {
        (false, _) => 0,
        (true, false) => ALTERNATES,
        (true, true) => ALTERNATES | ZERO_FIRST,
    }
}

#[inline(never)]
pub(super) fn encode_list(block: &Block, out: &mut [u8]) -> usize {
    let mut writer = Writer::behind(out, 0);
    writer.byte(LIST | flags(block));
    // Fewer than 127, or a list would not be the shortest.
    writer.byte(block.boundaries() as u8);
    block.starts.iter(false).for_each(|at| writer.byte(at as u8));
    packed::write(&block.tags, block.tags.len(), false, &mut writer);
    writer.finish()
}

#[inline(never)]
pub(super) fn encode_bitmap(block: &Block, layout: &Layout, out: &mut [u8]) -> usize {
    let mut writer = Writer::behind(out, 0);
    writer.byte(BITMAP | flags(block) | if layout.odd_even { ODD_EVEN } else { 0 });
    block.starts.0.iter().for_each(|word| writer.bytes(*word, size_of::<u64>()));
    if layout.odd_even {
        writer.bits(layout.parity.into(), 1);
    }
    packed::write(&block.tags, block.tags.len(), layout.odd_even, &mut writer);
    writer.finish()
}

#[inline(never)]
pub(super) fn decode_list(
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    bytes: &[u8],
    flags: u8,
) -> Result<usize> {
    let (&[_, len], rest) = bytes.split_first_chunk().ok_or(Error::Invalid)?;
    let list = rest.get(..len.into()).ok_or(Error::Invalid)?;
    let mut starts = [0; QUARTERS];
    let mut before = 0;
    for &at in list {
        if at <= before {
            return Err(Error::Invalid);
        }
        if let Some(word) = starts.get_mut(usize::from(at >> 6)) {
            *word |= 1 << (at & 63);
        }
        before = at;
    }
    decode_tags(blocks, &starts, Reader::behind(bytes, list.len().wrapping_add(2)), flags)
}

#[inline(never)]
pub(super) fn decode_bitmap(
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    bytes: &[u8],
    flags: u8,
) -> Result<usize> {
    let bitmap = bytes.get(1..).and_then(<[u8]>::first_chunk::<BITMAP_BYTES>);
    let bitmap = bitmap.ok_or(Error::Invalid)?;
    let starts = [0, 1, 2, 3].map(|index| bitmap.word(index));
    let [first, ..] = starts;
    if first & 1 != 0 {
        return Err(Error::Invalid);
    }
    decode_tags(blocks, &starts, Reader::behind(bytes, BITMAP_BYTES + 1), flags)
}

/// Decodes runs that begin at `starts`.
#[inline(never)]
fn decode_tags(
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    starts: &[u64; QUARTERS],
    mut reader: Reader<'_>,
    flags: u8,
) -> Result<usize> {
    if flags & ALTERNATES == 0 {
        if flags != 0 {
            return Err(Error::Invalid);
        }
        let mut tags = Unpacker::new(reader, None);
        let mut before = 0;
        paint(blocks, starts, true, || {
            let tag = tags.next();
            let delta = tag ^ before;
            before = tag;
            delta
        });
        tags.finish()
    } else {
        let parity = if flags & ODD_EVEN != 0 { Some(reader.bits(1) & 1) } else { None };
        let mut tags = Unpacker::new(reader, parity);
        // A run's tag is its difference to the zeroes before it, and to those behind.
        let mut tag = 0;
        let mut ends = true;
        paint(blocks, starts, flags & ZERO_FIRST == 0, || {
            ends = !ends;
            if !ends {
                tag = tags.next();
            }
            tag
        });
        tags.finish()
    }
}

/// Changes the tag at each of `starts` by what `next` says; and at the `first` granule, too.
#[inline(always)]
fn paint(
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    starts: &[u64; QUARTERS],
    first: bool,
    mut next: impl FnMut() -> u64,
) {
    let mut canvas = Canvas::new(blocks);
    let mut first = u64::from(first);
    for bits in starts {
        let mut rest = bits | first;
        first = 0;
        while rest != 0 {
            canvas.change_here(rest.trailing_zeros() as usize, next());
            rest &= rest.wrapping_sub(1);
        }
        canvas.end_quarter();
    }
}
