//! Which format is the shortest for a block.

use super::{
    block::{Block, ENCODED_MAX, Format},
    cells::{Cell, Cells, Shapes, index_bits},
    runs::BITMAP_BYTES,
};

/// So many boundaries are too many for a bitmap with a tag for each run, and for a list.
const TOO_MANY: usize = 2 * (ENCODED_MAX - BITMAP_BYTES - 1);

/// What must be known of a block to choose a format, found in one pass, and the choice.
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
    pub(super) shapes: Shapes,
    /// Granules of the first cell before the block.
    pub(super) skip: u8,
}

/// How many cells a block has, and those that its ends may have cut.
struct Ends {
    count: u16,
    first: Option<Cell>,
    last: Option<Cell>,
}

impl Layout {
    /// The layout of a block of one run.
    pub(super) const fn one_run() -> Self {
        Self {
            format: Format::One,
            len: 1,
            alternate: true,
            zero_first: false,
            odd_even: true,
            parity: 0,
            shapes: Shapes::new(),
            skip: 0,
        }
    }

    /// Goes through a block and chooses the shortest format.
    #[inline(never)]
    pub(super) fn choose(&mut self, block: &Block) {
        self.reset();
        let boundaries = block.boundaries() as usize;
        if boundaries > 0 {
            let ends = self.look_for_cells(block, boundaries);
            let cells = ends.and_then(|ends| self.add_ends(ends));
            self.choose_shortest(boundaries, cells);
        }
    }

    #[inline(always)]
    fn reset(&mut self) {
        (self.format, self.len) = (Format::One, 1);
        (self.alternate, self.zero_first, self.odd_even) = (true, false, true);
        (self.parity, self.skip, self.shapes.len) = (0, 0, 0);
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Bytes of the encoding, [`ENCODED_MAX`] at most.
    pub(super) fn len(&self) -> usize {
        self.len.into()
    }

    /// Goes through the cells; `None` where those that are whole have too many shapes.
    #[inline(never)]
    fn look_for_cells(&mut self, block: &Block, boundaries: usize) -> Option<Ends> {
        let mut ends = Ends { count: 0, first: None, last: None };
        let mut fits = true;
        let mut parity = 0;
        // Cells of one shape come in rows: only where it changes is it looked for.
        let mut shape = None;
        for cell in Cells::new(block) {
            if ends.count == 0 {
                parity = cell.tag & 1;
                self.parity = parity;
            }
            // A cell without zeroes touches the run before it.
            self.alternate &= cell.zeroes > 0 || ends.count == 0;
            self.odd_even &= cell.tag & 1 == parity || cell.tag == 0;
            parity ^= 1;
            ends.count = ends.count.wrapping_add(1);
            if ends.count == 1 {
                ends.first = Some(cell);
            } else if cell.last {
                ends.last = Some(cell);
            } else {
                let its = Shapes::shape(&cell);
                if fits && its != shape {
                    shape = its;
                    fits = self.shapes.add(&cell).is_some();
                }
            }
            if !fits && !self.alternate && boundaries >= TOO_MANY {
                break;
            }
        }
        self.zero_first = self.alternate && block.tag(0) == 0;
        fits.then_some(ends)
    }

    /// The ends of the block cut cells: they come last, to find what they are part of.
    /// Returns the number of cells, or `None` where there are too many shapes.
    #[inline(never)]
    fn add_ends(&mut self, ends: Ends) -> Option<usize> {
        if let Some(first) = ends.first {
            match self.shapes.find_first(&first) {
                Some((_, skip)) => self.skip = skip,
                None => self.shapes.add(&first)?,
            }
        }
        if let Some(last) = ends.last {
            if self.shapes.find_last(&last).is_none() {
                self.shapes.add(&last)?;
            }
        }
        // Shapes that were added last come last: the first cell still finds what it found.
        Some(ends.count.into())
    }

    #[inline(never)]
    fn choose_shortest(&mut self, boundaries: usize, cells: Option<usize>) {
        let ([list, bitmap], cells) = self.costs(boundaries, cells);
        let (mut format, mut len) = (Format::Raw, ENCODED_MAX);
        for (other, bytes) in [
            (Format::Bitmap, bitmap),
            (Format::List, list),
            (Format::Cells, cells.unwrap_or(usize::MAX)),
        ] {
            if bytes < len || bytes == len && !matches!(format, Format::Raw) {
                (format, len) = (other, bytes);
            }
        }
        // Not more than ENCODED_MAX.
        (self.format, self.len) = (format, len as u16);
    }

    /// Bytes as a list, as a bitmap and as this many cells.
    #[inline]
    fn costs(&self, boundaries: usize, cells: Option<usize>) -> ([usize; 2], Option<usize>) {
        let list = self.nibble_bytes(boundaries).saturating_add(2).saturating_add(boundaries);
        let bitmap = self.tag_bytes(boundaries).saturating_add(BITMAP_BYTES + 1);
        ([list, bitmap], cells.map(|count| self.cells_bytes(count)))
    }

    /// Chooses, and says what each format that has runs would have cost.
    pub(super) fn costs_of(&mut self, block: &Block) -> ([usize; 2], Option<usize>) {
        self.reset();
        // Never given up early: what every format costs is the question.
        let ends = self.look_for_cells(block, 0);
        let cells = ends.and_then(|ends| self.add_ends(ends));
        let costs = self.costs(block.boundaries() as usize, cells);
        self.choose(block);
        costs
    }

    /// Runs that need a tag in a list or a bitmap.
    fn tagged(&self, boundaries: usize) -> usize {
        let runs = boundaries.saturating_add(1);
        match (self.alternate, self.zero_first) {
            (false, _) => runs,
            (true, true) => runs >> 1,
            (true, false) => runs.saturating_add(1) >> 1,
        }
    }

    /// Bytes of the tags of a list.
    fn nibble_bytes(&self, boundaries: usize) -> usize {
        self.tagged(boundaries).saturating_add(1) >> 1
    }

    /// Bytes of the tags of a bitmap.
    fn tag_bytes(&self, boundaries: usize) -> usize {
        if self.alternate && self.odd_even {
            self.tagged(boundaries).saturating_mul(3).saturating_add(1).div_ceil(8)
        } else {
            self.nibble_bytes(boundaries)
        }
    }

    /// Bytes of `count` cells.
    fn cells_bytes(&self, count: usize) -> usize {
        let tag_bits = if self.odd_even { 3 } else { 4 };
        let bits = index_bits(self.shapes.len.into()).wrapping_add(tag_bits) as usize;
        let shapes = self.shapes.bytes();
        count.saturating_mul(bits).div_ceil(8).saturating_add(shapes).saturating_add(2)
    }
}
