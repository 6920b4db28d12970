//! A template: what a Rust kernel or hypervisor puts around `mteswap` to page out memory with
//! tags.
//!
//! 1. [`Kernel`]: what is there already. The three functions that page-table crates ask for
//!    (`alloc_frame`, `dealloc_frame`, `phys_to_virt`), a heap, interrupts, a device.
//! 2. [`KernelHost`]: the library's host over it.
//! 3. [`Pager`]: swap-out and swap-in of a page, in the order that loses nothing.
//!
//! Copy the crate, implement [`Kernel`] for your own, and put your PTEs behind [`Pte`].
//! `tests/mock.rs` does both for a machine made of arrays.

#![no_std]
#![deny(missing_docs)]

mod host;
mod pager;

use core::alloc::Layout;

use mteswap::{entry::SwapEntry, page::Page, tagmem::TagMemory};

pub use host::KernelHost;
pub use pager::{PageError, Pager, Store};

/// Bytes of a page and of a frame.
pub const PAGE_BYTES: usize = 4096;

/// The kernel around the library.
///
/// Functions without `self`, as page-table crates have them: there is one kernel.
///
/// # Safety
/// - A frame from [`alloc_frame`](Self::alloc_frame) is nobody else's until it is given to
///   [`dealloc_frame`](Self::dealloc_frame); [`phys_to_virt`](Self::phys_to_virt) maps its
///   [`PAGE_BYTES`] for reading and writing.
/// - The heap is a heap: [`core::alloc::GlobalAlloc`]'s contract.
/// - Between [`irq_save`](Self::irq_save) and [`irq_restore`](Self::irq_restore) nothing that pages
///   runs on this CPU.
pub unsafe trait Kernel: Copy + Send + Sync + 'static {
    /// How a frame's tags are reached: on arm64 at EL1 or EL2 `mteswap::tagmem::NativePage`.
    type Tags: TagMemory + 'static;

    /// A frame's physical address, its page flags clear; `None` where there is no memory.
    fn alloc_frame() -> Option<usize>;
    /// Takes a frame back.
    fn dealloc_frame(frame: usize);
    /// Where the kernel sees a frame.
    fn phys_to_virt(frame: usize) -> *mut u8;
    /// The frame's flag word and tags. On arm64: a word for each frame beside your frame
    /// table, and `mteswap::tagmem::native_page(phys_to_virt(frame))`.
    fn page(frame: usize) -> Page<'static, Self::Tags>;

    /// Memory from the kernel's heap, or null; `may_sleep` says whether it may wait for some.
    fn heap_alloc(layout: Layout, may_sleep: bool) -> *mut u8;
    /// # Safety
    /// `ptr` is from [`heap_alloc`](Self::heap_alloc) with this layout, and done with.
    unsafe fn heap_free(ptr: *mut u8, layout: Layout);

    /// Switches interrupts (and with them preemption) off; returns how they were.
    fn irq_save() -> usize;
    /// Puts them back.
    fn irq_restore(state: usize);

    /// The number of this CPU, if only for a moment: those that work at the same time are kept out of each other's
    /// caches by it.
    fn processor() -> usize;
    /// Gives the CPU to others for a while.
    fn yield_now();

    /// Writes a page of the device; false where that failed.
    fn device_write(slot: u64, page: &[u8; PAGE_BYTES]) -> bool;
    /// Reads a page of the device; false where that failed.
    fn device_read(slot: u64, page: &mut [u8; PAGE_BYTES]) -> bool;
}

/// What a page-table entry says, as far as paging goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PteValue {
    /// The page is in this frame.
    Present(usize),
    /// The page is in this slot.
    Swapped(SwapEntry),
}

/// One page-table entry, under its page table's lock.
pub trait Pte {
    /// Runs `change` with the page-table lock held, and makes the entry what it left behind.
    fn locked<R>(&self, change: impl FnOnce(&mut PteValue) -> R) -> R;
}
