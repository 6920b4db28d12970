//! Payloads of the host's memory that tell their own size.

use core::{alloc::Layout, ptr::NonNull};

/// Bytes of the size that begins a payload of the host's memory.
pub(super) const SIZE_BYTES: usize = 2;
/// Steps of such payloads.
pub(super) const SIZED_STEP: usize = 32;

/// The layout of a payload that tells its own size, of `len` bytes at least.
pub(super) fn sized_layout(len: usize) -> Option<Layout> {
    let size = len.checked_next_multiple_of(SIZED_STEP)?;
    Layout::from_size_align(size, SIZED_STEP).ok()
}

/// # Safety
/// `payload` is a live payload that begins with its size.
pub(super) unsafe fn layout_of_sized(payload: NonNull<u8>) -> Layout {
    // SAFETY: the caller's promise; payloads are aligned to `SIZED_STEP`.
    let size = u16::from_le_bytes(unsafe { payload.cast().read() });
    // What `sized_layout` made once it makes again: sizes are its multiples.
    sized_layout(size.into()).unwrap_or(Layout::new::<u16>())
}
