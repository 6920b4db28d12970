//! Which format is the shortest for a block, of those that are looked at.

use super::{
    block::{Block, ENCODED_MAX, Format},
    cells::{self, Shapes, index_bits},
    nibbles::{self, Kind::Tags},
    packed,
    runs::BITMAP_BYTES,
};

/// What must be known of a block to choose a format, and the choice.
pub(super) struct Layout {
    format: Format,
    /// Bytes of the block's encoding.
    len: u16,
    /// Every other run is of tag 0, and the tags of the others are alternately odd and even.
    pub(super) odd_even: bool,
    /// The lowest bit of the first of them.
    pub(super) parity: u8,
    /// Granules of the first cell before the block.
    pub(super) skip: u8,
    pub(super) shapes: Shapes,
    /// Cells; 0 where there are none. With more than one shape the numbers of theirs are among the block's
    /// words ([`super::nibbles`]).
    pub(super) cells: u8,
}

/// Bytes that a block of more than one run takes in each format that has runs; `None` where the format
/// cannot say its tags, or has not been looked at: raw is shorter, or another nearly as short.
#[derive(Clone, Copy)]
pub(super) struct Costs {
    pub(super) list: Option<usize>,
    pub(super) bitmap: Option<usize>,
    pub(super) cells: Option<usize>,
}

impl Layout {
    /// The layout of a block of one run.
    pub(super) const fn one_run() -> Self {
        Self {
            format: Format::One,
            len: 1,
            odd_even: false,
            parity: 0,
            skip: 0,
            shapes: Shapes::new(),
            cells: 0,
        }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Bytes of the encoding, [`ENCODED_MAX`] at most.
    pub(super) fn len(&self) -> usize {
        self.len.into()
    }

    /// Goes through a block and chooses a format: the shortest of those that are looked at.
    // In two, one after the other: what one has on the stack the other does not need.
    #[inline(always)]
    pub(super) fn choose(&mut self, block: &mut Block) {
        if block.is_raw() {
            (self.format, self.len) = (Format::Raw, ENCODED_MAX as u16);
        } else {
            cells::survey(block, self);
            self.choose_surveyed(block);
        }
    }

    #[inline(never)]
    fn choose_surveyed(&mut self, block: &Block) {
        let costs = self.costs(block);
        (self.format, self.len) = (Format::One, 1);
        if block.boundaries() > 0 {
            let (mut format, mut len) = (Format::Raw, ENCODED_MAX);
            for (other, bytes) in [
                (Format::Bitmap, costs.bitmap),
                (Format::List, costs.list),
                (Format::Cells, costs.cells),
            ] {
                let bytes = bytes.unwrap_or(usize::MAX);
                if bytes < len || bytes == len && !matches!(format, Format::Raw) {
                    (format, len) = (other, bytes);
                }
            }
            // Not more than ENCODED_MAX.
            (self.format, self.len) = (format, len as u16);
        }
    }

    /// What the formats would cost; the cells have been surveyed.
    #[inline(always)]
    pub(super) fn costs(&mut self, block: &Block) -> Costs {
        if block.is_raw() {
            return Costs { list: None, bitmap: None, cells: None };
        }
        self.odd_even = block.alternates() && packed::are_odd_even(&block.words, block.len());
        self.parity = nibbles::sixteen(&block.words, Tags, 0) as u8 & 1;
        let tags = block.len();
        let nibbles = tags.wrapping_add(1) >> 1;
        let thirds = tags.wrapping_mul(3).wrapping_add(8) >> 3;
        let tag_bytes = if self.odd_even { thirds } else { nibbles };
        Costs {
            list: Some(block.boundaries().wrapping_add(nibbles).wrapping_add(2)),
            bitmap: Some(tag_bytes.wrapping_add(BITMAP_BYTES + 1)),
            cells: (self.cells > 0).then(|| self.cells_bytes(self.cells.into())),
        }
    }

    /// Bytes as this many cells.
    fn cells_bytes(&self, count: usize) -> usize {
        let tag_bits = if self.odd_even { 3 } else { 4 };
        let bits = index_bits(self.shapes.len.into()).wrapping_add(tag_bits) as usize;
        let cells = count.wrapping_mul(bits).wrapping_add(7) >> 3;
        cells.wrapping_add(self.shapes.bytes()).wrapping_add(2)
    }
}
