//! List and bitmap: every run of a block by itself.

use super::{
    bits::{Reader, Writer},
    block::{BITMAP, Block, LIST, QUARTERS},
    canvas::{Canvas, pattern},
    layout::Layout,
    packed::{Held, Runs, Unpacker},
};
use crate::{
    error::{Error, Result},
    tags::GRANULES_PER_WORD,
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
pub(super) fn decode_list(canvas: &mut Canvas, bytes: &[u8], flags: u8) -> Result<usize> {
    let (&[_, len], rest) = bytes.split_first_chunk().ok_or(Error::Invalid)?;
    let starts = rest.get(..len.into()).ok_or(Error::Invalid)?;
    let mut runs = behind(bytes, usize::from(len).wrapping_add(2), flags)?;
    let mut held = Held::default();
    if flags & ZERO_FIRST == 0 {
        canvas.change(0, pattern(held.next(|| runs.sixteen_changes())));
    }
    let mut before = 0;
    for &at in starts {
        if at <= before {
            return Err(Error::Invalid);
        }
        canvas.change(at.into(), pattern(held.next(|| runs.sixteen_changes())));
        before = at;
    }
    runs.finish(held.left())
}

/// True if the tags of a list fit a word.
pub(super) fn is_short(bytes: &[u8]) -> bool {
    bytes.get(1).is_some_and(|len| *len < 16)
}

/// Decodes a list that [`is_short`] and has a tag for each run.
#[inline(never)]
pub(super) fn decode_short(canvas: &mut Canvas, bytes: &[u8]) -> Result<usize> {
    let (&[_, len], rest) = bytes.split_first_chunk().ok_or(Error::Invalid)?;
    let starts = rest.get(..len.into()).ok_or(Error::Invalid)?;
    let head = usize::from(len).wrapping_add(2);
    let end = head.wrapping_add(head >> 1);
    if end > bytes.len() {
        return Err(Error::Invalid);
    }
    let tags = Reader::behind(bytes, head).bits(64);
    let mut deltas = tags ^ tags << 4;
    canvas.change(0, pattern(deltas & 15));
    let mut before = 0;
    for &at in starts {
        if at <= before {
            return Err(Error::Invalid);
        }
        deltas >>= 4;
        canvas.change(at.into(), pattern(deltas & 15));
        before = at;
    }
    Ok(end)
}

#[inline(never)]
pub(super) fn decode_bitmap(canvas: &mut Canvas, bytes: &[u8], flags: u8) -> Result<usize> {
    let bitmap = bytes.get(1..).and_then(<[u8]>::first_chunk::<BITMAP_BYTES>);
    let bitmap = bitmap.ok_or(Error::Invalid)?;
    let [first, ..] = *bitmap;
    if first & 1 != 0 {
        return Err(Error::Invalid);
    }
    let mut runs = behind(bytes, BITMAP_BYTES + 1, flags)?;
    let mut held = Held::default();
    // What the word at hand is filled with, as far as is known.
    let mut fill = 0;
    // The first granule begins a run like any other, if that has a tag.
    let mut first = u32::from(flags & ZERO_FIRST == 0);
    let chunks = bitmap.chunks_exact(GRANULES_PER_WORD / 8);
    for (word, bits) in canvas.words().iter_mut().zip(chunks) {
        let bits = bits.first_chunk().copied().unwrap_or_default();
        let mut rest = u32::from(u16::from_le_bytes(bits)) | first;
        first = 0;
        let mut here = fill;
        while rest != 0 {
            let change = pattern(held.next(|| runs.sixteen_changes()));
            here ^= change << (rest.trailing_zeros().wrapping_mul(4) & 63);
            fill ^= change;
            rest &= rest.wrapping_sub(1);
        }
        *word = here;
    }
    runs.finish(held.left())
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
