//! The shapes of a block's cells, and which of them a cell that the block's end cuts is part of.

use super::{Cell, SHAPES, SKIP_MAX};

/// A cell's lengths: zeroes in the lower byte, the others less one in the upper.
// One number, so that two are compared at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::codec) struct Shape(pub(super) u16);

impl Shape {
    pub(super) fn zeroes(self) -> usize {
        (self.0 & 0xff).into()
    }

    pub(super) fn others(self) -> usize {
        usize::from(self.0 >> 8).wrapping_add(1)
    }

    /// Granules.
    pub(super) fn len(self) -> usize {
        self.zeroes().wrapping_add(self.others())
    }
}

/// Shapes in a word.
const LANES: usize = size_of::<u64>() / size_of::<u16>();

/// The shapes of a block's cells.
pub(in crate::codec) struct Shapes {
    /// Four in a word, so that four are looked at at once, without a branch.
    words: [u64; SHAPES / LANES],
    pub(in crate::codec) len: u8,
}

impl Shapes {
    pub(in crate::codec) const fn new() -> Self {
        Self { words: [0; SHAPES / LANES], len: 0 }
    }

    pub(super) fn of_one(shape: Shape) -> Self {
        let mut words = [0; SHAPES / LANES];
        words[0] = shape.0.into();
        Self { words, len: 1 }
    }

    pub(super) fn get(&self, number: usize) -> Option<Shape> {
        let word = self.words.get(number / LANES)?;
        let shape = Shape((word >> (number % LANES).wrapping_mul(16)) as u16);
        (number < self.len.into()).then_some(shape)
    }

    pub(super) fn known(&self) -> impl Iterator<Item = Shape> {
        (0..self.len.into()).map_while(|number| self.get(number))
    }

    /// Its number.
    #[inline(always)]
    pub(super) fn find(&self, shape: Shape) -> Option<u8> {
        let [low, high] = self.words;
        let four = u64::from(shape.0).wrapping_mul(0x0001_0001_0001_0001);
        let (low, high) = (zero_lanes(low ^ four), zero_lanes(high ^ four));
        // The first tells: behind it a borrow may tell of one that is not.
        let bit =
            if low != 0 { low.trailing_zeros() } else { high.trailing_zeros().wrapping_add(64) };
        // Where there are fewer shapes, the others are zeroes, behind them.
        let number = bit as u8 >> 4;
        (number < self.len).then_some(number)
    }

    /// Its number. `None` where there would be more shapes than `most`.
    pub(super) fn find_or_add(&mut self, shape: Shape, most: usize) -> Option<u8> {
        if let Some(number) = self.find(shape) {
            return Some(number);
        }
        let number = usize::from(self.len);
        let word = self.words.get_mut(number / LANES).filter(|_| number < most)?;
        *word |= u64::from(shape.0) << (number % LANES).wrapping_mul(16);
        self.len = self.len.wrapping_add(1);
        Some(number as u8)
    }

    /// The shape that a cell at the block's end is the beginning of.
    pub(super) fn find_last(&self, cell: Cell) -> Option<u8> {
        let found = self.known().position(|shape| match cell.others() {
            0 => shape.zeroes() >= cell.zeroes(),
            others => shape.zeroes() == cell.zeroes() && shape.others() >= others,
        });
        found.map(|number| number as u8)
    }

    /// The shape that a cell at the block's beginning is the end of, and how much of it
    /// lies before.
    pub(super) fn find_first(&self, cell: Cell) -> Option<(u8, u8)> {
        self.known().zip(0u8..).find_map(|(shape, number)| {
            let (zeroes, others) = (shape.zeroes(), shape.others());
            let skip = shape.len().checked_sub(cell.len())?;
            let fits = if cell.is_last() {
                // Cut off at both ends: only as it is.
                skip == 0 && zeroes == cell.zeroes()
            } else {
                others == cell.others() || cell.zeroes() == 0 && others > cell.others()
            };
            (fits && skip <= SKIP_MAX).then_some((number, skip as u8))
        })
    }

    pub(super) fn same_zeroes(&self) -> bool {
        let [first, _] = self.words;
        self.known().all(|shape| shape.zeroes() == Shape(first as u16).zeroes())
    }

    pub(in crate::codec) fn bytes(&self) -> usize {
        let len = usize::from(self.len);
        if self.same_zeroes() { len.wrapping_add(1) } else { len.wrapping_mul(2) }
    }
}

/// The highest bit of each of four numbers that is 0, and of some behind the first such.
fn zero_lanes(word: u64) -> u64 {
    word.wrapping_sub(0x0001_0001_0001_0001) & !word & 0x8000_8000_8000_8000
}
