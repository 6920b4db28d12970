//! Swap entries: which slot of which swap area a page went to.
//!
//! The value is laid out as arm64's `swp_entry_t.val`: `type << 58 | offset`
//! (Linux 6.12, `include/linux/swapops.h`, `SWP_TYPE_SHIFT`).

use crate::error::{Error, Result};

/// Bits of an offset; the swap type stands above them.
pub const OFFSET_BITS: u32 = 58;
/// Number of swap types (`1 << MAX_SWAPFILES_SHIFT`, TAG-15).
pub const TYPES: usize = 32;
/// The highest offset of an area.
pub const OFFSET_MAX: u64 = (1 << OFFSET_BITS) - 1;

/// The number of a swap area, 0 to 31.
///
/// # Invariants
/// The number is below [`TYPES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SwapType(u8);

impl SwapType {
    /// The area numbered `number`; [`Error::Invalid`] above 31.
    pub const fn new(number: u32) -> Result<Self> {
        // INVARIANT: 32 types are numbered 0 to 31.
        if number < TYPES as u32 { Ok(Self(number as u8)) } else { Err(Error::Invalid) }
    }

    /// The number, below [`TYPES`].
    #[must_use]
    pub const fn number(self) -> usize {
        self.0 as usize
    }

    /// All types in ascending order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TYPES as u8).map(Self)
    }
}

/// One slot of one swap area.
///
/// # Invariants
/// Bit 63 of the value is clear, so the type is below [`TYPES`] and the offset
/// at most [`OFFSET_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct SwapEntry(u64);

impl SwapEntry {
    /// The entry at `offset` slots into area `ty`; [`Error::Invalid`] past [`OFFSET_MAX`].
    pub const fn new(ty: SwapType, offset: u64) -> Result<Self> {
        if offset > OFFSET_MAX {
            return Err(Error::Invalid);
        }
        // INVARIANT: a type is below 32, so bit 63 stays clear.
        Ok(Self((ty.0 as u64) << OFFSET_BITS | offset))
    }

    /// The entry of a raw value; [`Error::Invalid`] where bit 63 is set.
    pub const fn from_raw(value: u64) -> Result<Self> {
        // INVARIANT: checked here.
        if value >> 63 == 0 { Ok(Self(value)) } else { Err(Error::Invalid) }
    }

    /// The raw value, `type << 58 | offset`.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The area this entry lies in.
    #[must_use]
    pub const fn swap_type(self) -> SwapType {
        // INVARIANT: bit 63 is clear, so five bits are left.
        SwapType((self.0 >> OFFSET_BITS) as u8)
    }

    /// The slot's offset in its area, in pages.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.0 & OFFSET_MAX
    }

    /// The entry of the folio of `nr` pages that this slot belongs to: aligned
    /// down to `nr` (TAG-11). [`Error::Invalid`] unless `nr` is a power of two
    /// that an offset can hold.
    pub const fn folio(self, nr: usize) -> Result<Self> {
        let nr = nr as u64;
        if !nr.is_power_of_two() || nr > OFFSET_MAX {
            return Err(Error::Invalid);
        }
        // INVARIANT: clearing offset bits leaves the type as it was.
        Ok(Self(self.0 & !(nr.wrapping_sub(1))))
    }
}

/// `nr` consecutive slots of one area, at least one.
///
/// # Invariants
/// `nr >= 1`, and the last slot lies in the first one's area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRange {
    first: SwapEntry,
    nr: u64,
}

impl EntryRange {
    /// The range of `nr` slots from `first` on. [`Error::Invalid`] where `nr` is
    /// zero or the range leaves its area (TAG-15).
    pub const fn new(first: SwapEntry, nr: usize) -> Result<Self> {
        let nr = nr as u64;
        // `OFFSET_MAX - offset` cannot wrap: an offset is at most OFFSET_MAX.
        if nr == 0 || nr.wrapping_sub(1) > OFFSET_MAX.wrapping_sub(first.offset()) {
            return Err(Error::Invalid);
        }
        // INVARIANT: both checked above.
        Ok(Self { first, nr })
    }

    /// Every slot of an area, the first and last offset included.
    #[must_use]
    pub const fn area(ty: SwapType) -> Self {
        // INVARIANT: offsets 0 to OFFSET_MAX of one type.
        Self { first: SwapEntry((ty.0 as u64) << OFFSET_BITS), nr: OFFSET_MAX.wrapping_add(1) }
    }

    /// The first slot.
    #[must_use]
    pub const fn first(self) -> SwapEntry {
        self.first
    }

    /// The last slot.
    #[must_use]
    pub const fn last(self) -> SwapEntry {
        // INVARIANT: `first + nr - 1` lies in the area.
        SwapEntry(self.first.0.wrapping_add(self.nr.wrapping_sub(1)))
    }

    /// Number of slots, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub const fn len(self) -> u64 {
        self.nr
    }

    /// The slot at `index`, or `None` past the end.
    #[must_use]
    pub const fn get(self, index: u64) -> Option<SwapEntry> {
        // INVARIANT: below `nr`, the slot lies in the area.
        if index < self.nr { Some(SwapEntry(self.first.0.wrapping_add(index))) } else { None }
    }
}
