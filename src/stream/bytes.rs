//! Numbers and bytes of a stream, in and out of slices.
//!
//! A number is LEB128: seven bits a byte, the lowest first, bit 7 set where more follow. There
//! is one way to write each: no zeroes at the end.

use super::Refused;

/// Bytes of the longest number: ten times seven bits are more than 64.
const NUMBER_BYTES: usize = 10;

/// Writes to a slice from its beginning.
pub(super) struct Out<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> Out<'a> {
    pub(super) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// What was written until now.
    pub(super) fn written(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let end = self.len.saturating_add(bytes.len());
        self.buffer.get_mut(self.len..end).ok_or(Refused::NoRoom)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    pub(super) fn number(&mut self, number: u64) -> Result<(), Refused> {
        let mut rest = number;
        while rest >= 0x80 {
            self.bytes(&[rest as u8 | 0x80])?;
            rest >>= 7;
        }
        self.bytes(&[rest as u8])
    }

    /// Writes what `fill` writes, its length before it. `often` is how long it is at most but
    /// for a few bytes: it says how much room the length is given at first.
    pub(super) fn sized(
        &mut self,
        often: usize,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<(), Refused> {
        let begin = self.len;
        self.number(often as u64)?;
        let from = self.len;
        let len = self.buffer.get_mut(from..).and_then(fill).ok_or(Refused::NoRoom)?;
        // Now that the length is known, it goes before, and the bytes behind it.
        self.len = begin;
        self.number(len as u64)?;
        let end = from.saturating_add(len);
        let behind = self.len.saturating_add(len);
        if behind > self.buffer.len() || end > self.buffer.len() {
            return Err(Refused::NoRoom);
        }
        self.buffer.copy_within(from..end, self.len);
        self.len = behind;
        Ok(())
    }
}

/// Reads from a slice from its beginning.
#[derive(Clone)]
pub(super) struct In<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> In<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// What was read until now.
    pub(super) fn used(&self) -> &'a [u8] {
        self.bytes.get(..self.at).unwrap_or_default()
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Refused> {
        let end = self.at.saturating_add(len);
        let bytes = self.bytes.get(self.at..end).ok_or(Refused::Truncated)?;
        self.at = end;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Refused> {
        self.bytes(N)?.first_chunk().copied().ok_or(Refused::Truncated)
    }

    pub(super) fn number(&mut self) -> Result<u64, Refused> {
        let mut number = 0u64;
        for place in 0..NUMBER_BYTES as u32 {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            let shift = place.saturating_mul(7);
            // Of the tenth byte, one bit is left.
            if shift > 57 && bits >> 64u32.saturating_sub(shift) != 0 {
                return Err(Refused::Corrupt);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                // A zero at the end: the same number with a byte less.
                return if byte == 0 && place > 0 { Err(Refused::Corrupt) } else { Ok(number) };
            }
        }
        Err(Refused::Corrupt)
    }
}
