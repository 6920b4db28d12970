//! A look at the choice of a format, for `cargo xtask tags`; and the codec alone, for `cargo xtask bench`.

use super::{
    Encoder, Few, Form, InlineCode, Short, block::Format, copy, decode_bytes, decode_inline,
    one_tag,
};
use crate::{error::Result, tags::Page4K};

/// The formats of a page's tags, in the order of [`Choice::bytes`].
pub const FORMATS: [&str; 6] = ["one tag", "inline", "list", "bitmap", "cells", "raw"];

/// What each format would cost for one page, and which the encoder chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Bytes of payload, beside the slot word; `None` where the format cannot say these tags.
    pub bytes: [Option<usize>; FORMATS.len()],
    /// The chosen one's place in [`FORMATS`].
    pub chosen: usize,
}

/// How the tags of a 4 KiB page are encoded, and could be.
#[must_use]
pub fn inspect(tags: &[u64; 16]) -> Choice {
    let mut few = Few::new();
    let short = Few::choose::<Page4K>(tags, &mut few);
    let (one, inline) = match short {
        Some(Short::Inline(code)) => ((code.bits() < 16).then_some(0), Some(0)),
        _ => (None, None),
    };
    let mut encoder = Encoder::<Page4K>::new();
    let form = encoder.read(tags);
    let Encoder { block, layout, .. } = &mut encoder;
    let costs = layout.costs(block);
    let raw = size_of_val(tags);
    let chosen = match (short, form, layout.format()) {
        (Some(Short::Inline(_)), ..) => usize::from(one.is_none()),
        (Some(Short::List(_)), ..) | (None, Form::Bytes(_), Format::List) => 2,
        (None, Form::Bytes(_), Format::Bitmap) => 3,
        (None, Form::Bytes(_), Format::Cells) => 4,
        (Some(Short::Raw), ..)
        | (None, Form::Bytes(_), Format::One | Format::Raw)
        | (None, Form::Raw, _) => 5,
    };
    let bytes = [one, inline, costs.list, costs.bitmap, costs.cells, Some(raw)];
    Choice { bytes, chosen }
}

/// Where a store has the tags of a page.
#[derive(Clone, Copy)]
pub enum Kept {
    /// In its slot.
    Inline(u64),
    /// In so many bytes.
    Bytes(usize),
    /// As they are.
    Raw,
}

/// Encodes the tags of a page as a store does, to `out` where they need a payload; `None` where they
/// changed meanwhile.
#[inline]
pub fn encode(tags: &[u64; 16], out: &mut [u8; 128]) -> Option<Kept> {
    let one = one_tag::<Page4K>(tags).map(Kept::Inline);
    one.or_else(|| encode_short(tags, out)).or_else(|| encode_coded(tags, out))
}

#[inline(never)]
fn encode_short(tags: &[u64; 16], out: &mut [u8; 128]) -> Option<Kept> {
    let mut few = Few::new();
    Some(match Few::choose::<Page4K>(tags, &mut few)? {
        Short::Inline(code) => Kept::Inline(code.bits()),
        Short::List(few) => {
            few.write_list(out);
            Kept::Bytes(few.list_len())
        }
        Short::Raw => {
            copy::<Page4K>(tags, out);
            Kept::Raw
        }
    })
}

#[inline(never)]
fn encode_coded(tags: &[u64; 16], out: &mut [u8; 128]) -> Option<Kept> {
    let mut encoder = Encoder::<Page4K>::new();
    Some(match encoder.read(tags) {
        Form::Bytes(len) => Kept::Bytes(encoder.write(tags, out.get_mut(..len)?)?),
        Form::Raw => {
            copy::<Page4K>(tags, out);
            Kept::Raw
        }
    })
}

/// Decodes what [`encode`] encoded.
#[inline]
pub fn decode(kept: Kept, bytes: &[u8; 128], tags: &mut [u64; 16]) -> Result<()> {
    match kept {
        Kept::Inline(code) => decode_inline::<Page4K>(InlineCode::from_bits(code), tags),
        Kept::Bytes(_) => return decode_bytes::<Page4K>(bytes, tags, true).map(drop),
        Kept::Raw => copy::<Page4K>(bytes, tags),
    }
    Ok(())
}
