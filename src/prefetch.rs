//! Telling the processor what is going to be read.

/// Asks for the line of cache that `at` lies in. Nothing is read as far as the program is concerned, so `at` may point
/// anywhere, to what another thread frees as well.
#[inline(always)]
pub(crate) fn prefetch(at: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint, which changes no state that a program can see, and faults at no address (Intel SDM, PREFETCHh).
    unsafe {
        core::arch::asm!(
            "prefetcht0 byte ptr [{at}]",
            at = in(reg) at.addr(),
            options(nomem, nostack, preserves_flags),
        );
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above (Arm ARM DDI 0487, PRFM: no synchronous exception, a tag that does not match included).
    unsafe {
        core::arch::asm!(
            "prfm pldl1keep, [{at}]",
            at = in(reg) at.addr(),
            options(nomem, nostack, preserves_flags),
        );
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = at;
}
