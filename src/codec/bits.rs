//! Bits in bytes, lowest first.

use crate::error::{Error, Result};

/// Appends to a buffer. What does not fit is counted and dropped.
pub(super) struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
    held: u64,
    bits: u32,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0, held: 0, bits: 0 }
    }

    /// Appends to the first `at` bytes.
    pub(super) fn behind(out: &'a mut [u8], at: usize) -> Self {
        Self { out, at, held: 0, bits: 0 }
    }

    /// Appends a whole byte; only between bytes.
    pub(super) fn byte(&mut self, byte: u8) {
        if let Some(place) = self.out.get_mut(self.at) {
            *place = byte;
        }
        self.at = self.at.saturating_add(1);
    }

    /// Appends the lowest `count` bits, 8 at most; the others are 0.
    #[inline(always)]
    pub(super) fn bits(&mut self, value: u8, count: u32) {
        self.held |= u64::from(value) << (self.bits & 63);
        self.bits = self.bits.wrapping_add(count);
        if self.bits >= 32 {
            match self.out.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut) {
                Some(place) => *place = (self.held as u32).to_le_bytes(),
                None => trickle(self.out, self.at, self.held, 4),
            }
            self.at = self.at.saturating_add(4);
            self.held >>= 32;
            self.bits = self.bits.wrapping_sub(32);
        }
    }

    /// Fills the last byte up with zeroes; returns how many bytes there are.
    #[inline]
    pub(super) fn finish(self) -> usize {
        let bytes = self.bits.div_ceil(8) as usize;
        trickle(self.out, self.at, self.held, bytes);
        self.at.saturating_add(bytes)
    }
}

/// Writes the lowest `count` bytes of `held` from `at` on, those that fit.
// With the writer's parts, not the writer: that stays in registers.
#[inline(never)]
fn trickle(out: &mut [u8], at: usize, held: u64, count: usize) {
    let rest = out.get_mut(at..).unwrap_or_default();
    for (place, byte) in rest.iter_mut().zip(held.to_le_bytes()).take(count) {
        *place = byte;
    }
}

/// Reads from a buffer; past its end there are zeroes, and [`overrun`](Self::overrun)
/// says so.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u64,
    bits: u32,
    overrun: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, held: 0, bits: 0, overrun: false }
    }

    /// The next whole byte; only between bytes.
    pub(super) fn byte(&mut self) -> u8 {
        let byte = self.bytes.get(self.at).copied();
        self.at = self.at.saturating_add(1);
        self.overrun |= byte.is_none();
        byte.unwrap_or(0)
    }

    /// The next `len` bytes as they lie, if there are so many; only between bytes.
    pub(super) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let bytes = self.bytes.get(self.at..)?.get(..len)?;
        self.at = self.at.saturating_add(len);
        Some(bytes)
    }

    /// `N` bytes from `at` on, wherever reading has got to.
    #[inline(always)]
    pub(super) fn look<const N: usize>(&self, at: usize) -> Result<&[u8; N]> {
        self.bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(Error::Invalid)
    }

    /// The next `count` bits, 8 at most.
    #[inline(always)]
    pub(super) fn bits(&mut self, count: u32) -> u8 {
        if self.bits < count {
            self.refill();
        }
        let value = self.held & !(u64::MAX << (count & 63));
        self.held >>= count & 63;
        self.bits = self.bits.wrapping_sub(count);
        value as u8
    }

    #[inline(always)]
    fn refill(&mut self) {
        let (bytes, count) = match self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some(chunk) => (u32::from_le_bytes(*chunk), 4),
            None => (u32::from(self.bytes.get(self.at).copied().unwrap_or(0)), 1),
        };
        self.overrun |= self.at >= self.bytes.len();
        self.held |= u64::from(bytes) << (self.bits & 63);
        self.at = self.at.saturating_add(count);
        self.bits = self.bits.wrapping_add((count as u32).wrapping_mul(8));
    }

    /// True if more was read than there was.
    pub(super) fn overrun(&self) -> bool {
        self.overrun
    }

    /// Bytes begun so far; [`Error::Invalid`] if more was read than there was.
    pub(super) fn finish(&self) -> Result<usize> {
        if self.overrun {
            Err(Error::Invalid)
        } else {
            Ok(self.at.wrapping_sub((self.bits >> 3) as usize))
        }
    }
}
