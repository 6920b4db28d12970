//! List and bitmap: every run of a block by itself.

use super::{
    bits::{LANES, Reader, Writer},
    block::{BITMAP, Block, GRANULES, LIST, QUARTERS},
    canvas::Blocks,
    layout::Layout,
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
/// The lowest bit of each byte.
const LOWEST: u64 = 0x0101_0101_0101_0101;

fn flags(layout: &Layout) -> u8 {
    (if layout.alternate { ALTERNATES } else { 0 }) | if layout.zero_first { ZERO_FIRST } else { 0 }
}

#[inline(never)]
pub(super) fn encode_list(block: &Block, layout: &Layout, out: &mut [u8]) -> usize {
    let mut writer = Writer::behind(out, 0);
    writer.byte(LIST | flags(layout));
    // Fewer than 127, or a list would not be the shortest.
    writer.byte(block.boundaries() as u8);
    block.starts.iter(false).for_each(|at| writer.byte(at as u8));
    write_tags(block, layout, false, &mut writer);
    writer.finish()
}

#[inline(never)]
pub(super) fn encode_bitmap(block: &Block, layout: &Layout, out: &mut [u8]) -> usize {
    let mut writer = Writer::behind(out, 0);
    writer.byte(BITMAP | flags(layout) | if layout.odd_even { ODD_EVEN } else { 0 });
    block.starts.0.iter().for_each(|word| writer.word(*word));
    if layout.odd_even {
        writer.bits(layout.parity.into(), 1);
    }
    write_tags(block, layout, layout.odd_even, &mut writer);
    writer.finish()
}

#[inline(never)]
fn write_tags(block: &Block, layout: &Layout, three: bool, writer: &mut Writer<'_>) {
    if layout.alternate {
        let (shift, mask, width) = if three { (1, 7, 3) } else { (0, 15, 4) };
        let tags = usize::from(layout.tags);
        for at in (0..tags).step_by(LANES) {
            let numbers = block.gathered().eight(at) >> shift & LOWEST.wrapping_mul(mask);
            writer.numbers(numbers, width, tags.wrapping_sub(at).min(LANES));
        }
    } else {
        // They were not gathered: there may be more than a byte each has room for.
        let mut starts = block.starts.iter(true);
        let mut at = starts.next_or_end();
        while at < GRANULES {
            let (mut numbers, mut count) = (0, 0);
            while at < GRANULES && count < LANES {
                numbers |= u64::from(block.tag(at)) << count.wrapping_mul(8);
                count = count.wrapping_add(1);
                at = starts.next_or_end();
            }
            writer.numbers(numbers, 4, count);
        }
    }
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
    decode_tags(blocks, &starts, bytes, list.len().wrapping_add(2), flags)
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
    decode_tags(blocks, &starts, bytes, BITMAP_BYTES + 1, flags)
}

/// Decodes runs that begin at `starts`; their tags are behind the first `head` bytes.
#[inline(never)]
fn decode_tags(
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    starts: &[u64; QUARTERS],
    bytes: &[u8],
    head: usize,
    flags: u8,
) -> Result<usize> {
    let mut tags = Tags { reader: Reader::behind(bytes, head), parity: None, eight: 0, left: 0 };
    if flags & ALTERNATES == 0 {
        if flags != 0 {
            return Err(Error::Invalid);
        }
        let mut before = 0;
        paint(blocks, starts, true, || {
            let tag = tags.next();
            let delta = tag ^ before;
            before = tag;
            delta
        });
    } else {
        if flags & ODD_EVEN != 0 {
            tags.parity = Some(tags.reader.bits(1) & 1);
        }
        // A tag is where its run begins, and its own difference to 0 where that ends.
        let mut tag = 0;
        let mut ends = true;
        paint(blocks, starts, flags & ZERO_FIRST == 0, || {
            ends = !ends;
            if !ends {
                tag = tags.next();
            }
            tag
        });
    }
    tags.finish()
}

/// Changes the tag at each of `starts` by what `next` says; and at the `first` granule, too.
#[inline(always)]
fn paint(
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    starts: &[u64; QUARTERS],
    first: bool,
    mut next: impl FnMut() -> u64,
) {
    let mut before = 0;
    let mut first = u64::from(first);
    for bits in starts {
        let mut rest = bits | first;
        first = 0;
        let mut changes = [0; 4];
        while rest != 0 {
            let at = rest.trailing_zeros() as usize;
            rest &= rest.wrapping_sub(1);
            if let Some(word) = changes.get_mut(at >> 4 & 3) {
                *word ^= next() << (at & 15).wrapping_mul(4);
            }
        }
        before = blocks.put_changes(&changes, before);
    }
}

/// The tags of a block's runs, one after the other.
struct Tags<'a> {
    reader: Reader<'a>,
    /// Where they have three bits: the lowest bit of the first.
    parity: Option<u64>,
    /// A byte each.
    eight: u64,
    /// How many of these are still to come.
    left: usize,
}

impl Tags<'_> {
    #[inline(always)]
    fn next(&mut self) -> u64 {
        if self.left == 0 {
            (self.eight, self.left) = match self.parity {
                Some(parity) => (odd_even(self.reader.numbers(3), parity), LANES),
                None => (self.reader.numbers(4), LANES),
            };
        }
        self.left = self.left.wrapping_sub(1);
        let tag = self.eight & 15;
        self.eight >>= 8;
        tag
    }

    fn finish(self) -> Result<usize> {
        let width = if self.parity.is_some() { 3 } else { 4 };
        self.reader.check(self.left.wrapping_mul(width))
    }
}

/// Tags that are alternately odd and even, the first of this parity, of their upper three bits.
pub(super) fn odd_even(upper: u64, parity: u64) -> u64 {
    upper << 1 | (0x0100_0100_0100_0100 ^ LOWEST.wrapping_mul(parity))
}

/// True if the first `count` of eight tags are alternately odd and even, the first of this parity.
pub(super) fn are_odd_even(tags: u64, parity: u64, count: usize) -> bool {
    let those = match count {
        0..LANES => !(u64::MAX << count.wrapping_mul(8)),
        _ => u64::MAX,
    };
    (tags ^ odd_even(0, parity)) & LOWEST & those == 0
}
