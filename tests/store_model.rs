//! The store against a plain map: whatever is asked of it, in whatever order, and
//! whatever memory the host refuses.

mod common;

use std::collections::BTreeMap;

use common::{SLEEP, entry, host::TestHost, pages::page, swap_type};
use mteswap::{
    entry::{EntryRange, OFFSET_MAX, SwapEntry},
    error::Error,
    store::TagStore,
    tags::{PageSize, TagSource},
};
use proptest::prelude::*;

/// One call. Pages are numbers that [`page`] makes tags of.
#[derive(Debug, Clone)]
enum Call {
    Save(SwapEntry, u64),
    /// Page `i` gets number `first + i`, or is untagged where that is a multiple of 4.
    SaveRange(EntryRange, u64),
    Restore(SwapEntry),
    RestoreRange(EntryRange),
    Invalidate(SwapEntry),
    InvalidateRange(EntryRange),
    InvalidateArea(u32),
    Move(SwapEntry, SwapEntry),
    Next(SwapEntry),
    Reserve(usize),
}

type Model = BTreeMap<u64, u64>;

/// The store under test, and what it should hold.
struct Pair<P: PageSize> {
    host: TestHost,
    store: TagStore<TestHost, P>,
    model: Model,
}

impl<P: PageSize> Pair<P> {
    fn new() -> Self {
        let host = TestHost::new();
        Self { store: TagStore::new(host.clone()), host, model: Model::new() }
    }

    /// Makes `call` while the host refuses memory from the first allocation on, then from
    /// a later one on, and so on until it succeeds. After each failure all is as before.
    fn call_despite_failures(&mut self, call: &Call) {
        let mut granted = 0;
        loop {
            self.host.fail_after(granted);
            let done = self.call(call);
            self.host.fail_never();
            self.check();
            if done {
                return;
            }
            granted += 1 + granted / 2;
        }
    }

    /// False where the host had no memory, which is the only way to fail.
    fn call(&mut self, call: &Call) -> bool {
        let Self { store, model, .. } = self;
        match *call {
            Call::Save(at, number) => match store.save(at, &source::<P>(number), SLEEP) {
                Ok(()) => drop(model.insert(at.raw(), number)),
                Err(error) => return no_memory(error),
            },
            Call::SaveRange(range, first) => {
                let tagged = |i: u64| (first + i) % 4 != 0;
                let page = |i| tagged(i).then(|| source::<P>(first + i));
                if let Err(error) = store.save_range(range, page, SLEEP) {
                    return no_memory(error);
                }
                for i in (0..range.len()).filter(|i| tagged(*i)) {
                    model.insert(range.get(i).unwrap().raw(), first + i);
                }
            }
            Call::Restore(at) => {
                let expected = model.get(&at.raw()).map(|number| page::<P>(*number));
                assert_eq!(restore(store, at), expected);
                assert_eq!(store.contains(at), expected.is_some());
            }
            Call::RestoreRange(range) => {
                let mut restored = vec![None; range.len() as usize];
                let mut words = vec![P::ZERO; range.len() as usize];
                let mut rest = words.iter_mut().zip(&mut restored).enumerate();
                let found = store.restore_range(range, |i| {
                    // Asked for in order, and only where there is a record.
                    let (_, (words, restored)) = rest.find(|(at, _)| *at as u64 == i).unwrap();
                    *restored = Some(());
                    Some(words.as_mut())
                });
                assert_eq!(found, restored.iter().flatten().count() as u64);
                for i in 0..range.len() {
                    let number = model.get(&range.get(i).unwrap().raw());
                    let expected = number.map_or(P::ZERO, |number| page::<P>(*number));
                    assert_eq!(restored[i as usize].is_some(), number.is_some());
                    assert_eq!(words[i as usize], expected);
                }
            }
            Call::Invalidate(at) => {
                store.invalidate(at);
                model.remove(&at.raw());
            }
            Call::InvalidateRange(range) => {
                store.invalidate_range(range);
                model.retain(|at, _| !(range.first().raw()..=range.last().raw()).contains(at));
            }
            Call::InvalidateArea(ty) => {
                store.invalidate_area(swap_type(ty));
                model.retain(|at, _| at >> 58 != u64::from(ty));
            }
            Call::Move(from, to) => match store.move_record(from, to, SLEEP) {
                Ok(()) => {
                    let number = model.remove(&from.raw()).expect("a record to move");
                    model.insert(to.raw(), number);
                }
                Err(Error::NoEntry) => assert!(!model.contains_key(&from.raw())),
                Err(error) => return no_memory(error),
            },
            Call::Next(cursor) => {
                let expected =
                    model.range(cursor.raw()..).next().map(|(at, number)| (*at, *number));
                assert_eq!(next(store, cursor), expected.map(|(at, n)| (at, page::<P>(n))));
            }
            Call::Reserve(nr) => {
                if let Err(error) = store.reserve(nr) {
                    return no_memory(error);
                }
                assert_eq!(store.stats().reserved_bytes == 0, nr == 0);
            }
        }
        true
    }

    /// Compares all that the store holds, and its books with the host's.
    fn check(&self) {
        let mut cursor = Some(entry(0, 0));
        let mut held = self.model.iter();
        while let Some(at) = cursor {
            let found = next(&self.store, at);
            assert_eq!(found, held.next().map(|(at, number)| (*at, page::<P>(*number))));
            cursor = found.and_then(|(at, _)| SwapEntry::from_raw(at + 1).ok());
        }
        assert_eq!(held.next(), None);
        let stats = self.store.stats();
        assert_eq!(stats.entries, self.model.len() as u64);
        let sum = stats.payload_bytes + stats.index_bytes + stats.reserved_bytes;
        assert_eq!(sum, self.host.bytes() as u64, "{stats:?}");
        assert_eq!(self.host.warnings(), 0);
    }

    /// Drops the store: all memory is back at the host.
    fn finish(self) {
        let Self { host, store, .. } = self;
        drop(store);
        assert_eq!((host.bytes(), host.blocks()), (0, 0));
    }
}

fn no_memory(error: Error) -> bool {
    assert_eq!(error, Error::NoMemory);
    false
}

/// The tags of `number`, through the trait's words alone.
fn source<P: PageSize>(number: u64) -> impl TagSource {
    struct Words<W>(W);
    impl<W: AsRef<[u64]>> TagSource for Words<W> {
        fn word(&self, index: usize) -> u64 {
            self.0.as_ref().word(index)
        }
    }
    Words(page::<P>(number))
}

fn restore<P: PageSize>(store: &TagStore<TestHost, P>, at: SwapEntry) -> Option<P::Words> {
    let mut words = page::<P>(5);
    let found = store.restore(at, words.as_mut());
    if !found {
        assert_eq!(words, page::<P>(5), "an absent entry wrote tags");
    }
    found.then_some(words)
}

fn next<P: PageSize>(store: &TagStore<TestHost, P>, cursor: SwapEntry) -> Option<(u64, P::Words)> {
    let mut words = P::ZERO;
    store.next(cursor, words.as_mut()).map(|at| (at.raw(), words))
}

/// Entries that meet often: few types, offsets about the borders of leaves and nodes.
fn entries() -> impl Strategy<Value = SwapEntry> {
    let types = prop::sample::select(vec![0, 0, 0, 1, 2, 31]);
    let bases = prop::sample::select(vec![0, 0, 64, 4096, 1 << 32, OFFSET_MAX - 70]);
    (types, bases, 0..70u64).prop_map(|(ty, base, offset)| entry(ty, base + offset))
}

fn ranges() -> impl Strategy<Value = EntryRange> {
    let lengths = prop_oneof![1..20usize, Just(64), 60..140usize];
    (entries(), lengths).prop_map(|(first, nr)| {
        let left = OFFSET_MAX - first.offset() + 1;
        EntryRange::new(first, nr.min(left as usize)).unwrap()
    })
}

fn calls() -> impl Strategy<Value = Call> {
    let types = prop::sample::select(vec![0, 1, 2, 30, 31]);
    prop_oneof![
        8 => (entries(), 0..600u64).prop_map(|(at, number)| Call::Save(at, number)),
        3 => (ranges(), 0..600u64).prop_map(|(range, first)| Call::SaveRange(range, first)),
        3 => entries().prop_map(Call::Restore),
        2 => ranges().prop_map(Call::RestoreRange),
        3 => entries().prop_map(Call::Invalidate),
        1 => ranges().prop_map(Call::InvalidateRange),
        1 => types.prop_map(Call::InvalidateArea),
        3 => (entries(), entries()).prop_map(|(from, to)| Call::Move(from, to)),
        2 => entries().prop_map(Call::Next),
        1 => prop_oneof![Just(0), 1..70usize].prop_map(Call::Reserve),
    ]
}

/// Larger pages take the first of the calls only: the store does the same for them, and
/// an unoptimised build takes long to look at each of their granules after each call.
fn check_calls<P: PageSize>(calls: &[Call], failures: bool) {
    let few = calls.len().min(if P::SHIFT == 12 { calls.len() } else { 10 });
    let calls = &calls[..few];
    let mut pair = Pair::<P>::new();
    for call in calls {
        if failures {
            pair.call_despite_failures(call);
        } else {
            assert!(pair.call(call), "the host has memory");
            pair.check();
        }
    }
    pair.finish();
}

/// No file of failed cases: those are written down as tests.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn tag_2_tag_4_tag_5_tag_7_tag_8_tag_16_the_store_is_a_map_of_pages(
        calls in prop::collection::vec(calls(), 1..60),
    ) {
        check_calls::<mteswap::tags::Page4K>(&calls, false);
        check_calls::<mteswap::tags::Page16K>(&calls, false);
        check_calls::<mteswap::tags::Page64K>(&calls, false);
    }

    #[test]
    fn tag_3_tag_10_whatever_memory_is_refused_nothing_changes(
        calls in prop::collection::vec(calls(), 1..40),
    ) {
        check_calls::<mteswap::tags::Page4K>(&calls, true);
        check_calls::<mteswap::tags::Page16K>(&calls, true);
        check_calls::<mteswap::tags::Page64K>(&calls, true);
    }
}

/// Calls made one after another, and one more that is refused memory at each of its
/// allocations, in a store of its own each time: what a refused attempt left in the pools
/// must not make the next one easier.
fn every_allocation_refused_once<P: PageSize>() {
    let (near, far) = (entry(1, 3), entry(1, 1 << 40));
    let range = EntryRange::new(entry(1, 40), 150).unwrap();
    let befores = [
        vec![],
        vec![Call::Save(near, 0)],
        vec![Call::Save(near, 5), Call::Save(far, 1)],
        (0..64).map(|offset| Call::Save(entry(1, offset), offset)).collect(),
        vec![Call::SaveRange(range, 600), Call::Save(near, 3)],
    ];
    let lasts = (0..6).map(|kind| Call::Save(near, 60 + kind)).chain([
        Call::Save(entry(9, 9), 65),
        Call::SaveRange(range, 301),
        Call::Move(near, far),
        Call::Move(near, entry(30, OFFSET_MAX)),
        Call::Reserve(65),
    ]);
    for last in lasts {
        for before in &befores {
            let mut refused = 0;
            loop {
                let mut pair = Pair::<P>::new();
                for call in before {
                    assert!(pair.call(call));
                }
                let begun = pair.host.allocations();
                pair.host.fail_after(refused);
                let done = pair.call(&last);
                let asked = pair.host.allocations() - begun;
                pair.host.fail_never();
                pair.check();
                pair.finish();
                if asked <= refused {
                    assert!(done, "{last:?} failed though it got all it asked for");
                    break;
                }
                refused += 1;
            }
        }
    }
}

fn ranges_that_leave_their_area<P: PageSize>() {
    let mut pair = Pair::<P>::new();
    assert!(pair.call(&Call::Save(entry(0, OFFSET_MAX), 5)));
    assert!(pair.call(&Call::Save(entry(1, 0), 11)));
    for (first, nr) in [(entry(0, 7), 0), (entry(0, OFFSET_MAX), 2), (entry(31, 9), usize::MAX)] {
        assert_eq!(EntryRange::new(first, nr), Err(Error::Invalid));
    }
    assert_eq!(SwapEntry::from_raw(1 << 63), Err(Error::Invalid));
    assert_eq!(SwapEntry::new(swap_type(3), OFFSET_MAX + 1), Err(Error::Invalid));
    let last = EntryRange::new(entry(0, OFFSET_MAX), 1).unwrap();
    assert!(pair.call(&Call::InvalidateRange(last)));
    pair.check();
    assert_eq!(pair.model.len(), 1);
    pair.finish();
}

/// The last slots of the last type are the last positions there are: what counts on behind
/// them begins anew at 0. A range that is refused memory takes back what it staged there.
fn refused_at_the_last_slots<P: PageSize>() {
    let mut pair = Pair::<P>::new();
    for (ty, nr) in [(31, 2), (31, 11), (31, 64), (31, 70), (0, 11)] {
        let range = EntryRange::new(entry(ty, OFFSET_MAX - nr + 1), nr as usize).unwrap();
        pair.call_despite_failures(&Call::SaveRange(range, 601));
        assert!(pair.call(&Call::RestoreRange(range)));
        pair.call_despite_failures(&Call::SaveRange(range, 1));
        assert!(pair.call(&Call::InvalidateRange(range)));
        pair.check();
    }
    pair.finish();
}

fn the_last_slots_of_all<P: PageSize>() {
    let mut pair = Pair::<P>::new();
    for ty in [0, 30, 31] {
        for first in [OFFSET_MAX - 1, OFFSET_MAX - 100] {
            let range = EntryRange::new(entry(ty, first), (OFFSET_MAX - first + 1) as usize);
            assert!(pair.call(&Call::SaveRange(range.unwrap(), first % 1000)));
            assert!(pair.call(&Call::RestoreRange(range.unwrap())));
        }
        pair.check();
        assert!(pair.call(&Call::InvalidateRange(EntryRange::area(swap_type(ty)))));
        pair.check();
    }
    pair.finish();
}

test_at_every_page_size! {
    tag_15_ranges_reach_the_last_slot_of_each_type = the_last_slots_of_all;
    tag_10_tag_15_a_refused_range_ends_at_the_last_slot = refused_at_the_last_slots;
    tag_3_tag_10_every_allocation_may_be_refused = every_allocation_refused_once;
    tag_15_no_range_leaves_its_area = ranges_that_leave_their_area;
}

/// TAG-9: whatever the store holds, taking and dropping ask the host for nothing.
fn restore_and_invalidate<P: PageSize>() {
    let mut pair = Pair::<P>::new();
    for offset in 0..300 {
        assert!(pair.call(&Call::Save(entry(2, offset * 11), offset)));
    }
    let begun = pair.host.allocations();
    for offset in 0..3400 {
        assert!(pair.call(&Call::Restore(entry(2, offset))));
    }
    for offset in (0..3400).step_by(3) {
        assert!(pair.call(&Call::Invalidate(entry(2, offset))));
    }
    assert!(pair.call(&Call::InvalidateRange(EntryRange::new(entry(2, 100), 900).unwrap())));
    assert!(pair.call(&Call::InvalidateArea(2)));
    assert_eq!(pair.host.allocations(), begun);
    pair.check();
    pair.finish();
}

test_at_every_page_size! {
    tag_9_restore_and_invalidate_allocate_nothing = restore_and_invalidate;
}
