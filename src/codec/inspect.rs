//! A look at the choice of a format, for `cargo xtask tags`.

use super::{Encoder, Few, Form, Short, block::Format};
use crate::tags::Page4K;

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
    let mut place = None;
    let short = Few::choose::<Page4K>(tags, &mut place);
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
