//! The shapes of a block's cells, and which of them a cell that the block's end cuts is part of.

use super::{Cell, SHAPES, SKIP_MAX};

/// A cell's lengths: zeroes in the lower byte, the others less one in the upper.
// One number, so that two are compared at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::codec) struct Shape(pub(super) u16);

impl Shape {
    /// Of so many zeroes, 255 at most, and others, 1 to 256.
    #[inline(always)]
    pub(super) fn of(zeroes: u32, others: u32) -> Self {
        Self(zeroes as u16 | (others.wrapping_sub(1) << 8) as u16)
    }

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

/// The shapes of a block's cells.
pub(in crate::codec) struct Shapes {
    /// One after the other; zeroes behind the last.
    // As bytes: what stands beside them is not aligned to words, either.
    shapes: [u8; size_of::<u64>()],
    pub(in crate::codec) len: u8,
    /// They all have as many zeroes.
    pub(super) same_zeroes: bool,
}

/// Bits of a shape.
const BITS: u32 = u16::BITS;
const _: () = assert!(SHAPES * size_of::<Shape>() == size_of::<u64>());
/// The lowest bit of each.
const ONES: u64 = u64::MAX / u16::MAX as u64;

/// The shapes of cells that are whole, while they are looked for: all have zeroes, so none is 0.
#[derive(Default)]
pub(super) struct Whole {
    /// One after the other; zeroes behind the last.
    shapes: u64,
}

impl Whole {
    /// The number of a shape; it is added where it is not there. [`SHAPES`] where there would be too many.
    // All of them at once: no way is taken by which of them it is, or whether it is one.
    #[inline(always)]
    pub(super) fn find_or_add(&mut self, shape: Shape) -> u64 {
        let known = self.shapes ^ u64::from(shape.0).wrapping_mul(ONES);
        // The first of those that are equal, or else the first that is not there. Behind the last there are 64 bits.
        let place = (none_of(known) | none_of(self.shapes)).trailing_zeros() & !(BITS - 1);
        // As it is already, or put where there is nothing; where there would be too many it does not matter.
        self.shapes |= u64::from(shape.0) << (place & 63);
        (place / BITS).into()
    }

    pub(super) fn shapes(&self) -> Shapes {
        let len = none_of(self.shapes).trailing_zeros() / BITS;
        let those = !u64::MAX.checked_shl(len.wrapping_mul(BITS)).unwrap_or(0);
        let zeroes = (self.shapes & 0xff).wrapping_mul(ONES);
        let same_zeroes = (self.shapes ^ zeroes) & those & ONES.wrapping_mul(0xff) == 0;
        Shapes { shapes: self.shapes.to_le_bytes(), len: len as u8, same_zeroes }
    }
}

/// The upper bit of the first that is 0; behind it others may be set.
#[inline(always)]
fn none_of(shapes: u64) -> u64 {
    shapes.wrapping_sub(ONES) & !shapes & ONES << (BITS - 1)
}

impl Shapes {
    pub(in crate::codec) const fn new() -> Self {
        Self { shapes: [0; size_of::<u64>()], len: 0, same_zeroes: true }
    }

    pub(super) fn of_one(shape: Shape) -> Self {
        Self { shapes: u64::from(shape.0).to_le_bytes(), len: 1, same_zeroes: true }
    }

    pub(super) fn first(&self) -> Shape {
        Shape(u64::from_le_bytes(self.shapes) as u16)
    }

    pub(super) fn known(&self) -> impl Iterator<Item = Shape> {
        let shapes = u64::from_le_bytes(self.shapes);
        (0..u32::from(self.len))
            .map(move |number| Shape((shapes >> (number.wrapping_mul(BITS) & 63)) as u16))
    }

    /// The number of a shape; it is added where it is not there. `None` where there would be too many.
    #[inline(never)]
    pub(super) fn find_or_add(&mut self, shape: Shape) -> Option<u8> {
        // Of one that is 0, which only a block's first cell can have, places behind the last look like it.
        let differs = u64::from_le_bytes(self.shapes) ^ u64::from(shape.0).wrapping_mul(ONES);
        let found = (none_of(differs).trailing_zeros() / BITS) as u8;
        if found < self.len {
            return Some(found);
        }
        let number = self.len;
        if usize::from(number) == SHAPES {
            return None;
        }
        let at = usize::from(number).wrapping_mul(size_of::<Shape>());
        if let Some(place) = self.shapes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *place = shape.0.to_le_bytes();
        }
        self.same_zeroes &= shape.zeroes() == self.first().zeroes();
        self.len = number.wrapping_add(1);
        Some(number)
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

    /// Bytes of them in an encoding.
    #[inline(always)]
    pub(in crate::codec) fn bytes(&self) -> usize {
        let len = usize::from(self.len);
        if self.same_zeroes { len.wrapping_add(1) } else { len.wrapping_mul(2) }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn codec_shapes_are_found_or_added_until_they_are_too_many() {
        let mut seed = 1u64;
        let mut full = 0;
        for round in 0..20_000 {
            let (mut whole, mut model) = (Whole::default(), Vec::<Shape>::new());
            let zeroes: u32 = if round % 2 == 0 { 1 } else { 255 };
            for _ in 0..20 {
                seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let others = (seed >> 33) as u32 % [4, 5, 256][round % 3] + 1;
                // One bit more or less than another, too: what an addition carries is not to be seen.
                let shape = Shape::of(1 + (seed >> 50) as u32 % zeroes, others);
                let found = model.iter().position(|known| *known == shape).unwrap_or(model.len());
                assert_eq!(whole.find_or_add(shape), found as u64);
                if found == SHAPES {
                    full += 1;
                    break;
                }
                if found == model.len() {
                    model.push(shape);
                }
                let shapes = whole.shapes();
                assert!(shapes.known().eq(model.iter().copied()));
                let same = model.iter().all(|known| known.zeroes() == model[0].zeroes());
                assert_eq!(shapes.same_zeroes, same);
            }
        }
        assert!(full > 5000 && full < 19_000, "{full}");
        assert_eq!(Shapes::new().known().count(), 0);
    }
}
