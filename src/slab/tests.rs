use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::AtomicU32},
    vec::Vec,
};

use super::{class::*, *};
use crate::{
    host::{SpinLock, Warning},
    testing::TestHost,
};

/// A host that looks at what comes back: it is a slab, and all zero.
#[derive(Clone)]
struct Auditor {
    host: TestHost,
    /// Only one thread uses it.
    alone: bool,
}

// SAFETY: what the other host does.
unsafe impl Host for Auditor {
    type Lock = SpinLock;
    type Cookie = ();

    fn alloc(&self, layout: Layout, flags: AllocFlags) -> Option<NonNull<u8>> {
        self.host.alloc(layout, flags)
    }

    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout) {
        assert_eq!(layout, Slab::LAYOUT);
        assert!(!self.alone || self.host.entered() == 0, "no lock is held");
        // SAFETY: the caller's memory, all of it written once.
        let bytes = unsafe { core::slice::from_raw_parts(ptr.as_ptr(), layout.size()) };
        assert!(bytes.iter().all(|byte| *byte == 0), "wiped");
        // SAFETY: the caller's promise.
        unsafe { self.host.free(ptr, layout) }
    }

    fn enter(&self) {
        self.host.enter();
    }
    fn exit(&self, (): ()) {
        self.host.exit(());
    }
    fn wait(&self, _: &AtomicU32, _: u32) {}
    fn wake(&self, _: &AtomicU32) {}
    fn processor(&self) -> usize {
        self.host.processor()
    }
    fn warn(&self, warning: Warning) {
        panic!("{warning:?}");
    }
}

/// An allocator and what it has handed out.
struct Rig {
    host: Auditor,
    slabs: Slabs<Auditor>,
    live: Vec<Live>,
    seed: u64,
}

/// An object in use, its bytes all of one value.
struct Live {
    at: NonNull<u8>,
    len: usize,
    value: u8,
}

impl Live {
    fn bytes(&self) -> &[u8] {
        // SAFETY: in use by this, and written whole.
        unsafe { core::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

impl Rig {
    fn new() -> Self {
        let host = Auditor { host: TestHost::new(), alone: true };
        Self { host, slabs: Slabs::new(), live: Vec::new(), seed: 7 }
    }

    fn random(&mut self, below: usize) -> usize {
        self.seed =
            (self.seed ^ self.seed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(1);
        (self.seed >> 33) as usize % below
    }

    /// From here on calls come from another processor, or the same one.
    fn migrate(&mut self, processor: usize) {
        self.host.host = self.host.host.on(processor);
    }

    fn alloc(&mut self, len: usize) {
        let at = self.slabs.alloc(&self.host, len, AllocFlags::empty()).unwrap();
        let wanted = len;
        // SAFETY: just handed out.
        let len = unsafe { Slabs::<Auditor>::size(at) };
        assert!(len >= wanted);
        let value = 1 + self.random(255) as u8;
        let live = Live { at, len, value };
        assert!(live.bytes().iter().all(|byte| *byte == 0), "handed out as it was left");
        // SAFETY: ours, this many bytes.
        unsafe { at.write_bytes(value, len) };
        self.live.push(live);
    }

    fn take_any(&mut self) -> NonNull<u8> {
        let number = self.random(self.live.len());
        let live = self.live.swap_remove(number);
        assert!(live.bytes().iter().all(|byte| *byte == live.value), "nobody else's meanwhile");
        live.at
    }

    fn free_any(&mut self) {
        let object = self.take_any();
        // SAFETY: in use, and not any more.
        unsafe { self.slabs.free(&self.host, object) };
    }

    fn drop_any(&mut self, dropped: &mut Dropped) {
        let object = self.take_any();
        // SAFETY: in use, and not any more.
        unsafe { dropped.push(object) };
    }

    fn free_dropped(&self, dropped: Dropped) {
        // SAFETY: from these slabs.
        unsafe { self.slabs.free_dropped(&self.host, dropped) };
    }

    /// What must hold at rest: memory is held for the slabs of what is in use and no others, each
    /// counts its own, and shows nothing but those, and a byte of what is free.
    fn audit(&self) {
        let mut slabs = BTreeMap::new();
        for live in &self.live {
            // SAFETY: from these slabs.
            slabs.entry(unsafe { slab_of(live.at) }).or_insert(Vec::new()).push(live);
        }
        assert_eq!(self.host.host.held(), slabs.len() * SLAB_BYTES);
        assert_eq!(self.slabs.bytes(), slabs.len() * SLAB_BYTES);
        for (slab, objects) in slabs {
            // SAFETY: live, as its objects are.
            let head = unsafe { slab.as_ref() };
            assert_eq!(usize::from(head.used.get()), objects.len());
            let size = head.object_bytes();
            let mut spare = usize::from(head.fresh.get() / head.words);
            let mut place = head.free.get();
            while place != 0 {
                spare += 1;
                // SAFETY: a free object's place in the slab, its first byte the next one's.
                let next = unsafe { slab.cast::<u8>().add(usize::from(place) * FINE_STEP) };
                // SAFETY: as above.
                place = unsafe { next.read() };
            }
            assert_eq!(spare + objects.len(), (SLAB_BYTES - HEAD) / size, "none is lost");
            for at in (HEAD..SLAB_BYTES).step_by(FINE_STEP) {
                // SAFETY: in the slab.
                let word = unsafe { slab.cast::<u8>().add(at) };
                let in_use = objects.iter().any(|live| {
                    let first = live.at.addr().get();
                    (first..first + size).contains(&word.addr().get())
                });
                if !in_use {
                    // SAFETY: as above; nobody uses it.
                    let bytes = unsafe { word.cast::<[u8; 4]>().read() };
                    assert_eq!(bytes[1..], [0; 3], "no trace of what was there");
                }
            }
        }
    }
}

#[test]
fn every_class_fits_and_none_is_smaller_than_a_link() {
    for len in 1..=OBJECT_MAX {
        let bytes = class_bytes(class_of(len));
        assert!(bytes >= len.max(OBJECT_MIN) && bytes - len < COARSE_STEP, "{len}");
        assert!(class_of(len) < CLASSES);
        assert!(len == 1 || class_of(len) >= class_of(len - 1));
    }
}

#[test]
fn tag_12_an_object_of_any_length_is_wiped_whole() {
    for len in (OBJECT_MIN..=FINE_MAX).step_by(FINE_STEP) {
        let mut rig = Rig::new();
        // One stays, so that the slab does.
        (0..3).for_each(|_| rig.alloc(len));
        rig.free_any();
        rig.audit();
        rig.free_any();
        rig.audit();
    }
}

#[test]
fn tag_12_objects_dropped_together_are_wiped_and_freed_once() {
    let mut rig = Rig::new();
    for round in 0..200 {
        let len = [8, 12, 40, 124, 256][round % 5];
        let processor = rig.random(2 * LANES);
        rig.migrate(processor);
        for _ in 0..rig.random(150) {
            rig.alloc(len);
        }
        let mut dropped = Dropped::new();
        for _ in 0..rig.random(rig.live.len() + 1) {
            match rig.random(8) {
                0 => rig.alloc(len),
                1 => rig.free_any(),
                _ => rig.drop_any(&mut dropped),
            }
            if rig.live.is_empty() {
                break;
            }
        }
        rig.free_dropped(dropped);
        rig.audit();
        // Those that were freed are handed out again before there is another slab.
        if let Some(live) = rig.live.last() {
            // SAFETY: a live object's slab.
            let slab = unsafe { slab_of(live.at) };
            // SAFETY: as above.
            let head = unsafe { slab.as_ref() };
            let (full, before) = (head.is_full(), rig.slabs.bytes());
            let (len, processor) = (live.len, usize::from(head.list) / LANE);
            rig.migrate(processor);
            rig.alloc(len);
            assert!(full || rig.slabs.bytes() == before);
        }
    }
    let mut dropped = Dropped::new();
    while !rig.live.is_empty() {
        rig.drop_any(&mut dropped);
    }
    rig.free_dropped(dropped);
    assert_eq!(rig.host.host.held(), 0);
}

#[test]
fn processors_share_no_slab_and_get_back_what_others_free() {
    let mut rig = Rig::new();
    let slab = |live: &Live| live.at.addr().get() & !(SLAB_BYTES - 1);
    for processor in 0..LANES {
        rig.migrate(processor);
        (0..5).for_each(|_| rig.alloc(40));
    }
    let slabs: BTreeMap<_, _> = rig.live.iter().map(|live| (slab(live), ())).collect();
    assert_eq!(slabs.len(), LANES, "one each");
    rig.audit();
    // As many processors as there may be; more share.
    rig.migrate(LANES);
    rig.alloc(40);
    assert_eq!(rig.slabs.bytes(), LANES * SLAB_BYTES);
    for freed_alone in [true, false] {
        rig.migrate(1);
        let object = rig.live.swap_remove(2).at;
        let mut dropped = Dropped::new();
        if freed_alone {
            // SAFETY: in use, and not any more.
            unsafe { rig.slabs.free(&rig.host, object) };
        } else {
            // SAFETY: as above.
            unsafe { dropped.push(object) };
        }
        rig.free_dropped(dropped);
        rig.audit();
        rig.migrate(0);
        rig.alloc(40);
        assert_eq!(rig.live.pop().unwrap().at, object);
        // SAFETY: as above.
        unsafe { rig.slabs.free(&rig.host, object) };
    }
    while !rig.live.is_empty() {
        rig.free_any();
    }
    assert_eq!(rig.host.host.held(), 0);
}

#[test]
fn what_two_drop_from_one_slab_is_freed_by_both() {
    let mut rig = Rig::new();
    for last_first in [false, true] {
        (0..20).for_each(|_| rig.alloc(40));
        let (mut one, mut two) = (Dropped::new(), Dropped::new());
        (0..5).for_each(|_| rig.drop_any(&mut one));
        (0..5).for_each(|_| rig.drop_any(&mut two));
        // The slab is the first one's to see to, whoever ends first.
        let (first, second) = if last_first { (two, one) } else { (one, two) };
        rig.free_dropped(first);
        rig.free_dropped(second);
        rig.audit();
        let (mut one, mut two) = (Dropped::new(), Dropped::new());
        rig.drop_any(&mut one);
        rig.free_dropped(one);
        while !rig.live.is_empty() {
            rig.drop_any(&mut two);
        }
        rig.free_dropped(two);
        assert_eq!(rig.host.host.held(), 0);
    }
}

#[test]
fn threads_that_drop_from_the_same_slabs_leave_nothing() {
    let host = Auditor { host: TestHost::new(), alone: false };
    let slabs = Arc::new(Slabs::new());
    /// An object on its way from one thread to another.
    struct Sent(NonNull<u8>);
    // SAFETY: an object is memory, in use by whoever has it.
    unsafe impl Send for Sent {}
    let objects = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..3u8 {
            let (slabs, objects) = (&slabs, &objects);
            let host = Auditor { host: host.host.on(thread.into()), alone: false };
            scope.spawn(move || {
                let mut dropped = Dropped::new();
                for step in 0..4000usize {
                    let at = slabs.alloc(&host, 24, AllocFlags::empty()).unwrap();
                    // SAFETY: ours.
                    unsafe { at.write_bytes(thread + 1, 24) };
                    // Any thread's, so that a slab's objects are dropped by several.
                    let other = {
                        let mut objects = objects.lock().unwrap();
                        objects.push(Sent(at));
                        if objects.len() < 200 { continue } else { objects.swap_remove(step % 200) }
                    };
                    match step % 5 {
                        // SAFETY: it was given away by whoever allocated it.
                        0 => unsafe { slabs.free(&host, other.0) },
                        // SAFETY: as above.
                        _ => unsafe { dropped.push(other.0) },
                    }
                    if step % 64 == 0 {
                        let these = core::mem::replace(&mut dropped, Dropped::new());
                        // SAFETY: from these slabs.
                        unsafe { slabs.free_dropped(&host, these) };
                    }
                }
                // SAFETY: from these slabs.
                unsafe { slabs.free_dropped(&host, dropped) };
            });
        }
    });
    let mut dropped = Dropped::new();
    for object in objects.into_inner().unwrap() {
        // SAFETY: in use by this alone.
        unsafe { dropped.push(object.0) };
    }
    // SAFETY: from these slabs.
    unsafe { slabs.free_dropped(&host, dropped) };
    assert_eq!(host.host.held(), 0);
}

/// Objects of three classes go from thread to thread, and are freed by one or dropped in batches: who uses an object
/// next finds nothing of who had it before.
#[test]
fn tag_12_tag_13_threads_that_free_and_drop_each_others_objects() {
    struct Sent(Live);
    // SAFETY: an object belongs to who has it.
    unsafe impl Send for Sent {}
    let steps = if cfg!(miri) { 300 } else { 30_000 };
    let host = Auditor { host: TestHost::new(), alone: false };
    let slabs = Arc::new(Slabs::new());
    let pools: [Mutex<Vec<Sent>>; 3] = Default::default();
    let bytes = |object: &Live| {
        // SAFETY: whoever calls has the object, all of it written once.
        unsafe { core::slice::from_raw_parts(object.at.as_ptr(), object.len) }
    };
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (slabs, pools) = (&slabs, &pools);
            let host = Auditor { host: host.host.on(thread as usize / 2), alone: false };
            scope.spawn(move || {
                let mut seed = thread * 77 + 5;
                let mut below = move |end: usize| {
                    seed = (seed ^ seed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(1);
                    (seed >> 33) as usize % end
                };
                let mut dropped = Dropped::new();
                let (mut batch, mut pending) = (1 + below(300), 0);
                for _ in 0..steps {
                    let class = below(3);
                    let pool = &pools[class];
                    if below(2) == 0 {
                        let at =
                            slabs.alloc(&host, [8, 24, 256][class], AllocFlags::empty()).unwrap();
                        let len = [8, 24, 256][class];
                        let object = Live { at, len, value: 1 + below(255) as u8 };
                        assert!(bytes(&object).iter().all(|byte| *byte == 0), "all zero");
                        // SAFETY: ours, this many bytes.
                        unsafe { at.write_bytes(object.value, len) };
                        pool.lock().unwrap().push(Sent(object));
                        continue;
                    }
                    let object = {
                        let mut pool = pool.lock().unwrap();
                        let last = pool.len().min(40);
                        if last == 0 {
                            continue;
                        }
                        let place = pool.len() - 1 - below(last);
                        pool.swap_remove(place).0
                    };
                    assert!(bytes(&object).iter().all(|byte| *byte == object.value), "kept");
                    if below(4) == 0 {
                        // SAFETY: of these slabs, and ours.
                        unsafe { slabs.free(&host, object.at) };
                    } else {
                        // SAFETY: as above.
                        unsafe { dropped.push(object.at) };
                        pending += 1;
                    }
                    if pending >= batch {
                        let most = [3, 30, 300][below(3)];
                        (pending, batch) = (0, 1 + below(most));
                        let these = core::mem::replace(&mut dropped, Dropped::new());
                        // SAFETY: of these slabs.
                        unsafe { slabs.free_dropped(&host, these) };
                    }
                }
                // SAFETY: of these slabs.
                unsafe { slabs.free_dropped(&host, dropped) };
            });
        }
    });
    let host = Auditor { alone: true, ..host };
    let live = pools.into_iter().flat_map(|pool| pool.into_inner().unwrap());
    let live = live.map(|sent| sent.0).collect();
    let slabs = Arc::into_inner(slabs).unwrap();
    let mut rig = Rig { host: host.clone(), slabs, live, seed: 3 };
    rig.audit();
    let mut dropped = Dropped::new();
    while !rig.live.is_empty() {
        rig.drop_any(&mut dropped);
    }
    rig.free_dropped(dropped);
    assert_eq!(host.host.held(), 0);
}
