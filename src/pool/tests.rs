use std::{collections::BTreeSet, vec::Vec};

use super::*;
use crate::{sync::AtomicPtr, testing::TestHost};

#[repr(C)]
struct Thing {
    first: AtomicPtr<u8>,
    second: AtomicUsize,
}

// SAFETY: it begins with an `AtomicPtr`, the other field is an atomic, and neither needs a drop.
unsafe impl Pooled for Thing {
    unsafe fn init(at: NonNull<Self>) {
        let empty =
            Self { first: AtomicPtr::new(core::ptr::null_mut()), second: AtomicUsize::new(7) };
        // SAFETY: the caller owns memory of this layout.
        unsafe { at.write(empty) };
    }
}

fn take(pool: &Pool<TestHost, Thing>, host: &TestHost) -> Option<NonNull<Thing>> {
    let thing = pool.take(host, AllocFlags::empty())?;
    // SAFETY: from a pool that is not borrowed mutably meanwhile.
    let fields = unsafe { Ref::new(thing) };
    assert!(fields.first.load(Ordering::Relaxed).is_null(), "as empty as a new one");
    assert_eq!(fields.second.load(Ordering::Relaxed), 7, "still of its type");
    Some(thing)
}

fn give(pool: &Pool<TestHost, Thing>, host: &TestHost, thing: NonNull<Thing>) {
    // SAFETY: taken from the pool, as empty as it was, and not used any more.
    unsafe { pool.give(host, thing) };
}

#[test]
fn what_one_processor_gives_back_every_other_takes_before_the_host_is_asked() {
    let host = TestHost::new();
    let mut pool = Pool::new();
    // More than a lane takes from another at once.
    let count = 24 * LANES;
    let things: Vec<_> = (0..count).map(|_| take(&pool, &host).unwrap()).collect();
    let held = host.held();
    for giver in 0..LANES {
        for taker in 0..=LANES {
            things.iter().for_each(|thing| give(&pool, &host.on(giver), *thing));
            let taken: BTreeSet<_> =
                (0..count).map(|_| take(&pool, &host.on(taker)).unwrap()).collect();
            assert_eq!(taken, things.iter().copied().collect(), "each once");
            assert_eq!(host.held(), held);
        }
    }
    host.fail_after(0);
    assert!(take(&pool, &host).is_none());
    // From wherever they were given back to.
    (0..).zip(&things).for_each(|(giver, thing)| give(&pool, &host.on(giver), *thing));
    assert_eq!(pool.shrink(&host), held);
    assert_eq!((host.held(), pool.bytes(&host)), (0, 0));
}

#[test]
fn each_processor_takes_what_it_gave_back_itself() {
    let host = TestHost::new();
    let mut pool = Pool::new();
    let things: Vec<_> = (0..LANES).map(|_| take(&pool, &host).unwrap()).collect();
    (0..).zip(&things).for_each(|(giver, thing)| give(&pool, &host.on(giver), *thing));
    for (taker, thing) in things.iter().enumerate() {
        assert_eq!(take(&pool, &host.on(taker)), Some(*thing));
    }
    things.iter().for_each(|thing| give(&pool, &host, *thing));
    pool.clear(&host);
    assert_eq!(host.held(), 0);
}
