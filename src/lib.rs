//! Keeps the Arm MTE tags of pages that are swapped out.
//!
//! MTE gives every 16 bytes of memory a 4-bit tag. When a page goes to swap, its tags must
//! be kept somewhere and come back with it. Linux does that with an xarray of 128-byte
//! buffers (`arch/arm64/mm/mteswap.c`) and two page flags; this crate is that machinery as
//! a library, for kernels and hypervisors, without `alloc`, global state or panics.
//!
//! 1. **Sound without a contract.** Any thread may call anything for any entry at any
//!    time. What callers must not get wrong, types refuse (a slot freed before its tags
//!    were restored does not compile).
//! 2. **No lock wider than a leaf** of 64 entries, and none at all to look a record up.
//! 3. **Nothing is lost on the way.** A call that fails leaves everything as it was;
//!    nothing is allocated under a lock, and restore and invalidate allocate nothing.
//! 4. **Tags are secrets.** Memory that held them is wiped before anyone else gets it.
//!
//! # The floors
//! Lower ones know nothing of higher ones. Beside each, what it is in Linux.
//!
//! | floor | module | holds | Linux 6.12 |
//! |---|---|---|---|
//! | 5 | [`hooks`] | the order of things at swap-out and swap-in | `arch_prepare_to_swap`, `arch_swap_restore` |
//! | 4 | [`store`] | save, restore, invalidate | `mte_save_tags`, `mte_restore_tags`, `mte_invalidate_tags` |
//! | 4 | [`swap`] | swap map, slots, pin | `swapfile.c`: `__swap_duplicate`, `swapcache_prepare` |
//! | 3 | [`stream`] | records of many pages in a file or on a connection | |
//! | 3 | [`page`] | the flag protocol | `try_page_mte_tagging`, `mte_sync_tags` |
//! | 3 | `index`, `record` | which word belongs to which entry, and what it says | the xarray |
//! | 2 | [`codec`], `slab`, `pool` | tags to words and payloads; their memory | `kmalloc(MTE_PAGE_TAG_STORAGE)` |
//! | 2 | [`tagmem`] | reads and writes a page's tags | `lib/mte.S` |
//! | 2 | [`kvm`] | tags a byte a granule | KVM_ARM_MTE_COPY_TAGS |
//! | 1 | [`entry`], [`tags`], [`error`], [`host`] | names of things; what the embedder supplies | `swp_entry_t` |

#![no_std]
#![deny(missing_docs)]
#![warn(unreachable_pub)]
#![deny(
    clippy::multiple_unsafe_ops_per_block,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
// Tests may.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

#[cfg(test)]
extern crate std;

/// The README's program.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod codec;
pub mod entry;
pub mod error;
pub mod hooks;
pub mod host;
mod index;
pub mod kvm;
mod lanes;
mod opaque;
mod overlap;
pub mod page;
mod pool;
mod prefetch;
mod record;
mod slab;
pub mod store;
#[cfg(feature = "stream")]
pub mod stream;
pub mod swap;
#[cfg(not(any(loom, shuttle)))]
mod sync;
#[cfg(any(loom, shuttle))]
pub mod sync;
pub mod tagmem;
pub mod tags;
#[cfg(test)]
mod testing;
mod wipe;
