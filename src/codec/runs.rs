//! List and bitmap: every run of a block by itself.

use core::num::NonZero;

use super::{
    ALL_GRANULES,
    bits::{Writer, bits_at, bytes_to},
    block::{BITMAP, Block, LIST, QUARTERS, WORDS_OF_QUARTER, by_words, changed},
    canvas::{Canvas, pattern},
    layout::Layout,
    nibbles::{NIBBLES, beside_zeroes},
    packed::{self, Held},
};
use crate::tags::GRANULES_PER_WORD;

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
    if let Some((first, rest)) = out.split_first_mut() {
        *first = BITMAP | flags(block) | if layout.odd_even { ODD_EVEN } else { 0 };
        if let Some(bitmap) = rest.first_chunk_mut() {
            *bitmap = block.starts.bytes();
        }
    }
    BITMAP_BYTES + 1
}

/// By how much the tag changes, for sixteen runs from run `16 * index` on; the first one from tag 0. Four bits a tag. A
/// run of tag 0 before others is none.
#[inline(never)]
fn changes(bytes: &[u8], head: usize, flags: u8, index: usize) -> u64 {
    let at = head.wrapping_mul(8);
    if flags & ALTERNATES == 0 {
        let at = at.wrapping_add(index.wrapping_mul(64));
        let tags = bits_at(bytes, at);
        let before = if index == 0 { 0 } else { bits_at(bytes, at.wrapping_sub(4)) & 15 };
        return tags ^ (tags << 4 | before);
    }
    // From 0 to a tag, and back.
    let tags = beside_zeroes(bits_at(bytes, index.wrapping_mul(32).wrapping_add(at)) as u32);
    tags | tags << 4
}

/// Bytes up to the end of the tags of so many runs, four bits a tag. `None` if there are fewer.
#[inline(never)]
fn end(bytes: &[u8], head: usize, flags: u8, runs: usize) -> Option<NonZero<usize>> {
    let tags = if flags & ALTERNATES != 0 { runs.wrapping_add(1) >> 1 } else { runs };
    bytes_to(bytes, head.wrapping_mul(2).wrapping_add(tags).wrapping_mul(4))
}

/// `None` for flags that no encoder sets.
fn check(flags: u8) -> Option<()> {
    (flags & ALTERNATES != 0 || flags == 0).then_some(())
}

#[inline(never)]
pub(super) fn decode_list(canvas: &mut Canvas, bytes: &[u8], flags: u8) -> Option<NonZero<usize>> {
    check(flags)?;
    let (&[_, len], rest) = bytes.split_first_chunk()?;
    let starts = rest.get(..len.into())?;
    let head = usize::from(len).wrapping_add(2);
    let first = usize::from(flags & ZERO_FIRST == 0);
    let used = end(bytes, head, flags, first.wrapping_add(len.into()))?;
    let (mut held, mut index) = (Held::default(), 0usize);
    let mut next = || {
        held.next(|| {
            index = index.wrapping_add(1);
            changes(bytes, head, flags, index.wrapping_sub(1))
        })
    };
    if first > 0 {
        canvas.change(0, pattern(next()));
    }
    let mut before = 0;
    for &at in starts {
        if at <= before {
            return None;
        }
        canvas.change(at.into(), pattern(next()));
        before = at;
    }
    Some(used)
}

/// Decodes a list that has a tag for each run.
// Its boundaries may be in any order: so may changes be put down.
#[inline(never)]
pub(super) fn decode_touching(canvas: &mut Canvas, bytes: &[u8]) -> Option<NonZero<usize>> {
    let head = usize::from(*bytes.get(1)?).wrapping_add(2);
    let tag_bytes = head >> 1;
    let bytes = bytes.get(..head.wrapping_add(tag_bytes))?;
    let starts = bytes.get(2..head)?;
    if starts.len() >= NIBBLES {
        return change_many(canvas, bytes, head);
    }
    let tags = match bytes.last_chunk() {
        // They end with the list.
        Some(last) => u64::from_le_bytes(*last) >> (tag_bytes.wrapping_mul(8).wrapping_neg() & 63),
        None => bits_at(bytes, head.wrapping_mul(8)),
    };
    canvas.change(0, pattern(tags & 15));
    change_all(canvas, starts, tags);
    NonZero::new(bytes.len())
}

/// Puts down the changes of a list, all of these bytes, of more runs than a word has tags; they are behind `head` bytes.
#[inline(never)]
fn change_many(canvas: &mut Canvas, bytes: &[u8], head: usize) -> Option<NonZero<usize>> {
    let starts = bytes.get(2..head)?;
    canvas.change(0, pattern(bits_at(bytes, head.wrapping_mul(8)) & 15));
    // Whole bytes of tags, of which one more says what the last boundary changes.
    for (starts, index) in starts.chunks(NIBBLES - 2).zip(0usize..) {
        let at = index.wrapping_mul(NIBBLES / 2 - 1).wrapping_add(head);
        change_all(canvas, starts, bits_at(bytes, at.wrapping_mul(8)));
    }
    NonZero::new(bytes.len())
}

/// Puts down the changes from each of these tags to the next.
#[inline(always)]
fn change_all(canvas: &mut Canvas, starts: &[u8], tags: u64) {
    let mut deltas = tags ^ tags >> 4;
    let mut change = |at: u8| {
        canvas.change(at.into(), pattern(deltas & 15));
        deltas >>= 4;
    };
    // By pairs, which takes fewer instructions.
    let pairs = starts.chunks_exact(2);
    let last = pairs.remainder();
    for pair in pairs {
        if let &[one, other] = pair {
            change(one);
            change(other);
        }
    }
    last.iter().for_each(|at| change(*at));
}

#[inline(never)]
pub(super) fn decode_bitmap(
    canvas: &mut Canvas,
    bytes: &[u8],
    flags: u8,
) -> Option<NonZero<usize>> {
    check(flags)?;
    let bitmap = bytes.get(1..).and_then(<[u8]>::first_chunk::<BITMAP_BYTES>)?;
    let [first, ..] = *bitmap;
    if first & 1 != 0 {
        return None;
    }
    if flags & ALTERNATES == 0 {
        decode_each(canvas, bitmap, bytes)
    } else {
        decode_others(canvas, bitmap, bytes, flags)
    }
}

/// Decodes a bitmap that has a tag for each run.
#[inline(never)]
fn decode_each(
    canvas: &mut Canvas,
    bitmap: &[u8; BITMAP_BYTES],
    bytes: &[u8],
) -> Option<NonZero<usize>> {
    let (mut held, mut index) = (Held::default(), 0usize);
    // The first granule begins a run like any other.
    let mut first = 1;
    for (quarter, base) in bitmap.chunks_exact(size_of::<u64>()).zip((0usize..).step_by(64)) {
        let mut rest = word_of(quarter) | first;
        first = 0;
        while rest != 0 {
            let change = held.next(|| {
                index = index.wrapping_add(1);
                changes(bytes, BITMAP_BYTES + 1, 0, index.wrapping_sub(1))
            });
            canvas.change(base | rest.trailing_zeros() as usize, pattern(change));
            rest &= rest.wrapping_sub(1);
        }
    }
    let runs = index.wrapping_mul(16).wrapping_sub(held.left());
    end(bytes, BITMAP_BYTES + 1, 0, runs)
}

fn word_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.first_chunk().copied().unwrap_or_default())
}

/// Decodes a bitmap that has a tag for every other run, the others being of tag 0: as if runs began only where
/// those with a tag do; then what others have is taken away.
#[inline(never)]
fn decode_others(
    canvas: &mut Canvas,
    bitmap: &[u8; BITMAP_BYTES],
    bytes: &[u8],
    flags: u8,
) -> Option<NonZero<usize>> {
    let mut at = (BITMAP_BYTES + 1).wrapping_mul(8);
    let mut parity = None;
    if flags & ODD_EVEN != 0 {
        parity = Some(bytes.get(BITMAP_BYTES + 1).copied().unwrap_or(0) & 1);
        at = at.wrapping_add(1);
    }
    let mut held = Held::default();
    let mut last = 0;
    // All ones where the run at hand has a tag.
    let mut begun = 0u64;
    let mut first = u64::from(flags & ZERO_FIRST == 0);
    let mut fill = 0;
    let quarters = canvas.words().chunks_exact_mut(WORDS_OF_QUARTER);
    for (words, bits) in quarters.zip(bitmap.chunks_exact(size_of::<u64>())) {
        let changes = word_of(bits) | first;
        first = 0;
        let tagged = changed(changes) ^ begun;
        let mut rest = changes & tagged;
        while rest != 0 {
            let change = held.next(|| {
                let tags = packed::sixteen(bytes, at, parity);
                at = at.wrapping_add(packed::width(parity).wrapping_mul(NIBBLES));
                let changes = tags ^ (tags << 4 | last);
                last = tags >> 60;
                changes
            });
            let granule = rest.trailing_zeros() as usize;
            if let Some(place) = words.get_mut(granule / GRANULES_PER_WORD) {
                let from_here = pattern(change) << (granule.wrapping_mul(4) & 60);
                *place = (u64::from_le_bytes(*place) ^ from_here).to_le_bytes();
            }
            rest &= rest.wrapping_sub(1);
        }
        begun = 0u64.wrapping_sub(tagged >> 63);
        let mut tagged = by_words(tagged);
        for word in words {
            let tags = u64::from_le_bytes(*word);
            let lowest = tagged & ALL_GRANULES;
            *word = ((tags ^ fill) & (lowest << 4).wrapping_sub(lowest)).to_le_bytes();
            fill ^= pattern(tags >> 60);
            tagged >>= 1;
        }
    }
    bytes_to(bytes, at.wrapping_sub(packed::width(parity).wrapping_mul(held.left())))
}
