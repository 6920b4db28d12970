//! What an embedder supplies: memory, locks, waiting, and an ear for warnings.

use core::{
    alloc::Layout,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

use bitflags::bitflags;

use crate::{
    error::{Error, Result},
    sync::AtomicU32,
};

bitflags! {
    /// How an allocation may go about finding memory.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct AllocFlags: u32 {
        /// May sleep (`GFP_KERNEL`). Without it the host must not sleep (`GFP_ATOMIC`).
        const MAY_SLEEP = 1;
    }
}

/// A fault of the caller that the library noticed and refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[non_exhaustive]
pub enum Warning {
    /// `swap_free` of a slot that holds no such reference (PIN-4). Nothing was dropped.
    BadSwapFree = 1,
    /// `swapcache_clear` of a slot without the mark (PIN-6). Nothing was cleared.
    BadCacheClear = 2,
    /// A store destroyed while swaps still use it: the store was leaked.
    StoreInUse = 3,
    /// A swap destroyed while some of its slots were still referenced or pinned.
    SwapInUse = 4,
    /// A record that does not decode: memory of the store was written to by someone
    /// else. It was not restored, or not whole.
    CorruptRecord = 5,
}

/// The services of the machine the library runs on.
///
/// A host is a value of the store: a reference to the embedder's state, or a unit
/// struct where that state is global.
///
/// # Safety
/// - [`alloc`](Self::alloc) returns memory of the layout asked for that nobody else
///   uses until it is given to [`free`](Self::free), and `clone`s of a host are one
///   host: each frees what the other allocated.
/// - Between [`enter`](Self::enter) and the matching [`exit`](Self::exit), nothing
///   that calls into the library may run on this CPU: a handler that did would spin
///   for a lock that its own CPU holds.
/// - [`Lock`](Self::Lock) upholds `lock_api`'s contract.
pub unsafe trait Host: Clone + Send + Sync {
    /// The lock around the library's lists. It is taken between `enter` and `exit`
    /// only, held for a bounded number of instructions and never across a call of
    /// `alloc`, `free`, `wait` or `wake`, so a plain spinlock does.
    type Lock: lock_api::RawMutex + Send + Sync;
    /// What `exit` needs to undo `enter`: the saved interrupt state.
    type Cookie: Copy;

    /// Allocates, or returns `None`. Called with none of the library's locks held and
    /// outside of `enter`/`exit`; sleeps only where `flags` allow it. Sizes are above
    /// zero; the memory's content does not matter.
    fn alloc(&self, layout: Layout, flags: AllocFlags) -> Option<NonNull<u8>>;

    /// Gives memory back. Called in the contexts of [`alloc`](Self::alloc) without
    /// [`AllocFlags::MAY_SLEEP`]; must not fail and must not sleep.
    ///
    /// # Safety
    /// `ptr` came from `alloc` of this host with the same `layout` and is not used
    /// any more.
    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout);

    /// Keeps this CPU to the caller: switches preemption off, and interrupts where
    /// handlers call into the library. Nests; of nested ones, the inner may be undone in
    /// any order, the outermost is undone last.
    fn enter(&self) -> Self::Cookie;

    /// Undoes the `enter` that returned `cookie`.
    fn exit(&self, cookie: Self::Cookie);

    /// Waits while `*word == expected`: until [`wake`](Self::wake) of the same word,
    /// or for a tick at most. It must not sleep past a `wake` that follows a change
    /// of the word (a futex, or a wait queue that looks at the word once it is
    /// queued). Early returns do no harm. May sleep.
    fn wait(&self, word: &AtomicU32, expected: u32);

    /// Wakes all who wait on `word`. Called outside of `enter`/`exit`; must not sleep.
    fn wake(&self, word: &AtomicU32);

    /// A number that callers at the same time do not share, as far as it can be had for next to nothing: the CPU's, or
    /// the thread's. Memory is handed out so that few numbers meet in it. A number that is another's, or out of
    /// date, costs nothing but time. Asked in any context, with locks of the library held, too: it must not sleep, take a lock
    /// or call the library.
    fn processor(&self) -> usize {
        0
    }

    /// Hears of a caller's fault. Must not sleep.
    fn warn(&self, warning: Warning);
}

/// The lock an embedder without one of its own uses: a spinning test-and-set.
pub type SpinLock = spin::Mutex<()>;

/// A lock of the library: the host's, taken inside `enter`/`exit`.
///
/// The one lock wrapper of this crate, so that no list is ever locked with
/// interrupts on.
pub(crate) struct Lock<H: Host, T> {
    inner: lock_api::Mutex<H::Lock, T>,
}

impl<H: Host, T> Lock<H, T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { inner: lock_api::Mutex::new(value) }
    }

    /// Takes the lock; it is released, and the CPU given back, when the guard drops.
    pub(crate) fn lock<'a>(&'a self, host: &'a H) -> Guard<'a, H, T> {
        let entered = Entered::new(host);
        Guard { guard: self.inner.lock(), _entered: entered }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }
}

/// Proof that a [`Lock`] is held.
pub(crate) struct Guard<'a, H: Host, T> {
    // Declared first, so dropped first: the lock is released before the CPU is.
    guard: lock_api::MutexGuard<'a, H::Lock, T>,
    _entered: Entered<'a, H>,
}

impl<H: Host, T> Deref for Guard<'_, H, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<H: Host, T> DerefMut for Guard<'_, H, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// Proof that this CPU is the caller's: between `enter` and `exit`.
pub(crate) struct Entered<'a, H: Host> {
    host: &'a H,
    cookie: H::Cookie,
}

impl<'a, H: Host> Entered<'a, H> {
    pub(crate) fn new(host: &'a H) -> Self {
        Self { host, cookie: host.enter() }
    }

    /// Leaves the `exit` to the caller.
    pub(crate) fn into_cookie(self) -> H::Cookie {
        core::mem::ManuallyDrop::new(self).cookie
    }
}

impl<H: Host> Drop for Entered<'_, H> {
    fn drop(&mut self) {
        self.host.exit(self.cookie);
    }
}

/// A slice in the host's memory, its own until it is dropped.
///
/// # Invariants
/// `ptr` came from `host.alloc` for `len` values of `T`, all of them initialised, and nobody
/// else has it.
pub(crate) struct HostSlice<H: Host, T: Copy> {
    host: H,
    ptr: NonNull<T>,
    len: usize,
}

impl<H: Host, T: Copy> HostSlice<H, T> {
    /// `len` times `value`. [`Error::Invalid`] where `len` is 0 or too large for memory,
    /// [`Error::NoMemory`] where the host has none.
    pub(crate) fn new(host: H, len: usize, value: T, flags: AllocFlags) -> Result<Self> {
        let layout = Layout::array::<T>(len).map_err(|_| Error::Invalid)?;
        if layout.size() == 0 {
            return Err(Error::Invalid);
        }
        let ptr = host.alloc(layout, flags).ok_or(Error::NoMemory)?.cast::<T>();
        let mut at = ptr;
        for _ in 0..len {
            // SAFETY: the memory holds `len` values, and `at` has stepped over fewer.
            unsafe { at.write(value) };
            // SAFETY: as above, so one step further is inside, or one past its end.
            at = unsafe { at.add(1) };
        }
        // INVARIANT: just allocated and written.
        Ok(Self { host, ptr, len })
    }
}

impl<H: Host, T: Copy> Deref for HostSlice<H, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: by the invariant, `len` initialised values that nobody else writes.
        unsafe { core::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl<H: Host, T: Copy> DerefMut for HostSlice<H, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: by the invariant, and borrowed mutably like `self`.
        unsafe { core::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl<H: Host, T: Copy> Drop for HostSlice<H, T> {
    fn drop(&mut self) {
        // It was a layout when the slice was made.
        if let Ok(layout) = Layout::array::<T>(self.len) {
            // SAFETY: by the invariant from this host, of this layout, and now unused.
            unsafe { self.host.free(self.ptr.cast(), layout) };
        }
    }
}

// SAFETY: an owner of `T`s and of a `Host`, which is `Send`.
unsafe impl<H: Host, T: Copy + Send> Send for HostSlice<H, T> {}
// SAFETY: shared, it gives out `&T` only.
unsafe impl<H: Host, T: Copy + Sync> Sync for HostSlice<H, T> {}
