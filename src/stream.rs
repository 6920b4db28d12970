//! Streams of records: the tags of many pages in one file or on one connection.
//!
//! A header, records in ascending order of their keys, an end: byte by byte in
//! `docs/wire.md`. What is in a record is an encoding of [`codec`]; here is what is around it.
//!
//! - *Nothing here reads or writes.* A [`Writer`] fills the caller's buffer, a [`Reader`] is
//!   given bytes and says how many it used.
//! - *Nothing is believed unseen.* Each record carries half of a checksum of all that came
//!   before it, the end the whole of it and the number of records: what is cut off, altered,
//!   left out or somebody else's is refused before its tags are handed on.
//! - *What was interrupted goes on.* A reader that came to where the bytes end turns into the
//!   writer that stopped there ([`Reader::into_writer`]).
//!
//! # Examples
//! ```
//! use mteswap::{stream::{Item, Keys, Reader, Refused, Writer, room}, tags::Page4K};
//!
//! let mut bytes = [0; 3 * room::<Page4K>()];
//! let (mut writer, mut len) = Writer::<Page4K>::begin(Keys::GuestFrames, &mut bytes)?;
//! len += writer.record(0x80, &[0x7777_7777_7777_7777u64; 16], &mut bytes[len..])?;
//! // Interrupted here. What was written is read again, and then written on.
//! let (mut reader, mut at) = Reader::<Page4K>::begin(Keys::GuestFrames, &bytes[..len])?;
//! let mut tags = [0u64; 16];
//! let Item::Record { key, used } = reader.next(&bytes[at..len], &mut tags)? else { panic!() };
//! assert_eq!((key, tags), (0x80, [0x7777_7777_7777_7777; 16]));
//! at += used;
//! assert_eq!(reader.next(&bytes[at..len], &mut tags), Err(Refused::Truncated));
//! at += reader.into_writer().end(&mut bytes[at..])?;
//! # assert_eq!(at, len + 14);
//! # Ok::<(), Refused>(())
//! ```

#![forbid(unsafe_code)]

mod bytes;
#[cfg(test)]
mod tests;

use core::{fmt, marker::PhantomData};

use crc::{CRC_32_ISCSI, Crc, Digest};

use crate::{
    codec,
    error::Error,
    tags::{PageSize, TagSink, TagSource},
};
use bytes::{In, Out};

/// The first eight bytes of a stream. One is no ASCII and one a line's end, so that it does
/// not survive what takes it for text.
pub const MAGIC: [u8; 8] = *b"\x89MTETAG\n";
/// The version of the format written here, and the only one read.
pub const VERSION: u8 = 1;
/// Bytes of a header.
pub const HEADER_BYTES: usize = 16;

/// CRC-32C: what iSCSI, ext4 and Btrfs have.
static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// In a buffer of this many bytes, a header, any record and an end each have room. A reader
/// that is given as many never calls them truncated.
#[must_use]
pub const fn room<P: PageSize>() -> usize {
    // Gap, length, check.
    codec::encoded_max::<P>().saturating_add(10 + 2 + 2)
}

/// What the keys of a stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Keys {
    /// Swap entries, `type << 58 | offset`: the records of a store.
    SwapEntries = 0,
    /// Guest frame numbers: a guest's physical address in pages.
    GuestFrames = 1,
}

/// Why bytes were not read, or a record not written. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refused {
    /// The bytes end before what they begin: read more, or take them for cut off.
    Truncated,
    /// They do not begin as a stream does.
    Alien,
    /// A stream, of a later version.
    Version(u8),
    /// A stream of pages with this shift, not the one asked for.
    PageShift(u8),
    /// A stream with keys of another kind than asked for, by its number.
    Keys(u8),
    /// A stream that was altered, or lost something in the middle.
    Corrupt,
    /// A key to be written is not above the one before it.
    Order,
    /// The buffer to write to is too short; [`room`] says what always does.
    NoRoom,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("truncated"),
            Self::Alien => f.write_str("not a stream of page tags"),
            Self::Version(version) => {
                write!(f, "version {version} of the format; known up to {VERSION}")
            }
            Self::PageShift(shift) => write!(f, "for pages with a shift of {shift}"),
            Self::Keys(keys) => write!(f, "its keys are of another kind ({keys})"),
            Self::Corrupt => f.write_str("corrupt: bytes were altered or are missing"),
            Self::Order => f.write_str("a key out of order"),
            Self::NoRoom => f.write_str("no room in the buffer"),
        }
    }
}

impl core::error::Error for Refused {}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        if refused == Refused::NoRoom { Self::NoSpace } else { Self::Invalid }
    }
}

/// What a stream's first bytes say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// log2 of the page's bytes: 12, 14 or 16. Which [`Reader`] it is for.
    pub page_shift: u8,
    /// The number of a kind of [`Keys`].
    pub keys: u8,
}

impl Header {
    /// Reads a header: what to know before a [`Reader`] of the right page size is made.
    ///
    /// # Errors
    /// [`Refused::Alien`], [`Refused::Version`], [`Refused::Corrupt`]; [`Refused::Truncated`]
    /// where the bytes end but what is there is right.
    ///
    /// # Contexts
    /// Any.
    pub fn read(bytes: &[u8]) -> Result<Self, Refused> {
        let known = MAGIC.iter().zip(bytes).all(|(wanted, byte)| wanted == byte);
        if !known {
            return Err(Refused::Alien);
        }
        // The version first: of the bytes behind it, a later one may have made anything.
        match bytes.get(MAGIC.len()) {
            Some(&VERSION) | None => {}
            Some(&other) => return Err(Refused::Version(other)),
        }
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(Refused::Truncated)?;
        let [.., page_shift, keys, reserved, c0, c1, c2, c3] = *header;
        let right = check_of(header).finalize() == u32::from_le_bytes([c0, c1, c2, c3]);
        if !right || reserved != 0 {
            return Err(Refused::Corrupt);
        }
        Ok(Self { page_shift, keys })
    }
}

/// The checksum of a header's bytes but its own.
fn check_of(header: &[u8; HEADER_BYTES]) -> Digest<'static, u32> {
    let mut check = CRC.digest();
    if let Some((bytes, _)) = header.split_last_chunk::<4>() {
        check.update(bytes);
    }
    check
}

/// How far one is in a stream.
#[derive(Clone)]
struct Position {
    /// Of all bytes until here but the checksums.
    check: Digest<'static, u32>,
    /// The lowest key that may come; `None` once there is none.
    next: Option<u64>,
    records: u64,
}

impl Position {
    /// Behind a header.
    fn new(check: Digest<'static, u32>) -> Self {
        Self { check, next: Some(0), records: 0 }
    }

    /// Behind one more record.
    fn after(&self, key: u64, bytes: &[u8]) -> Self {
        let mut check = self.check.clone();
        check.update(bytes);
        Self { check, next: key.checked_add(1), records: self.records.saturating_add(1) }
    }

    /// What stands behind a record.
    fn half(&self) -> u16 {
        self.check.clone().finalize() as u16
    }
}

/// Writes a stream.
pub struct Writer<P: PageSize> {
    at: Position,
    page: PhantomData<P>,
}

impl<P: PageSize> Writer<P> {
    /// Writes a header to `out`; returns the writer and the bytes written.
    ///
    /// # Errors
    /// [`Refused::NoRoom`] in less than [`HEADER_BYTES`].
    ///
    /// # Contexts
    /// Any, as all of a writer; it allocates nothing.
    pub fn begin(keys: Keys, out: &mut [u8]) -> Result<(Self, usize), Refused> {
        let header = out.first_chunk_mut::<HEADER_BYTES>().ok_or(Refused::NoRoom)?;
        let [m0, m1, m2, m3, m4, m5, m6, m7] = MAGIC;
        let shift = P::SHIFT as u8;
        *header = [m0, m1, m2, m3, m4, m5, m6, m7, VERSION, shift, keys as u8, 0, 0, 0, 0, 0];
        let check = check_of(header);
        if let Some(place) = header.last_chunk_mut::<4>() {
            *place = check.clone().finalize().to_le_bytes();
        }
        Ok((Self { at: Position::new(check), page: PhantomData }, HEADER_BYTES))
    }

    /// Writes a record to `out`; returns the bytes written.
    ///
    /// # Errors
    /// [`Refused::Order`] where `key` is not above the one before it, [`Refused::NoRoom`]. The
    /// writer is as before; what is in `out` is unspecified.
    ///
    /// # Contexts
    /// As [`begin`](Self::begin).
    pub fn record(
        &mut self,
        key: u64,
        tags: &(impl TagSource + ?Sized),
        out: &mut [u8],
    ) -> Result<usize, Refused> {
        let gap = self.at.next.and_then(|next| key.checked_sub(next)).ok_or(Refused::Order)?;
        let mut out = Out::new(out);
        out.number(gap)?;
        out.sized(P::TAG_BYTES, |rest| codec::encode::<P>(tags, rest))?;
        let at = self.at.after(key, out.written());
        out.bytes(&at.half().to_le_bytes())?;
        self.at = at;
        Ok(out.written().len())
    }

    /// Writes the end to `out`; returns the bytes written.
    ///
    /// # Errors
    /// [`Refused::NoRoom`].
    ///
    /// # Contexts
    /// As [`begin`](Self::begin).
    pub fn end(&self, out: &mut [u8]) -> Result<usize, Refused> {
        let mut out = Out::new(out);
        out.bytes(&[0, 0])?;
        out.bytes(&self.at.records.to_le_bytes())?;
        let mut check = self.at.check.clone();
        check.update(out.written());
        out.bytes(&check.finalize().to_le_bytes())?;
        Ok(out.written().len())
    }

    /// The lowest key that may be written next, or `None` behind the highest of all. To go on
    /// with what was interrupted, go on from here.
    #[must_use]
    pub fn next_key(&self) -> Option<u64> {
        self.at.next
    }
}

/// What a reader found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A record, in the first `used` bytes; its tags are in the sink.
    Record {
        /// Of the kind that was asked for.
        key: u64,
        /// Bytes of the record.
        used: usize,
    },
    /// The end, in the first `used` bytes: the stream is whole. Another may follow.
    End {
        /// Records of the stream.
        records: u64,
        /// Bytes of the end.
        used: usize,
    },
}

/// Reads a stream.
pub struct Reader<P: PageSize> {
    at: Position,
    page: PhantomData<P>,
}

impl<P: PageSize> Reader<P> {
    /// Reads a header; returns the reader and the bytes used.
    ///
    /// # Errors
    /// Those of [`Header::read`]; [`Refused::PageShift`] and [`Refused::Keys`] where the
    /// stream is not what is asked for.
    ///
    /// # Contexts
    /// Any, as all of a reader; it allocates nothing.
    pub fn begin(keys: Keys, bytes: &[u8]) -> Result<(Self, usize), Refused> {
        let header = Header::read(bytes)?;
        if u32::from(header.page_shift) != P::SHIFT {
            return Err(Refused::PageShift(header.page_shift));
        }
        if header.keys != keys as u8 {
            return Err(Refused::Keys(header.keys));
        }
        let bytes = bytes.first_chunk().ok_or(Refused::Truncated)?;
        Ok((Self { at: Position::new(check_of(bytes)), page: PhantomData }, HEADER_BYTES))
    }

    /// Reads what comes next, a record or the end; the tags of a record go to `tags`.
    ///
    /// # Errors
    /// [`Refused::Truncated`]: call again with the same bytes and more behind them.
    /// [`Refused::Corrupt`]. In both cases `tags` is untouched and the reader where it was.
    ///
    /// # Contexts
    /// As [`begin`](Self::begin).
    pub fn next(
        &mut self,
        bytes: &[u8],
        tags: &mut (impl TagSink + ?Sized),
    ) -> Result<Item, Refused> {
        let mut input = In::new(bytes);
        let gap = input.number()?;
        let len = input.number()?;
        if len == 0 {
            return self.read_end(gap, input);
        }
        if len > codec::encoded_max::<P>() as u64 {
            return Err(Refused::Corrupt);
        }
        let key = self.at.next.and_then(|next| next.checked_add(gap)).ok_or(Refused::Corrupt)?;
        let encoded = input.bytes(len as usize)?;
        let at = self.at.after(key, input.used());
        if u16::from_le_bytes(input.array()?) != at.half() {
            return Err(Refused::Corrupt);
        }
        // All of it, or it is no record: asked before anything is written.
        if codec::decode::<P>(encoded, &mut Nowhere) != Ok(encoded.len())
            || codec::decode::<P>(encoded, tags).is_err()
        {
            return Err(Refused::Corrupt);
        }
        self.at = at;
        Ok(Item::Record { key, used: input.used().len() })
    }

    fn read_end(&self, gap: u64, mut input: In<'_>) -> Result<Item, Refused> {
        let records = u64::from_le_bytes(input.array()?);
        let mut check = self.at.check.clone();
        check.update(input.used());
        let right = u32::from_le_bytes(input.array()?) == check.finalize();
        if !right || gap != 0 || records != self.at.records {
            return Err(Refused::Corrupt);
        }
        Ok(Item::End { records, used: input.used().len() })
    }

    /// The writer that goes on behind what was read: for a stream that was cut off before its
    /// end.
    #[must_use]
    pub fn into_writer(self) -> Writer<P> {
        Writer { at: self.at, page: PhantomData }
    }
}

/// A sink that keeps nothing.
struct Nowhere;

impl TagSink for Nowhere {
    fn set_word(&mut self, _: usize, _: u64) {}
}
