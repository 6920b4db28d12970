//! Telling the processor what is going to be read.

#[cfg(target_arch = "x86_64")]
macro_rules! hint {
    () => {
        "prefetcht0 byte ptr [{at}]"
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! hint {
    () => {
        "prfm pldl1keep, [{at}]"
    };
}

/// Bytes of a line of cache, or a part of one.
pub(crate) const LINE: usize = 64;

/// Asks for the line of cache that `at` lies in. Nothing is read as far as the program is concerned, so `at` may point
/// anywhere, to what another thread frees as well.
#[inline(always)]
pub(crate) fn prefetch(at: *const u8) {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    // SAFETY: a hint, which changes no state that a program can see, and faults at no address (Intel SDM, PREFETCHh; Arm
    // ARM DDI 0487, PRFM: no synchronous exception, a tag that does not match included).
    unsafe {
        core::arch::asm!(
            hint!(),
            at = in(reg) at.addr(),
            options(nomem, nostack, preserves_flags),
        );
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = at;
}
