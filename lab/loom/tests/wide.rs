//! Leaves that are wide from the start since the one before them ends with large words: what is seen of that one is a guess, whoever
//! has it by then (TAG-13).

#![cfg(feature = "loom")]

use std::{mem::ManuallyDrop, sync::Arc};

use loom::thread;
use mteswap::{
    entry::{EntryRange, SwapEntry, SwapType},
    host::AllocFlags,
    store::TagStore,
    tags::Page4K,
};
use mteswap_loom::{LoomHost, explore};

type Store = TagStore<LoomHost, Page4K>;
type Tags = [u64; 16];

/// A page whose word is small.
const SMALL: Tags = [0x3333_3333_3333_3333; 16];
/// A page whose word is large, without a payload.
const LARGE: Tags = {
    let mut tags = SMALL;
    tags[9] = 0x2222_2222_2222_2222;
    tags
};

fn entry(ty: u32, offset: u64) -> SwapEntry {
    SwapEntry::new(SwapType::new(ty).unwrap(), offset).unwrap()
}

fn save(store: &Store, at: SwapEntry, tags: &Tags) {
    store.save(at, tags, AllocFlags::MAY_SLEEP).unwrap();
}

fn restored(store: &Store, at: SwapEntry) -> Option<Tags> {
    let mut tags = [!0; 16];
    store.restore(at, &mut tags).then_some(tags)
}

/// Runs `one` and `other` at once, either of them first, where a leaf ends with a large word and a wide one lies unused.
fn at_once(one: fn(&Store), other: fn(&Store), after: fn(&Store)) {
    for [here, there] in [[one, other], [other, one]] {
        explore(Some(2), move || {
            let host = LoomHost::new();
            // What a failed check leaves behind is nobody's to drop within the model.
            let store = ManuallyDrop::new(Arc::new(Store::new(host.clone())));
            save(&store, entry(1, 192), &LARGE);
            save(&store, entry(1, 63), &LARGE);
            save(&store, entry(1, 128), &SMALL);
            store.invalidate(entry(1, 192));
            let shared = Arc::clone(&store);
            let thread = thread::spawn(move || there(&shared));
            here(&store);
            thread.join().unwrap();
            after(&store);
            drop(ManuallyDrop::into_inner(store));
            assert_eq!((host.held(), host.warnings()), (0, 0));
        });
    }
}

#[test]
fn tag_13_the_leaf_before_dies_and_is_used_again_elsewhere() {
    at_once(
        |store| {
            save(store, entry(1, 64), &SMALL);
            assert_eq!(restored(store, entry(1, 64)), Some(SMALL));
        },
        |store| {
            store.invalidate(entry(1, 63));
            save(store, entry(2, 0), &LARGE);
        },
        |store| {
            assert_eq!(restored(store, entry(1, 64)), Some(SMALL));
            assert_eq!(restored(store, entry(2, 0)), Some(LARGE));
            assert_eq!(restored(store, entry(1, 63)), None);
        },
    );
}

#[test]
fn tag_13_two_link_the_leaf_and_one_has_a_wide_one_for_it() {
    at_once(
        |store| save(store, entry(1, 64), &SMALL),
        |store| save(store, entry(1, 65), &LARGE),
        |store| {
            assert_eq!(restored(store, entry(1, 64)), Some(SMALL));
            assert_eq!(restored(store, entry(1, 65)), Some(LARGE));
            assert_eq!(restored(store, entry(1, 63)), Some(LARGE));
        },
    );
}

#[test]
fn tag_13_the_leaf_before_dies_and_a_folio_is_staged_in_it() {
    at_once(
        |store| save(store, entry(1, 64), &SMALL),
        |store| {
            store.invalidate(entry(1, 63));
            let folio = EntryRange::new(entry(2, 0), 2).unwrap();
            store.save_range(folio, |_| Some(LARGE), AllocFlags::MAY_SLEEP).unwrap();
        },
        |store| {
            assert_eq!(restored(store, entry(1, 64)), Some(SMALL));
            assert_eq!(restored(store, entry(2, 1)), Some(LARGE));
        },
    );
}
