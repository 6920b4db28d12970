//! Telling the processor what is going to be read.

#[cfg(target_arch = "x86_64")]
macro_rules! hint {
    ($offset:literal) => {
        concat!("prefetcht0 byte ptr [{at} + ", $offset, "]")
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! hint {
    ($offset:literal) => {
        concat!("prfm pldl1keep, [{at}, ", $offset, "]")
    };
}

/// Hints for some bytes from an address on, which one register holds.
macro_rules! hints {
    ($at:expr, $($offset:literal)*) => {
        #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
        // SAFETY: hints, which change no state that a program can see, and fault at no address (Intel SDM, PREFETCHh; Arm
        // ARM DDI 0487, PRFM: no synchronous exception, a tag that does not match included).
        unsafe {
            core::arch::asm!(
                $(hint!($offset),)*
                at = in(reg) $at.addr(),
                options(nomem, nostack, preserves_flags),
            );
        }
        #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
        let _ = $at;
    };
}

/// Bytes of a line of cache, or a part of one.
pub(crate) const LINE: usize = 64;

/// Asks for the line of cache that `at` lies in. Nothing is read as far as the program is concerned, so `at` may point
/// anywhere, to what another thread frees as well.
#[inline(always)]
pub(crate) fn prefetch(at: *const u8) {
    hints!(at, 0);
}

/// The same for eight lines, the first of which begins at `at`.
#[inline(always)]
pub(crate) fn prefetch_eight(at: *const u8) {
    const { assert!(LINE == 64) };
    hints!(at, 0 64 128 192 256 320 384 448);
}
