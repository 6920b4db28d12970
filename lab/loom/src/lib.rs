//! A host under loom, and how a model is run: exhaustively, or with a bound that is said.
//!
//! loom explores every order of the library's atomics and locks that its memory model allows.
//! Payloads of records are plain memory, which it does not watch: freed ones are poisoned, so that
//! reading one shows as tags that nobody saved.

#![cfg(feature = "loom")]

use std::{
    alloc::{self, Layout},
    cell::UnsafeCell,
    ptr::NonNull,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use loom::sync::{Condvar, Mutex, MutexGuard};
use mteswap::{
    host::{AllocFlags, Host, Warning},
    sync::{AtomicU32, prepare},
};

/// loom's mutex, made when it is first used.
pub struct LoomLock {
    mutex: OnceLock<Mutex<()>>,
    guard: UnsafeCell<Option<MutexGuard<'static, ()>>>,
}

// SAFETY: loom runs one thread at a time; `guard` belongs to whoever holds the mutex.
unsafe impl Send for LoomLock {}
// SAFETY: as above.
unsafe impl Sync for LoomLock {}

impl LoomLock {
    fn mutex(&self) -> &'static Mutex<()> {
        let mutex = std::ptr::from_ref(self.mutex.get_or_init(|| Mutex::new(())));
        // SAFETY: the guard that needs this lifetime is dropped in `unlock`, before the lock is.
        unsafe { &*mutex }
    }
}

// SAFETY: loom's mutex excludes; its guard is kept until `unlock`.
unsafe impl lock_api::RawMutex for LoomLock {
    const INIT: Self = Self { mutex: OnceLock::new(), guard: UnsafeCell::new(None) };
    type GuardMarker = lock_api::GuardNoSend;

    fn lock(&self) {
        let guard = self.mutex().lock().expect("loom's mutexes are not poisoned");
        // SAFETY: the mutex is held.
        unsafe { *self.guard.get() = Some(guard) };
    }

    fn try_lock(&self) -> bool {
        let Ok(guard) = self.mutex().try_lock() else { return false };
        // SAFETY: the mutex is held.
        unsafe { *self.guard.get() = Some(guard) };
        true
    }

    unsafe fn unlock(&self) {
        // SAFETY: by the caller's promise the mutex is held.
        let guard = unsafe { (*self.guard.get()).take() };
        drop(guard);
    }
}

/// Counts what is held; fails on request; its waits have no timeout, so that a wake-up that is
/// lost is a deadlock, which loom reports.
#[derive(Clone)]
pub struct LoomHost(Arc<State>);

struct State {
    held: AtomicUsize,
    warnings: AtomicUsize,
    no_memory: AtomicBool,
    queue: Mutex<()>,
    changed: Condvar,
}

impl LoomHost {
    #[expect(clippy::new_without_default, reason = "it has to be made inside of a model")]
    pub fn new() -> Self {
        Self(Arc::new(State {
            held: AtomicUsize::new(0),
            warnings: AtomicUsize::new(0),
            no_memory: AtomicBool::new(false),
            queue: Mutex::new(()),
            changed: Condvar::new(),
        }))
    }

    /// Bytes allocated and not freed.
    pub fn held(&self) -> usize {
        self.0.held.load(SeqCst)
    }

    pub fn warnings(&self) -> usize {
        self.0.warnings.load(SeqCst)
    }

    /// From now on no allocation succeeds.
    pub fn run_dry(&self) {
        self.0.no_memory.store(true, SeqCst);
    }
}

// SAFETY: memory is std's; no handlers run; the lock is one.
unsafe impl Host for LoomHost {
    type Lock = LoomLock;
    type Cookie = ();

    fn alloc(&self, layout: Layout, _: AllocFlags) -> Option<NonNull<u8>> {
        if self.0.no_memory.load(SeqCst) {
            return None;
        }
        self.0.held.fetch_add(layout.size(), SeqCst);
        // Zeroed: see `mteswap::sync`, built for a checker.
        // SAFETY: sizes are above zero by the trait's promise.
        NonNull::new(unsafe { alloc::alloc_zeroed(layout) })
    }

    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout) {
        self.0.held.fetch_sub(layout.size(), SeqCst);
        // SAFETY: the caller's memory, this many bytes.
        unsafe { ptr.write_bytes(0x6b, layout.size()) };
        // SAFETY: the caller's promise.
        unsafe { alloc::dealloc(ptr.as_ptr(), layout) }
    }

    fn enter(&self) {}

    fn exit(&self, (): ()) {}

    fn wait(&self, word: &AtomicU32, expected: u32) {
        let mut queue = self.0.queue.lock().expect("loom's mutexes are not poisoned");
        // All words have one queue: who is woken for another's goes on waiting.
        while word.load(SeqCst) == expected {
            queue = self.0.changed.wait(queue).expect("loom's mutexes are not poisoned");
        }
    }

    fn wake(&self, _: &AtomicU32) {
        let _queue = self.0.queue.lock();
        self.0.changed.notify_all();
    }

    fn warn(&self, _: Warning) {
        self.0.warnings.fetch_add(1, SeqCst);
    }
}

/// Atomics of the library that one execution uses at most.
const ATOMICS: usize = 512;

/// Explores `model`: every order, or, with a bound, every order with at most so many preemptions.
/// `LOOM_MAX_PREEMPTIONS` overrides the bound.
pub fn explore(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let executions = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&executions);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(preemptions);
    builder.max_branches = 100_000;
    let bound = builder.preemption_bound;
    builder.check(move || {
        count.fetch_add(1, SeqCst);
        prepare(ATOMICS);
        model();
    });
    let bounded = bound.map_or("no bound".to_owned(), |most| format!("at most {most} preemptions"));
    println!("{} executions, {bounded}", executions.load(SeqCst));
}
