//! Host hooks: what the library calls, and whoever links it supplies.
//!
//! Link-time symbols, so that a call costs a call. `hosted/host.c` has them for a program.

use core::{
    alloc::Layout,
    ffi::{c_uint, c_ulong, c_void},
    ptr::NonNull,
    sync::atomic::AtomicU32,
};

use mteswap::host::{AllocFlags, Host, SpinLock, Warning};

/// Of the flags of mteswap_host_alloc(): the caller may sleep.
pub const MTESWAP_HOST_MAY_SLEEP: u32 = 1;
/// mteswap_swap_free() of a slot that holds no such reference (PIN-4). Nothing was dropped.
pub const MTESWAP_WARN_BAD_SWAP_FREE: u32 = 1;
/// mteswap_swapcache_clear() of a slot without the mark (PIN-6). Nothing was cleared.
pub const MTESWAP_WARN_BAD_CACHE_CLEAR: u32 = 2;
/// mteswap_store_destroy() of a store that has swaps. It was leaked.
pub const MTESWAP_WARN_STORE_IN_USE: u32 = 3;
/// mteswap_swap_destroy() while slots were referenced or pinned.
pub const MTESWAP_WARN_SWAP_IN_USE: u32 = 4;
/// A record that no longer decodes: someone wrote to memory of the store.
pub const MTESWAP_WARN_CORRUPT_RECORD: u32 = 5;

// C's names for them are numbers, and these are the numbers.
const _: () = {
    assert!(MTESWAP_HOST_MAY_SLEEP == AllocFlags::MAY_SLEEP.bits());
    assert!(MTESWAP_WARN_BAD_SWAP_FREE == Warning::BadSwapFree as u32);
    assert!(MTESWAP_WARN_BAD_CACHE_CLEAR == Warning::BadCacheClear as u32);
    assert!(MTESWAP_WARN_STORE_IN_USE == Warning::StoreInUse as u32);
    assert!(MTESWAP_WARN_SWAP_IN_USE == Warning::SwapInUse as u32);
    assert!(MTESWAP_WARN_CORRUPT_RECORD == Warning::CorruptRecord as u32);
};

unsafe extern "C" {
    /// mteswap_host_alloc() - host hook: allocate memory
    /// @size: bytes, above 0
    /// @align: a power of two
    /// @flags: MTESWAP_HOST_MAY_SLEEP, or 0 where the hook must not sleep
    ///
    /// Called with none of the library's locks held and outside of mteswap_host_enter()
    /// and mteswap_host_exit().
    ///
    /// Return: Memory that nobody else uses, its content of no matter; NULL if there is none.
    pub(crate) fn mteswap_host_alloc(size: usize, align: usize, flags: c_uint) -> *mut c_void;

    /// mteswap_host_free() - host hook: take memory back
    /// @ptr: from mteswap_host_alloc()
    /// @size: as it was asked for
    /// @align: as it was asked for
    ///
    /// Must not sleep. Called as mteswap_host_alloc().
    pub(crate) fn mteswap_host_free(ptr: *mut c_void, size: usize, align: usize);

    /// mteswap_host_enter() - host hook: keep this CPU to the caller
    ///
    /// Switches preemption off, and interrupts where handlers call the library: until
    /// mteswap_host_exit(), nothing that does may run on this CPU. Nests. The place to tell
    /// a lock checker that a lock is taken: the library's own lock words are invisible to it. A library
    /// with MTESWAP_ABI_NO_ENTER calls neither this nor mteswap_host_exit().
    ///
    /// Return: What mteswap_host_exit() needs to undo it.
    pub(crate) fn mteswap_host_enter() -> c_ulong;

    /// mteswap_host_exit() - host hook: undo mteswap_host_enter()
    /// @cookie: what that returned
    pub(crate) fn mteswap_host_exit(cookie: c_ulong);

    /// mteswap_host_wait() - host hook: wait while a word has a value
    /// @word: read atomically
    /// @expected: the value
    ///
    /// Until mteswap_host_wake() of the same word, or for a tick; may return early. Must not
    /// miss a wake that follows a change of the word: look at it once queued. May sleep.
    pub(crate) fn mteswap_host_wait(word: *const u32, expected: u32);

    /// mteswap_host_wake() - host hook: wake all who wait on a word
    /// @word: as given to mteswap_host_wait()
    ///
    /// Must not sleep. Called as mteswap_host_alloc().
    pub(crate) fn mteswap_host_wake(word: *const u32);

    /// mteswap_host_warn() - host hook: hear of a caller's fault
    /// @warning: MTESWAP_WARN_...
    ///
    /// The library refused it and goes on. Must not sleep.
    pub(crate) fn mteswap_host_warn(warning: c_uint);

    /// mteswap_host_panic() - host hook: the library is broken
    ///
    /// No call leads here: `cargo xtask symbols` shows that the linked object does not even
    /// refer to it. Rust's language asks for a handler all the same.
    pub(crate) fn mteswap_host_panic() -> !;
}

/// The host of every store of this library: the hooks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelHost;

/// Where the caller's stack is by now; 0 where it cannot be told.
// A variable's address would tell it, too, and take room on it.
#[inline(always)]
fn stack_pointer() -> usize {
    let at: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads a register, and does nothing else.
    unsafe {
        core::arch::asm!("mov {}, rsp", out(reg) at, options(nomem, nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!("mov {}, sp", out(reg) at, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        at = 0;
    }
    at
}

// SAFETY: `alloc` and `free` are one allocator for every value of this type, and the hooks'
// contracts are this trait's: memory for one, a CPU kept between enter and exit. The lock is
// spin's.
unsafe impl Host for KernelHost {
    type Lock = SpinLock;
    type Cookie = c_ulong;

    fn alloc(&self, layout: Layout, flags: AllocFlags) -> Option<NonNull<u8>> {
        // SAFETY: the hook may be called with any size above 0, which this trait promises,
        // and any alignment of a layout.
        let memory = unsafe { mteswap_host_alloc(layout.size(), layout.align(), flags.bits()) };
        NonNull::new(memory.cast())
    }

    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise: from `alloc`, with this layout, and done with.
        unsafe { mteswap_host_free(ptr.as_ptr().cast(), layout.size(), layout.align()) }
    }

    #[inline]
    fn enter(&self) -> c_ulong {
        if cfg!(feature = "no-enter") {
            // The CPU is the caller's anyway, as whoever built this library says.
            return 0;
        }
        // SAFETY: may be called anywhere; each call has its `exit`.
        unsafe { mteswap_host_enter() }
    }

    #[inline]
    fn exit(&self, cookie: c_ulong) {
        if cfg!(feature = "no-enter") {
            return;
        }
        // SAFETY: `cookie` is from the matching `enter`.
        unsafe { mteswap_host_exit(cookie) }
    }

    /// No hook, which would be a call more: who calls at the same time has another stack. Its address
    /// without what is a matter of depth, of stacks of 16 KiB, and all of its bits mixed: stacks lie at powers of two
    /// from one another. A larger one is in other lanes at other depths, which costs time alone.
    #[inline]
    fn processor(&self) -> usize {
        (stack_pointer() >> 14).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60
    }

    fn wait(&self, word: &AtomicU32, expected: u32) {
        // SAFETY: a live word, which the hook only reads, atomically.
        unsafe { mteswap_host_wait(word.as_ptr(), expected) }
    }

    fn wake(&self, word: &AtomicU32) {
        // SAFETY: a live word; only its address counts.
        unsafe { mteswap_host_wake(word.as_ptr()) }
    }

    fn warn(&self, warning: Warning) {
        // SAFETY: may be called with any number.
        unsafe { mteswap_host_warn(warning as c_uint) }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: may be called anywhere, and does not return.
    unsafe { mteswap_host_panic() }
}
