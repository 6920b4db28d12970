//! Which format is the shortest for a block.

use super::{
    bits::LANES,
    block::{Block, ENCODED_MAX, Format},
    cells::{self, Shapes, index_bits},
    runs::{self, BITMAP_BYTES},
};

/// What must be known of a block to choose a format, and the choice.
pub(super) struct Layout {
    format: Format,
    /// Bytes of the block's encoding.
    len: u16,
    /// Every other run is of tag 0.
    pub(super) alternate: bool,
    /// The first run is.
    pub(super) zero_first: bool,
    /// The tags of the other runs are alternately odd and even.
    pub(super) odd_even: bool,
    /// The lowest bit of the first of them.
    pub(super) parity: u8,
    /// Where runs alternate: tags, and cells, that were gathered in the block.
    pub(super) tags: u8,
    pub(super) cells: u8,
    /// Granules of the first cell before the block.
    pub(super) skip: u8,
    pub(super) shapes: Shapes,
}

/// Bytes that a block of more than one run takes in each format that has runs.
#[derive(Clone, Copy)]
pub(super) struct Costs {
    pub(super) list: usize,
    pub(super) bitmap: usize,
    /// `None` where the format cannot say these tags.
    pub(super) cells: Option<usize>,
}

impl Layout {
    /// The layout of a block of one run.
    pub(super) const fn one_run() -> Self {
        Self {
            format: Format::One,
            len: 1,
            alternate: false,
            zero_first: false,
            odd_even: false,
            parity: 0,
            tags: 0,
            cells: 0,
            skip: 0,
            shapes: Shapes::new(),
        }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Bytes of the encoding, [`ENCODED_MAX`] at most.
    pub(super) fn len(&self) -> usize {
        self.len.into()
    }

    /// Goes through a block and chooses the shortest format. Where runs alternate, their tags
    /// are gathered: the formats that may be chosen then need no more of them.
    // Raw is not chosen then: there are 128 tags at most, and a bitmap of them is shorter.
    #[inline(never)]
    pub(super) fn choose(&mut self, block: &mut Block) -> Costs {
        self.alternate = block.alternates();
        self.zero_first = self.alternate && block.tag(0) == 0;
        let costs = self.costs(block);
        (self.format, self.len) = (Format::One, 1);
        if block.boundaries() > 0 {
            let (mut format, mut len) = (Format::Raw, ENCODED_MAX);
            for (other, bytes) in [
                (Format::Bitmap, costs.bitmap),
                (Format::List, costs.list),
                (Format::Cells, costs.cells.unwrap_or(usize::MAX)),
            ] {
                if bytes < len || bytes == len && !matches!(format, Format::Raw) {
                    (format, len) = (other, bytes);
                }
            }
            // Not more than ENCODED_MAX.
            (self.format, self.len) = (format, len as u16);
            if !self.alternate && matches!(format, Format::Cells) {
                // Only now: lists, bitmaps and raw blocks need all of the tags.
                cells::gather(block, self, true);
            }
        }
        costs
    }

    fn costs(&mut self, block: &mut Block) -> Costs {
        let boundaries = block.boundaries();
        let mut tags = boundaries.wrapping_add(1);
        self.odd_even = false;
        let mut cells = None;
        // A block of one run has no cells.
        if boundaries > 0 {
            let fits = cells::gather(block, self, self.alternate);
            if self.alternate {
                tags = self.tags.into();
                self.look_for_parity(block);
            }
            cells = fits.then(|| self.cells_bytes());
        }
        let nibbles = tags.wrapping_add(1) >> 1;
        let thirds = tags.wrapping_mul(3).wrapping_add(8) >> 3;
        Costs {
            list: boundaries.wrapping_add(nibbles).wrapping_add(2),
            bitmap: (if self.odd_even { thirds } else { nibbles }).wrapping_add(BITMAP_BYTES + 1),
            cells,
        }
    }

    /// Finds out whether tags are alternately odd and even. Others show it soon.
    fn look_for_parity(&mut self, block: &Block) {
        let tags = usize::from(self.tags);
        let parity = block.gathered().eight(0) & 1;
        self.parity = parity as u8;
        self.odd_even = (0..tags).step_by(LANES).all(|at| {
            runs::are_odd_even(block.gathered().eight(at), parity, tags.wrapping_sub(at))
        });
    }

    /// Bytes as cells.
    fn cells_bytes(&self) -> usize {
        let tag_bits = if self.odd_even { 3 } else { 4 };
        let bits = index_bits(self.shapes.len.into()).wrapping_add(tag_bits) as usize;
        let cells = usize::from(self.cells).wrapping_mul(bits).wrapping_add(7) >> 3;
        cells.wrapping_add(self.shapes.bytes()).wrapping_add(2)
    }
}
