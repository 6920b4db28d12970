//! What mteswap asks of its host: memory, a lock, waiting, and an ear for warnings.

extern crate alloc;

use alloc::alloc as heap;
use core::{
    alloc::Layout,
    hint::spin_loop,
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use aarch64_cpu::asm;
use mteswap::host::{AllocFlags, Host, Warning};

use crate::{
    lock::{IrqLock, Masked, interrupts_off, interrupts_restore},
    say,
};

/// Looks at a word before a wait ends all the same.
const TICK: u32 = 100_000;

/// Bytes the library holds.
pub static BYTES: AtomicU64 = AtomicU64::new(0);
/// Faults of ours that the library reported.
pub static WARNINGS: AtomicU64 = AtomicU64::new(0);

/// The machine without an operating system.
#[derive(Debug, Clone, Copy)]
pub struct Bare;

// SAFETY: memory is the global allocator's and goes back to it with the same layout; between
// `enter` and `exit` interrupts are off, and nothing else can run on this CPU; the lock is
// `lock_api`'s contract, proven where it stands.
unsafe impl Host for Bare {
    type Lock = IrqLock;
    type Cookie = Masked;

    fn alloc(&self, layout: Layout, _: AllocFlags) -> Option<NonNull<u8>> {
        // SAFETY: the library asks for sizes above zero.
        let block = NonNull::new(unsafe { heap::alloc(layout) })?;
        BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        Some(block)
    }

    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout) {
        BYTES.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller's promise: from `alloc`, with this layout.
        unsafe { heap::dealloc(ptr.as_ptr(), layout) }
    }

    fn enter(&self) -> Masked {
        interrupts_off()
    }

    fn exit(&self, cookie: Masked) {
        interrupts_restore(cookie);
    }

    fn wait(&self, word: &AtomicU32, expected: u32) {
        for _ in 0..TICK {
            if word.load(Ordering::Acquire) != expected {
                return;
            }
            spin_loop();
        }
    }

    fn wake(&self, _: &AtomicU32) {
        // Who waits looks at the word itself.
        asm::sev();
    }

    fn warn(&self, warning: Warning) {
        WARNINGS.fetch_add(1, Ordering::Relaxed);
        say!("warning: {warning:?}");
    }
}
