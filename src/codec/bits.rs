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

    /// Appends a whole byte; only between bytes.
    pub(super) fn byte(&mut self, byte: u8) {
        if let Some(place) = self.out.get_mut(self.at) {
            *place = byte;
        }
        self.at = self.at.saturating_add(1);
    }

    /// Appends the lowest `count` bits, 8 at most; the others are 0.
    #[inline]
    pub(super) fn bits(&mut self, value: u8, count: u32) {
        self.held |= u64::from(value) << (self.bits & 63);
        self.bits = self.bits.wrapping_add(count);
        if self.bits >= 32 {
            let bytes = (self.held as u32).to_le_bytes();
            match self.out.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut) {
                Some(place) => {
                    *place = bytes;
                    self.at = self.at.saturating_add(4);
                }
                None => bytes.into_iter().for_each(|byte| self.byte(byte)),
            }
            self.held >>= 32;
            self.bits = self.bits.wrapping_sub(32);
        }
    }

    /// Fills the last byte up with zeroes; returns how many bytes there are.
    pub(super) fn finish(mut self) -> usize {
        let bytes = self.bits.div_ceil(8) as usize;
        self.held.to_le_bytes().into_iter().take(bytes).for_each(|byte| self.byte(byte));
        self.at
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

    /// The next `count` bits, 8 at most.
    #[inline]
    pub(super) fn bits(&mut self, count: u32) -> u8 {
        if self.bits < count {
            self.refill();
        }
        let value = self.held & !(u64::MAX << (count & 63));
        self.held >>= count & 63;
        self.bits = self.bits.wrapping_sub(count);
        value as u8
    }

    #[inline]
    fn refill(&mut self) {
        match self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some(chunk) => {
                self.held |= u64::from(u32::from_le_bytes(*chunk)) << (self.bits & 63);
                self.at = self.at.saturating_add(4);
                self.bits = self.bits.wrapping_add(32);
            }
            None => {
                self.held |= u64::from(self.byte()) << (self.bits & 63);
                self.bits = self.bits.wrapping_add(8);
            }
        }
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
