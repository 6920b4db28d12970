//! The reserve: saves that cannot fail, at once (TAG-3, and the reserve's promise).

#![cfg(feature = "loom")]

use std::sync::Arc;

use loom::thread;
use mteswap::{
    entry::{SwapEntry, SwapType},
    error::Error,
    host::AllocFlags,
    store::TagStore,
    tags::Page4K,
};
use mteswap_loom::{LoomHost, explore};

type Store = TagStore<LoomHost, Page4K>;

fn entry(offset: u64) -> SwapEntry {
    SwapEntry::new(SwapType::new(1).unwrap(), offset).unwrap()
}

fn tags(seed: u64) -> [u64; 16] {
    std::array::from_fn(|i| 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed * 16 + i as u64 + 3))
}

#[test]
fn tag_3_what_the_reserve_holds_is_enough_for_saves_at_once() {
    explore(Some(2), || {
        let host = LoomHost::new();
        let store = Arc::new(Store::new(host.clone()));
        store.reserve(2).unwrap();
        host.run_dry();
        let other = Arc::clone(&store);
        let save = |store: &Store, offset: u64| {
            store.save(entry(offset), &tags(offset), AllocFlags::empty())
        };
        let one = thread::spawn(move || save(&other, 0));
        assert_eq!(save(&store, 1), Ok(()));
        assert_eq!(one.join().unwrap(), Ok(()));
        for offset in 0..2 {
            let mut found = [0; 16];
            assert!(store.restore(entry(offset), &mut found));
            assert_eq!(found, tags(offset));
        }
        drop(store);
        assert_eq!(host.held(), 0);
    });
}

#[test]
fn tag_3_one_record_in_reserve_serves_one_of_two() {
    explore(Some(2), || {
        let host = LoomHost::new();
        let store = Arc::new(Store::new(host.clone()));
        store.reserve(1).unwrap();
        host.run_dry();
        let other = Arc::clone(&store);
        let save = |store: &Store, offset: u64| {
            store.save(entry(offset), &tags(offset), AllocFlags::empty())
        };
        let one = thread::spawn(move || save(&other, 0));
        let outcomes = [save(&store, 1), one.join().unwrap()];
        let served = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(served, 1, "a page without a pattern takes a raw payload: there was one");
        assert!(outcomes.contains(&Err(Error::NoMemory)));
        assert_eq!(store.stats().entries, 1);
        drop(store);
        assert_eq!(host.held(), 0);
    });
}
