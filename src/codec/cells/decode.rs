//! Cells out of bytes: those of one shape by the word, others as changes of the tag.

use super::{
    super::{
        ALL_GRANULES,
        bits::{LANES, Reader},
        block::{BLOCK_WORDS, GRANULES},
        canvas::{Blocks, Canvas},
        packed::Unpacker,
    },
    ODD_EVEN, SAME_ZEROES, SKIP_MAX, index_bits,
};
use crate::{
    error::{Error, Result},
    tags::{GRANULES_PER_WORD, TagSink},
};

/// What stands before the cells of an encoding.
struct Head {
    first: u8,
    second: u8,
}

impl Head {
    #[inline(always)]
    fn read(bytes: &[u8]) -> Result<Self> {
        let &[first, second] = bytes.first_chunk().ok_or(Error::Invalid)?;
        let head = Self { first, second };
        if first & 0x18 != 0 || head.parity() != 0 && !head.odd_even() || head.len() > bytes.len() {
            return Err(Error::Invalid);
        }
        Ok(head)
    }

    /// Shapes.
    fn count(&self) -> usize {
        usize::from(self.first & 7).wrapping_add(1)
    }

    /// All shapes have as many zeroes.
    fn same_zeroes(&self) -> bool {
        self.first & SAME_ZEROES != 0
    }

    /// The tags are alternately odd and even.
    fn odd_even(&self) -> bool {
        self.first & ODD_EVEN != 0
    }

    /// Then: the lowest bit of the first.
    fn parity(&self) -> u8 {
        self.second >> 7
    }

    /// Granules of the first cell that lie before the block.
    fn skip(&self) -> usize {
        usize::from(self.second) & SKIP_MAX
    }

    /// Bytes of it.
    fn len(&self) -> usize {
        let count = self.count();
        if self.same_zeroes() {
            count.wrapping_add(3)
        } else {
            count.wrapping_add(1).wrapping_mul(2)
        }
    }

    /// The zeroes and the others of a shape, in these bytes.
    #[inline(always)]
    fn shape(&self, bytes: &[u8], index: usize) -> Option<(usize, usize)> {
        if index >= self.count() {
            return None;
        }
        let at = if self.same_zeroes() { 2 } else { index.wrapping_mul(2).wrapping_add(2) };
        let others = if self.same_zeroes() { index.wrapping_add(3) } else { at.wrapping_add(1) };
        let zeroes = usize::from(*bytes.get(at)?);
        Some((zeroes, usize::from(*bytes.get(others)?).wrapping_add(1)))
    }
}

/// Decodes cells.
#[inline(always)]
pub(in crate::codec) fn decode(
    blocks: &mut Blocks<'_, impl TagSink + ?Sized>,
    bytes: &[u8],
) -> Result<usize> {
    // Most often there is one shape, and it is no longer than a word.
    let head = Head::read(bytes)?;
    match head.shape(bytes, 0) {
        Some((zeroes, others))
            if head.count() == 1 && zeroes.wrapping_add(others) <= GRANULES_PER_WORD =>
        {
            decode_grid(blocks, bytes)
        }
        _ => decode_cells(blocks, bytes),
    }
}

/// Decodes cells of one shape, no longer than a word, a whole one at a time.
#[inline(never)]
fn decode_grid(blocks: &mut Blocks<'_, impl TagSink + ?Sized>, bytes: &[u8]) -> Result<usize> {
    let head = Head::read(bytes)?;
    let (zeroes, others) = head.shape(bytes, 0).ok_or(Error::Invalid)?;
    let len = zeroes.wrapping_add(others);
    let skip = head.skip();
    // The first cell, too, has a granule in the block.
    if skip >= len {
        return Err(Error::Invalid);
    }
    let parity = if head.odd_even() { Some(head.parity()) } else { None };
    let mut tags = Unpacker::new(Reader::behind(bytes, head.len()), parity);
    let run = ALL_GRANULES >> GRANULES_PER_WORD.wrapping_sub(others).wrapping_mul(4);
    let run = run << zeroes.wrapping_mul(4);
    let step = len.wrapping_mul(4);
    // The first cell begins in a word before the block, if it is cut.
    let mut before = skip > 0;
    let mut used = skip.wrapping_neg().wrapping_mul(4) & 63;
    let mut word = 0;
    let end = blocks.done.wrapping_add(BLOCK_WORDS);
    while blocks.done < end {
        let cell = tags.next().wrapping_mul(run);
        word |= cell << (used & 63);
        used = used.wrapping_add(step);
        if used >= 64 {
            if !before {
                blocks.put(word);
            }
            before = false;
            used = used.wrapping_sub(64);
            // What of the cell lies in the next word: its last granules.
            word = cell >> 1 >> (step.wrapping_sub(used).wrapping_sub(1) & 63);
        }
    }
    tags.finish()
}

/// Decodes cells of any shapes.
#[inline(never)]
fn decode_cells(blocks: &mut Blocks<'_, impl TagSink + ?Sized>, bytes: &[u8]) -> Result<usize> {
    let head = Head::read(bytes)?;
    let index_bits = index_bits(head.count());
    let width = index_bits.wrapping_add(if head.odd_even() { 3 } else { 4 });
    let mut reader = Reader::behind(bytes, head.len());
    let mut canvas = Canvas::new(blocks);
    let (mut at, mut skip) = (0, head.skip());
    let (mut eight, mut left) = (0, 0usize);
    let three = u32::from(head.odd_even());
    let mut parity = head.parity();
    // A cell is a granule long at least, so this ends.
    while at < GRANULES {
        if left == 0 {
            (eight, left) = (reader.numbers(width), LANES);
        }
        left = left.wrapping_sub(1);
        let value = eight as u8;
        eight >>= 8;
        let index = value & !(u8::MAX << (index_bits & 7));
        let tag = value >> (index_bits & 7) << three | parity;
        parity ^= three as u8;
        let (mut zeroes, mut others) =
            head.shape(reader.bytes(), index.into()).ok_or(Error::Invalid)?;
        if skip > 0 {
            // The first cell, too, has a granule in the block.
            others = others.saturating_sub(skip.saturating_sub(zeroes));
            zeroes = zeroes.saturating_sub(skip);
            if others == 0 {
                return Err(Error::Invalid);
            }
            skip = 0;
        }
        at = at.wrapping_add(zeroes);
        canvas.change(at, tag.into());
        at = at.wrapping_add(others);
        canvas.change(at, tag.into());
    }
    canvas.advance(GRANULES);
    reader.check(left.wrapping_mul(width as usize))
}
