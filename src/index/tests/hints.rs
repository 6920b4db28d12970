//! Places of the hints: when one says that nothing is there.

use super::*;

/// True if a hint says that nothing is at the entry, nor at any other of its place.
fn is_known_absent(index: &Index<TestHost>, entry: SwapEntry) -> bool {
    index.memory.hinted(entry.raw()).is_none()
}

#[test]
fn a_place_of_the_hints_is_empty_again_once_all_of_its_nodes_are_gone() {
    let mut index = Index::new(TestHost::new());
    // Of one place: as many stretches of 4096 entries lie between them as there are places.
    let places: Vec<_> = (0..3).map(|i| entry(1, i << 21)).collect();
    let all_absent = |index: &_| places.iter().all(|&entry| is_known_absent(index, entry));
    assert!(all_absent(&index));
    for (i, &place) in places.iter().enumerate() {
        insert(&index, place, i + 1).unwrap();
    }
    index.shrink();
    // In any order, but the one noted last goes last.
    for (i, &place) in places.iter().enumerate() {
        assert!(!is_known_absent(&index, place), "{i}");
        assert_eq!(index.get(place).addr(), i + 1);
        assert_eq!(take(&index, place), i + 1);
    }
    assert!(all_absent(&index));
    // The one noted last goes first: nothing is known of the others, until they are noted.
    for &place in &places {
        insert(&index, place, 7).unwrap();
    }
    let gone: Vec<_> = places.iter().rev().map(|&place| take(&index, place)).collect();
    assert_eq!(gone, [7, 7, 7]);
    assert!(places.iter().all(|&place| index.get(place).is_null()));
    insert(&index, entry(1, 64), 1).unwrap();
    assert_eq!(take(&index, entry(1, 64)), 1);
    assert!(all_absent(&index));
    empty(index);
}

#[test]
fn a_node_of_several_leaves_counts_once_in_its_place() {
    for shrinks in [false, true] {
        let mut index = Index::new(TestHost::new());
        let leaves = [0, 64, 128].map(|offset| entry(1, offset));
        for leaf in leaves {
            insert(&index, leaf, 7).unwrap();
        }
        if shrinks {
            index.shrink();
        }
        for leaf in leaves {
            assert!(!is_known_absent(&index, leaf));
            assert_eq!(take(&index, leaf), 7);
        }
        assert!(is_known_absent(&index, entry(1, 0)), "{shrinks}");
        empty(index);
    }
}

#[test]
fn more_nodes_of_one_place_than_are_counted_are_all_found() {
    // So many are gone that a count that began anew, or was counted down from where it ends, would be none: and then
    // goes the one noted last.
    let nodes = 300;
    for gone in [nodes - 1 - 256, 254] {
        let mut index = Index::new(TestHost::new());
        let places: Vec<_> = (0..nodes).map(|i| entry(1, i << 21)).collect();
        for &place in &places {
            insert(&index, place, 7).unwrap();
        }
        let (last, others) = places.split_last().unwrap();
        let (gone, left) = others.split_at(gone as usize);
        for &place in gone.iter().chain([last]) {
            assert_eq!(take(&index, place), 7);
        }
        assert!(left.iter().all(|&place| index.get(place).addr() == 7), "{} gone", gone.len());
        // Until they are counted anew the place stays as it is.
        index.shrink();
        let in_order = left.iter().map(|&place| take(&index, place));
        assert!(in_order.eq(left.iter().map(|_| 7)));
        assert_eq!(is_known_absent(&index, *last), left.len() < 255);
        empty(index);
    }
}
