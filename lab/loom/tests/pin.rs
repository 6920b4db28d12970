//! The pin and its queue (PIN-1, PIN-3, PIN-7, HOOK-3): no wake-up is lost.

#![cfg(feature = "loom")]

use std::sync::Arc;

use loom::thread;
use mteswap::{
    entry::{EntryRange, SwapType},
    error::Error,
    host::AllocFlags,
    store::TagStore,
    swap::{Keeper, SlotsFreed, Swap, SwapCache, SwapPin},
    tags::Page4K,
};
use mteswap_loom::{LoomHost, explore};

type Store = TagStore<LoomHost, Page4K>;

/// Drops records of slots that are freed; shared, as threads of a model have to be.
#[derive(Clone)]
struct Freed(Arc<Store>);

impl SlotsFreed for Freed {
    fn slots_freed(&self, range: EntryRange) {
        self.0.slots_freed(range);
    }
}

type Area = Swap<LoomHost, Freed>;

struct Machine {
    host: LoomHost,
    store: Arc<Store>,
    swap: Arc<Area>,
    slot: EntryRange,
}

/// An area of one slot, which is in use, with one reference and no mark.
fn machine() -> Machine {
    machine_of(1)
}

/// An area of `slots` slots, a folio's, all in use as that of [`machine`].
fn machine_of(slots: usize) -> Machine {
    let host = LoomHost::new();
    let store = Arc::new(Store::new(host.clone()));
    let ty = SwapType::new(1).unwrap();
    let swap = Arc::new(Area::new(host.clone(), Freed(Arc::clone(&store)), ty, slots).unwrap());
    let slot = {
        let pin = swap.alloc(slots).unwrap();
        for entry in (0..slots as u64).filter_map(|slot| pin.range().get(slot)) {
            let _ = swap.duplicate(entry).unwrap().into_entry();
        }
        pin.range()
    };
    Machine { host, store, swap, slot }
}

#[test]
fn pin_1_one_of_two_gets_the_pin() {
    explore(None, || {
        let Machine { swap, slot, host, .. } = machine();
        let other = Arc::clone(&swap);
        let prepare = move |swap: &Area| swap.swapcache_prepare(slot, Keeper::Mark);
        let one = thread::spawn(move || prepare(&other));
        let outcomes = [prepare(&swap), one.join().unwrap()];
        assert!(outcomes.contains(&Ok(())) && outcomes.contains(&Err(Error::Exists)));
        assert_eq!(host.warnings(), 0);
        swap.swapcache_clear(slot);
        swap.slot_ref(slot).unwrap().discard();
    });
}

#[test]
fn pin_7_who_waits_for_a_pin_is_woken() {
    // The host's wait has no timeout here: were the wake-up lost, loom would find a deadlock.
    let clears = |swap: &Area, slot| swap.swapcache_clear(slot);
    let waits = |swap: &Area, slot: EntryRange| {
        assert_eq!(swap.swapcache_wait(slot.last()), Ok(()));
        assert_eq!(swap.keeper(slot.last()), None);
    };
    both_ways([clears, waits], |swap, slot| {
        swap.swapcache_prepare(slot, Keeper::Mark).unwrap();
    });
}

/// Explores two bodies on one slot, and on two at once, with one reference each; twice, so that
/// each begins once: loom sees fewer orders from one side alone (`tests/index.rs`).
fn both_ways(bodies: [fn(&Area, EntryRange); 2], before: fn(&Area, EntryRange)) {
    let [one, two] = bodies;
    for (slots, [mine, other]) in
        [1, 2].into_iter().flat_map(|n| [(n, [one, two]), (n, [two, one])])
    {
        explore(Some(4), move || {
            let Machine { swap, slot, host, store } = machine_of(slots);
            store.save(slot.first(), &[7_u64; 16], AllocFlags::MAY_SLEEP).unwrap();
            before(&swap, slot);
            let shared = Arc::clone(&swap);
            let other = thread::spawn(move || other(&shared, slot));
            mine(&swap, slot);
            other.join().unwrap();
            if swap.count(slot.first()).is_ok() {
                swap.slot_ref(slot).unwrap().discard();
            }
            assert_eq!(swap.free_slots(), slots, "freed, and once");
            assert_eq!(store.stats().entries, 0);
            assert_eq!(host.warnings(), 0);
        });
    }
}

#[test]
fn pin_5_pin_7_swap_ins_of_one_slot_come_one_after_the_other() {
    explore(Some(2), || {
        let Machine { swap, slot, host, .. } = machine();
        let inside = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let swap_in = |swap: Arc<Area>, inside: Arc<std::sync::atomic::AtomicBool>| {
            use std::sync::atomic::Ordering::SeqCst;
            move || loop {
                match SwapPin::new(&*swap, slot, Keeper::Mark) {
                    Ok(pin) => {
                        assert!(!inside.swap(true, SeqCst), "two at once");
                        thread::yield_now();
                        inside.store(false, SeqCst);
                        return drop(pin);
                    }
                    Err(Error::Exists) => swap.swapcache_wait(slot.first()).unwrap(),
                    Err(other) => panic!("{other:?}"),
                }
            }
        };
        let one = thread::spawn(swap_in(Arc::clone(&swap), Arc::clone(&inside)));
        swap_in(Arc::clone(&swap), inside)();
        one.join().unwrap();
        assert_eq!(host.warnings(), 0);
        swap.slot_ref(slot).unwrap().discard();
    });
}

#[test]
fn pin_3_pin_4_the_last_of_reference_and_mark_frees_the_slot_once() {
    both_ways(
        [
            |swap, slot| swap.swapcache_clear(slot),
            |swap, slot| swap.slot_ref(slot).unwrap().discard(),
        ],
        |swap, slot| swap.swapcache_prepare(slot, Keeper::Mark).unwrap(),
    );
}

#[test]
fn hook_3_a_slot_is_handed_out_again_without_its_old_record() {
    explore_handing_out(false);
    explore_handing_out(true);
}

fn explore_handing_out(other_frees: bool) {
    explore(Some(3), move || {
        let Machine { store, swap, slot, .. } = machine();
        store.save(slot.first(), &[7_u64; 16], AllocFlags::MAY_SLEEP).unwrap();
        let frees = move |swap: &Area| swap.slot_ref(slot).unwrap().discard();
        let takes = |swap: &Area, store: &Store| {
            if let Ok(pin) = swap.alloc(1) {
                assert!(!store.contains(pin.range().first()), "its record went first");
            }
        };
        let (other, records) = (Arc::clone(&swap), Arc::clone(&store));
        let thread =
            thread::spawn(
                move || {
                    if other_frees { frees(&other) } else { takes(&other, &records) }
                },
            );
        if other_frees {
            takes(&swap, &store)
        } else {
            frees(&swap)
        }
        thread.join().unwrap();
        assert_eq!(store.stats().entries, 0);
    });
}

/// The control: a wait that looks at the mark first, and only then at the word, sleeps for ever.
#[test]
#[should_panic(expected = "deadlock")]
fn a_wait_that_looks_the_wrong_way_round_is_found_out() {
    use mteswap::{host::Host, sync::AtomicU32};
    use std::sync::atomic::Ordering::{Relaxed, SeqCst};
    explore(None, || {
        let host = LoomHost::new();
        let shared = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
        shared.0.store(1, SeqCst);
        let (other, waker) = (Arc::clone(&shared), host.clone());
        let clears = thread::spawn(move || {
            let (mark, word) = &*other;
            mark.store(0, SeqCst);
            word.fetch_add(1, SeqCst);
            waker.wake(word);
        });
        let (mark, word) = &*shared;
        if mark.load(SeqCst) != 0 {
            let seen = word.load(Relaxed);
            host.wait(word, seen);
        }
        clears.join().unwrap();
    });
}
