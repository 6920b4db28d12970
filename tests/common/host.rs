//! A host on std: keeps books, refuses memory when told to, and checks what the library
//! promises its host.

use std::{
    alloc::{self, Layout},
    cell::Cell,
    ptr::NonNull,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use mteswap::host::{AllocFlags, Host, SpinLock, Warning};

/// How many threads have had a number.
static PROCESSORS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// How deep this thread is inside of `enter`.
    static ENTERED: Cell<u32> = const { Cell::new(0) };
    /// This thread's: each is on a processor of its own.
    static PROCESSOR: usize = PROCESSORS.fetch_add(1, SeqCst);
}

/// One host; clones share its state.
#[derive(Clone, Default)]
pub struct TestHost(Arc<State>);

#[derive(Default)]
struct State {
    bytes: AtomicUsize,
    blocks: AtomicUsize,
    allocations: AtomicUsize,
    /// Allocations still let through, plus one; 0: all of them.
    allowance: AtomicI64,
    warnings: Mutex<Vec<Warning>>,
    /// Waiters queue under this lock and look at their word there, so no wake is missed.
    queue: Mutex<()>,
    woken: Condvar,
}

impl TestHost {
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes allocated and not yet freed.
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(SeqCst)
    }

    /// Blocks allocated and not yet freed.
    pub fn blocks(&self) -> usize {
        self.0.blocks.load(SeqCst)
    }

    /// Calls of `alloc` so far, answered or not.
    pub fn allocations(&self) -> usize {
        self.0.allocations.load(SeqCst)
    }

    /// Faults of the caller that the library reported so far.
    pub fn warnings(&self) -> usize {
        self.0.warnings.lock().unwrap().len()
    }

    /// Those faults, and forgets them.
    pub fn take_warnings(&self) -> Vec<Warning> {
        std::mem::take(&mut *self.0.warnings.lock().unwrap())
    }

    /// Lets `nr` more allocations through and refuses those after.
    pub fn fail_after(&self, nr: usize) {
        self.0.allowance.store(nr as i64 + 1, SeqCst);
    }

    /// Lets all allocations through again.
    pub fn fail_never(&self) {
        self.0.allowance.store(0, SeqCst);
    }

    fn refuses(&self) -> bool {
        let spend = |left: i64| (left > 1).then(|| left - 1);
        self.0.allowance.load(SeqCst) > 0
            && self.0.allowance.fetch_update(SeqCst, SeqCst, spend).is_err()
    }
}

/// The library's promise: `call` happens with no lock held and outside of `enter`.
fn assert_outside(call: &str) {
    assert_eq!(ENTERED.get(), 0, "{call} inside of enter");
}

// SAFETY: memory comes from std's allocator and goes back to it with the same layout;
// nothing here calls into the library; the lock is spin's.
unsafe impl Host for TestHost {
    type Lock = SpinLock;
    type Cookie = u32;

    fn alloc(&self, layout: Layout, _: AllocFlags) -> Option<NonNull<u8>> {
        assert_outside("alloc");
        assert!(layout.size() > 0);
        self.0.allocations.fetch_add(1, SeqCst);
        if self.refuses() {
            return None;
        }
        // SAFETY: the size is above zero.
        let block = NonNull::new(unsafe { alloc::alloc(layout) })?;
        // What was there before must not matter.
        // SAFETY: fresh memory of this size.
        unsafe { block.write_bytes(0xa5, layout.size()) };
        self.0.bytes.fetch_add(layout.size(), SeqCst);
        self.0.blocks.fetch_add(1, SeqCst);
        Some(block)
    }

    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout) {
        assert_outside("free");
        self.0.bytes.fetch_sub(layout.size(), SeqCst);
        self.0.blocks.fetch_sub(1, SeqCst);
        // SAFETY: the caller's promise.
        unsafe { alloc::dealloc(ptr.as_ptr(), layout) }
    }

    fn enter(&self) -> u32 {
        ENTERED.replace(ENTERED.get() + 1)
    }

    fn exit(&self, cookie: u32) {
        // Locks handed over upwards end in another order than they began, but never the
        // outermost before the others: its cookie is the one that lets interrupts in.
        let entered = ENTERED.replace(ENTERED.get() - 1);
        assert_eq!(cookie == 0, entered == 1, "the outermost ends last");
    }

    fn wait(&self, word: &AtomicU32, expected: u32) {
        assert_outside("wait");
        let queue = self.0.queue.lock().unwrap();
        if word.load(SeqCst) == expected {
            let tick = Duration::from_millis(4);
            drop(self.0.woken.wait_timeout(queue, tick).unwrap());
        }
    }

    fn wake(&self, _: &AtomicU32) {
        assert_outside("wake");
        drop(self.0.queue.lock().unwrap());
        self.0.woken.notify_all();
    }

    fn processor(&self) -> usize {
        PROCESSOR.with(|number| *number)
    }

    fn warn(&self, warning: Warning) {
        self.0.warnings.lock().unwrap().push(warning);
    }
}
