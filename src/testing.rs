//! A host for this crate's unit tests: counts what is held, fails on request.

use core::{alloc::Layout, ptr::NonNull};
use std::{
    alloc,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use crate::{
    host::{AllocFlags, Host, SpinLock, Warning},
    sync::AtomicU32,
};

/// One host; clones share it.
#[derive(Clone)]
pub(crate) struct TestHost {
    state: Arc<State>,
    processor: usize,
}

struct State {
    held: AtomicUsize,
    /// Allocations that still succeed; negative: all do.
    left: AtomicI64,
    entered: AtomicUsize,
    warnings: AtomicUsize,
}

impl TestHost {
    pub(crate) fn new() -> Self {
        let state = Arc::new(State {
            held: AtomicUsize::new(0),
            left: AtomicI64::new(-1),
            entered: AtomicUsize::new(0),
            warnings: AtomicUsize::new(0),
        });
        Self { state, processor: 0 }
    }

    /// The same host, called on another processor.
    pub(crate) fn on(&self, processor: usize) -> Self {
        Self { processor, ..self.clone() }
    }

    /// Bytes that were allocated and not freed.
    pub(crate) fn held(&self) -> usize {
        self.state.held.load(Ordering::SeqCst)
    }

    /// From now on `left` allocations succeed; all do where it is negative.
    pub(crate) fn fail_after(&self, left: i64) {
        self.state.left.store(left, Ordering::SeqCst);
    }

    /// How often `enter` ran without its `exit`.
    pub(crate) fn entered(&self) -> usize {
        self.state.entered.load(Ordering::SeqCst)
    }

    pub(crate) fn warnings(&self) -> usize {
        self.state.warnings.load(Ordering::SeqCst)
    }
}

// SAFETY: memory comes from std's allocator; no handlers run; the lock is spin's.
unsafe impl Host for TestHost {
    type Lock = SpinLock;
    type Cookie = ();

    fn alloc(&self, layout: Layout, _: AllocFlags) -> Option<NonNull<u8>> {
        let left = self.state.left.load(Ordering::SeqCst);
        if left == 0 {
            return None;
        }
        self.state.left.store(left.wrapping_sub(1).max(-1), Ordering::SeqCst);
        self.state.held.fetch_add(layout.size(), Ordering::SeqCst);
        // SAFETY: sizes are above zero by `Host::alloc`'s promise.
        NonNull::new(unsafe { alloc::alloc(layout) })
    }

    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout) {
        self.state.held.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: the caller's promise.
        unsafe { alloc::dealloc(ptr.as_ptr(), layout) }
    }

    fn enter(&self) {
        self.state.entered.fetch_add(1, Ordering::SeqCst);
    }

    fn exit(&self, (): ()) {
        self.state.entered.fetch_sub(1, Ordering::SeqCst);
    }

    fn wait(&self, _: &AtomicU32, _: u32) {
        std::thread::yield_now();
    }

    fn wake(&self, _: &AtomicU32) {}

    fn processor(&self) -> usize {
        self.processor
    }

    fn warn(&self, _: Warning) {
        self.state.warnings.fetch_add(1, Ordering::SeqCst);
    }
}
