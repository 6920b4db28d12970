//! Keeping a compiler from rearranging a computation.

/// The same value, of which the compiler knows nothing: what it was made of is computed as it stands, and what depends on it is
/// not taken apart (Linux has `OPTIMIZER_HIDE_VAR` for that). It stays in a register, where `core::hint::black_box` goes through memory.
// On x86-64 alone: comparisons of many words, for one, are made a branch each there. Arm has conditional comparisons, and gets nothing
// from this.
#[inline(always)]
pub(crate) fn opaque(value: u64) -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let mut value = value;
        // SAFETY: no instruction at all, and it says of `value` that it is changed, to what it is.
        unsafe {
            core::arch::asm!(
                "/* {0} */",
                inout(reg) value,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        value
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    value
}
