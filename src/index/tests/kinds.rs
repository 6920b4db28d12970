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

#[test]
fn a_leaf_behind_large_words_is_wide_from_its_first_word_on() {
    let index = Index::new(TestHost::new());
    // In the middle of a leaf they tell nothing of the next.
    fill(&index, 0..32, LARGE);
    fill(&index, 32..65, 1);
    assert!(is_wide(&index, 0) && !is_wide(&index, 64));
    // It holds what it was made for, whether it comes or not; and the one behind it is narrow then.
    fill(&index, 127..128, LARGE);
    fill(&index, 128..193, 1);
    assert!(is_wide(&index, 64) && is_wide(&index, 128) && !is_wide(&index, 192));
    // A node's first leaf has none before it there; nor is its last one before it.
    fill(&index, 4095..4096, LARGE);
    fill(&index, 8191..8192, LARGE);
    fill(&index, 4096..4097, 1);
    assert!(is_wide(&index, 4095) && !is_wide(&index, 4096));
    for (offset, value) in [(0, LARGE), (64, 1), (127, LARGE), (128, 1), (192, 1), (4096, 1)] {
        assert_eq!(index.get(entry(1, offset)).addr(), value);
    }
    empty(index);
}

#[test]
fn where_there_is_no_memory_for_a_wide_leaf_a_narrow_one_does() {
    let host = TestHost::new();
    let index = Index::new(host.clone());
    fill(&index, 0..64, LARGE);
    // One that is narrow, and pooled afterwards.
    fill(&index, 640..641, 1);
    assert_eq!(take(&index, entry(1, 640)), 1);
    host.fail_after(0);
    fill(&index, 64..65, 1);
    assert!(!is_wide(&index, 64));
    assert_eq!(insert(&index, entry(1, 65), LARGE), Err(Error::NoMemory));
    assert_eq!(index.get(entry(1, 64)).addr(), 1);
    host.fail_after(-1);
    empty(index);
    assert_eq!(host.held(), 0);
}
