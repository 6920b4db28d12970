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

    /// A number that few others have.
    #[inline(always)]
    pub(super) fn hash(self) -> usize {
        self.0.wrapping_mul(0x9e37).wrapping_shr(12).into()
    }

    /// Granules.
    pub(super) fn len(self) -> usize {
        self.zeroes().wrapping_add(self.others())
    }
}

/// The shapes of a block's cells.
pub(in crate::codec) struct Shapes {
    /// Behind the last, `Shape(0)`: without zeroes, it is of no cell in front of another.
    shapes: [Shape; SHAPES],
    pub(in crate::codec) len: u8,
}

impl Shapes {
    pub(in crate::codec) const fn new() -> Self {
        Self { shapes: [Shape(0); SHAPES], len: 0 }
    }

    pub(super) fn of_one(shape: Shape) -> Self {
        let mut shapes = [Shape(0); SHAPES];
        shapes[0] = shape;
        Self { shapes, len: 1 }
    }

    #[inline(always)]
    pub(super) fn get(&self, number: usize) -> Option<Shape> {
        self.shapes.get(number).copied().filter(|_| number < self.len.into())
    }

    /// The same below [`SHAPES`]; behind the last, `Shape(0)`.
    #[inline(always)]
    pub(super) fn at(&self, number: u8) -> Shape {
        self.shapes.get(usize::from(number) % SHAPES).copied().unwrap_or(Shape(0))
    }

    pub(super) fn known(&self) -> impl Iterator<Item = Shape> {
        self.shapes.iter().copied().take(self.len.into())
    }

    /// Its number; it is added where it is not there. `None` where there would be too many.
    #[inline(never)]
    pub(super) fn find_or_add(&mut self, shape: Shape) -> Option<u8> {
        let number = self.known().position(|known| known == shape).unwrap_or(self.len.into());
        *self.shapes.get_mut(number)? = shape;
        self.len = self.len.max((number as u8).wrapping_add(1));
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

    /// True if they all have as many.
    #[inline(never)]
    pub(super) fn same_zeroes(&self) -> bool {
        let [first, ..] = self.shapes;
        self.known().all(|shape| shape.zeroes() == first.zeroes())
    }

    /// Bytes of them in an encoding.
    #[inline(always)]
    pub(in crate::codec) fn bytes(&self) -> usize {
        let len = usize::from(self.len);
        if self.same_zeroes() { len.wrapping_add(1) } else { len.wrapping_mul(2) }
    }
}
