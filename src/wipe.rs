//! Zeroing memory that held tags (TAG-12).

use core::ptr::NonNull;

use crate::overlap;

/// Zeroes memory that held tags.
///
/// # Safety
/// The caller owns `len` bytes at `memory`.
pub(crate) unsafe fn wipe(memory: NonNull<u8>, len: usize) {
    // SAFETY: the caller's bytes.
    unsafe { memory.write_bytes(0, len) };
    keep_zeroes(memory);
}

/// The same of a few words, without a call.
///
/// # Safety
/// The caller owns `len` bytes at `memory`, [`overlap::MIN`] to [`overlap::MAX`].
#[inline(always)]
pub(crate) unsafe fn wipe_few(memory: NonNull<u8>, len: usize) {
    for at in overlap::offsets(len) {
        // SAFETY: a word from there on is the caller's: `at + 8 <= len`.
        let word = unsafe { memory.add(at) };
        // SAFETY: as above; of any alignment.
        unsafe { word.cast::<u64>().write_unaligned(0) };
    }
    keep_zeroes(memory);
}

/// Sees to it that no optimiser leaves zeroes out because the memory is freed next.
#[inline(always)]
fn keep_zeroes(memory: NonNull<u8>) {
    // Assembly that may read the memory, for all that the compiler knows: the zeroes must be
    // there by now. Volatile stores would say the same, one word at a time.
    #[cfg(not(miri))]
    // SAFETY: it does nothing.
    unsafe {
        core::arch::asm!("/* {0} */", in(reg) memory.as_ptr(), options(nostack, preserves_flags));
    }
    #[cfg(miri)]
    let _ = memory;
}
