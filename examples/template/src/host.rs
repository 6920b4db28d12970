//! The library's host over the kernel.

use core::{alloc::Layout, marker::PhantomData, ptr::NonNull, sync::atomic::AtomicU32};

use mteswap::host::{AllocFlags, Host, Warning};

use crate::Kernel;

/// The host of the stores and swap areas of a kernel.
pub struct KernelHost<K>(PhantomData<K>);

impl<K> KernelHost<K> {
    /// The one there is; all are the same.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<K> Default for KernelHost<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> Clone for KernelHost<K> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

// SAFETY: memory is the heap's, one for all clones; `enter` keeps this CPU to the caller, as
// `Kernel` promises of `irq_save`; the lock is spin's.
unsafe impl<K: Kernel> Host for KernelHost<K> {
    type Lock = spin::Mutex<()>;
    type Cookie = usize;

    fn alloc(&self, layout: Layout, flags: AllocFlags) -> Option<NonNull<u8>> {
        NonNull::new(K::heap_alloc(layout, flags.contains(AllocFlags::MAY_SLEEP)))
    }

    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise: from `alloc`, with this layout, and done with.
        unsafe { K::heap_free(ptr.as_ptr(), layout) }
    }

    fn enter(&self) -> usize {
        K::irq_save()
    }

    fn exit(&self, cookie: usize) {
        K::irq_restore(cookie);
    }

    fn wait(&self, _: &AtomicU32, _: u32) {
        // Enough where faults seldom meet. A wait queue by the word's address is better:
        // looked at under its lock, so that no wake is missed.
        K::yield_now();
    }

    fn wake(&self, _: &AtomicU32) {}

    fn processor(&self) -> usize {
        K::processor()
    }

    fn warn(&self, warning: Warning) {
        // Your log. None of these is ours to go on from silently.
        debug_assert!(false, "mteswap: {warning:?}");
    }
}
