//! Small numbers in bytes, lowest bits first.

use core::num::NonZero;

/// Numbers that are unpacked at once, a byte each.
pub(super) const LANES: usize = size_of::<u64>();
/// The lowest bit of each.
pub(super) const ONES: u64 = u64::MAX / u8::MAX as u64;

/// Appends to a buffer. What does not fit is counted and dropped.
pub(super) struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
    /// What the byte at `at` begins with, and how many bits that is, 7 at most.
    held: u64,
    bits: usize,
}

impl<'a> Writer<'a> {
    /// Appends to the first `at` bytes.
    pub(super) fn behind(out: &'a mut [u8], at: usize) -> Self {
        Self { out, at, held: 0, bits: 0 }
    }

    /// Appends a whole byte; only between bytes.
    #[inline(always)]
    pub(super) fn byte(&mut self, byte: u8) {
        if let Some(place) = self.out.get_mut(self.at) {
            *place = byte;
        }
        self.at = self.at.saturating_add(1);
    }

    /// Appends the first `count` of eight numbers of `width` bits, 7 at most, that have a byte each: three
    /// shifts pack them all. The others are 0.
    #[inline(always)]
    pub(super) fn numbers(&mut self, bytes: u64, width: u32, count: usize) {
        let width = width & 7;
        let low = 0x00ff_00ff_00ff_00ff;
        let pairs = bytes & low | (bytes >> 8 & low) << width;
        let low = 0x0000_ffff_0000_ffff;
        let halves = pairs & low | (pairs >> 16 & low) << width.wrapping_mul(2);
        let low = 0x0000_0000_ffff_ffff;
        let packed = halves & low | (halves >> 32) << width.wrapping_mul(4);
        self.bits(packed, count.wrapping_mul(width as usize));
    }

    /// Appends a number of `count` bits, 56 at most.
    pub(super) fn bits(&mut self, number: u64, count: usize) {
        let held = self.held | number << (self.bits & 7);
        // The byte that is not done yet is written all the same, and again with the next bits.
        put(self.out, self.at, held);
        let bits = self.bits.wrapping_add(count);
        self.at = self.at.saturating_add(bits >> 3);
        self.held = held >> (bits & 0x38);
        self.bits = bits & 7;
    }

    /// Bytes there are; the last is filled up with zeroes.
    #[inline(always)]
    pub(super) fn finish(mut self) -> usize {
        if self.bits > 0 {
            self.byte(self.held as u8);
        }
        self.at
    }
}

/// Writes the bytes of a word that fit.
#[inline(always)]
pub(super) fn put(out: &mut [u8], at: usize, word: u64) {
    match out.get_mut(at..).unwrap_or_default().first_chunk_mut() {
        Some(place) => *place = word.to_le_bytes(),
        None => put_last(out, at, word),
    }
}

/// The same, where not all do.
#[inline(never)]
fn put_last(out: &mut [u8], at: usize, mut word: u64) {
    for place in out.get_mut(at..).unwrap_or_default() {
        *place = word as u8;
        word >>= 8;
    }
}

/// The bits from bit `at` on, 57 at least or, between bytes, 64; behind the last byte there are zeroes.
#[inline(always)]
pub(super) fn bits_at(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at >> 3..).unwrap_or_default();
    let word = match rest.first_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => last_bytes(bytes, rest.len()),
    };
    word >> (at & 7)
}

/// Eight numbers of `width` bits, 7 at most, from bit `at` on, a byte each: three shifts unpack them all.
#[inline(always)]
pub(super) fn numbers_at(bytes: &[u8], at: usize, width: u32) -> u64 {
    let width = width & 7;
    let mask = |of: u64, lanes: u32| of.wrapping_mul(!(u64::MAX << width.wrapping_mul(lanes)));
    let packed = bits_at(bytes, at);
    let halves = packed & mask(1, 4) | packed >> width.wrapping_mul(4) << 32;
    let pairs = mask(0x0000_0001_0000_0001, 2);
    let pairs = halves & pairs | (halves >> width.wrapping_mul(2) & pairs) << 16;
    let bytes = mask(0x0001_0001_0001_0001, 1);
    pairs & bytes | (pairs >> width & bytes) << 8
}

/// The bytes that end with bit `end`, or behind it; `None` if there are fewer.
pub(super) fn bytes_to(bytes: &[u8], end: usize) -> Option<NonZero<usize>> {
    let used = end.wrapping_add(7) >> 3;
    NonZero::new(used).filter(|used| used.get() <= bytes.len())
}

/// The last `count` bytes, fewer than a word.
#[inline(always)]
fn last_bytes(bytes: &[u8], count: usize) -> u64 {
    match bytes.last_chunk() {
        // In two steps: a word has no eight bytes more.
        Some(chunk) => {
            let missing = 7usize.wrapping_sub(count) & 7;
            u64::from_le_bytes(*chunk) >> 8 >> missing.wrapping_mul(8)
        }
        None => bytes.iter().rev().take(count).fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}
