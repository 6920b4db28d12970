//! The reserve is enough for saves that meet: another one runs wherever a save lets interrupts in.

use std::{
    alloc::{Layout, alloc, dealloc},
    ptr::NonNull,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
};

use mteswap::{
    entry::{SwapEntry, SwapType},
    host::{AllocFlags, Host, SpinLock, Warning},
    store::TagStore,
    tags::Page4K,
};

type Interrupt = Box<dyn FnOnce() + Send>;

/// A machine that is on one processor at a time, and interrupted once: where interrupts are let in for the time that
/// `lets_in` is down to.
#[derive(Clone, Default)]
struct Machine(Arc<State>);

#[derive(Default)]
struct State {
    processor: AtomicUsize,
    has_no_memory: AtomicBool,
    depth: AtomicUsize,
    lets_in: AtomicUsize,
    interrupt: Mutex<Option<Interrupt>>,
    /// What another does while the host is asked for what it has not.
    beside_host: Mutex<Option<Interrupt>>,
}

// SAFETY: memory is std's; there is one thread, whose interrupts come where `exit` lets them in; the lock is spin's.
unsafe impl Host for Machine {
    type Lock = SpinLock;
    type Cookie = ();

    fn alloc(&self, layout: Layout, _: AllocFlags) -> Option<NonNull<u8>> {
        if self.0.has_no_memory.load(Relaxed) {
            let beside = self.0.beside_host.lock().unwrap().take();
            if let Some(beside) = beside {
                beside();
            }
            return None;
        }
        // SAFETY: sizes are above zero.
        NonNull::new(unsafe { alloc(layout) })
    }
    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout) {
        // SAFETY: from `alloc`, with this layout.
        unsafe { dealloc(ptr.as_ptr(), layout) }
    }
    fn enter(&self) {
        self.0.depth.fetch_add(1, Relaxed);
    }
    fn exit(&self, (): ()) {
        if self.0.depth.fetch_sub(1, Relaxed) == 1 && self.0.lets_in.fetch_sub(1, Relaxed) == 1 {
            let interrupt = self.0.interrupt.lock().unwrap().take();
            if let Some(interrupt) = interrupt {
                interrupt();
            }
        }
    }
    fn processor(&self) -> usize {
        self.0.processor.load(Relaxed)
    }
    fn wait(&self, _: &AtomicU32, _: u32) {}
    fn wake(&self, _: &AtomicU32) {}
    fn warn(&self, warning: Warning) {
        panic!("{warning:?}");
    }
}

fn entry(offset: u64) -> SwapEntry {
    SwapEntry::new(SwapType::new(0).unwrap(), offset).unwrap()
}

/// Saves a page whose word needs a wide leaf, and no payload.
fn save(store: &TagStore<Machine, Page4K>, offset: u64) {
    let mut tags = [0x1111_1111_1111_1111_u64; 16];
    tags[9] = 0x2222_2222_2222_2222;
    assert_eq!(store.save(entry(offset), &tags, AllocFlags::empty()), Ok(()));
}

/// 62 saves to two entries of one leaf, every other one where the one before lets interrupts in for the `at`th time;
/// how many of these there were.
fn saves_that_meet(at: usize) -> usize {
    let machine = Machine::default();
    let store = Arc::new(TagStore::<Machine, Page4K>::new(machine.clone()));
    store.reserve(64).unwrap();
    machine.0.has_no_memory.store(true, Relaxed);
    let met = Arc::new(AtomicUsize::new(0));
    for round in 0..31 {
        let (processor, other) = (round % 4, (round + 2) % 4);
        machine.0.processor.store(processor, Relaxed);
        let (beside, saved, seen) = (machine.clone(), Arc::clone(&store), Arc::clone(&met));
        *machine.0.interrupt.lock().unwrap() = Some(Box::new(move || {
            seen.fetch_add(1, Relaxed);
            beside.0.processor.store(other, Relaxed);
            save(&saved, 1);
            beside.0.processor.store(processor, Relaxed);
        }));
        machine.0.lets_in.store(at, Relaxed);
        save(&store, 0);
        machine.0.interrupt.lock().unwrap().take();
        store.invalidate(entry(1));
        store.invalidate(entry(0));
    }
    met.load(Relaxed)
}

#[test]
fn a_reserve_is_enough_for_saves_that_meet() {
    let met: Vec<_> = (1..40).map(saves_that_meet).collect();
    assert!(met.iter().filter(|met| **met > 0).count() > 2, "they hardly met: {met:?}");
}

#[test]
fn what_is_given_back_while_the_host_is_asked_spares_the_reserve() {
    for other in 0..4 {
        let machine = Machine::default();
        let store = Arc::new(TagStore::<Machine, Page4K>::new(machine.clone()));
        save(&store, 0);
        save(&store, 64);
        store.reserve(64).unwrap();
        let reserved = store.stats().reserved_bytes;
        machine.0.has_no_memory.store(true, Relaxed);
        let (beside, saved) = (machine.clone(), Arc::clone(&store));
        *machine.0.beside_host.lock().unwrap() = Some(Box::new(move || {
            beside.0.processor.store(other, Relaxed);
            saved.invalidate(entry(0));
            beside.0.processor.store(0, Relaxed);
        }));
        // Its leaf is the one that the other gives back meanwhile, to whichever lane.
        save(&store, 128);
        assert!(machine.0.beside_host.lock().unwrap().is_none(), "the host was asked");
        assert_eq!(store.stats().reserved_bytes, reserved, "by processor {other}");
    }
}
