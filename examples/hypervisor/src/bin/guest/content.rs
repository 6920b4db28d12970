//! What belongs into a page: which data and which tag into each granule, computed from the
//! number of its last writing.

use hypercall::GRANULE;

/// The numbers of the writings that a page's data and tags are of; 0: fresh, all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Of the data.
    pub data: u32,
    /// Of the tags.
    pub tags: u32,
}

impl Content {
    /// A page nobody has written to.
    pub const FRESH: Self = Self { data: 0, tags: 0 };

    /// The tag of granule `granule` of page `page`. Seven pages of ten have one tag, two have
    /// runs, one has no pattern at all: so that records of every kind come up.
    pub fn tag(self, page: usize, granule: usize) -> u8 {
        if self.tags == 0 {
            return 0;
        }
        let page = mix(page as u64 ^ u64::from(self.tags) << 32);
        let run = match page % 10 {
            0 => granule as u64,
            1 | 2 => granule as u64 / (8 + page / 10 % 56),
            _ => 0,
        };
        (mix(page ^ run) >> 60) as u8
    }

    /// The two words of granule `granule` of page `page`.
    pub fn words(self, page: usize, granule: usize) -> [u64; GRANULE / 8] {
        if self.data == 0 {
            return [0; 2];
        }
        let first = mix((page as u64) << 12 ^ granule as u64 ^ u64::from(self.data) << 32);
        [first, !first]
    }
}

/// A generator of random numbers.
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(1);
        (mix(self.0) % limit as u64) as usize
    }
}

/// The mixing function of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(seed: u64) -> u64 {
    let word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}
