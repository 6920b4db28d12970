//! Where the runs of a block begin.

use super::block::{GRANULES, QUARTERS};

/// The granules of a block where the tag changes: a bit each, never for the first.
// As bytes: what stands beside them is not aligned to words.
pub(super) struct Starts([[u8; size_of::<u64>()]; QUARTERS]);

impl Starts {
    pub(super) const fn new() -> Self {
        Self([[0; size_of::<u64>()]; QUARTERS])
    }

    /// Those of a quarter; none behind the last.
    #[inline(always)]
    pub(super) fn quarter(&self, quarter: usize) -> u64 {
        u64::from_le_bytes(self.0.get(quarter).copied().unwrap_or_default())
    }

    #[inline(always)]
    pub(super) fn set_quarter(&mut self, quarter: usize, starts: u64) {
        if let Some(place) = self.0.get_mut(quarter) {
            *place = starts.to_le_bytes();
        }
    }

    /// All of them, in order.
    pub(super) fn bytes(&self) -> [u8; size_of::<[u64; QUARTERS]>()] {
        self.0.as_flattened().first_chunk().copied().unwrap_or([0; size_of::<[u64; QUARTERS]>()])
    }

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|starts| u64::from_le_bytes(*starts).count_ones()).sum()
    }

    /// Before the first of them.
    #[inline(always)]
    pub(super) fn cursor(&self) -> Cursor {
        Cursor { rest: self.quarter(0), base: 0 }
    }

    /// The starts in the next quarter that has some, and its first granule.
    // Apart: it is needed three times at the most.
    #[inline(never)]
    fn quarter_behind(&self, mut base: usize) -> (u64, usize) {
        loop {
            base = base.wrapping_add(64);
            let rest = self.quarter(base >> 6);
            if rest != 0 || base >= GRANULES {
                return (rest, base);
            }
        }
    }

    /// One after the other.
    #[inline(always)]
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        let mut cursor = self.cursor();
        core::iter::from_fn(move || Some(cursor.next(self)).filter(|at| *at < GRANULES))
    }

    /// True if they come again every `period` granules, 1 to 255, and nowhere else; the
    /// block's first granule may be one or not.
    pub(super) fn are_periodic(&self, period: usize) -> bool {
        let [a, b, c, d] = self.0.map(u64::from_le_bytes);
        let word = |i: usize| self.quarter((period >> 6).wrapping_add(i));
        let (e, f, g, h) = (word(0), word(1), word(2), word(3));
        let bits = period & 63;
        let shift = |low: u64, high: u64| low >> bits | (high << 1) << (bits ^ 63);
        // The last `period` granules have nothing to be compared with: those before `end` have.
        let end = GRANULES.saturating_sub(period);
        let mask = |from: usize| match end.saturating_sub(from) {
            granules @ 0..64 => !(u64::MAX << granules),
            _ => u64::MAX,
        };
        let differs = (a ^ shift(e, f)) & !1 & mask(0)
            | (b ^ shift(f, g)) & mask(64)
            | (c ^ shift(g, h)) & mask(128)
            | (d ^ shift(h, 0)) & mask(192);
        differs == 0
    }
}

/// A place among the starts of a block.
// Without a reference to them: whoever walks has one, and few registers.
pub(super) struct Cursor {
    /// Starts still to come, in this quarter of the block.
    rest: u64,
    /// The quarter's first granule.
    base: usize,
}

impl Cursor {
    /// The next start, or the block's end.
    #[inline(always)]
    pub(super) fn next(&mut self, starts: &Starts) -> usize {
        if self.rest == 0 {
            (self.rest, self.base) = starts.quarter_behind(self.base);
            if self.rest == 0 {
                return GRANULES;
            }
        }
        let at = self.base | self.rest.trailing_zeros() as usize;
        self.rest &= self.rest.wrapping_sub(1);
        at
    }
}
