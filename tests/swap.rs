//! The swap map and the pin (PIN-1 to PIN-12), and when records go (HOOK-3, HOOK-4, HOOK-10).

mod common;

use std::{
    alloc::Layout,
    cell::RefCell,
    collections::HashSet,
    num::NonZeroU32,
    ptr::NonNull,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use common::{entry, host::TestHost, swap_type};
use mteswap::{
    entry::{EntryRange, SwapEntry},
    error::{Error, Result},
    host::{AllocFlags, Host, Warning},
    swap::{CLUSTER, FolioId, Keeper, NoSwap, SlotsFreed, Swap, SwapCache, SwapPin},
};

/// The area's type in these tests.
const TY: u32 = 3;

/// Writes down which slots were freed.
#[derive(Default)]
struct Log(RefCell<Vec<(u64, u64)>>);

impl SlotsFreed for Log {
    fn slots_freed(&self, range: EntryRange) {
        assert_eq!(range.first().swap_type(), swap_type(TY));
        self.0.borrow_mut().push((range.first().offset(), range.len()));
    }
}

impl Log {
    fn take(&self) -> Vec<(u64, u64)> {
        self.0.take()
    }
}

struct Deaf;

impl SlotsFreed for Deaf {
    fn slots_freed(&self, _: EntryRange) {}
}

fn area<F: SlotsFreed>(host: &TestHost, freed: F, slots: usize) -> Swap<TestHost, F> {
    Swap::new(host.clone(), freed, swap_type(TY), slots).unwrap()
}

fn slot(offset: u64) -> SwapEntry {
    entry(TY, offset)
}

fn run(first: u64, nr: usize) -> EntryRange {
    EntryRange::new(slot(first), nr).unwrap()
}

/// Hands out `nr` slots, leaves them cached, and says where they start.
fn alloc<F: SlotsFreed>(swap: &Swap<TestHost, F>, nr: usize) -> Result<u64> {
    let range = swap.alloc(nr)?.keep();
    assert_eq!(range.len(), nr as u64);
    Ok(range.first().offset())
}

fn duplicate<F: SlotsFreed>(swap: &Swap<TestHost, F>, offset: u64) -> Result<()> {
    swap.duplicate(slot(offset)).map(|reference| {
        let _ = reference.into_entry();
    })
}

/// A PTE's references dropped: at a zap, where no tags are to be restored.
fn free<F: SlotsFreed>(swap: &Swap<TestHost, F>, first: u64, nr: usize) {
    swap.slot_ref(run(first, nr)).unwrap().discard();
}

fn prepare<F: SlotsFreed>(swap: &Swap<TestHost, F>, offset: u64) -> Result<()> {
    swap.swapcache_prepare(run(offset, 1), Keeper::Mark)
}

/// A slot with `count` references and, where asked for, the mark.
fn slot_with<F: SlotsFreed>(swap: &Swap<TestHost, F>, count: u32, cached: bool) -> u64 {
    let offset = alloc(swap, 1).unwrap();
    for _ in 0..count {
        duplicate(swap, offset).unwrap();
    }
    if !cached {
        swap.swapcache_clear(run(offset, 1));
    }
    offset
}

#[test]
fn pin_1_duplicate_and_prepare_answer_by_what_the_slot_holds() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 64);
    let other = entry(TY + 1, 0);
    let answers = |offset| (duplicate(&swap, offset).err(), prepare(&swap, offset).err());

    // No such device, or no such slot of it.
    assert_eq!(swap.duplicate(other).err(), Some(Error::Invalid));
    let range = EntryRange::new(other, 1).unwrap();
    assert_eq!(swap.swapcache_prepare(range, Keeper::Mark), Err(Error::Invalid));
    assert_eq!(answers(64), (Some(Error::Invalid), Some(Error::Invalid)));
    // Bad, and free: never used, or used before.
    swap.mark_bad(slot(63)).unwrap();
    assert_eq!(answers(63), (Some(Error::NoEntry), Some(Error::NoEntry)));
    assert_eq!(answers(40), (Some(Error::NoEntry), Some(Error::NoEntry)));
    let used = alloc(&swap, 1).unwrap();
    swap.swapcache_clear(run(used, 1));
    assert_eq!(answers(used), (Some(Error::NoEntry), Some(Error::NoEntry)));
    // Count 0 with the mark, as handed out.
    let cached = alloc(&swap, 1).unwrap();
    assert_eq!(prepare(&swap, cached), Err(Error::Exists));
    assert_eq!(swap.count(slot(cached)), Ok(0));
    assert_eq!(duplicate(&swap, cached), Ok(()));
    assert_eq!(swap.count(slot(cached)), Ok(1));
    assert_eq!(host.take_warnings(), []);
}

#[test]
fn pin_1_pin_9_every_count_across_0x3e_takes_one_more_and_a_pin() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 8);
    let offset = slot_with(&swap, 1, false);
    for count in 1..0x200 {
        assert_eq!(swap.count(slot(offset)), Ok(count));
        // Without the mark, with it, and without again.
        assert_eq!(prepare(&swap, offset), Ok(()), "count {count:#x}");
        assert_eq!(prepare(&swap, offset), Err(Error::Exists), "count {count:#x}");
        assert_eq!(swap.count(slot(offset)), Ok(count), "the mark is not counted");
        swap.swapcache_clear(run(offset, 1));
        assert_eq!(duplicate(&swap, offset), Ok(()), "count {count:#x}");
    }
}

#[test]
fn pin_1_a_shmem_slot_cannot_be_duplicated_and_is_freed_at_once() {
    let host = TestHost::new();
    let log = Log::default();
    let swap = area(&host, &log, 8);
    let offset = alloc(&swap, 1).unwrap();
    assert_eq!(swap.shmem_alloc(run(offset, 1)), Ok(()));
    assert_eq!(duplicate(&swap, offset), Err(Error::Invalid));
    assert_eq!(prepare(&swap, offset), Err(Error::Exists), "handed out with the mark");
    swap.swapcache_clear(run(offset, 1));
    assert_eq!(prepare(&swap, offset), Ok(()), "0xbf: as any count");
    assert_eq!(duplicate(&swap, offset), Err(Error::Invalid));
    assert_eq!(swap.count(slot(offset)), Ok(1));
    swap.swapcache_clear(run(offset, 1));
    assert_eq!(log.take(), []);
    free(&swap, offset, 1);
    assert_eq!(swap.count(slot(offset)), Err(Error::NoEntry));
    assert_eq!(log.take(), [(offset, 1)]);
    assert_eq!(host.take_warnings(), []);
}

#[test]
fn shmem_alloc_takes_slots_just_handed_out_all_or_none() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 16);
    let first = alloc(&swap, 4).unwrap();
    duplicate(&swap, first + 3).unwrap();
    assert_eq!(swap.shmem_alloc(run(first, 4)), Err(Error::Invalid), "one is referenced");
    assert_eq!(swap.count(slot(first)), Ok(0), "none was changed");
    assert_eq!(swap.shmem_alloc(run(first + 3, 2)), Err(Error::Invalid));
    assert_eq!(swap.shmem_alloc(run(first + 4, 1)), Err(Error::NoEntry), "free");
    assert_eq!(swap.shmem_alloc(run(15, 2)), Err(Error::Invalid), "outside");
    assert_eq!(swap.shmem_alloc(run(first, 3)), Ok(()));
    assert_eq!(swap.shmem_alloc(run(first, 1)), Err(Error::Invalid), "shmem's already");
}

#[test]
fn pin_2_prepare_takes_all_slots_or_none_and_stays_in_a_cluster() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 3 * CLUSTER);
    for offset in (0..2 * CLUSTER as u64).step_by(CLUSTER) {
        assert_eq!(alloc(&swap, CLUSTER), Ok(offset));
        (offset..offset + CLUSTER as u64).for_each(|slot| duplicate(&swap, slot).unwrap());
        swap.swapcache_clear(run(offset, CLUSTER));
    }
    let prepare = |first, nr| swap.swapcache_prepare(run(first, nr), Keeper::Mark);
    assert_eq!(prepare(16, 16), Ok(()));
    for (first, nr) in [(8, 16), (16, 1), (31, 2), (0, CLUSTER)] {
        assert_eq!(prepare(first, nr), Err(Error::Exists), "{nr} from {first}");
    }
    assert_eq!(prepare(8, 8), Ok(()), "nothing of the refused ones stayed");
    assert_eq!(prepare(32, 480), Ok(()), "up to the cluster's end");
    assert_eq!(prepare(511, 2), Err(Error::Invalid), "over it");
    assert_eq!(prepare(CLUSTER as u64, CLUSTER), Ok(()));
    assert_eq!(prepare(1024, 1), Err(Error::NoEntry), "free");
    assert_eq!(prepare(3 * CLUSTER as u64 - 1, 2), Err(Error::Invalid), "over the area's end");
    // Freeing splits, and does not refuse.
    swap.swapcache_clear(run(16, 16));
    free(&swap, 500, 24);
    assert_eq!(swap.count(slot(500)), Ok(0));
    assert_eq!(host.take_warnings(), []);
}

#[test]
fn pin_3_clear_frees_a_slot_without_a_count_and_keeps_one_with() {
    let host = TestHost::new();
    let log = Log::default();
    let swap = area(&host, &log, 16);
    let first = alloc(&swap, 4).unwrap();
    duplicate(&swap, first + 1).unwrap();
    swap.swapcache_clear(run(first, 4));
    assert_eq!(log.take(), [(first, 1), (first + 2, 2)], "in runs, around the one that stays");
    assert_eq!(swap.count(slot(first + 1)), Ok(1));
    assert_eq!(swap.free_slots(), 15);
    assert_eq!(prepare(&swap, first + 1), Ok(()));
    free(&swap, first + 1, 1);
    assert_eq!(log.take(), [], "the mark keeps it");
    swap.swapcache_clear(run(first + 1, 1));
    assert_eq!(log.take(), [(first + 1, 1)]);
    assert_eq!(host.take_warnings(), []);
}

#[test]
fn pin_4_freeing_below_zero_is_refused_and_reported_and_drops_nothing() {
    let host = TestHost::new();
    let log = Log::default();
    let swap = area(&host, &log, 16);
    let first = alloc(&swap, 4).unwrap();
    let refused = |first, nr| {
        free(&swap, first, nr);
        assert_eq!(host.take_warnings(), [Warning::BadSwapFree], "{nr} from {first}");
        assert_eq!(log.take(), []);
    };
    refused(first, 1); // marked, count 0: Linux makes 0xff of it
    refused(first + 4, 1); // free
    swap.mark_bad(slot(15)).unwrap();
    refused(15, 1);
    // One invalid slot among others: none is dropped.
    (first..first + 3).for_each(|offset| duplicate(&swap, offset).unwrap());
    refused(first, 4);
    refused(first, 5);
    assert!((first..first + 3).all(|offset| swap.count(slot(offset)) == Ok(1)));
    // The last one with no mark frees; twice is once too often.
    free(&swap, first, 3);
    swap.swapcache_clear(run(first, 4));
    assert_eq!(log.take(), [(first, 4)]);
    refused(first, 1);
    assert_eq!(swap.free_slots(), 15);
}

#[test]
fn pin_6_the_guard_clears_once_on_every_way_out() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 16);
    let offset = slot_with(&swap, 1, false);
    // Some error after the pin was taken.
    let fault = |fails: bool| -> Result<()> {
        let _pin = SwapPin::new(&swap, run(offset, 1), Keeper::Mark)?;
        assert_eq!(prepare(&swap, offset), Err(Error::Exists));
        if fails { Err(Error::NoMemory) } else { Ok(()) }
    };
    for fails in [true, false, true] {
        assert_eq!(fault(fails).is_err(), fails);
        assert_eq!(swap.keeper(slot(offset)), None);
    }
    assert_eq!(host.take_warnings(), []);
    // Without the guard: a second clear is refused, and reported.
    prepare(&swap, offset).unwrap();
    swap.swapcache_clear(run(offset, 1));
    swap.swapcache_clear(run(offset, 1));
    assert_eq!(host.take_warnings(), [Warning::BadCacheClear]);
    assert_eq!(swap.count(slot(offset)), Ok(1));
}

#[test]
fn pin_6_a_clear_of_slots_not_all_pinned_clears_none() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 16);
    let first = alloc(&swap, 2).unwrap();
    for range in [run(first, 4), run(8, 1), run(15, 2)] {
        swap.swapcache_clear(range);
        assert_eq!(host.take_warnings(), [Warning::BadCacheClear]);
    }
    assert_eq!(swap.keeper(slot(first)), Some(Keeper::Mark));
}

#[test]
fn pin_6_a_swap_out_that_fails_gives_its_slots_back() {
    let host = TestHost::new();
    let log = Log::default();
    let swap = area(&host, &log, 16);
    drop(swap.alloc(4).unwrap());
    assert_eq!((swap.free_slots(), log.take()), (16, vec![(0, 4)]));
}

/// A host that waits for as long as it takes: a wake-up that is lost shows.
#[derive(Clone, Default)]
struct Patient {
    host: TestHost,
    queue: Arc<(Mutex<()>, Condvar)>,
}

// SAFETY: `TestHost` keeps the promises; waiting allocates nothing and calls nothing here.
unsafe impl Host for Patient {
    type Lock = <TestHost as Host>::Lock;
    type Cookie = <TestHost as Host>::Cookie;

    fn alloc(&self, layout: Layout, flags: AllocFlags) -> Option<NonNull<u8>> {
        self.host.alloc(layout, flags)
    }

    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.host.free(ptr, layout) }
    }

    fn enter(&self) -> Self::Cookie {
        self.host.enter()
    }

    fn exit(&self, cookie: Self::Cookie) {
        self.host.exit(cookie);
    }

    fn wait(&self, word: &AtomicU32, expected: u32) {
        let (lock, woken) = &*self.queue;
        let asleep = |_: &mut ()| word.load(SeqCst) == expected;
        let minute = Duration::from_secs(60);
        let queue = lock.lock().unwrap();
        let (queue, outcome) = woken.wait_timeout_while(queue, minute, asleep).unwrap();
        drop(queue);
        assert!(!outcome.timed_out(), "nobody woke who waited");
    }

    fn wake(&self, _: &AtomicU32) {
        drop(self.queue.0.lock().unwrap());
        self.queue.1.notify_all();
    }

    fn warn(&self, warning: Warning) {
        self.host.warn(warning);
    }
}

#[test]
fn pin_7_losers_are_woken_by_clear_and_find_the_mark_gone() {
    let host = Patient::default();
    let swap = Swap::new(host.clone(), Deaf, swap_type(TY), 64).unwrap();
    let slots = swap.alloc(2).unwrap().keep();
    for offset in 0..2 {
        let _ = swap.duplicate(slot(offset)).unwrap().into_entry();
    }
    swap.swapcache_clear(slots);
    let (inside, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for thread in 0..4 {
            let (swap, inside, done) = (&swap, &inside, &done);
            scope.spawn(move || {
                // Some pin both slots and some the second: its waiters sleep on another queue.
                let mine = if thread % 2 == 0 { run(0, 2) } else { run(1, 1) };
                for _ in 0..300 {
                    let pin = loop {
                        match SwapPin::new(swap, mine, Keeper::Mark) {
                            Ok(pin) => break pin,
                            Err(error) => assert_eq!(error, Error::Exists),
                        }
                        assert_eq!(swap.swapcache_wait(mine.last()), Ok(()));
                    };
                    assert_eq!(inside.fetch_add(1, SeqCst), 0, "one swap-in at a time");
                    thread::yield_now();
                    inside.fetch_sub(1, SeqCst);
                    drop(pin);
                    done.fetch_add(1, SeqCst);
                }
            });
        }
    });
    assert_eq!(done.load(SeqCst), 1200);
    assert_eq!(swap.count(slot(1)), Ok(1));
    assert_eq!(host.host.take_warnings(), []);
}

#[test]
fn pin_7_waiting_returns_at_once_without_a_mark_and_times_out_with_one() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 64);
    let offset = slot_with(&swap, 1, false);
    assert_eq!(swap.swapcache_wait(slot(offset)), Ok(()));
    assert_eq!(swap.swapcache_wait(slot(50)), Ok(()), "a free slot has no mark");
    assert_eq!(swap.swapcache_wait(slot(64)), Err(Error::Invalid));
    prepare(&swap, offset).unwrap();
    assert_eq!(swap.swapcache_wait(slot(offset)), Err(Error::TimedOut));
}

#[test]
fn pin_8_the_slot_cannot_come_round_while_its_reader_holds_the_pin() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 1);
    let offset = slot_with(&swap, 1, false);
    // T0 reads the slot under its pin; T1 wants in, and cannot.
    let t0 = SwapPin::new(&swap, run(offset, 1), Keeper::Mark).unwrap();
    assert_eq!(prepare(&swap, offset), Err(Error::Exists));
    // Even if the reference goes (a zap), the slot is not handed out again: no ABA.
    free(&swap, offset, 1);
    assert_eq!(swap.count(slot(offset)), Ok(0));
    assert_eq!(alloc(&swap, 1), Err(Error::NoSpace));
    drop(t0);
    assert_eq!(alloc(&swap, 1), Ok(offset));

    // Without the pin it is: what T0 read would be stale, and its PTE compare pass.
    duplicate(&swap, offset).unwrap();
    swap.swapcache_clear(run(offset, 1));
    free(&swap, offset, 1);
    assert_eq!(alloc(&swap, 1), Ok(offset));
}

#[test]
fn pin_9_a_slot_has_more_than_2_to_the_20_sharers_and_loses_them_all() {
    let host = TestHost::new();
    let log = Log::default();
    let swap = area(&host, &log, 2);
    let offset = slot_with(&swap, 1, false);
    let sharers = (1 << 20) + 3;
    for _ in 1..sharers {
        duplicate(&swap, offset).unwrap();
    }
    assert_eq!(swap.count(slot(offset)), Ok(sharers));
    for left in (0..sharers).rev() {
        assert_eq!(log.0.borrow().len(), 0, "{left} left");
        free(&swap, offset, 1);
    }
    assert_eq!(log.take(), [(offset, 1)]);
    assert_eq!(host.take_warnings(), []);
}

#[test]
fn pin_1_pin_9_the_highest_count_answers_enomem_and_changes_nothing() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 2);
    let offset = slot_with(&swap, (1 << 24) - 1, true);
    assert_eq!(duplicate(&swap, offset), Err(Error::NoMemory));
    assert_eq!(swap.count(slot(offset)), Ok((1 << 24) - 1));
    assert_eq!(swap.keeper(slot(offset)), Some(Keeper::Mark), "the count did not reach the mark");
}

#[test]
fn pin_10_a_folio_is_a_pin_as_a_mark_is_and_losers_find_it() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 16);
    let first = alloc(&swap, 4).unwrap();
    (first..first + 4).for_each(|offset| duplicate(&swap, offset).unwrap());
    swap.swapcache_clear(run(first, 4));
    let folio = Keeper::Folio(FolioId(NonZeroU32::new(u32::MAX).unwrap()));
    for keeper in [Keeper::Mark, folio] {
        assert_eq!(swap.keeper(slot(first)), None);
        let pin = SwapPin::new(&swap, run(first, 4), keeper).unwrap();
        for offset in first..first + 4 {
            assert_eq!(swap.keeper(slot(offset)), Some(keeper));
            assert_eq!(prepare(&swap, offset), Err(Error::Exists));
            duplicate(&swap, offset).unwrap();
            free(&swap, offset, 1);
            assert_eq!(swap.keeper(slot(offset)), Some(keeper), "counts do not touch it");
        }
        drop(pin);
    }
    // The folio that stays in the swap cache after its lock is dropped.
    let kept = SwapPin::new(&swap, run(first, 4), folio).unwrap().keep();
    assert_eq!(swap.keeper(slot(first)), Some(folio));
    swap.swapcache_clear(kept);
    assert_eq!(swap.keeper(slot(first)), None);
    assert_eq!(swap.keeper(slot(99)), None);
}

#[test]
fn pin_11_the_pin_is_no_count() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 4);
    let offset = slot_with(&swap, 1, false);
    let pin = SwapPin::new(&swap, run(offset, 1), Keeper::Mark).unwrap();
    // A racer that looks at the count still sees 1, and comes the direct way, to the pin.
    assert_eq!(swap.count(slot(offset)), Ok(1));
    drop(pin);
    assert_eq!(swap.count(slot(offset)), Ok(1));
}

#[test]
fn pin_12_without_swap_every_pin_is_granted_and_nothing_waits() {
    let pin = SwapPin::new(&NoSwap, run(0, 1), Keeper::Mark).unwrap();
    let second = SwapPin::new(&NoSwap, run(0, 1), Keeper::Mark).unwrap();
    assert_eq!(NoSwap.swapcache_wait(slot(0)), Ok(()));
    assert_eq!(NoSwap.keeper(slot(0)), None);
    drop((pin, second));
    NoSwap.swapcache_clear(run(0, 1));
}

#[test]
fn slots_come_lowest_first_then_last_freed_first() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 8);
    assert_eq!((0..6).map(|_| alloc(&swap, 1).unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    for offset in [1, 4, 2] {
        swap.swapcache_clear(run(offset, 1));
    }
    let next: Vec<_> = (0..5).map(|_| alloc(&swap, 1).unwrap()).collect();
    assert_eq!(next, [2, 4, 1, 6, 7]);
    assert_eq!(alloc(&swap, 1), Err(Error::NoSpace));
}

#[test]
fn runs_are_aligned_and_what_they_step_over_comes_lowest_first() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 32);
    assert_eq!(alloc(&swap, 1), Ok(0));
    assert_eq!(alloc(&swap, 8), Ok(8));
    assert_eq!(alloc(&swap, 4), Ok(4));
    assert_eq!(alloc(&swap, 1), Ok(1));
    assert_eq!(alloc(&swap, 2), Ok(2));
    assert_eq!(alloc(&swap, 1), Ok(16));
    assert_eq!(alloc(&swap, 16), Err(Error::NoSpace), "17..31 are free, but none aligned");
    assert_eq!(alloc(&swap, 8), Ok(24));
    // Out of the middle of the free list, and the run that was freed last.
    swap.swapcache_clear(run(8, 8));
    swap.swapcache_clear(run(4, 4));
    swap.swapcache_clear(run(0, 1));
    assert_eq!(alloc(&swap, 4), Ok(4));
    assert_eq!(alloc(&swap, 8), Ok(8));
    assert_eq!(alloc(&swap, 1), Ok(0));
}

#[test]
fn a_run_is_found_wherever_one_is_left() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 4 * CLUSTER);
    for _ in 0..4 * CLUSTER {
        alloc(&swap, 1).unwrap();
    }
    // Freed first, so deep down in the list, under a heap of singles.
    swap.swapcache_clear(run(3 * CLUSTER as u64 + 64, 64));
    for offset in (0..3 * CLUSTER as u64).step_by(2) {
        swap.swapcache_clear(run(offset, 1));
    }
    assert_eq!(alloc(&swap, 128), Err(Error::NoSpace));
    assert_eq!(alloc(&swap, 64), Ok(3 * CLUSTER as u64 + 64));
    assert_eq!(alloc(&swap, 2), Err(Error::NoSpace), "singles are left, no pair");
    assert_eq!(alloc(&swap, 1), Ok(3 * CLUSTER as u64 - 2));
}

#[test]
fn runs_of_no_such_length_are_refused() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 4096);
    for nr in [0, 3, 6, CLUSTER + 1, 2 * CLUSTER, usize::MAX] {
        assert_eq!(alloc(&swap, nr), Err(Error::Invalid), "{nr}");
    }
    assert_eq!(swap.free_slots(), 4096);
}

/// Random runs taken and given back: never one slot twice, always aligned, and in the end all
/// slots are there again, in one piece.
#[test]
fn slots_are_handed_out_once_in_any_order() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 2 * CLUSTER + 37);
    swap.mark_bad(slot(100)).unwrap();
    let mut seed = 7_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    let (mut held, mut taken) = (Vec::new(), HashSet::new());
    for _ in 0..20_000 {
        if held.is_empty() || random(100) < 55 {
            let nr = 1 << random(7);
            let Ok(first) = alloc(&swap, nr) else {
                let drop = random(held.len().max(1));
                if drop < held.len() {
                    let (first, nr) = held.swap_remove(drop);
                    (first..first + nr as u64).for_each(|offset| assert!(taken.remove(&offset)));
                    swap.swapcache_clear(run(first, nr));
                }
                continue;
            };
            assert_eq!(first % nr as u64, 0);
            for offset in first..first + nr as u64 {
                assert!(taken.insert(offset), "{offset} handed out twice");
                assert_ne!(offset, 100, "bad");
            }
            held.push((first, nr));
        } else {
            let (first, nr) = held.swap_remove(random(held.len()));
            (first..first + nr as u64).for_each(|offset| assert!(taken.remove(&offset)));
            swap.swapcache_clear(run(first, nr));
        }
        assert_eq!(swap.free_slots(), 2 * CLUSTER + 36 - taken.len());
    }
    held.drain(..).for_each(|(first, nr)| swap.swapcache_clear(run(first, nr)));
    assert_eq!(alloc(&swap, CLUSTER), Ok(CLUSTER as u64), "the one cluster without a bad slot");
    assert_eq!((0..CLUSTER + 36).filter(|_| alloc(&swap, 1).is_ok()).count(), CLUSTER + 36);
    assert_eq!(alloc(&swap, 1), Err(Error::NoSpace));
    assert_eq!(host.take_warnings(), []);
}

#[test]
fn slots_are_handed_out_once_on_many_threads() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 256);
    let owned: Vec<AtomicUsize> = (0..256).map(|_| AtomicUsize::new(0)).collect();
    thread::scope(|scope| {
        for thread in 0..4_usize {
            let (swap, owned) = (&swap, &owned);
            scope.spawn(move || {
                for round in 0..2000 {
                    let Ok(pin) = swap.alloc(1 << ((thread + round) % 5)) else { continue };
                    let range = pin.range();
                    let slots =
                        || (0..range.len()).map(|i| range.get(i).unwrap().offset() as usize);
                    slots().for_each(|slot| assert_eq!(owned[slot].fetch_add(1, SeqCst), 0));
                    slots().for_each(|slot| assert_eq!(owned[slot].fetch_sub(1, SeqCst), 1));
                    drop(pin);
                }
            });
        }
    });
    assert_eq!(swap.free_slots(), 256);
    assert_eq!(host.take_warnings(), []);
}

#[test]
fn bad_slots_are_never_handed_out_and_slots_in_use_are_not_bad() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 8);
    for offset in [0, 5] {
        assert_eq!(swap.mark_bad(slot(offset)), Ok(()));
        assert_eq!(swap.mark_bad(slot(offset)), Ok(()), "again changes nothing");
        assert_eq!(swap.count(slot(offset)), Err(Error::NoEntry));
    }
    assert_eq!(swap.mark_bad(slot(8)), Err(Error::Invalid));
    assert_eq!(swap.free_slots(), 6);
    assert_eq!(alloc(&swap, 4), Err(Error::NoSpace));
    assert_eq!((0..6).map(|_| alloc(&swap, 1).unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 6, 7]);
    assert_eq!(swap.mark_bad(slot(3)), Err(Error::Invalid), "in use");
    // Out of the middle of the free list.
    [1, 2, 3].into_iter().for_each(|offset| swap.swapcache_clear(run(offset, 1)));
    assert_eq!(swap.mark_bad(slot(2)), Ok(()));
    assert_eq!([alloc(&swap, 1), alloc(&swap, 1)], [Ok(3), Ok(1)]);
    assert_eq!(alloc(&swap, 1), Err(Error::NoSpace));
}

/// At the moment it hears of a freed slot, tries to get it.
struct Thief<'a> {
    swap: RefCell<Option<&'a Swap<TestHost, &'a Thief<'a>>>>,
    heard: RefCell<Vec<u64>>,
}

impl SlotsFreed for &Thief<'_> {
    fn slots_freed(&self, range: EntryRange) {
        self.heard.borrow_mut().push(range.first().offset());
        if let Some(swap) = *self.swap.borrow() {
            assert_eq!(swap.alloc(1).map(|pin| pin.keep()).err(), Some(Error::NoSpace));
            assert_eq!(swap.count(range.first()), Err(Error::NoEntry));
            assert_eq!(swap.duplicate(range.first()).err(), Some(Error::NoEntry));
        }
    }
}

#[test]
fn hook_3_records_are_dropped_before_the_slot_can_be_handed_out_again() {
    let host = TestHost::new();
    let thief: &Thief<'_> =
        Box::leak(Box::new(Thief { swap: RefCell::new(None), heard: RefCell::default() }));
    let swap: &Swap<_, _> =
        Box::leak(Box::new(Swap::new(host.clone(), thief, swap_type(TY), 1).unwrap()));
    *thief.swap.borrow_mut() = Some(swap);
    // By the last reference, and by the mark.
    let offset = swap.alloc(1).unwrap().keep().first();
    let _ = swap.duplicate(offset).unwrap().into_entry();
    swap.swapcache_clear(run(0, 1));
    swap.slot_ref(run(0, 1)).unwrap().discard();
    assert_eq!(*thief.heard.borrow(), [0]);
    drop(swap.alloc(1).unwrap());
    assert_eq!(*thief.heard.borrow(), [0, 0]);
    assert_eq!(swap.free_slots(), 1);
}

#[test]
fn hook_10_a_record_goes_with_its_slot_not_with_a_mapping() {
    let host = TestHost::new();
    let log = Log::default();
    let swap = area(&host, &log, 8);
    // Two processes share the page; one exits, then the other, and neither swapped it in.
    let offset = slot_with(&swap, 2, false);
    free(&swap, offset, 1);
    assert_eq!(log.take(), []);
    free(&swap, offset, 1);
    assert_eq!(log.take(), [(offset, 1)]);
}

#[test]
fn a_reference_that_is_dropped_stays_with_its_pte() {
    let host = TestHost::new();
    let swap = area(&host, Deaf, 8);
    let offset = slot_with(&swap, 1, false);
    drop(swap.slot_ref(run(offset, 1)).unwrap());
    drop(swap.duplicate(slot(offset)).unwrap());
    assert_eq!(swap.count(slot(offset)), Ok(2));
    assert_eq!(swap.slot_ref(run(7, 2)).err(), Some(Error::Invalid));
}

#[test]
fn hook_4_the_end_of_an_area_drops_its_records_and_reports_what_is_in_use() {
    let host = TestHost::new();
    let log = Log::default();
    for in_use in [false, true] {
        let swap = area(&host, &log, 1000);
        let offset = slot_with(&swap, 1, false);
        if !in_use {
            free(&swap, offset, 1);
        }
        log.take();
        drop(swap);
        assert_eq!(log.take(), [(0, 1000)]);
        let expected = if in_use { vec![Warning::SwapInUse] } else { vec![] };
        assert_eq!(host.take_warnings(), expected);
    }
    assert_eq!(host.bytes(), 0);
}

#[test]
fn areas_of_no_size_and_hosts_without_memory_are_refused() {
    let host = TestHost::new();
    let make = |slots| Swap::new(host.clone(), Deaf, swap_type(TY), slots).err();
    for slots in [0, (1 << 31) - 1, usize::MAX] {
        assert_eq!(make(slots), Some(Error::Invalid), "{slots}");
    }
    host.fail_after(0);
    assert_eq!(make(64), Some(Error::NoMemory));
    assert_eq!(host.bytes(), 0);
    host.fail_never();
    assert_eq!(make(1), None);
}
