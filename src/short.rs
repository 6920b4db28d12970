//! Short memory, a few words mostly: for that no call is made that would branch on each length.

use core::ptr::NonNull;

/// Bytes of what is read or written at once.
const WORD: usize = size_of::<u64>();
/// No short memory is longer.
pub(crate) const SHORT_MAX: usize = 4 * WORD;

/// Where four words begin that `len` bytes are made of, a word at least and [`SHORT_MAX`] at the most: they overlap where it is less.
#[inline(always)]
pub(crate) fn words(len: usize) -> [usize; 4] {
    let last = len.wrapping_sub(WORD);
    // The first begins with the memory and the last ends with it; of those between them the one begins a word behind the first, the
    // other a word before the last, or as far as there is room. So no byte is between two of them.
    [0, last.min(WORD), last.saturating_sub(WORD), last]
}

/// Copies the first `len` bytes of `from`, or all there are, to `to`.
///
/// # Safety
/// The caller owns `len` bytes at `to`, 8 at least.
#[inline(always)]
pub(crate) unsafe fn copy_short<const N: usize>(from: &[u8; N], to: NonNull<u8>, len: usize) {
    const { assert!(N >= SHORT_MAX, "room for four words") };
    if len > SHORT_MAX {
        // SAFETY: the caller's bytes, which are no part of what is borrowed; no more than there are in `from`.
        return unsafe { to.copy_from_nonoverlapping(NonNull::from(from).cast(), len.min(N)) };
    }
    for at in words(len) {
        // SAFETY: up to [`SHORT_MAX`] it is all in `from`.
        let word = unsafe { from.as_ptr().add(at) };
        // SAFETY: as above, a word; of any alignment.
        let word = unsafe { word.cast::<u64>().read_unaligned() };
        // SAFETY: a word from there on is the caller's.
        let place = unsafe { to.add(at) };
        // SAFETY: as above; of any alignment.
        unsafe { place.cast::<u64>().write_unaligned(word) };
    }
}
