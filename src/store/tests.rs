mod lists;

use std::{sync::atomic::AtomicBool, vec, vec::Vec};

use super::*;
use crate::{
    sync::Ordering,
    tags::{Page4K, Page16K, Page64K},
    testing::TestHost,
};

fn entry(ty: u32, offset: u64) -> SwapEntry {
    SwapEntry::new(SwapType::new(ty).unwrap(), offset).unwrap()
}

/// Tags that tell the page by its number, of three classes: one tag, half empty, random.
fn tags<P: PageSize>(number: u64) -> P::Words {
    let mut words = P::ZERO;
    let mut seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for (i, word) in words.as_mut().iter_mut().enumerate() {
        seed = (seed ^ (seed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(1);
        *word = match number % 3 {
            0 => (number / 3 % 16) * 0x1111_1111_1111_1111,
            1 if i >= P::WORDS / 2 => 0,
            _ => seed ^ number,
        };
    }
    words
}

fn source<P: PageSize>(number: u64) -> Vec<u64> {
    tags::<P>(number).as_ref().to_vec()
}

fn restored<P: PageSize>(store: &TagStore<TestHost, P>, entry: SwapEntry) -> Option<Vec<u64>> {
    let mut words = vec![0xeeee_eeee_eeee_eeee; P::WORDS];
    store.restore(entry, words.as_mut_slice()).then_some(words)
}

const SLEEP: AllocFlags = AllocFlags::MAY_SLEEP;

fn every_rule_of_one_page<P: PageSize>() {
    let host = TestHost::new();
    let mut store = TagStore::<_, P>::new(host.clone());
    for number in 0..600 {
        store.save(entry(1, number), source::<P>(number).as_slice(), SLEEP).unwrap();
    }
    for number in 0..600 {
        for _ in 0..2 {
            assert_eq!(restored(&store, entry(1, number)).unwrap(), source::<P>(number));
        }
    }
    assert_eq!(restored(&store, entry(0, 1)), None);
    let mut untouched = vec![7u64; P::WORDS];
    assert!(!store.restore(entry(1, 600), untouched.as_mut_slice()));
    assert_eq!(untouched, vec![7u64; P::WORDS]);
    for number in 0..600 {
        store.save(entry(1, number), source::<P>(number + 1).as_slice(), SLEEP).unwrap();
        assert_eq!(restored(&store, entry(1, number)).unwrap(), source::<P>(number + 1));
    }
    let stats = store.stats();
    assert_eq!(stats.entries, 600);
    assert_eq!(stats.payload_bytes + stats.index_bytes, host.held() as u64);
    for number in (0..600).step_by(2) {
        store.invalidate(entry(1, number));
        store.invalidate(entry(1, number));
        assert!(!store.contains(entry(1, number)));
        assert!(store.contains(entry(1, number + 1)));
    }
    store.invalidate_area(SwapType::new(1).unwrap());
    let stats = store.stats();
    assert_eq!((stats.entries, stats.payload_bytes), (0, 0));
    assert_eq!(stats.index_bytes, host.held() as u64);
    store.shrink();
    assert_eq!(host.held(), 0);
}

#[test]
fn tag_2_tag_4_tag_5_tag_7_tag_8_save_restore_invalidate_at_every_page_size() {
    every_rule_of_one_page::<Page4K>();
    every_rule_of_one_page::<Page16K>();
    every_rule_of_one_page::<Page64K>();
}

#[test]
fn tag_5_tag_13_what_was_found_is_restored_whole_or_not_at_all() {
    let store = TagStore::<_, Page4K>::new(TestHost::new());
    assert!(store.find(entry(1, 0)).is_none());
    // 0: one tag, in its slot; 2: random, a payload.
    for number in [0, 2] {
        let at = entry(1, number);
        store.save(at, &tags::<Page4K>(number), SLEEP).unwrap();
        let found = store.find(at).unwrap();
        let mut words = [7_u64; 16];
        assert!(store.restore_found(found, &mut words));
        assert_eq!(words, tags::<Page4K>(number));
        let mut words = [7_u64; 16];
        store.invalidate(at);
        // A payload is gone with its record; what was in the slot was seen whole.
        let restored = store.restore_found(found, &mut words);
        assert_eq!(restored, number == 0);
        assert_eq!(words, if restored { tags::<Page4K>(0) } else { [7; 16] });
    }
}

/// A page with a run in each word: a payload in a slab.
fn sixteen_runs() -> [u64; 16] {
    core::array::from_fn(|tag| tag as u64 * 0x1111_1111_1111_1111)
}

#[test]
fn tag_5_tag_13_what_is_gone_once_its_leaf_is_locked_is_not_restored() {
    let host = TestHost::new();
    let store = TagStore::<_, Page4K>::new(host.clone());
    // The other one keeps the leaf.
    for offset in [2, 3] {
        store.save(entry(1, offset), &sixteen_runs(), SLEEP).unwrap();
    }
    let found = store.find(entry(1, 2)).unwrap();
    store.invalidate(entry(1, 2));
    let mut words = [7_u64; 16];
    assert!(!store.restore_found(found, &mut words));
    assert_eq!((words, host.warnings()), ([7; 16], 0));
}

#[test]
fn tag_13_what_took_the_place_of_a_payload_is_restored_from_a_narrow_leaf_too() {
    let host = TestHost::new();
    let store = TagStore::<_, Page4K>::new(host.clone());
    store.save(entry(1, 2), &sixteen_runs(), SLEEP).unwrap();
    let found = store.find(entry(1, 2)).unwrap();
    store.invalidate(entry(1, 2));
    store.save(entry(1, 2), &[0x3333_3333_3333_3333_u64; 16], SLEEP).unwrap();
    let mut words = [7_u64; 16];
    assert!(store.restore_found(found, &mut words));
    assert_eq!((words, host.warnings()), ([0x3333_3333_3333_3333; 16], 0));
}

#[test]
fn tag_16_move_replaces_and_takes_away() {
    let host = TestHost::new();
    let store = TagStore::<_, Page4K>::new(host.clone());
    let cases = [
        (entry(0, 1), entry(0, 2)),
        (entry(0, 1), entry(5, 1 << 40)),
        (entry(3, 9), entry(3, 700)),
    ];
    for (from, to) in cases {
        for number in 0..6 {
            store.save(from, source::<Page4K>(number).as_slice(), SLEEP).unwrap();
            if number % 2 == 0 {
                store.save(to, source::<Page4K>(50 + number).as_slice(), SLEEP).unwrap();
            }
            store.move_record(from, from, SLEEP).unwrap();
            store.move_record(from, to, SLEEP).unwrap();
            assert_eq!(restored(&store, to).unwrap(), source::<Page4K>(number));
            assert_eq!(restored(&store, from), None);
            assert_eq!(store.move_record(from, to, SLEEP), Err(Error::NoEntry));
            assert_eq!(store.move_record(from, from, SLEEP), Err(Error::NoEntry));
            assert_eq!(restored(&store, to).unwrap(), source::<Page4K>(number));
            store.invalidate(to);
        }
    }
    assert_eq!(store.stats().payload_bytes, 0);
}

#[test]
fn tag_10_a_folio_is_saved_whole_or_not_at_all() {
    let host = TestHost::new();
    let store = TagStore::<_, Page4K>::new(host.clone());
    let range = EntryRange::new(entry(2, 60), 16).unwrap();
    for i in 0..16 {
        store.save(range.get(i).unwrap(), source::<Page4K>(i).as_slice(), SLEEP).unwrap();
    }
    for fail in 0.. {
        host.fail_after(fail);
        let page = |i| (i % 3 != 0).then(|| tags::<Page4K>(i * i + 100 - i % 2));
        let result = store.save_range(range, page, SLEEP);
        host.fail_after(-1);
        for i in 0..16 {
            let number = if result.is_ok() && i % 3 != 0 { i * i + 100 - i % 2 } else { i };
            assert_eq!(restored(&store, range.get(i).unwrap()).unwrap(), source::<Page4K>(number));
        }
        if result.is_ok() {
            assert!(fail > 3);
            break;
        }
        assert_eq!(result, Err(Error::NoMemory));
    }
    let mut pages = vec![[0u64; 16]; 16];
    assert_eq!(store.restore_range(range, |_| Some([0u64; 16])), 16);
    let mut rest = pages.iter_mut();
    assert_eq!(store.restore_range(range, |_| rest.next()), 16);
    assert_eq!(pages[1].to_vec(), source::<Page4K>(100));
}

#[test]
fn tag_3_a_reserve_keeps_saves_going_without_memory() {
    // The last is staged in more leaves than one directory leads to.
    let last = crate::entry::OFFSET_MAX - 127;
    for (first, nr) in [(0, 128), (1 << 20, 128), (last, 128), (1 << 13, 1 << 13)] {
        for whole in [false, true] {
            let host = TestHost::new();
            let mut store = TagStore::<_, Page4K>::new(host.clone());
            store.save(entry(0, 3), source::<Page4K>(2).as_slice(), SLEEP).unwrap();
            store.reserve(nr).unwrap();
            let reserved = store.stats().reserved_bytes;
            assert!(reserved > nr as u64 * 128);
            host.fail_after(0);
            let range = EntryRange::new(entry(0, first), nr).unwrap();
            let content = |i: u64| tags::<Page4K>(i * 3 + 2);
            if whole {
                store.save_range(range, |i| Some(content(i)), AllocFlags::empty()).unwrap();
            } else {
                for i in 0..nr as u64 {
                    store.save(range.get(i).unwrap(), &content(i), AllocFlags::empty()).unwrap();
                }
            }
            let beyond = store.save(entry(9, 9), &content(0), AllocFlags::empty());
            assert_eq!(beyond, Err(Error::NoMemory), "the reserve was used up");
            host.fail_after(-1);
            for i in 0..nr as u64 {
                assert_eq!(restored(&store, range.get(i).unwrap()).unwrap(), content(i).to_vec());
            }
            store.reserve(0).unwrap();
            assert_eq!(store.stats().reserved_bytes, 0);
            let stats = store.stats();
            assert_eq!(stats.payload_bytes + stats.index_bytes, host.held() as u64);
            store.invalidate_area(SwapType::new(0).unwrap());
            store.shrink();
            assert_eq!(host.held(), 0);
        }
    }
}

#[test]
fn tag_3_a_reserve_that_cannot_be_had_is_as_before() {
    // Saves have used payloads of it and no leaves, or nodes and leaves and no payload.
    for payloads in [true, false] {
        for wanted in [50, 500, 2000] {
            for fail in 0..80 {
                let host = TestHost::new();
                let store = TagStore::<_, Page4K>::new(host.clone());
                store.reserve(1000).unwrap();
                host.fail_after(0);
                for i in 0..60 {
                    let (at, content) = if payloads { (0, 2) } else { (i << 40, 0) };
                    let saved =
                        store.save(entry(0, at), &tags::<Page4K>(content), AllocFlags::empty());
                    assert!(saved.is_ok() || !payloads);
                    store.invalidate(entry(0, at));
                }
                let before = store.stats().reserved_bytes;
                host.fail_after(fail);
                let result = store.reserve(wanted);
                host.fail_after(-1);
                if result.is_err() {
                    assert_eq!(store.stats().reserved_bytes, before, "{wanted} after {fail}");
                }
                store.reserve(wanted).unwrap();
                let fresh = TagStore::<_, Page4K>::new(TestHost::new());
                fresh.reserve(wanted).unwrap();
                assert_eq!(store.stats().reserved_bytes, fresh.stats().reserved_bytes);
            }
        }
    }
}

#[test]
fn next_visits_every_record_of_every_type_in_order() {
    let store = TagStore::<_, Page4K>::new(TestHost::new());
    let last = crate::entry::OFFSET_MAX;
    let entries = [entry(0, 0), entry(0, 64), entry(1, last), entry(7, 1 << 33), entry(31, last)];
    for (number, at) in entries.iter().enumerate() {
        store.save(*at, &tags::<Page4K>(number as u64), SLEEP).unwrap();
    }
    let mut cursor = Some(entry(0, 0));
    for (number, at) in entries.iter().enumerate() {
        let mut words = [0u64; 16];
        assert_eq!(store.next(cursor.unwrap(), &mut words), Some(*at));
        assert_eq!(words, tags::<Page4K>(number as u64));
        cursor = SwapEntry::from_raw(at.raw() + 1).ok();
    }
    assert_eq!(cursor, None);
}

/// Tags whose every word tells the writer and the entry, so that a mix shows.
fn stamped(class: u64, stamp: u64) -> [u64; 16] {
    let mut words = [stamp * 16 + 1; 16];
    match class {
        0 => words = [(stamp % 16) * 0x1111_1111_1111_1111; 16],
        1 => words[8..].fill(0),
        _ => words[15] ^= 0x1234,
    }
    words
}

#[test]
fn tag_13_a_restore_beside_replacement_and_invalidation_is_whole_or_nothing() {
    let host = TestHost::new();
    let store = TagStore::<_, Page4K>::new(host.clone());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2u64 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                for step in 0..30_000u64 {
                    let at = entry(0, step * 7 % 5);
                    match step % 8 {
                        0..5 => {
                            store.save(at, &stamped(step % 3, step * 2 + writer), SLEEP).unwrap()
                        }
                        5 => store.invalidate(at),
                        6 => drop(store.move_record(at, entry(1, step % 3), SLEEP)),
                        _ => store.invalidate_area(SwapType::new((step / 8 % 2) as u32).unwrap()),
                    }
                }
                stop.store(true, Ordering::Relaxed);
            });
        }
        let mut found = 0u64;
        let folio = EntryRange::new(entry(0, 0), 5).unwrap();
        while !stop.load(Ordering::Relaxed) || found == 0 {
            let mut pages = [[0u64; 16]; 13];
            let (single, whole) = pages.split_at_mut(8);
            for (i, words) in (0..).zip(single) {
                store.restore(entry(i / 5, u64::from(i % 5)), words);
            }
            let mut rest = whole.iter_mut();
            store.restore_range(folio, |_| rest.next());
            // Others were not found, or are whole, of tag 0.
            for words in pages.iter().filter(|words| **words != [0; 16]) {
                found += 1;
                let same = words[..8].iter().all(|word| *word == words[0]);
                let one_tag = *words == [(words[0] & 15) * 0x1111_1111_1111_1111; 16];
                let half = words[8..].iter().all(|word| *word == 0);
                let random = words[8..15].iter().all(|word| *word == words[0])
                    && words[15] == words[0] ^ 0x1234;
                assert!(one_tag || same && (half || random), "{words:x?}");
            }
        }
    });
    drop(store);
    assert_eq!(host.held(), 0);
    assert_eq!(host.entered(), 0);
}

/// With one leaf locked by somebody who does not come back, everything goes on elsewhere.
#[test]
fn tag_17_a_locked_leaf_holds_up_no_call_on_another() {
    let host = TestHost::new();
    let store = TagStore::<_, Page4K>::new(host.clone());
    // Neighbours in the same node, entries of other types, and far ones.
    let others =
        [entry(1, 0), entry(1, 63), entry(1, 128), entry(1, 4095), entry(1, 1 << 30), entry(0, 64)];
    for number in 0..192 {
        store.save(entry(1, number), source::<Page4K>(number).as_slice(), SLEEP).unwrap();
    }
    let locked = store.index.lock_leaf(entry(1, 64 + 9)).unwrap();
    std::thread::scope(|scope| {
        let calls = scope.spawn(|| {
            for (at, number) in others.into_iter().zip(1u64..) {
                for number in [number, number + 1, number + 2] {
                    store.save(at, source::<Page4K>(number).as_slice(), SLEEP).unwrap();
                    assert_eq!(restored(&store, at).unwrap(), source::<Page4K>(number));
                    assert!(store.contains(at));
                }
                store.invalidate(at);
                assert_eq!(restored(&store, at), None);
            }
            // From right behind the locked leaf on.
            let behind = EntryRange::new(entry(1, 128), 300).unwrap();
            store.save_range(behind, |i| Some(tags::<Page4K>(i)), SLEEP).unwrap();
            let mut found = vec![[0u64; 16]; 300];
            let mut rest = found.iter_mut();
            assert_eq!(store.restore_range(behind, |_| rest.next()), 300);
            store.invalidate_range(behind);
            store.save(entry(1, 3), source::<Page4K>(5).as_slice(), SLEEP).unwrap();
            store.move_record(entry(1, 3), entry(7, 1 << 50), SLEEP).unwrap();
            store.invalidate_area(SwapType::new(7).unwrap());
            store.reserve(70).unwrap();
            store.reserve(0).unwrap();
            let mut words = [0u64; 16];
            assert_eq!(store.next(entry(1, 0), &mut words), Some(entry(1, 1)));
        });
        calls.join().unwrap();
    });
    // The records of the locked leaf are as they were; looking at one takes no lock where it
    // is inline, as every third of these.
    assert_eq!(restored(&store, entry(1, 66)).unwrap(), source::<Page4K>(66));
    drop(locked);
    for number in 64..128 {
        let found = restored(&store, entry(1, number));
        assert_eq!(found.unwrap(), source::<Page4K>(number), "{number}");
    }
}

/// Saves tags, overwrites the byte at `at` of their payload, whose word has these bits, and restores.
fn overwritten<P: PageSize>(tags: &[u64], bits: (usize, usize), at: usize) {
    let host = TestHost::new();
    let store = TagStore::<_, P>::new(host.clone());
    store.save(entry(1, 1), tags, SLEEP).unwrap();
    let word = store.index.get(entry(1, 1));
    assert_eq!(word.addr() & bits.0, bits.1, "the kind of payload that is meant");
    let payload = word.wrapping_byte_sub(bits.1);
    // No form begins like that.
    // SAFETY: the payload's, and nobody else is there.
    unsafe { payload.wrapping_byte_add(at).write(0x40) };
    assert_eq!(restored(&store, entry(1, 1)), None);
    assert_eq!(host.warnings(), 1);
    store.invalidate(entry(1, 1));
    assert_eq!(restored(&store, entry(1, 1)), None);
    assert_eq!(host.warnings(), 1);
    drop(store);
    assert_eq!(host.held(), 0);
}

#[test]
fn a_record_that_was_overwritten_is_not_restored_and_the_host_is_warned() {
    overwritten::<Page4K>(&sixteen_runs(), (3, 2), 0);
    // One too large for a slab, behind its size.
    let mut seed = 1_u64;
    let runs: Vec<u64> = (0..256)
        .map(|word| {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            if word % 8 == 0 { seed >> 32 } else { 0 }
        })
        .collect();
    overwritten::<Page64K>(&runs, (7, 4), 2);
}
