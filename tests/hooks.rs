//! The hooks at swap-out and swap-in, on pages with a flag word and tags (HOOK-1 to HOOK-11,
//! TAG-1, TAG-6, TAG-10, TAG-11).

mod common;

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    thread,
};

use common::{SLEEP, entry, host::TestHost, swap_type};
use mteswap::{
    entry::{EntryRange, SwapEntry},
    error::{Error, Result},
    hooks::{self, KeepTags, NoMte},
    host::{AllocFlags, Warning},
    page::{self, FlagWord, Page, PageFlags},
    store::TagStore,
    swap::{Keeper, NoSwap, SlotsFreed, Swap, SwapPin},
    tagmem::ShadowPage,
    tags::{Page4K, PageSize, TagSink, TagSource},
};

const TAGGED: usize = PageFlags::TAGGED.bits();
const BOTH: usize = PageFlags::TAGGED.bits() | PageFlags::LOCK.bits();

type Store<P> = TagStore<TestHost, P>;

/// What a kernel has of a page: a flag word, and tags.
struct Frame {
    flags: AtomicUsize,
    tags: Vec<AtomicU64>,
}

impl Frame {
    fn untagged<P: PageSize>() -> Self {
        // Whatever the frame's last owner left: nobody may see it.
        let stale = (0..P::WORDS).map(|_| AtomicU64::new(!0)).collect();
        Self { flags: AtomicUsize::new(0), tags: stale }
    }

    fn tagged<P: PageSize>(seed: u64) -> Self {
        let frame = Self::untagged::<P>();
        for (index, word) in frame.tags.iter().enumerate() {
            word.store(pattern(seed, index), SeqCst);
        }
        frame.flags.store(BOTH, SeqCst);
        frame
    }

    fn page(&self) -> Page<'_, ShadowPage<'_>> {
        Page::new(FlagWord::new(&self.flags), ShadowPage::new(&self.tags))
    }

    fn is_tagged(&self) -> bool {
        self.flags.load(SeqCst) & TAGGED != 0
    }

    fn holds(&self, seed: u64) -> bool {
        self.tags.iter().enumerate().all(|(index, word)| word.load(SeqCst) == pattern(seed, index))
    }

    fn is_stale(&self) -> bool {
        self.tags.iter().all(|word| word.load(SeqCst) == !0)
    }
}

/// Tags that tell which page they are of: one tag, some runs, or no pattern at all.
fn pattern(seed: u64, index: usize) -> u64 {
    match seed % 3 {
        0 => (seed & 0xf) * 0x1111_1111_1111_1111,
        1 => (seed & 0xf) * if index % 4 == 0 { 0x1111_1111_0000_0000 } else { 0 },
        _ => (seed ^ index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
    }
}

fn range(first: u64, nr: usize) -> EntryRange {
    EntryRange::new(entry(2, first), nr).unwrap()
}

/// A folio's pages, as the hooks ask for them.
fn folio<'a>(frames: &'a [Frame]) -> impl Fn(u64) -> Option<Page<'a, ShadowPage<'a>>> {
    |index| frames.get(index as usize).map(Frame::page)
}

fn untagged<P: PageSize>(nr: usize) -> Vec<Frame> {
    (0..nr).map(|_| Frame::untagged::<P>()).collect()
}

fn save<P: PageSize>(store: &Store<P>, first: u64, frames: &[Frame]) -> Result<u64> {
    hooks::prepare_to_swap(store, range(first, frames.len()), folio(frames), SLEEP)
}

fn restore<P: PageSize>(store: &Store<P>, first: u64, frames: &[Frame]) -> Result<u64> {
    hooks::restore_folio(store, range(first, frames.len()), folio(frames))
}

fn a_folio_comes_back<P: PageSize>() {
    let store = Store::<P>::new(TestHost::new());
    let out: Vec<_> = (1..=16).map(Frame::tagged::<P>).collect();
    assert_eq!(save(&store, 32, &out), Ok(16));
    let back = untagged::<P>(16);
    assert_eq!(restore(&store, 32, &back), Ok(16));
    for (frame, seed) in back.iter().zip(1..) {
        assert!(frame.is_tagged() && frame.holds(seed), "page {seed}");
    }
}

#[test]
fn tag_10_tag_11_page_i_of_a_folio_uses_slot_i() {
    a_folio_comes_back::<Page4K>();
    a_folio_comes_back::<mteswap::tags::Page16K>();
    a_folio_comes_back::<mteswap::tags::Page64K>();
}

#[test]
fn tag_1_hook_1_untagged_pages_of_a_folio_are_not_saved_and_keep_older_records() {
    let store = Store::<Page4K>::new(TestHost::new());
    save(&store, 1, &[Frame::tagged::<Page4K>(5)]).unwrap();
    let out =
        [Frame::tagged::<Page4K>(7), Frame::untagged::<Page4K>(), Frame::untagged::<Page4K>()];
    assert_eq!(save(&store, 0, &out), Ok(1));
    assert!(store.contains(entry(2, 0)) && !store.contains(entry(2, 2)));
    let back = untagged::<Page4K>(3);
    assert_eq!(restore(&store, 0, &back), Ok(2));
    assert!(back[0].holds(7) && back[1].holds(5));
    assert!(
        back[2].is_stale() && back[2].flags.load(SeqCst) == 0,
        "no record: untouched, unlocked"
    );
}

#[test]
fn hook_1_tag_10_a_save_that_fails_leaves_every_older_record() {
    let host = TestHost::new();
    let store = Store::<Page4K>::new(host.clone());
    let older: Vec<_> = (0..8).map(|seed| Frame::tagged::<Page4K>(3 * seed + 2)).collect();
    save(&store, 64, &older).unwrap();
    let newer: Vec<_> = (0..16).map(|seed| Frame::tagged::<Page4K>(3 * seed + 101)).collect();
    let mut failed = 0;
    for allowed in 0.. {
        host.fail_after(allowed);
        let saved = save(&store, 64, &newer);
        host.fail_never();
        if saved.is_ok() {
            break;
        }
        failed += 1;
        assert_eq!(saved, Err(Error::NoMemory));
        assert!(newer.iter().all(Frame::is_tagged), "the folio is as it was");
        let back = untagged::<Page4K>(16);
        assert_eq!(restore(&store, 64, &back), Ok(8), "after {allowed} allocations");
        assert!((0..8).all(|i| back[i as usize].holds(3 * i + 2)));
    }
    assert!(failed > 0, "no allocation was made to fail");
}

#[test]
fn tag_6_a_page_that_is_tagged_keeps_its_tags() {
    let store = Store::<Page4K>::new(TestHost::new());
    save(&store, 0, &[Frame::tagged::<Page4K>(7)]).unwrap();
    for flags in [TAGGED, BOTH] {
        let frame = Frame::tagged::<Page4K>(8);
        frame.flags.store(flags, SeqCst);
        assert_eq!(restore(&store, 0, std::slice::from_ref(&frame)), Ok(0));
        assert!(frame.holds(8), "flags {flags:#b}");
    }
}

#[test]
fn tag_4_a_page_in_the_swap_cache_is_restored_by_each_who_maps_it_once() {
    let store = Store::<Page4K>::new(TestHost::new());
    save(&store, 0, &[Frame::tagged::<Page4K>(7)]).unwrap();
    let frame = [Frame::untagged::<Page4K>()];
    assert_eq!(restore(&store, 0, &frame), Ok(1));
    // Its owner changes a tag; the next fault's restore must not undo that.
    frame[0].tags[3].store(42, SeqCst);
    assert_eq!(restore(&store, 0, &frame), Ok(0));
    assert_eq!(frame[0].tags[3].load(SeqCst), 42);
    // Reclaimed while clean, and read again: the record is still there.
    let again = [Frame::untagged::<Page4K>()];
    assert_eq!(restore(&store, 0, &again), Ok(1));
    assert!(again[0].holds(7));
}

/// A store that counts what it decodes, and what is asked for ahead.
struct Counting<'a> {
    store: &'a Store<Page4K>,
    decodes: Cell<usize>,
    hints: Cell<usize>,
}

impl KeepTags for Counting<'_> {
    const KEEPS: bool = true;
    const WORDS: usize = Page4K::WORDS;

    fn save_pages<S: TagSource>(
        &self,
        range: EntryRange,
        page: impl FnMut(u64) -> Option<S>,
        flags: AllocFlags,
    ) -> Result<()> {
        self.store.save_pages(range, page, flags)
    }

    fn restore_page(&self, entry: SwapEntry, tags: &mut (impl TagSink + ?Sized)) -> bool {
        self.decodes.set(self.decodes.get() + 1);
        self.store.restore_page(entry, tags)
    }

    fn prefetch_tags(&self, range: EntryRange) {
        self.hints.set(self.hints.get() + 1);
        self.store.prefetch_tags(range);
    }

    fn has_tags(&self, entry: SwapEntry) -> bool {
        self.store.has_tags(entry)
    }

    fn drop_tags(&self, range: EntryRange) {
        self.store.drop_tags(range);
    }
}

#[test]
fn tag_11_refaulting_a_folio_of_16_pages_one_by_one_costs_at_most_16_decodes() {
    let store = Store::<Page4K>::new(TestHost::new());
    let out: Vec<_> = (1..=16).map(Frame::tagged::<Page4K>).collect();
    save(&store, 48, &out).unwrap();
    let counting = Counting { store: &store, decodes: Cell::new(0), hints: Cell::new(0) };
    let back = untagged::<Page4K>(16);
    for fault in 0..16 {
        // Each fault knows its own slot, and restores the folio.
        let first = entry(2, 48 + fault).folio(16).unwrap();
        assert_eq!(first, entry(2, 48));
        let slots = EntryRange::new(first, 16).unwrap();
        let restored = hooks::restore_folio(&counting, slots, folio(&back)).unwrap();
        assert_eq!(restored, if fault == 0 { 16 } else { 0 });
    }
    // Asked for ahead by the first alone.
    assert_eq!((counting.decodes.get(), counting.hints.get()), (16, 1));
    assert!(back.iter().zip(1..).all(|(frame, seed)| frame.holds(seed)));
    // Pages without a record cost none.
    let none = untagged::<Page4K>(16);
    let empty = EntryRange::new(entry(2, 512), 16).unwrap();
    assert_eq!(hooks::restore_folio(&counting, empty, folio(&none)), Ok(0));
    assert_eq!(counting.decodes.get(), 16);
}

#[test]
fn tag_11_threads_that_fault_on_one_folio_at_once_find_it_whole() {
    let store = Store::<Page4K>::new(TestHost::new());
    for round in 0..100 {
        let out: Vec<_> = (0..8).map(|i| Frame::tagged::<Page4K>(round * 8 + i)).collect();
        save(&store, 0, &out).unwrap();
        let back = untagged::<Page4K>(8);
        let restored: u64 = thread::scope(|scope| {
            let fault = || {
                let restored = restore(&store, 0, &back).unwrap();
                // Whoever restored them, all are there when the hook returns.
                assert!((0..8).all(|i| back[i as usize].holds(round * 8 + i)));
                restored
            };
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(fault)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(restored, 8, "each page by one of them");
    }
}

/// One device: a store, and an area whose freed slots are invalidated in it.
fn with_device(slots: usize, run: impl FnOnce(&Store<Page4K>, &Device<'_>, &TestHost)) {
    let host = TestHost::new();
    let store = Store::<Page4K>::new(host.clone());
    let swap = Swap::new(host.clone(), &store, swap_type(2), slots).unwrap();
    run(&store, &swap, &host);
}

type Device<'a> = Swap<TestHost, &'a Store<Page4K>>;

/// Swap-out of a folio: slots, tags, one reference a page, and out of the swap cache.
fn swap_out(store: &Store<Page4K>, swap: &Device<'_>, frames: &[Frame]) -> EntryRange {
    let slots = swap.alloc(frames.len()).unwrap();
    let range = slots.range();
    hooks::prepare_to_swap(store, range, folio(frames), SLEEP).unwrap();
    for i in 0..range.len() {
        let _ = swap.duplicate(range.get(i).unwrap()).unwrap().into_entry();
    }
    drop(slots);
    range
}

/// Direct swap-in of one page (PIN-5).
fn swap_in(store: &Store<Page4K>, swap: &Device<'_>, pte: &AtomicU64, frame: &Frame) -> Result<()> {
    let slot = SwapEntry::from_raw(pte.load(SeqCst)).and_then(|e| EntryRange::new(e, 1))?;
    let pin = SwapPin::new(swap, slot, Keeper::Mark)?;
    // The data is read here; then, with the page table locked:
    if pte.load(SeqCst) != slot.first().raw() {
        return Err(Error::NoEntry);
    }
    let reference = swap.slot_ref(slot)?;
    let restored = hooks::swap_restore(store, reference, slot, |_| Some(frame.page()))?;
    assert_eq!(pte.load(SeqCst), slot.first().raw(), "HOOK-8: not visible yet");
    assert!(store.contains(slot.first()), "nothing was freed before tags were restored");
    restored.swap_free();
    pte.store(u64::MAX, SeqCst);
    drop(pin);
    Ok(())
}

#[test]
fn hook_2_hook_7_hook_8_pin_5_tags_are_back_before_the_slot_is_freed_and_the_pte_set() {
    with_device(16, |store, swap, host| {
        for seed in 1..40 {
            let slots = swap_out(store, swap, &[Frame::tagged::<Page4K>(seed)]);
            let pte = AtomicU64::new(slots.first().raw());
            let frame = Frame::untagged::<Page4K>();
            assert_eq!(swap_in(store, swap, &pte, &frame), Ok(()));
            assert!(frame.is_tagged() && frame.holds(seed));
            assert_eq!(pte.load(SeqCst), u64::MAX);
            assert!(!store.contains(slots.first()), "the record went with the slot");
            assert_eq!(swap.free_slots(), 16);
        }
        assert_eq!(store.stats().entries, 0);
        assert_eq!(host.take_warnings(), []);
    });
}

#[test]
fn hook_7_freed_first_the_tags_are_lost() {
    // The order of commit c145e0b47c77, which takes a discard to write here at all.
    with_device(16, |store, swap, _| {
        let slots = swap_out(store, swap, &[Frame::tagged::<Page4K>(7)]);
        swap.slot_ref(slots).unwrap().discard();
        let frame = [Frame::untagged::<Page4K>()];
        assert_eq!(restore(store, slots.first().offset(), &frame), Ok(0));
        assert!(!frame[0].is_tagged(), "gone");
    });
}

#[test]
fn hook_2_a_reference_to_one_slot_restores_the_folio_it_is_part_of() {
    with_device(16, |store, swap, _| {
        let out: Vec<_> = (1..=4).map(Frame::tagged::<Page4K>).collect();
        let slots = swap_out(store, swap, &out);
        let back = untagged::<Page4K>(4);
        let third = EntryRange::new(slots.get(2).unwrap(), 1).unwrap();
        let reference = swap.slot_ref(third).unwrap();
        hooks::swap_restore(store, reference, slots, folio(&back)).unwrap().swap_free();
        assert!(back.iter().zip(1..).all(|(frame, seed)| frame.holds(seed)));
        let present: Vec<_> = (0..4).map(|i| store.contains(slots.get(i).unwrap())).collect();
        assert_eq!(present, [true, true, false, true]);
        // Slots that are no part of the folio prove nothing about it.
        let reference = swap.slot_ref(third).unwrap();
        let half = EntryRange::new(slots.first(), 2).unwrap();
        let refused = hooks::swap_restore(store, reference, half, folio(&back));
        assert_eq!(refused.err(), Some(Error::Invalid));
    });
}

#[test]
fn hook_2_a_failed_restore_or_read_leaves_the_reference_with_the_pte() {
    with_device(16, |store, swap, host| {
        let slots = swap_out(store, swap, &[Frame::tagged::<Page4K>(7)]);
        // The read failed: no restore; the fault's reference is dropped.
        drop(swap.slot_ref(slots).unwrap());
        // The page is not one of the store's.
        let huge = Frame::untagged::<mteswap::tags::Page64K>();
        let reference = swap.slot_ref(slots).unwrap();
        let refused = hooks::swap_restore(store, reference, slots, |_| Some(huge.page()));
        assert_eq!(refused.err(), Some(Error::Invalid));
        assert!(huge.is_stale() && huge.flags.load(SeqCst) == 0);
        assert_eq!(swap.count(slots.first()), Ok(1));
        assert!(store.contains(slots.first()));
        assert_eq!(host.take_warnings(), []);
    });
}

#[test]
fn hook_2_another_mappings_tags_come_back_where_this_one_is_not_prot_mte() {
    with_device(4, |store, swap, _| {
        let slots = swap_out(store, swap, &[Frame::tagged::<Page4K>(7)]);
        let _ = swap.duplicate(slots.first()).unwrap().into_entry();
        // First a mapping without PROT_MTE faults: no sync of tags at its PTE, but a restore.
        let frame = Frame::untagged::<Page4K>();
        let reference = swap.slot_ref(slots).unwrap();
        let restored =
            hooks::swap_restore(store, reference, slots, |_| Some(frame.page())).unwrap();
        restored.swap_free();
        assert!(frame.holds(7));
        // Then one with it, which must not clear them.
        page::sync([frame.page()]);
        assert!(frame.holds(7));
    });
}

#[test]
fn hook_3_hook_10_the_record_goes_with_the_last_reference() {
    with_device(4, |store, swap, _| {
        let slots = swap_out(store, swap, &[Frame::tagged::<Page4K>(7)]);
        let _ = swap.duplicate(slots.first()).unwrap().into_entry();
        swap.slot_ref(slots).unwrap().discard();
        assert!(store.contains(slots.first()), "the other mapping may still swap in");
        swap.slot_ref(slots).unwrap().discard();
        assert!(!store.contains(slots.first()));
        // The slot's next page is untagged: it must not get the old tags.
        let slots_again = swap_out(store, swap, &[Frame::untagged::<Page4K>()]);
        assert_eq!(slots_again, slots);
        let frame = [Frame::untagged::<Page4K>()];
        assert_eq!(restore(store, slots.first().offset(), &frame), Ok(0));
        assert!(!frame[0].is_tagged());
    });
}

#[test]
fn hook_4_swapoff_brings_pages_back_then_drops_the_area_and_no_other() {
    let store = Store::<Page4K>::new(TestHost::new());
    for ty in [1, 2, 3] {
        for offset in [0, 5, mteswap::entry::OFFSET_MAX] {
            store.save(entry(ty, offset), &Page4K::ZERO, SLEEP).unwrap();
        }
    }
    hooks::swap_invalidate_area(&store, swap_type(2));
    let left =
        |ty| [0, 5, mteswap::entry::OFFSET_MAX].map(|offset| store.contains(entry(ty, offset)));
    assert_eq!([left(1), left(2), left(3)], [[true; 3], [false; 3], [true; 3]]);
}

#[test]
fn hook_5_the_deprecated_hook_restores_by_the_old_pte_before_the_slot_is_freed() {
    with_device(4, |store, swap, _| {
        let slots = swap_out(store, swap, &[Frame::tagged::<Page4K>(7)]);
        let frame = Frame::untagged::<Page4K>();
        #[expect(deprecated, reason = "it is what is tested")]
        let restored =
            hooks::do_swap_page(store, swap.slot_ref(slots).unwrap(), &frame.page()).unwrap();
        assert!(frame.holds(7) && store.contains(slots.first()));
        restored.swap_free();
        assert!(!store.contains(slots.first()));

        // Where Linux calls it, after swap_free, there is nothing left to restore.
        let slots = swap_out(store, swap, &[Frame::tagged::<Page4K>(8)]);
        swap.slot_ref(slots).unwrap().discard();
        let frame = Frame::untagged::<Page4K>();
        #[expect(deprecated, reason = "it is what is tested")]
        let restored = hooks::do_swap_page(store, swap.slot_ref(slots).unwrap(), &frame.page());
        drop(restored);
        assert!(!frame.is_tagged());
    });
}

#[test]
fn hook_6_setting_a_pte_does_not_restore_tags() {
    with_device(4, |store, swap, _| {
        let slots = swap_out(store, swap, &[Frame::tagged::<Page4K>(7)]);
        let frame = Frame::untagged::<Page4K>();
        page::sync([frame.page()]);
        assert!(frame.holds(0), "zero tags, not the record's");
        assert!(store.contains(slots.first()));
    });
}

#[test]
fn hook_9_the_slot_is_freed_before_the_page_is_asked_to_be_exclusive() {
    // Exclusive: no reference but this fault's. Linux counts the slot's other users, so the
    // fault's own must be gone when it asks, and restoring must not have kept it.
    with_device(4, |store, swap, _| {
        let slots = swap_out(store, swap, &[Frame::tagged::<Page4K>(7)]);
        let pin = SwapPin::new(swap, slots, Keeper::Mark).unwrap();
        let frame = Frame::untagged::<Page4K>();
        let reference = swap.slot_ref(slots).unwrap();
        hooks::swap_restore(store, reference, slots, |_| Some(frame.page())).unwrap().swap_free();
        assert_eq!(swap.count(slots.first()), Ok(0), "exclusive, while the pin is still held");
        drop(pin);
        assert!(frame.holds(7));
    });
}

#[test]
fn hook_11_a_page_whose_data_is_zero_is_saved_like_any_other() {
    // The hook is not given the data, so that nothing it holds can make a difference: zero
    // pages and pages that zswap takes have tags too, even if all of those are zero.
    let store = Store::<Page4K>::new(TestHost::new());
    let zero = Frame::tagged::<Page4K>(0);
    assert!(zero.holds(0));
    assert_eq!(save(&store, 9, std::slice::from_ref(&zero)), Ok(1));
    let back = [Frame::untagged::<Page4K>()];
    assert_eq!(restore(&store, 9, &back), Ok(1));
    assert!(back[0].is_tagged() && back[0].holds(0));
}

#[test]
fn folios_with_a_page_missing_or_of_another_size_are_refused_whole() {
    let store = Store::<Page4K>::new(TestHost::new());
    let short = [Frame::tagged::<Page4K>(1)];
    let large = [Frame::tagged::<Page4K>(1), Frame::tagged::<mteswap::tags::Page16K>(2)];
    for frames in [&short[..], &large[..]] {
        let saved = hooks::prepare_to_swap(&store, range(0, 2), folio(frames), SLEEP);
        assert_eq!(saved, Err(Error::Invalid));
        assert!(!store.contains(entry(2, 0)));
        assert_eq!(hooks::restore_folio(&store, range(0, 2), folio(frames)), Err(Error::Invalid));
    }
}

#[test]
fn pin_12_without_mte_nothing_is_stored_and_the_answer_says_so() {
    const { assert!(!NoMte::KEEPS) };
    let frames = [Frame::tagged::<Page4K>(1), Frame::tagged::<Page4K>(2)];
    let saved = hooks::prepare_to_swap(&NoMte, range(0, 2), folio(&frames), SLEEP);
    assert_eq!(saved, Ok(0));
    let back = untagged::<Page4K>(2);
    assert_eq!(hooks::restore_folio(&NoMte, range(0, 2), folio(&back)), Ok(0));
    assert!(back.iter().all(|frame| !frame.is_tagged()));
    hooks::swap_invalidate_area(&NoMte, swap_type(2));
    NoMte.slots_freed(range(0, 2));
    drop(SwapPin::new(&NoSwap, range(0, 2), Keeper::Mark).unwrap());
}

/// Threads that swap one page in and out of one slot, as fast as they can: the seed's stress
/// test, small. Every count is there at the end, and every swap-in finds its own page's tags.
#[test]
fn pin_8_hook_3_pages_that_come_and_go_through_one_slot_keep_their_tags() {
    with_device(1, |store, swap, host| {
        let (seed, faults) = (AtomicU64::new(1), AtomicUsize::new(0));
        let slots = swap_out(store, swap, &[Frame::tagged::<Page4K>(1)]);
        let pte = AtomicU64::new(slots.first().raw());
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while faults.load(SeqCst) < 2000 {
                        let old = pte.load(SeqCst);
                        if old == u64::MAX {
                            thread::yield_now();
                            continue;
                        }
                        let frame = Frame::untagged::<Page4K>();
                        if swap_in(store, swap, &pte, &frame).is_err() {
                            if let Ok(entry) = SwapEntry::from_raw(old) {
                                let _ = mteswap::swap::SwapCache::swapcache_wait(swap, entry);
                            }
                            continue;
                        }
                        // It is ours until it is swapped out again: of which page are its tags?
                        assert!(frame.holds(seed.load(SeqCst)), "another page's tags, or none");
                        let next = seed.fetch_add(1, SeqCst) + 1;
                        faults.fetch_add(1, SeqCst);
                        let slots = swap_out(store, swap, &[Frame::tagged::<Page4K>(next)]);
                        pte.store(slots.first().raw(), SeqCst);
                    }
                });
            }
        });
        assert!(faults.load(SeqCst) >= 2000);
        assert_eq!(host.take_warnings(), [] as [Warning; 0]);
        assert_eq!(swap.count(slots.first()), Ok(1));
    });
}
