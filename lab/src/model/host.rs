//! What the machine supplies to the library.

use std::{
    alloc::{self, Layout},
    marker::PhantomData,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use mteswap::host::{AllocFlags, Host, Warning};

use crate::sync::{AtomicU32, RawLock};

/// The host of one machine, with locks of the kind `L`; warnings are counted, for none is
/// expected.
pub struct LabHost<L = RawLock> {
    warnings: Arc<AtomicU64>,
    locks: PhantomData<L>,
}

impl<L> Default for LabHost<L> {
    fn default() -> Self {
        Self { warnings: Arc::default(), locks: PhantomData }
    }
}

impl<L> Clone for LabHost<L> {
    fn clone(&self) -> Self {
        Self { warnings: Arc::clone(&self.warnings), locks: PhantomData }
    }
}

impl<L> LabHost<L> {
    /// Warnings heard so far.
    pub fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Relaxed)
    }
}

/// How many threads have had a number.
static PROCESSORS: AtomicUsize = AtomicUsize::new(0);

std::thread_local! {
    /// This thread's: each is on a processor of its own.
    static PROCESSOR: usize = PROCESSORS.fetch_add(1, Ordering::Relaxed);
}

// SAFETY: memory is std's; nothing here runs in handlers; the lock is one.
unsafe impl<L: lock_api::RawMutex + Send + Sync> Host for LabHost<L> {
    type Lock = L;
    type Cookie = ();

    fn alloc(&self, layout: Layout, _: AllocFlags) -> Option<NonNull<u8>> {
        // Zeroed: see `mteswap::sync`, built for a checker.
        // SAFETY: sizes are above zero by the trait's promise.
        NonNull::new(unsafe { alloc::alloc_zeroed(layout) })
    }

    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { alloc::dealloc(ptr.as_ptr(), layout) }
    }

    fn enter(&self) {}

    fn exit(&self, (): ()) {}

    fn wait(&self, word: &AtomicU32, expected: u32) {
        queue::wait(word, expected);
    }

    fn wake(&self, word: &AtomicU32) {
        queue::wake(word);
    }

    fn processor(&self) -> usize {
        PROCESSOR.with(|number| *number)
    }

    fn warn(&self, _: Warning) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
    }
}

/// A wait queue that looks at the word once it is queued, with a tick's patience.
#[cfg(not(feature = "shuttle"))]
mod queue {
    use std::{
        sync::atomic::{AtomicUsize, Ordering, fence},
        time::Instant,
    };

    use parking_lot_core::{DEFAULT_PARK_TOKEN, DEFAULT_UNPARK_TOKEN};

    use crate::{model::TICK, sync::AtomicU32};

    /// Threads that wait, or are about to: waking nobody is cheap.
    static WAITERS: AtomicUsize = AtomicUsize::new(0);

    pub(super) fn wait(word: &AtomicU32, expected: u32) {
        // Ordering: SeqCst, and `validate` looks at the word behind it; `wake` changes the word
        // first and looks here behind a fence. One of the two sees the other.
        WAITERS.fetch_add(1, Ordering::SeqCst);
        let validate = || word.load(Ordering::SeqCst) == expected;
        let until = Instant::now() + TICK;
        // SAFETY: the key is the address of a word that both sides borrow; no callback parks,
        // unparks or panics.
        unsafe {
            parking_lot_core::park(
                std::ptr::from_ref(word) as usize,
                validate,
                || {},
                |_, _| {},
                DEFAULT_PARK_TOKEN,
                Some(until),
            )
        };
        WAITERS.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn wake(word: &AtomicU32) {
        fence(Ordering::SeqCst);
        if WAITERS.load(Ordering::SeqCst) > 0 {
            // SAFETY: as above.
            unsafe {
                parking_lot_core::unpark_all(
                    std::ptr::from_ref(word) as usize,
                    DEFAULT_UNPARK_TOKEN,
                )
            };
        }
    }
}

/// The same where a tick is a number of turns of others.
#[cfg(feature = "shuttle")]
mod queue {
    use std::sync::atomic::Ordering;

    use crate::{
        model::TICK_TURNS,
        sync::{AtomicU32, relax},
    };

    pub(super) fn wait(word: &AtomicU32, expected: u32) {
        for _ in 0..TICK_TURNS {
            if word.load(Ordering::SeqCst) != expected {
                return;
            }
            relax();
        }
    }

    pub(super) fn wake(_: &AtomicU32) {}
}
