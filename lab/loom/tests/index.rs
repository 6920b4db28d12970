//! Records, slots and leaves of one tree (TAG-2, TAG-7, TAG-8, TAG-13, TAG-14, TAG-17).

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

/// One tag: the record is in its slot, in a narrow leaf.
const INLINE: Tags = [0x3333_3333_3333_3333; 16];
/// Another.
const OTHER: Tags = [0x5555_5555_5555_5555; 16];
/// No pattern: the record is a payload, in a wide leaf.
const PAYLOAD: Tags = {
    let mut tags = [0; 16];
    let mut i = 0;
    while i < 16 {
        tags[i] = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(i as u64 + 3);
        i += 1;
    }
    tags
};

/// Eight runs that touch: the record is a payload in a slab, with others of its size.
const LISTED: Tags = {
    let mut tags = [0; 16];
    tags[3] = 0x1122_3344_5566_7788;
    tags
};

/// Two tags: the word holds the record, but is too large for a narrow leaf.
const LARGE: Tags = {
    let mut tags = INLINE;
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

/// Explores two bodies at once, on a store that `before` prepared; then nothing may be left when
/// it is dropped, and nothing warned.
///
/// Twice, so that each of the two begins once: loom notes the last access to an atomic only, and
/// sees no need to try a write before a read if the writer, too, has read in between.
fn at_once(before: fn(&Store), bodies: [fn(&Store); 2], after: fn(&Store)) {
    with_preemptions(3, before, bodies, after);
}

/// As [`at_once`], for bodies that are too long for as many preemptions.
fn with_preemptions(most: usize, before: fn(&Store), bodies: [fn(&Store); 2], after: fn(&Store)) {
    let [one, two] = bodies;
    for [mine, other] in [[one, two], [two, one]] {
        explore(Some(most), move || {
            let host = LoomHost::new();
            // After a panic it is left as it is: to drop it is to walk it.
            let store = ManuallyDrop::new(Arc::new(Store::new(host.clone())));
            before(&store);
            let shared = Arc::clone(&store);
            let other = thread::spawn(move || other(&shared));
            mine(&store);
            other.join().unwrap();
            after(&store);
            drop(ManuallyDrop::into_inner(store));
            assert_eq!(host.held(), 0, "every byte is back at the host");
            assert_eq!(host.warnings(), 0);
        });
    }
}

#[test]
fn tag_13_tag_14_restore_beside_the_first_save_finds_it_whole_or_not() {
    at_once(
        |_| {},
        [
            |store| save(store, entry(1, 0), &INLINE),
            |store| assert!(restored(store, entry(1, 0)).is_none_or(|tags| tags == INLINE)),
        ],
        |store| assert_eq!(restored(store, entry(1, 0)), Some(INLINE)),
    );
    at_once(
        |_| {},
        [
            |store| save(store, entry(1, 0), &PAYLOAD),
            |store| assert!(restored(store, entry(1, 0)).is_none_or(|tags| tags == PAYLOAD)),
        ],
        |store| assert_eq!(restored(store, entry(1, 0)), Some(PAYLOAD)),
    );
}

#[test]
fn tag_13_restore_beside_invalidate_finds_all_of_it_or_nothing() {
    at_once(
        |store| save(store, entry(1, 0), &PAYLOAD),
        [
            |store| assert!(restored(store, entry(1, 0)).is_none_or(|tags| tags == PAYLOAD)),
            |store| store.invalidate(entry(1, 0)),
        ],
        |store| assert_eq!(restored(store, entry(1, 0)), None),
    );
}

#[test]
fn tag_13_restore_beside_a_replacement_finds_one_of_the_two() {
    at_once(
        |store| save(store, entry(1, 0), &PAYLOAD),
        [
            |store| {
                let found = restored(store, entry(1, 0)).expect("one is there all the time");
                assert!(found == PAYLOAD || found == INLINE);
            },
            |store| save(store, entry(1, 0), &INLINE),
        ],
        |store| assert_eq!(restored(store, entry(1, 0)), Some(INLINE)),
    );
}

#[test]
fn tag_13_a_folio_restored_beside_the_death_of_its_leaf_shows_nothing_else() {
    // The leaf serves another entry before the folio's second page is looked at.
    with_preemptions(
        2,
        |store| {
            save(store, entry(1, 0), &INLINE);
            save(store, entry(1, 64), &INLINE);
        },
        [
            |store| {
                let mut pages = [[0; 16]; 2];
                let mut rest = pages.iter_mut();
                let range = EntryRange::new(entry(1, 0), 2).unwrap();
                let found = store.restore_range(range, |_| rest.next());
                assert!(found <= 1);
                assert_eq!(pages, [if found == 1 { INLINE } else { [0; 16] }, [0; 16]]);
            },
            |store| {
                store.invalidate(entry(1, 0));
                save(store, entry(2, 1), &OTHER);
            },
        ],
        |store| assert_eq!(restored(store, entry(2, 1)), Some(OTHER)),
    );
}

#[test]
fn tag_14_a_leaf_that_empties_takes_no_neighbour_with_it() {
    // The last record of a leaf goes while another comes, and a third looks on.
    at_once(
        |store| save(store, entry(1, 0), &INLINE),
        [
            |store| store.invalidate(entry(1, 0)),
            |store| {
                save(store, entry(1, 1), &INLINE);
                assert_eq!(restored(store, entry(1, 1)), Some(INLINE));
            },
        ],
        |store| {
            assert_eq!(restored(store, entry(1, 0)), None);
            assert_eq!(restored(store, entry(1, 1)), Some(INLINE));
        },
    );
}

#[test]
fn tag_13_a_leaf_that_empties_and_is_used_again_shows_a_reader_nothing_else() {
    // The leaf goes back to the pool, and comes out of it for another type.
    at_once(
        |store| save(store, entry(1, 0), &INLINE),
        [
            |store| assert!(restored(store, entry(1, 0)).is_none_or(|tags| tags == INLINE)),
            |store| {
                store.invalidate(entry(1, 0));
                save(store, entry(2, 0), &[0x5555_5555_5555_5555; 16]);
            },
        ],
        |store| assert_eq!(restored(store, entry(1, 0)), None),
    );
}

#[test]
fn tag_13_a_wide_leaf_that_empties_and_is_used_again_shows_a_reader_nothing_else() {
    with_preemptions(
        2,
        save_wide,
        [
            |store| assert!(restored(store, entry(1, 0)).is_none_or(|tags| tags == INLINE)),
            |store| {
                store.invalidate(entry(1, 0));
                // What makes it a wide one again.
                save(store, entry(2, 1), &PAYLOAD);
                save(store, entry(2, 0), &OTHER);
            },
        ],
        |store| assert_eq!(restored(store, entry(1, 0)), None),
    );
}

#[test]
fn tag_13_a_leaf_that_leaves_its_node_and_is_used_again_shows_a_reader_nothing_else() {
    // The node stays, for another leaf.
    with_preemptions(
        2,
        |store| {
            save(store, entry(1, 0), &INLINE);
            save(store, entry(1, 64), &INLINE);
        },
        [
            |store| assert!(restored(store, entry(1, 0)).is_none_or(|tags| tags == INLINE)),
            |store| {
                store.invalidate(entry(1, 0));
                save(store, entry(2, 0), &[0x5555_5555_5555_5555; 16]);
            },
        ],
        |store| assert_eq!(restored(store, entry(1, 0)), None),
    );
}

#[test]
fn tag_13_a_leaf_that_widens_and_is_used_again_shows_a_reader_what_it_held() {
    // The narrow leaf goes back to the pool, and comes out of it for another type.
    at_once(
        |store| save(store, entry(1, 0), &INLINE),
        [
            |store| assert_eq!(restored(store, entry(1, 0)), Some(INLINE)),
            |store| {
                save(store, entry(1, 1), &PAYLOAD);
                save(store, entry(2, 1), &INLINE);
            },
        ],
        |store| assert_eq!(restored(store, entry(1, 0)), Some(INLINE)),
    );
}

#[test]
fn tag_13_a_save_beside_the_death_of_its_node_writes_nothing_elsewhere() {
    // The node above the leaf goes back to the pool, and comes out of it for another type, with a
    // leaf in the same place.
    const LATER: Tags = [0x7777_7777_7777_7777; 16];
    at_once(
        |store| save(store, entry(1, 0), &INLINE),
        [
            |store| save(store, entry(1, 0), &LATER),
            |store| {
                store.invalidate(entry(1, 0));
                save(store, entry(2, 0), &OTHER);
            },
        ],
        |store| {
            assert!(restored(store, entry(1, 0)).is_none_or(|tags| tags == LATER));
            assert_eq!(restored(store, entry(2, 0)), Some(OTHER));
        },
    );
}

#[test]
fn tag_13_restore_beside_a_tree_that_sinks_finds_its_record_where_it_is() {
    at_once(
        |store| {
            save(store, entry(1, 0), &INLINE);
            save(store, entry(1, 4096), &INLINE);
            // Whose place in the hints it takes: what is looked for is walked to.
            save(store, entry(1, 2 * 4096), &INLINE);
            store.invalidate(entry(1, 2 * 4096));
        },
        [
            |store| store.invalidate(entry(1, 4096)),
            |store| assert_eq!(restored(store, entry(1, 0)), Some(INLINE)),
        ],
        |_| {},
    );
}

#[test]
fn tag_13_a_save_that_grows_the_tree_beside_the_death_of_what_it_grows_over_keeps_its_record() {
    at_once(
        |store| save(store, entry(1, 0), &INLINE),
        [|store| save(store, entry(1, 4096), &INLINE), |store| store.invalidate(entry(1, 0))],
        |store| {
            assert_eq!(restored(store, entry(1, 0)), None);
            assert_eq!(restored(store, entry(1, 4096)), Some(INLINE));
        },
    );
}

#[test]
fn tag_14_a_save_into_a_node_that_is_planted_again_is_found_from_the_top() {
    // The node dies and is the same stretch's once more: who knew it from before locks its leaf as
    // soon as it lies there, maybe before the tree has its top, which the next record is looked for from.
    with_preemptions(
        1,
        |store| save(store, entry(1, 0), &INLINE),
        [
            |store| {
                save(store, entry(1, 1), &INLINE);
                assert_eq!(store.next(entry(1, 1), &mut [0_u64; 16]), Some(entry(1, 1)));
                store.invalidate(entry(1, 1));
            },
            |store| {
                store.invalidate(entry(1, 0));
                save(store, entry(1, 0), &INLINE);
            },
        ],
        |store| {
            assert_eq!(restored(store, entry(1, 0)), Some(INLINE));
            assert_eq!(restored(store, entry(1, 1)), None);
        },
    );
}

#[test]
fn tag_14_a_tree_that_sinks_beside_its_end_and_a_new_one_loses_none_of_it() {
    // What was the top dies, lies among unused nodes, linked to one of them, and is the top again.
    at_once(
        |store| {
            save(store, entry(1, 0), &INLINE);
            save(store, entry(1, 4096), &INLINE);
            save(store, entry(2, 0), &INLINE);
        },
        [
            |store| store.invalidate(entry(1, 4096)),
            |store| {
                store.invalidate(entry(1, 0));
                store.invalidate(entry(2, 0));
                save(store, entry(1, 4096 + 1), &INLINE);
            },
        ],
        |store| {
            assert_eq!(restored(store, entry(1, 4096 + 1)), Some(INLINE));
            assert_eq!(store.stats().entries, 1);
        },
    );
}

#[test]
fn tag_14_leaves_linked_below_a_node_that_dies_or_not_are_found() {
    at_once(
        |store| save(store, entry(1, 0), &INLINE),
        [
            |store| {
                save(store, entry(1, 64), &INLINE);
                assert_eq!(restored(store, entry(1, 64)), Some(INLINE));
            },
            |store| {
                store.invalidate(entry(1, 0));
                assert_eq!(restored(store, entry(1, 0)), None);
            },
        ],
        |store| {
            assert_eq!(restored(store, entry(1, 64)), Some(INLINE));
            assert_eq!(store.stats().entries, 1);
        },
    );
}

#[test]
fn tag_14_a_leaf_linked_below_a_node_that_is_planted_again_counts() {
    // Two nodes change places each time, so that what was the top is the top the second time.
    with_preemptions(
        1,
        |store| save(store, entry(1, 4096), &INLINE),
        [
            |store| save(store, entry(1, 2 * 4096), &INLINE),
            |store| {
                for _ in 0..2 {
                    store.invalidate(entry(1, 4096));
                    save(store, entry(1, 4096), &INLINE);
                }
            },
        ],
        |store| {
            store.invalidate(entry(1, 4096));
            assert_eq!(restored(store, entry(1, 2 * 4096)), Some(INLINE));
            assert_eq!(store.stats().entries, 1);
        },
    );
}

#[test]
fn tag_13_what_a_hint_led_to_in_a_node_planted_again_is_found_from_the_top() {
    with_preemptions(
        2,
        |store| save(store, entry(1, 0), &INLINE),
        [
            |store| {
                if restored(store, entry(1, 1)).is_some() {
                    let mut tags = [0_u64; 16];
                    assert_eq!(store.next(entry(1, 1), &mut tags), Some(entry(1, 1)));
                }
            },
            |store| {
                store.invalidate(entry(1, 0));
                save(store, entry(1, 1), &INLINE);
            },
        ],
        |_| {},
    );
}

#[test]
fn tag_13_restore_beside_a_tree_that_sinks_and_grows_again_finds_its_record() {
    // Two nodes change places each time, so that what was the top is the top the second time.
    with_preemptions(
        1,
        |store| {
            save(store, entry(1, 0), &INLINE);
            save(store, entry(1, 4096), &INLINE);
            // Takes the place in the hints of what is looked for, which is walked to.
            save(store, entry(4, 0), &INLINE);
        },
        [
            |store| assert_eq!(restored(store, entry(1, 0)), Some(INLINE)),
            |store| {
                for _ in 0..2 {
                    store.invalidate(entry(1, 4096));
                    save(store, entry(1, 4096), &INLINE);
                }
            },
        ],
        |_| {},
    );
}

#[test]
fn tag_14_records_that_come_to_a_new_leaf_at_once_are_counted() {
    with_preemptions(
        2,
        |store| save(store, entry(1, 0), &INLINE),
        [|store| save(store, entry(1, 64), &INLINE), |store| save(store, entry(1, 65), &INLINE)],
        |store| {
            store.invalidate(entry(1, 64));
            assert_eq!(restored(store, entry(1, 65)), Some(INLINE));
        },
    );
}

#[test]
fn tag_13_a_hint_that_others_take_leads_nobody_astray() {
    // All share a place of the hints. The second node is the first one's, used again.
    with_preemptions(
        1,
        |store| {
            save(store, entry(1, 0), &INLINE);
            save(store, entry(4, 0), &INLINE);
        },
        [
            |store| {
                assert_eq!(restored(store, entry(1, 0)), Some(INLINE));
                assert!(restored(store, entry(4, 0)).is_none_or(|tags| tags == INLINE));
                assert!(restored(store, entry(5, 0)).is_none_or(|tags| tags == OTHER));
            },
            |store| {
                store.invalidate(entry(4, 0));
                save(store, entry(5, 0), &OTHER);
            },
        ],
        |store| {
            assert_eq!(restored(store, entry(1, 0)), Some(INLINE));
            assert_eq!(restored(store, entry(4, 0)), None);
            assert_eq!(restored(store, entry(5, 0)), Some(OTHER));
        },
    );
}

#[test]
fn tag_14_a_hint_forgotten_beside_another_s_coming_to_its_place_hides_nobody() {
    // They share a place of the hints; the second node may be the first one's, used again.
    at_once(
        |store| save(store, entry(1, 0), &INLINE),
        [
            |store| store.invalidate(entry(1, 0)),
            |store| {
                save(store, entry(4, 0), &OTHER);
                assert_eq!(restored(store, entry(4, 0)), Some(OTHER));
            },
        ],
        |store| {
            assert_eq!(restored(store, entry(1, 0)), None);
            assert_eq!(restored(store, entry(4, 0)), Some(OTHER));
        },
    );
}

#[test]
fn tag_14_a_node_counts_in_its_place_before_it_is_noted() {
    // The other's node is noted once more behind it, and dies.
    with_preemptions(
        2,
        |store| save(store, entry(1, 0), &INLINE),
        [
            |store| {
                save(store, entry(1, 64), &INLINE);
                store.invalidate(entry(1, 0));
                store.invalidate(entry(1, 64));
            },
            |store| {
                save(store, entry(4, 0), &OTHER);
                assert_eq!(restored(store, entry(4, 0)), Some(OTHER));
            },
        ],
        |store| assert_eq!(restored(store, entry(4, 0)), Some(OTHER)),
    );
}

fn save_folio(store: &Store, first: SwapEntry, pages: &[Tags]) {
    let range = EntryRange::new(first, pages.len()).unwrap();
    store.save_range(range, |i| pages.get(i as usize), AllocFlags::MAY_SLEEP).unwrap();
}

/// A leaf of entry (1, 0) alone that may hold payloads, as those do that words are staged in.
fn save_wide(store: &Store) {
    save(store, entry(1, 0), &PAYLOAD);
    save(store, entry(1, 0), &INLINE);
}

/// A record is looked for whose leaf `folio` gets, for what it stages or for good.
fn a_folio_gets_the_leaf(before: fn(&Store), folio: fn(&Store), after: fn(&Store)) {
    with_preemptions(
        2,
        before,
        [|store| assert!(restored(store, entry(1, 0)).is_none_or(|tags| tags == INLINE)), folio],
        after,
    );
}

#[test]
fn tag_13_what_is_staged_in_a_leaf_used_again_is_nobodys() {
    a_folio_gets_the_leaf(
        save_wide,
        |store| {
            store.invalidate(entry(1, 0));
            save_folio(store, entry(2, 0), &[OTHER; 2]);
        },
        |store| {
            assert_eq!(restored(store, entry(1, 0)), None);
            assert_eq!(restored(store, entry(2, 1)), Some(OTHER));
        },
    );
}

#[test]
fn tag_13_what_leads_to_staged_leaves_in_a_leaf_used_again_is_nobodys() {
    a_folio_gets_the_leaf(
        save_wide,
        |store| {
            store.invalidate(entry(1, 0));
            // In two leaves.
            save_folio(store, entry(2, 63), &[OTHER; 2]);
        },
        |store| {
            assert_eq!(restored(store, entry(1, 0)), None);
            assert_eq!(restored(store, entry(2, 63)), Some(OTHER));
            assert_eq!(restored(store, entry(2, 64)), Some(OTHER));
        },
    );
}

#[test]
fn tag_13_what_a_folio_replaces_in_a_leaf_used_again_is_nobodys() {
    a_folio_gets_the_leaf(
        |store| {
            save_wide(store);
            save(store, entry(2, 0), &PAYLOAD);
            save(store, entry(2, 0), &OTHER);
        },
        |store| {
            store.invalidate(entry(1, 0));
            save_folio(store, entry(2, 0), &[INLINE; 2]);
        },
        |store| {
            assert_eq!(restored(store, entry(1, 0)), None);
            assert_eq!(restored(store, entry(2, 0)), Some(INLINE));
        },
    );
}

#[test]
fn tag_13_a_folio_in_a_narrow_leaf_used_again_shows_a_reader_nothing_else() {
    a_folio_gets_the_leaf(
        |store| save(store, entry(1, 0), &INLINE),
        |store| {
            store.invalidate(entry(1, 0));
            save_folio(store, entry(2, 0), &[OTHER; 2]);
        },
        |store| assert_eq!(restored(store, entry(2, 1)), Some(OTHER)),
    );
}

#[test]
fn tag_13_a_folio_in_a_wide_leaf_used_again_shows_a_reader_nothing_else() {
    a_folio_gets_the_leaf(
        |store| {
            save_wide(store);
            save(store, entry(3, 0), &PAYLOAD);
        },
        |store| {
            store.invalidate(entry(1, 0));
            // The folio is staged in this one's leaf, and comes to the other.
            store.invalidate(entry(3, 0));
            save_folio(store, entry(2, 0), &[OTHER, OTHER, PAYLOAD]);
        },
        |store| assert_eq!(restored(store, entry(2, 2)), Some(PAYLOAD)),
    );
}

#[test]
fn tag_13_a_folio_that_replaces_another_is_never_absent() {
    with_preemptions(
        2,
        |store| save_folio(store, entry(1, 0), &[INLINE; 2]),
        [
            |store| {
                for offset in 0..2 {
                    let tags = restored(store, entry(1, offset));
                    assert!(tags == Some(INLINE) || tags == Some(OTHER), "{tags:?}");
                }
            },
            |store| save_folio(store, entry(1, 0), &[OTHER; 2]),
        ],
        |store| assert_eq!(restored(store, entry(1, 1)), Some(OTHER)),
    );
}

#[test]
fn tag_10_a_folio_in_two_leaves_beside_the_end_of_one_is_saved_whole() {
    with_preemptions(
        2,
        |store| save(store, entry(1, 65), &INLINE),
        [
            |store| save_folio(store, entry(1, 63), &[OTHER; 2]),
            |store| store.invalidate(entry(1, 65)),
        ],
        |store| {
            assert_eq!(restored(store, entry(1, 63)), Some(OTHER));
            assert_eq!(restored(store, entry(1, 64)), Some(OTHER));
            assert_eq!(store.stats().entries, 2);
        },
    );
}

#[test]
fn tag_10_a_folio_beside_the_end_of_its_leaf_is_saved_whole() {
    with_preemptions(
        2,
        |store| save(store, entry(1, 2), &INLINE),
        [
            |store| {
                let range = EntryRange::new(entry(1, 0), 2).unwrap();
                store.save_range(range, |_| Some(OTHER), AllocFlags::MAY_SLEEP).unwrap();
                assert_eq!(restored(store, entry(1, 1)), Some(OTHER));
            },
            |store| store.invalidate(entry(1, 2)),
        ],
        |store| {
            assert_eq!(restored(store, entry(1, 0)), Some(OTHER));
            assert_eq!(restored(store, entry(1, 1)), Some(OTHER));
            assert_eq!(store.stats().entries, 2);
        },
    );
}

#[test]
fn tag_8_a_range_beside_a_save_to_a_tree_that_grows_drops_its_own_alone() {
    with_preemptions(
        2,
        |store| save(store, entry(1, 0), &INLINE),
        [
            |store| store.invalidate_range(EntryRange::new(entry(1, 0), 64).unwrap()),
            |store| {
                save(store, entry(1, 4096), &INLINE);
                let mut tags = [0_u64; 16];
                assert_eq!(store.next(entry(1, 1), &mut tags), Some(entry(1, 4096)));
            },
        ],
        |store| {
            assert_eq!(restored(store, entry(1, 0)), None);
            assert_eq!(restored(store, entry(1, 4096)), Some(INLINE));
        },
    );
}

#[test]
fn tag_2_two_saves_of_one_entry_leave_one_record() {
    at_once(
        |_| {},
        [|store| save(store, entry(1, 0), &INLINE), |store| save(store, entry(1, 0), &PAYLOAD)],
        |store| {
            let left = restored(store, entry(1, 0));
            assert!(left == Some(INLINE) || left == Some(PAYLOAD));
            assert_eq!(store.stats().entries, 1);
        },
    );
}

#[test]
fn tag_7_two_invalidations_of_one_record_free_it_once() {
    at_once(
        |store| save(store, entry(1, 0), &PAYLOAD),
        [|store| store.invalidate(entry(1, 0)), |store| store.invalidate(entry(1, 0))],
        |store| assert_eq!(store.stats().payload_bytes, 0),
    );
}

#[test]
fn tag_8_area_beside_save_and_restore_drops_its_own_type_alone() {
    at_once(
        |store| {
            save(store, entry(1, 0), &INLINE);
            save(store, entry(2, 0), &INLINE);
        },
        [
            |store| store.invalidate_area(SwapType::new(1).unwrap()),
            |store| {
                assert!(restored(store, entry(1, 0)).is_none_or(|tags| tags == INLINE));
                save(store, entry(2, 1), &PAYLOAD);
            },
        ],
        |store| {
            assert_eq!(restored(store, entry(1, 0)), None);
            assert_eq!(restored(store, entry(2, 0)), Some(INLINE));
            assert_eq!(restored(store, entry(2, 1)), Some(PAYLOAD));
        },
    );
}

#[test]
fn tag_8_tag_14_area_beside_a_save_to_its_leaf_keeps_or_drops_it_whole() {
    at_once(
        |store| save(store, entry(1, 0), &INLINE),
        [
            |store| store.invalidate_area(SwapType::new(1).unwrap()),
            |store| save(store, entry(1, 1), &PAYLOAD),
        ],
        |store| {
            assert_eq!(restored(store, entry(1, 0)), None);
            assert!(restored(store, entry(1, 1)).is_none_or(|tags| tags == PAYLOAD));
        },
    );
}

/// Slabs of payloads that are held.
fn slabs(store: &Store) -> u64 {
    store.stats().payload_bytes / 1024
}

#[test]
fn tag_8_tag_12_two_areas_in_one_slab_leave_nothing_of_it() {
    at_once(
        |store| {
            save(store, entry(1, 0), &LISTED);
            save(store, entry(2, 0), &LISTED);
            assert_eq!(slabs(store), 1);
        },
        [
            |store| store.invalidate_area(SwapType::new(1).unwrap()),
            |store| store.invalidate_area(SwapType::new(2).unwrap()),
        ],
        |store| assert_eq!(slabs(store), 0),
    );
}

#[test]
fn tag_8_tag_12_an_area_beside_others_in_its_slab_takes_its_own_alone() {
    at_once(
        |store| {
            save(store, entry(1, 0), &LISTED);
            save(store, entry(1, 1), &LISTED);
            save(store, entry(2, 0), &LISTED);
        },
        [
            |store| store.invalidate_area(SwapType::new(1).unwrap()),
            |store| {
                store.invalidate(entry(2, 0));
                save(store, entry(2, 1), &LISTED);
                assert_eq!(restored(store, entry(2, 1)), Some(LISTED));
            },
        ],
        |store| {
            assert_eq!(restored(store, entry(2, 1)), Some(LISTED));
            assert_eq!((store.stats().entries, slabs(store)), (1, 1));
        },
    );
}

#[test]
fn tag_16_a_record_that_moves_is_never_gone_for_good() {
    at_once(
        |store| save(store, entry(1, 0), &INLINE),
        [
            |store| {
                let flags = AllocFlags::MAY_SLEEP;
                store.move_record(entry(1, 0), entry(1, 1), flags).unwrap();
            },
            // The new place is written first: whoever looks there after the old one finds it.
            |store| {
                let found = restored(store, entry(1, 0)).or_else(|| restored(store, entry(1, 1)));
                assert_eq!(found, Some(INLINE));
            },
        ],
        |store| assert_eq!(restored(store, entry(1, 1)), Some(INLINE)),
    );
}

#[test]
fn tag_16_a_record_that_moves_is_seen_in_its_new_leaf_by_who_misses_the_old_one() {
    with_preemptions(
        2,
        |store| {
            save(store, entry(1, 0), &INLINE);
            save(store, entry(1, 128), &INLINE);
        },
        [
            |store| {
                let flags = AllocFlags::MAY_SLEEP;
                store.move_record(entry(1, 0), entry(1, 64), flags).unwrap();
            },
            |store| {
                let found = restored(store, entry(1, 0)).or_else(|| restored(store, entry(1, 64)));
                assert_eq!(found, Some(INLINE));
            },
        ],
        |store| assert_eq!(restored(store, entry(1, 64)), Some(INLINE)),
    );
}

/// A leaf that ends with a large word, and a wide one that lies unused: the next leaf is going to be wide, if that is still seen.
fn before_a_wide_leaf(store: &Store) {
    save(store, entry(1, 192), &LARGE);
    save(store, entry(1, 63), &LARGE);
    save(store, entry(1, 128), &INLINE);
    store.invalidate(entry(1, 192));
}

#[test]
fn tag_13_the_leaf_before_dies_and_is_used_again_elsewhere() {
    with_preemptions(
        2,
        before_a_wide_leaf,
        [
            |store| {
                save(store, entry(1, 64), &INLINE);
                assert_eq!(restored(store, entry(1, 64)), Some(INLINE));
            },
            |store| {
                store.invalidate(entry(1, 63));
                save(store, entry(2, 0), &LARGE);
            },
        ],
        |store| {
            assert_eq!(restored(store, entry(1, 64)), Some(INLINE));
            assert_eq!(restored(store, entry(2, 0)), Some(LARGE));
            assert_eq!(restored(store, entry(1, 63)), None);
        },
    );
}

#[test]
fn tag_13_two_link_the_leaf_and_one_has_a_wide_one_for_it() {
    with_preemptions(
        2,
        before_a_wide_leaf,
        [|store| save(store, entry(1, 64), &INLINE), |store| save(store, entry(1, 65), &LARGE)],
        |store| {
            assert_eq!(restored(store, entry(1, 64)), Some(INLINE));
            assert_eq!(restored(store, entry(1, 65)), Some(LARGE));
            assert_eq!(restored(store, entry(1, 63)), Some(LARGE));
        },
    );
}

#[test]
fn tag_13_the_leaf_before_dies_and_a_folio_is_staged_in_it() {
    with_preemptions(
        2,
        before_a_wide_leaf,
        [
            |store| save(store, entry(1, 64), &INLINE),
            |store| {
                store.invalidate(entry(1, 63));
                let folio = EntryRange::new(entry(2, 0), 2).unwrap();
                store.save_range(folio, |_| Some(LARGE), AllocFlags::MAY_SLEEP).unwrap();
            },
        ],
        |store| {
            assert_eq!(restored(store, entry(1, 64)), Some(INLINE));
            assert_eq!(restored(store, entry(2, 1)), Some(LARGE));
        },
    );
}
