//! Which leaves are narrow, and which wide.

use super::*;

const LARGE: usize = 256;

/// True if the leaf of an entry of type 1 is wide.
fn is_wide(index: &Index<TestHost>, offset: u64) -> bool {
    index.known_leaf(entry(1, offset).raw()).unwrap().1.is_wide()
}

fn fill(index: &Index<TestHost>, offsets: core::ops::Range<u64>, value: usize) {
    offsets.for_each(|offset| assert_eq!(insert(index, entry(1, offset), value), Ok(0)));
}

/// An index that has so many unused leaves of both kinds.
fn with_unused(host: &TestHost, leaves: u64) -> Index<TestHost> {
    let index = Index::new(host.clone());
    for value in [LARGE, 1] {
        (0..leaves).for_each(|leaf| fill(&index, leaf * 64..leaf * 64 + 1, value));
        (0..leaves).for_each(|leaf| assert_eq!(take(&index, entry(1, leaf * 64)), value));
    }
    index
}

#[test]
fn a_leaf_behind_large_words_is_wide_from_its_first_word_on() {
    let host = TestHost::new();
    let index = with_unused(&host, 20);
    // Eight before the end are not of the last.
    fill(&index, 0..56, LARGE);
    fill(&index, 56..65, 1);
    assert!(is_wide(&index, 0) && !is_wide(&index, 64));
    // It holds what it was made for, whether it comes or not; and the one behind it is narrow then.
    fill(&index, 120..121, LARGE);
    fill(&index, 128..193, 1);
    assert!(is_wide(&index, 64) && is_wide(&index, 128) && !is_wide(&index, 192));
    // A node's first leaf has none before it there; nor is its last one before it.
    fill(&index, 4095..4096, LARGE);
    fill(&index, 8191..8192, LARGE);
    fill(&index, 4096..4097, 1);
    assert!(is_wide(&index, 4095) && !is_wide(&index, 4096));
    for (offset, value) in [(0, LARGE), (64, 1), (120, LARGE), (128, 1), (192, 1), (4096, 1)] {
        assert_eq!(index.get(entry(1, offset)).addr(), value);
    }
    empty(index);
    assert_eq!(host.held(), 0);
}

#[test]
fn for_a_guess_neither_the_host_nor_the_reserve_is_asked() {
    let host = TestHost::new();
    let index = with_unused(&host, 3);
    // One wide leaf is used, and so are the two others.
    fill(&index, 63..64, LARGE);
    fill(&index, 4096..4097, LARGE);
    fill(&index, 8192..8193, LARGE);
    index.raise_reserve(Reserved::for_insertions(64)).unwrap();
    let (held, reserved) = (host.held(), index.bytes().1);
    host.fail_after(0);
    fill(&index, 64..65, 1);
    assert!(!is_wide(&index, 64));
    assert_eq!((host.held(), index.bytes().1), (held, reserved));
    host.fail_after(-1);
    index.lower_reserve(Reserved::for_insertions(0));
    empty(index);
    assert_eq!(host.held(), 0);
}
