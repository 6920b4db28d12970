//! The instructions: STG, LDG, and accesses through a pointer with a tag.
//!
//! One instruction each, so that a handler can step over one that faulted.

use core::arch::asm;

/// Where a pointer has its tag.
const TAG_SHIFT: u32 = 56;

/// Tags the granule at `at`.
pub fn set_tag(at: usize, tag: u8) {
    // SAFETY: writes the tag of a granule of the pages that `work` alone uses; no Rust object
    // lies there.
    unsafe {
        asm!(
            ".arch_extension memtag",
            "stg {tagged}, [{at}]",
            tagged = in(reg) tagged(at, tag),
            at = in(reg) at,
            options(nostack, preserves_flags),
        );
    }
}

/// The tag of the granule at `at`.
pub fn tag(at: usize) -> u8 {
    let mut tagged = at;
    // SAFETY: reads the tag of a granule; changes the tag bits of `tagged` only.
    unsafe {
        asm!(
            ".arch_extension memtag",
            "ldg {tagged}, [{at}]",
            tagged = inout(reg) tagged,
            at = in(reg) at,
            options(nostack, preserves_flags),
        );
    }
    (tagged >> TAG_SHIFT & 0xf) as u8
}

/// Reads the word at `at` by a pointer tagged `tag`; 0 where the access faulted.
pub fn load(at: usize, tag: u8) -> u64 {
    let mut value = 0;
    // SAFETY: reads a word of the pages that `work` alone uses. Where it faults, the handler
    // goes on behind it.
    unsafe {
        asm!(
            "ldr {value}, [{at}]",
            value = inout(reg) value,
            at = in(reg) tagged(at, tag),
            options(nostack, preserves_flags),
        );
    }
    value
}

/// Writes the word at `at` by a pointer tagged `tag`, unless the access faults.
pub fn store(at: usize, tag: u8, value: u64) {
    // SAFETY: writes a word of the pages that `work` alone uses; no Rust object lies there.
    // Where it faults, the handler goes on behind it.
    unsafe {
        asm!(
            "str {value}, [{at}]",
            value = in(reg) value,
            at = in(reg) tagged(at, tag),
            options(nostack, preserves_flags),
        );
    }
}

fn tagged(at: usize, tag: u8) -> usize {
    at | usize::from(tag) << TAG_SHIFT
}
