//! Threads and locks of the model: the machine's, or shuttle's, where a schedule is a seed.
//!
//! The model's own words are plain atomics in both: under shuttle one thread runs at a time, and
//! others get their turn at [`point`]s, at locks, and at each atomic of the library.

#[cfg(feature = "shuttle")]
pub use imp::scope;
pub use imp::{AtomicU32, AtomicUsize, RawLock, point, relax};

/// A lock of the modelled kernel: others get their turn while it is held.
pub type Lock<T> = lock_api::Mutex<RawLock, T>;

#[cfg(not(feature = "shuttle"))]
mod imp {
    pub use core::sync::atomic::{AtomicU32, AtomicUsize};
    pub use std::thread::yield_now as relax;

    /// Taken for long, under I/O: it must not spin.
    pub type RawLock = parking_lot::RawMutex;

    /// A place where another thread may come in between.
    #[inline(always)]
    pub fn point() {}
}

#[cfg(feature = "shuttle")]
mod imp {
    use std::sync::atomic::Ordering;

    pub use mteswap::sync::{AtomicU32, AtomicUsize};
    pub use shuttle::thread::{scope, yield_now as relax};

    /// A place where another thread may come in between.
    pub fn point() {
        shuttle::sync::atomic::AtomicBool::new(false).load(Ordering::SeqCst);
    }

    /// A test-and-set: whoever finds it taken lets others run.
    pub struct RawLock(shuttle::sync::atomic::AtomicBool);

    // SAFETY: one swap finds it free, and no other does until it is unlocked.
    unsafe impl lock_api::RawMutex for RawLock {
        const INIT: Self = Self(shuttle::sync::atomic::AtomicBool::new(false));
        type GuardMarker = lock_api::GuardSend;

        fn lock(&self) {
            while !self.try_lock() {
                relax();
            }
        }

        fn try_lock(&self) -> bool {
            !self.0.swap(true, Ordering::SeqCst)
        }

        unsafe fn unlock(&self) {
            self.0.store(false, Ordering::SeqCst);
        }
    }
}
