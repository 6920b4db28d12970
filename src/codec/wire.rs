//! The wire format: one page's tags in bytes that tell where they end.
//!
//! | first byte | what follows |
//! |---|---|
//! | `0xb0` to `0xbf` | nothing: every granule has the tag in the lowest four bits |
//! | `0xa1` | eight bytes, little-endian: an inline code ([`super::inline`]) |
//! | `0xa2` | the page's blocks in order ([`super::block`]) |
//! | `0xa3` | the page's tags as they are |

use super::{
    Encoder, Few, Form, InlineCode, Short, block::BLOCK_WORDS, copy, decode_bytes, decode_inline,
    inline, one_tag,
};
use crate::{
    error::{Error, Result},
    tags::{PageSize, TagSink, TagSource},
};

const ONE_TAG: u8 = 0xb0;
const INLINE: u8 = 0xa1;
const BLOCKS: u8 = 0xa2;
const RAW: u8 = 0xa3;

/// A buffer of this many bytes holds any page's encoding.
#[must_use]
pub const fn encoded_max<P: PageSize>() -> usize {
    P::TAG_BYTES.saturating_add(1)
}

/// Encodes a page's tags; returns the bytes written, [`encoded_max`] at most. `None` where
/// `buf` is too short; what is in it then is unspecified.
///
/// # Contexts
/// Any; allocates nothing.
pub fn encode<P: PageSize>(source: &(impl TagSource + ?Sized), buf: &mut [u8]) -> Option<usize> {
    let (first, rest) = buf.split_first_mut()?;
    if let Some(tag) = one_tag::<P>(source) {
        *first = ONE_TAG | tag as u8;
        return Some(1);
    }
    let len = match write_short::<P>(source, first, rest) {
        Ok(written) => written?,
        Err(Long) => encode_long::<P>(source, first, rest)?,
    };
    len.checked_add(1)
}

/// A page that is not [`Short`].
struct Long;

/// Encodes a page that is [`Short`]; returns the bytes behind the first, `None` where they do not fit.
// Apart: what it has on the stack is not needed longer.
#[inline(never)]
fn write_short<P: PageSize>(
    source: &(impl TagSource + ?Sized),
    first: &mut u8,
    rest: &mut [u8],
) -> core::result::Result<Option<usize>, Long> {
    let mut few = Few::new();
    let written = match Few::choose::<P>(source, &mut few) {
        Some(Short::Inline(code)) if code.bits() < 16 => {
            *first = ONE_TAG | code.bits() as u8;
            Some(0)
        }
        Some(Short::Inline(code)) => {
            *first = INLINE;
            rest.first_chunk_mut().map(|bytes| {
                *bytes = code.bits().to_le_bytes();
                size_of::<u64>()
            })
        }
        Some(Short::List(few)) => {
            *first = BLOCKS;
            let len = few.list_len();
            rest.get_mut(..len).map(|bytes| {
                few.write_list(bytes);
                len
            })
        }
        // On a wire bytes count for more than what they cost.
        Some(Short::Raw) | None => return Err(Long),
    };
    Ok(written)
}

/// Encodes a page that is not [`Short`]; returns the bytes behind the first.
#[inline(never)]
fn encode_long<P: PageSize>(
    source: &(impl TagSource + ?Sized),
    first: &mut u8,
    rest: &mut [u8],
) -> Option<usize> {
    let mut encoder = Encoder::<P>::new();
    match encoder.read(source) {
        Form::Bytes(len) => match encoder.write(source, rest.get_mut(..len)?) {
            Some(len) => {
                *first = BLOCKS;
                Some(len)
            }
            // The tags changed between two looks.
            None => encode_raw::<P>(source, first, rest),
        },
        Form::Raw => encode_raw::<P>(source, first, rest),
    }
}

fn encode_raw<P: PageSize>(
    source: &(impl TagSource + ?Sized),
    first: &mut u8,
    rest: &mut [u8],
) -> Option<usize> {
    *first = RAW;
    copy::<P>(source, rest.get_mut(..P::TAG_BYTES)?);
    Some(P::TAG_BYTES)
}

/// Decodes a page's tags; returns the bytes consumed. Bytes behind them are not looked at.
///
/// Any bytes decode safely; those that no encoder writes are refused or decode to some
/// page.
///
/// # Errors
/// [`Error::Invalid`] for an empty, truncated or unknown encoding; `sink` is untouched.
///
/// # Contexts
/// Any; allocates nothing.
pub fn decode<P: PageSize>(buf: &[u8], sink: &mut (impl TagSink + ?Sized)) -> Result<usize> {
    let (first, rest) = buf.split_first().ok_or(Error::Invalid)?;
    let len = match *first {
        INLINE => {
            let bits = u64::from_le_bytes(*rest.first_chunk().ok_or(Error::Invalid)?);
            let code = InlineCode::from_bits(bits);
            if code.bits() != bits || !inline::is_known::<P>(code) {
                return Err(Error::Invalid);
            }
            decode_inline::<P>(code, sink);
            size_of::<u64>()
        }
        BLOCKS => {
            // Of one block nothing is written before all of it is known to be good.
            if P::WORDS > BLOCK_WORDS {
                decode_blocks::<P>(rest, sink, false)?;
            }
            decode_blocks::<P>(rest, sink, true)?
        }
        RAW => {
            copy::<P>(rest.get(..P::TAG_BYTES).ok_or(Error::Invalid)?, sink);
            P::TAG_BYTES
        }
        tag if tag & 0xf0 == ONE_TAG => {
            decode_inline::<P>(InlineCode::from_bits(u64::from(tag & 15)), sink);
            0
        }
        _ => return Err(Error::Invalid),
    };
    len.checked_add(1).ok_or(Error::Invalid)
}

/// Of more than one block, once for finding out, and once for writing: one piece of code for both.
#[inline(never)]
fn decode_blocks<P: PageSize>(
    bytes: &[u8],
    sink: &mut (impl TagSink + ?Sized),
    wet: bool,
) -> Result<usize> {
    decode_bytes::<P>(bytes, sink, wet)
}
