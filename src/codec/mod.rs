//! Page tags to a slot word or a payload, and back.
//!
//! Three forms of a page's tags: [`Form::Inline`], 62 bits that fit a slot word, for pages
//! of few runs; [`Form::Bytes`], blocks of 256 granules one after the other, each in the
//! shortest of several formats ([`block`]); [`Form::Raw`], the tags as they are.
//!
//! Tags may change while they are encoded. Nothing here trusts one reading to agree
//! with the next.

#![forbid(unsafe_code)]

mod bits;
mod block;
mod inline;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use inline::{InlineCode, decode_inline};
pub use wire::{decode, encode, encoded_max};

use core::marker::PhantomData;

use crate::{
    error::{Error, Result},
    tags::{PageSize, TagSink, TagSource},
};
use block::{BLOCK_WORDS, Block, ENCODED_MAX};

/// A tag in every nibble of a word, by multiplication.
const ALL_GRANULES: u64 = 0x1111_1111_1111_1111;

/// How a page's tags are kept.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// In a slot word.
    Inline(InlineCode),
    /// In this many bytes, fewer than [`PageSize::TAG_BYTES`].
    Bytes(usize),
    /// As they are.
    Raw,
}

/// A page's tags, looked through. Holds one block's encoding, never a whole large page.
pub(crate) struct Encoder<P: PageSize> {
    form: Form,
    /// One block, encoded: of a 4 KiB page all there is, of a larger one the last that
    /// was looked at.
    block: [u8; ENCODED_MAX],
    page: PhantomData<P>,
}

impl<P: PageSize> Encoder<P> {
    /// Blocks of a page.
    const BLOCKS: usize = P::WORDS / BLOCK_WORDS;

    /// Reads the tags once and chooses a form.
    pub(crate) fn new(source: &(impl TagSource + ?Sized)) -> Self {
        let mut encoder = Self { form: Form::Raw, block: [0; ENCODED_MAX], page: PhantomData };
        if Self::BLOCKS == 1 {
            let block = Block::read(source, 0);
            encoder.form = match inline::encode_block(&block) {
                Some(code) => Form::Inline(code),
                None => Self::sized(block.encode(&mut encoder.block)),
            };
            return encoder;
        }
        if let Some(code) = inline::encode_inline::<P>(source) {
            encoder.form = Form::Inline(code);
            return encoder;
        }
        let total = (0..Self::BLOCKS)
            .map(|number| Block::read(source, number).encode(&mut encoder.block))
            .fold(0usize, usize::saturating_add);
        encoder.form = Self::sized(total);
        encoder
    }

    fn sized(len: usize) -> Form {
        if len < P::TAG_BYTES { Form::Bytes(len) } else { Form::Raw }
    }

    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Writes the bytes of [`Form::Bytes`] to `out`, zeroes what is left of it, and returns
    /// how many they are. `None` where they do not fit: `out` is too short, or the tags
    /// changed since; they may then be fewer, too.
    pub(crate) fn write(
        &mut self,
        source: &(impl TagSource + ?Sized),
        out: &mut [u8],
    ) -> Option<usize> {
        let Form::Bytes(mut len) = self.form else { return None };
        let mut at = 0usize;
        for number in 0..Self::BLOCKS {
            if Self::BLOCKS > 1 {
                len = Block::read(source, number).encode(&mut self.block);
            }
            // Both slices visibly `len` long: no panic is left in the copy.
            out.get_mut(at..)?.get_mut(..len)?.copy_from_slice(self.block.get(..len)?);
            at = at.saturating_add(len);
        }
        out.get_mut(at..)?.fill(0);
        Some(at)
    }
}

/// Decodes what [`Encoder::write`] wrote; `bytes` may be longer. Returns the bytes used.
///
/// [`Error::Invalid`] for anything else; `sink` is untouched then.
pub(crate) fn decode_bytes<P: PageSize>(
    bytes: &[u8],
    sink: &mut (impl TagSink + ?Sized),
) -> Result<usize> {
    let blocks = Encoder::<P>::BLOCKS;
    // A page of several blocks is gone through twice, so that nothing is written of one
    // whose end is wrong.
    if blocks > 1 {
        let mut at = 0usize;
        for _ in 0..blocks {
            let (_, len) = Block::decode(bytes.get(at..).ok_or(Error::Invalid)?)?;
            at = at.saturating_add(len);
        }
    }
    let mut at = 0usize;
    for number in 0..blocks {
        let (block, len) = Block::decode(bytes.get(at..).ok_or(Error::Invalid)?)?;
        block.write(sink, number);
        at = at.saturating_add(len);
    }
    Ok(at)
}

/// Copies the tags as they are.
fn copy<P: PageSize>(source: &(impl TagSource + ?Sized), sink: &mut (impl TagSink + ?Sized)) {
    (0..P::WORDS).for_each(|index| sink.set_word(index, source.word(index)));
}
