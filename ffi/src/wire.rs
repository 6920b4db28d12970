//! Wire format.

use core::ffi::{c_int, c_void};

use mteswap::{
    codec,
    error::{Error, Result},
    tags::PageSize,
};

use crate::{
    Page,
    args::{TagsIn, TagsOut, non_null},
};

/// What the header promises as MTESWAP_ENCODED_MAX; the format needs less.
pub(crate) const ENCODED_MAX: usize = Page::TAG_BYTES + 4;
const _: () = assert!(codec::encoded_max::<Page>() <= ENCODED_MAX);

/// mteswap_encode() - write a page's tags in the wire format
/// @tags: MTESWAP_TAGS_BYTES bytes
/// @buf: where to; nothing is written behind its first @len bytes
/// @len: bytes of @buf; MTESWAP_ENCODED_MAX always do
///
/// Tells its own end, so that pages can follow one another in a migration stream or a
/// snapshot.
///
/// Context: Any. Allocates nothing.
/// Return: Bytes written; 0 for NULL and where @len is too small.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_encode(
    tags: *const c_void,
    buf: *mut c_void,
    len: usize,
) -> usize {
    let encode = || -> Result<usize> {
        // SAFETY: the caller's tags, of one page.
        let tags = unsafe { TagsIn::new(tags) }?;
        let buf = non_null(buf.cast::<u8>())?;
        // No slice of Rust's is larger; no encoding needs nearly as much.
        let len = len.min(ENCODED_MAX);
        // SAFETY: the caller lets this function write `len` bytes at `buf`, to which no
        // one else has access while it runs; any bytes are `u8`s.
        let buf = unsafe { core::slice::from_raw_parts_mut(buf.as_ptr(), len) };
        codec::encode::<Page>(&tags, buf).ok_or(Error::NoSpace)
    };
    encode().unwrap_or(0)
}

/// mteswap_decode() - read a page's tags from the wire format
/// @buf: any bytes
/// @len: how many; none behind them is read
/// @tags: room for MTESWAP_TAGS_BYTES bytes; written only on success
///
/// Context: Any. Allocates nothing.
/// Return: Bytes consumed, or -EINVAL for what mteswap_encode() does not write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_decode(
    buf: *const c_void,
    len: usize,
    tags: *mut c_void,
) -> c_int {
    let decode = || -> Result<c_int> {
        let buf = non_null(buf.cast_mut().cast::<u8>())?;
        // SAFETY: the caller's room for one page's tags.
        let tags = unsafe { TagsOut::new(tags) }?;
        let len = len.min(ENCODED_MAX);
        // SAFETY: the caller lets this function read `len` bytes at `buf`, which no one
        // changes while it runs.
        let buf = unsafe { core::slice::from_raw_parts(buf.as_ptr(), len) };
        let used = codec::decode::<Page>(buf, tags)?;
        // At most `ENCODED_MAX`.
        c_int::try_from(used).map_err(|_| Error::Invalid)
    };
    decode().unwrap_or_else(Error::to_errno)
}
