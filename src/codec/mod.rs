//! Page tags to a slot word or a payload, and back.
//!
//! Three forms of a page's tags: inline, 62 bits that fit a slot word, for pages of few runs;
//! blocks of 256 granules one after the other, each in one of several formats; raw, the tags as
//! they are.
//!
//! Tags may change while they are encoded. Nothing here trusts one reading to agree
//! with the next.

#![forbid(unsafe_code)]

mod bits;
mod block;
mod canvas;
mod cells;
mod few;
mod gather;
mod inline;
#[doc(hidden)]
pub mod inspect;
mod layout;
mod nibbles;
mod packed;
mod runs;
mod starts;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use few::{Few, Glance, Short, one_tag};
pub(crate) use inline::{InlineCode, decode_inline};
pub use wire::{decode, encode, encoded_max};

use core::marker::PhantomData;

use crate::{
    error::{Error, Result},
    tags::{ALL_GRANULES, PageSize, TagSink, TagSource},
};
use block::{BLOCK_WORDS, Block, Format};
use canvas::Canvas;
use layout::Layout;

/// How the tags of a page that is not [`Short`] are kept.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// In this many bytes, fewer than [`PageSize::TAG_BYTES`].
    Bytes(usize),
    /// As they are.
    Raw,
}

/// A page's tags, looked through. Holds one block, never a whole large page.
pub(crate) struct Encoder<P: PageSize> {
    block: Block,
    layout: Layout,
    page: PhantomData<P>,
}

impl<P: PageSize> Encoder<P> {
    /// Blocks of a page.
    const BLOCKS: usize = P::WORDS / BLOCK_WORDS;

    /// An encoder that has seen nothing yet.
    // Apart from `read`, so that what is large is built where it stays.
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        // A constant, or its parts are built apart first, and take stack.
        const { Self { block: Block::new(), layout: Layout::one_run(), page: PhantomData } }
    }

    /// Reads the tags and chooses a form.
    #[inline(always)]
    pub(crate) fn read(&mut self, source: &(impl TagSource + ?Sized)) -> Form {
        self.block.read(source, 0);
        self.layout.choose(&mut self.block);
        let mut len = self.layout.len();
        for number in 1..Self::BLOCKS {
            self.look_at(source, number);
            len = len.saturating_add(self.layout.len());
        }
        if len < P::TAG_BYTES { Form::Bytes(len) } else { Form::Raw }
    }

    fn look_at(&mut self, source: &(impl TagSource + ?Sized), number: usize) {
        self.block.read(source, number);
        self.layout.choose(&mut self.block);
    }

    /// Writes the bytes of [`Form::Bytes`] to `out`, zeroes what is left of it, and returns
    /// how many they are. `None` where they do not fit: `out` is too short, or the tags
    /// changed since; they may then be fewer, too.
    #[inline(always)]
    pub(crate) fn write(
        &mut self,
        source: &(impl TagSource + ?Sized),
        out: &mut [u8],
    ) -> Option<usize> {
        let mut at = 0usize;
        for number in 0..Self::BLOCKS {
            if Self::BLOCKS > 1 {
                self.look_at(source, number);
            }
            let rest = out.get_mut(at..)?;
            let len = match self.layout.format() {
                Format::Raw => block::encode_raw(source, number, rest),
                _ => self.block.encode(&self.layout, rest),
            };
            rest.get(len..)?;
            at = at.saturating_add(len);
        }
        out.get_mut(at..)?.fill(0);
        Some(at)
    }
}

/// Decodes what [`Encoder::write`] wrote; `bytes` may be longer. Returns the bytes used.
///
/// [`Error::Invalid`] for anything else; what `sink` got is unspecified then. Where it must not
/// get anything in that case, a first call that is not `wet` finds out, and writes nothing.
#[inline(always)]
pub(crate) fn decode_bytes<P: PageSize>(
    bytes: &[u8],
    sink: &mut (impl TagSink + ?Sized),
    wet: bool,
) -> Result<usize> {
    let mut at = 0usize;
    for number in 0..Encoder::<P>::BLOCKS {
        let rest = bytes.get(at..).ok_or(Error::Invalid)?;
        let mut canvas = Canvas::new();
        let used = block::decode(&mut canvas, rest).ok_or(Error::Invalid)?;
        at = at.saturating_add(used.get());
        if wet {
            canvas.write(sink, number.wrapping_mul(BLOCK_WORDS), 0);
        }
    }
    Ok(at)
}

/// Copies the tags as they are.
fn copy<P: PageSize>(source: &(impl TagSource + ?Sized), sink: &mut (impl TagSink + ?Sized)) {
    (0..P::WORDS).for_each(|index| sink.set_word(index, source.word(index)));
}
