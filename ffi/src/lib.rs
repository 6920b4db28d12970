//! The C ABI of mteswap. `include/mteswap.h` is made from this crate by cbindgen.
//!
//! A function here does three things: it checks what C passed (`args`), calls the
//! function of the core that does the work, and turns the result into a C value. One file
//! a subject, in the order of the header.
//!
//! - Every pointer may be NULL; what is refused is `-EINVAL`, 0, false or no effect.
//! - Errors are negative errno values as Linux numbers them.
//! - Comments are kernel-doc: they become the header's.

#![no_std]
#![deny(missing_docs)]
#![deny(
    clippy::multiple_unsafe_ops_per_block,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![expect(non_camel_case_types, reason = "C's names")]

mod args;
#[cfg(mteswap_bindings)]
mod bindings;

// Apart, so that they keep the header's order.
mod store;

mod range;

mod wire;

mod page;

mod hooks;

mod swap;

mod host;

#[cfg(mteswap_page_shift = "12")]
use mteswap::tags::Page4K as Page;
#[cfg(mteswap_page_shift = "14")]
use mteswap::tags::Page16K as Page;
#[cfg(mteswap_page_shift = "16")]
use mteswap::tags::Page64K as Page;

use mteswap::tags::PageSize;

/// Version of this interface; grows when a caller compiled against an older header would
/// break. See mteswap_abi().
pub const MTESWAP_ABI: u32 = 1;

/// In mteswap_abi(): the library calls neither mteswap_host_enter() nor mteswap_host_exit().
pub const MTESWAP_ABI_NO_ENTER: u32 = 0x8000_0000;

/// A swap entry: type << 58 | offset, as arm64's swp_entry_t.val. Types are 0 to 31,
/// offsets 0 to 2^58 - 1; with bit 63 set it is none (TAG-15).
pub type mteswap_entry_t = u64;

/// mteswap_abi() - what the library was built as
///
/// Differs from MTESWAP_ABI << 8 | MTESWAP_PAGE_SHIFT where the header in use is not that
/// of the library, and where the library is one for callers who keep a CPU to themselves:
/// whoever links that adds MTESWAP_ABI_NO_ENTER.
///
/// Context: Any.
/// Return: MTESWAP_ABI << 8 | page shift, with MTESWAP_ABI_NO_ENTER from a library that was built
/// for callers of whom none begins a call on a CPU where another is within one: tasks of a kernel
/// without preemption, or threads, and no handler (cargo xtask lib --no-enter).
#[unsafe(no_mangle)]
pub extern "C" fn mteswap_abi() -> u32 {
    #[cfg(feature = "negative-control")]
    negative_control();
    let no_enter = if cfg!(feature = "no-enter") { MTESWAP_ABI_NO_ENTER } else { 0 };
    (MTESWAP_ABI << 8) | no_enter | Page::SHIFT
}

/// One index that the compiler must check: a panic in an export's reach.
#[cfg(feature = "negative-control")]
#[expect(clippy::indexing_slicing, reason = "what `cargo xtask symbols` must notice")]
fn negative_control() {
    core::hint::black_box([1, 2, 3][core::hint::black_box(3usize)]);
}
