//! Memory of a few words, read or written by four words that overlap: calls that do it would branch on each length, and no
//! processor can tell which is next.

use core::ptr::NonNull;

const WORD: usize = size_of::<u64>();
/// The least bytes that this will do for, and the most; more memory takes a call.
pub(crate) const MIN: usize = WORD;
pub(crate) const MAX: usize = 4 * WORD;

/// Where four words begin that together cover `len` bytes, [`MIN`] to [`MAX`], and nothing else: for each of them
/// `at + 8 <= len`.
#[inline(always)]
pub(crate) fn offsets(len: usize) -> [usize; 4] {
    debug_assert!((MIN..=MAX).contains(&len));
    let last = len.wrapping_sub(WORD);
    // The first begins with the memory and the last ends with it; of those between them the one begins a word behind the first, the
    // other a word before the last, or as far as there is room. So no byte is between two of them.
    [0, last.min(WORD), last.saturating_sub(WORD), last]
}

/// Copies the first `len` bytes of `from` to `to`, mostly no more than [`MAX`]; all of them where there are fewer, and what is behind
/// those is left as it was.
///
/// # Safety
/// The caller owns `len` bytes at `to`, [`MIN`] at least.
#[inline(always)]
pub(crate) unsafe fn copy<const N: usize>(from: &[u8; N], to: NonNull<u8>, len: usize) {
    const { assert!(N >= MAX, "room for four words") };
    if len > MAX {
        // SAFETY: the caller's bytes, which are no part of what is borrowed; no more than there are in `from`.
        return unsafe { to.copy_from_nonoverlapping(NonNull::from(from).cast(), len.min(N)) };
    }
    for at in offsets(len) {
        // SAFETY: a word from there on is in `from`: `at + 8 <= len`, which is no more than `MAX`, and so than `N`.
        let word = unsafe { from.as_ptr().add(at) };
        // SAFETY: as above; of any alignment.
        let word = unsafe { word.cast::<u64>().read_unaligned() };
        // SAFETY: a word from there on is the caller's: `at + 8 <= len`.
        let place = unsafe { to.add(at) };
        // SAFETY: as above; of any alignment.
        unsafe { place.cast::<u64>().write_unaligned(word) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_whole_and_no_longer() {
        let from: [u8; 64] = core::array::from_fn(|at| at as u8 + 1);
        for len in MIN..=80 {
            let mut to = [0xa5; 112];
            let place = NonNull::from(&mut to).cast::<u8>();
            // SAFETY: inside of the array.
            let place = unsafe { place.add(12) };
            // SAFETY: so many bytes are in the array from there on.
            unsafe { copy(&from, place, len) };
            let copied = len.min(from.len());
            assert_eq!(to[12..12 + copied], from[..copied], "{len} bytes");
            let others = to[..12].iter().chain(&to[12 + copied..]);
            assert!(others.copied().all(|byte| byte == 0xa5), "{len} bytes");
        }
    }

    #[test]
    fn offsets_cover_all_and_nothing_else() {
        for len in MIN..=MAX {
            let mut covered = [false; MAX];
            for at in offsets(len) {
                assert!(at + WORD <= len, "{at} of {len}");
                covered[at..at + WORD].fill(true);
            }
            assert!(covered[..len].iter().all(|covered| *covered), "{len} bytes");
        }
    }
}
