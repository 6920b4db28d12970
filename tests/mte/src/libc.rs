//! What these tests need of the C library, and of the kernel's MTE interface
//! (Documentation/arch/arm64/memory-tagging-extension.rst).

use core::{
    alloc::Layout,
    ffi::{c_int, c_long, c_ulong, c_void},
    fmt,
    ptr::{self, NonNull},
    sync::atomic::AtomicU32,
};

use mteswap::host::{AllocFlags, Host, SpinLock, Warning};

const PROT_READ: c_int = 1;
const PROT_WRITE: c_int = 2;
const PROT_MTE: c_int = 0x20;
const MAP_PRIVATE: c_int = 2;
const MAP_ANONYMOUS: c_int = 0x20;
const PR_SET_TAGGED_ADDR_CTRL: c_int = 55;
const PR_TAGGED_ADDR_ENABLE: c_ulong = 1;
/// Synchronous checks: a load or store through a wrong tag gets a signal at once.
const PR_MTE_TCF_SYNC: c_ulong = 2;
const AT_HWCAP2: c_ulong = 26;
const HWCAP2_MTE: c_ulong = 1 << 18;
/// The signal of a failed tag check.
const SIGSEGV: c_int = 11;

unsafe extern "C" {
    fn mmap(
        at: *mut c_void,
        len: usize,
        prot: c_int,
        flags: c_int,
        fd: c_int,
        off: c_long,
    ) -> *mut c_void;
    fn munmap(at: *mut c_void, len: usize) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn getauxval(kind: c_ulong) -> c_ulong;
    fn aligned_alloc(align: usize, size: usize) -> *mut c_void;
    fn free(memory: *mut c_void);
    fn write(fd: c_int, bytes: *const c_void, len: usize) -> isize;
    fn fork() -> c_int;
    fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn _exit(status: c_int) -> !;
    fn abort() -> !;
}

pub struct Stdout;

impl fmt::Write for Stdout {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: the bytes of `text` are readable.
        let written = unsafe { write(1, text.as_ptr().cast(), text.len()) };
        if written == text.len() as isize { Ok(()) } else { Err(fmt::Error) }
    }
}

pub fn die() -> ! {
    // SAFETY: may be called at any time.
    unsafe { abort() }
}

/// Lets this process use tagged addresses, checked. False where the processor or the kernel
/// has no MTE.
pub fn enable_mte() -> bool {
    // SAFETY: reads the auxiliary vector.
    if unsafe { getauxval(AT_HWCAP2) } & HWCAP2_MTE == 0 {
        return false;
    }
    let mode = PR_TAGGED_ADDR_ENABLE | PR_MTE_TCF_SYNC;
    // SAFETY: changes how this process's own loads and stores are checked; no pointer is tagged
    // yet.
    unsafe { prctl(PR_SET_TAGGED_ADDR_CTRL, mode, 0 as c_ulong, 0 as c_ulong, 0 as c_ulong) == 0 }
}

/// Tagged memory, aligned to its length, which is a power of two; unmapped on drop.
pub struct Memory {
    mapping: NonNull<c_void>,
    mapped: usize,
    start: *mut u8,
}

impl Memory {
    pub fn new(len: usize) -> Self {
        let mapped = 2 * len;
        let prot = PROT_READ | PROT_WRITE | PROT_MTE;
        // SAFETY: a fresh mapping, where nothing is.
        let at = unsafe { mmap(ptr::null_mut(), mapped, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) };
        let Some(mapping) = NonNull::new(at).filter(|at| at.addr().get() != usize::MAX) else {
            die();
        };
        let start = at.cast::<u8>().wrapping_add(at.align_offset(len));
        Self { mapping, mapped, start }
    }

    /// The start, through a pointer with logical tag 0.
    pub fn start(&self) -> *mut u8 {
        self.start
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever uses it borrows this.
        unsafe { munmap(self.mapping.as_ptr(), self.mapped) };
    }
}

/// Runs `body` in a child process and returns whether it failed a check of tags.
pub fn faults(body: impl FnOnce()) -> bool {
    extern "C" fn faulted(_: c_int) {
        // SAFETY: may be called in a signal handler; ends the child.
        unsafe { _exit(SIGSEGV) }
    }
    // SAFETY: one thread, so the child may do anything.
    match unsafe { fork() } {
        -1 => die(),
        0 => {
            // SAFETY: the handler is async-signal-safe.
            unsafe { signal(SIGSEGV, faulted) };
            body();
            // SAFETY: ends the child, which has nothing to clean up.
            unsafe { _exit(0) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` is there to be written.
            unsafe { waitpid(child, &mut status, 0) };
            // Ended by _exit, with this number.
            status == SIGSEGV << 8
        }
    }
}

/// A host on malloc, for one thread.
#[derive(Clone, Copy)]
pub struct Libc;

// SAFETY: memory is malloc's; no handlers run; the lock is spin's.
unsafe impl Host for Libc {
    type Lock = SpinLock;
    type Cookie = ();

    fn alloc(&self, layout: Layout, _: AllocFlags) -> Option<NonNull<u8>> {
        // aligned_alloc wants at least a pointer's alignment, and a size that is its multiple.
        let layout = layout.align_to(16).ok()?.pad_to_align();
        // SAFETY: a power of two, and a multiple of it.
        NonNull::new(unsafe { aligned_alloc(layout.align(), layout.size()) }).map(NonNull::cast)
    }

    unsafe fn free(&self, ptr: NonNull<u8>, _: Layout) {
        // SAFETY: from `alloc`, and unused, by the caller's promise.
        unsafe { free(ptr.as_ptr().cast()) }
    }

    fn enter(&self) {}
    fn exit(&self, (): ()) {}
    fn wait(&self, _: &AtomicU32, _: u32) {}
    fn wake(&self, _: &AtomicU32) {}
    fn warn(&self, _: Warning) {
        die();
    }
}
