//! List and bitmap: every run of a block by itself.

use super::{
    bits::{Reader, Writer},
    block::{BITMAP, Block, LIST, QUARTERS},
    canvas::{Blocks, Changes},
    layout::Layout,
    packed::{Held, Runs, Unpacker},
};
use crate::{
    error::{Error, Result},
    tags::TagSink,
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

/// Writes what stands before a list's tags; returns how many bytes it is.
#[inline(never)]
pub(super) fn write_list(block: &Block, out: &mut [u8]) -> usize {
    let mut writer = Writer::behind(out, 0);
    writer.byte(LIST | flags(block));
    // Fewer than 127, or a list would not be the shortest.
    writer.byte(block.boundaries() as u8);
    block.starts.iter().for_each(|at| writer.byte(at as u8));
    writer.finish()
}

/// Writes what stands before a bitmap's tags; returns how many bytes it is.
#[inline(never)]
pub(super) fn write_bitmap(block: &Block, layout: &Layout, out: &mut [u8]) -> usize {
    let mut writer = Writer::behind(out, 0);
    writer.byte(BITMAP | flags(block) | if layout.odd_even { ODD_EVEN } else { 0 });
    block.starts.0.iter().for_each(|word| writer.bytes(*word, size_of::<u64>()));
    writer.finish()
}

#[inline(never)]
pub(super) fn decode_list(
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    bytes: &[u8],
    flags: u8,
) -> Result<usize> {
    let (&[_, len], rest) = bytes.split_first_chunk().ok_or(Error::Invalid)?;
    let starts = rest.get(..len.into()).ok_or(Error::Invalid)?;
    let head = usize::from(len).wrapping_add(2);
    if flags == 0 && len < 16 {
        return decode_short(blocks, starts, bytes, head);
    }
    let mut runs = behind(bytes, head, flags)?;
    let mut deltas = Held::default();
    let mut changes = Changes::none();
    if flags & ZERO_FIRST == 0 {
        changes.add(0, deltas.next(|| runs.sixteen_changes()));
    }
    let mut before = 0;
    for &at in starts {
        if at <= before {
            return Err(Error::Invalid);
        }
        changes.add(at.into(), deltas.next(|| runs.sixteen_changes()));
        before = at;
    }
    blocks.put_changes(&changes);
    runs.finish(deltas.left())
}

/// A list of sixteen runs at most, each of which has its tag behind the first `head` bytes.
#[inline(always)]
fn decode_short(
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    starts: &[u8],
    bytes: &[u8],
    head: usize,
) -> Result<usize> {
    let end = starts.len().wrapping_add(2) >> 1;
    let end = end.wrapping_add(head);
    if end > bytes.len() {
        return Err(Error::Invalid);
    }
    let tags = Reader::behind(bytes, head).bits(64);
    let mut deltas = tags ^ tags << 4;
    let mut changes = Changes::none();
    changes.add(0, deltas & 15);
    let mut before = 0;
    for &at in starts {
        if at <= before {
            return Err(Error::Invalid);
        }
        deltas >>= 4;
        changes.add(at.into(), deltas & 15);
        before = at;
    }
    blocks.put_changes(&changes);
    Ok(end)
}

#[inline(never)]
pub(super) fn decode_bitmap(
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    bytes: &[u8],
    flags: u8,
) -> Result<usize> {
    let bitmap = bytes.get(1..).and_then(<[u8]>::first_chunk::<BITMAP_BYTES>);
    let bitmap = bitmap.ok_or(Error::Invalid)?;
    let [first, ..] = *bitmap;
    if first & 1 != 0 {
        return Err(Error::Invalid);
    }
    let mut runs = behind(bytes, BITMAP_BYTES + 1, flags)?;
    let mut deltas = Held::default();
    let mut changes = Changes::none();
    // The first granule begins a run like any other, if that has a tag.
    let mut first = u64::from(flags & ZERO_FIRST == 0);
    for (bits, base) in bitmap.chunks_exact(8).zip((0usize..).step_by(64)) {
        let bits = bits.first_chunk().copied().unwrap_or_default();
        let mut rest = u64::from_le_bytes(bits) | first;
        first = 0;
        while rest != 0 {
            let at = base | rest.trailing_zeros() as usize;
            changes.add(at, deltas.next(|| runs.sixteen_changes()));
            rest &= rest.wrapping_sub(1);
        }
    }
    blocks.put_changes(&changes);
    runs.finish(deltas.left())
}

/// The runs whose tags are behind the first `head` bytes.
#[inline(always)]
fn behind(bytes: &[u8], head: usize, flags: u8) -> Result<Runs<'_>> {
    let alternate = flags & ALTERNATES != 0;
    if !alternate && flags != 0 {
        return Err(Error::Invalid);
    }
    let mut reader = Reader::behind(bytes, head);
    let parity = if flags & ODD_EVEN != 0 { Some(reader.bits(1) as u8 & 1) } else { None };
    Ok(Runs::new(Unpacker::new(reader, parity), alternate))
}
