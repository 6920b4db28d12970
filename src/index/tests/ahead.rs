//! What is looked at before its turn.

use std::{cell::RefCell, vec, vec::Vec};

use super::*;

/// Where an event came from, and its word.
#[derive(Debug, PartialEq)]
enum Event {
    Ahead(usize),
    Turn(usize),
}

use Event::{Ahead, Turn};

/// Not small, so that leaves are wide; and the offset shows.
fn large(offset: u64) -> usize {
    (offset as usize + 1) << 10
}

/// An index of wide leaves with a word for each offset below `end`.
fn filled(end: u64) -> Index<TestHost> {
    let index = Index::new(TestHost::new());
    for offset in 0..end {
        insert(&index, entry(1, offset), large(offset)).unwrap();
    }
    index
}

/// Every word that had its turn was looked at before, and no more than was near.
#[track_caller]
fn assert_ahead(events: &[Event], turns: usize, at_most: usize) {
    let mut seen = Vec::new();
    for event in events {
        match event {
            Ahead(word) => seen.push(*word),
            Turn(word) => assert!(seen.contains(word), "{word:#x} was not looked at: {events:x?}"),
        }
    }
    assert_eq!(events.len() - seen.len(), turns);
    assert!(seen.len() <= at_most, "{} looks for {turns} turns", seen.len());
}

/// At each turn of a walk that began with a line, all of the next line had been looked at, if it
/// was of the range.
#[track_caller]
fn assert_a_line_ahead(events: &[Event], first: u64, nr: usize) {
    let mut seen = Vec::new();
    let mut turn = first;
    for event in events {
        match event {
            Ahead(word) => seen.push(*word),
            Turn(_) => {
                let next = (turn & !7) + 8..((turn & !7) + 16).min(first + nr as u64);
                let missing: Vec<_> = next.map(large).filter(|word| !seen.contains(word)).collect();
                assert!(missing.is_empty(), "{missing:x?} at {turn}");
                turn += 1;
            }
        }
    }
}

const RANGES: [(u64, usize); 9] =
    [(0, 1), (0, 16), (0, 64), (3, 5), (13, 30), (48, 16), (60, 9), (63, 2), (0, 300)];

#[test]
fn words_are_looked_at_before_their_turn() {
    let index = filled(320);
    for (first, nr) in RANGES {
        let events = RefCell::new(Vec::new());
        index.look_through(
            EntryRange::new(entry(1, first), nr).unwrap(),
            |word| events.borrow_mut().push(Ahead(word.addr())),
            |_, word, _| events.borrow_mut().push(Turn(word.addr())),
        );
        let events = events.into_inner();
        // No line twice, but where a walk begins amid one; and of a folio of some size the one behind.
        let lines = ((first + nr as u64).div_ceil(8) - first / 8) as usize + usize::from(nr >= 8);
        let lines = lines + 2 * usize::from(first & 7 != 0);
        assert_ahead(&events, nr, lines * 8);
        if first & 7 == 0 {
            assert_a_line_ahead(&events, first, nr);
        }
    }
    empty(index);
}

#[test]
fn words_are_looked_at_before_they_are_drained() {
    for (first, nr) in RANGES {
        let index = filled(320);
        let events = RefCell::new(Vec::new());
        index.drain(
            EntryRange::new(entry(1, first), nr).unwrap(),
            |word| events.borrow_mut().push(Ahead(word.addr())),
            |word| events.borrow_mut().push(Turn(word.addr())),
        );
        let mut events = events.into_inner();
        // A leaf that goes as a whole is not looked at.
        let is_whole = |word: &usize| {
            let leaf = ((word >> 10) - 1) as u64 & !63;
            first <= leaf && leaf + 64 <= first + nr as u64
        };
        events.retain(|event| !matches!(event, Turn(word) if is_whole(word)));
        let turns = events.iter().filter(|event| matches!(event, Turn(_))).count();
        let whole = (first.next_multiple_of(64)..)
            .step_by(64)
            .take_while(|leaf| leaf + 64 <= first + nr as u64);
        assert_eq!(turns, nr - whole.count() * 64);
        assert_ahead(&events, turns, (turns / 8 + 5) * 8);
        empty(index);
    }
}

#[test]
fn a_range_is_looked_at_as_a_whole_up_to_512() {
    let index = filled(1024);
    for (first, nr) in RANGES.into_iter().chain([(0, 512), (0, 600), (5, 700), (1000, 24)]) {
        let seen = RefCell::new(Vec::new());
        let range = EntryRange::new(entry(1, first), nr).unwrap();
        index.look_ahead(range, |word| seen.borrow_mut().push(word.addr()));
        // And what else is in their lines.
        let from = first & !7;
        let behind = (first + nr.min(512) as u64).next_multiple_of(8);
        let expected: Vec<usize> = (from..behind).map(large).collect();
        assert_eq!(seen.into_inner(), expected, "{first} {nr}");
    }
    empty(index);
}

#[test]
fn small_words_refer_to_nothing_and_are_not_looked_at() {
    let index = Index::new(TestHost::new());
    for offset in 0..64 {
        insert(&index, entry(0, offset), 7).unwrap();
    }
    let range = EntryRange::new(entry(0, 0), 64).unwrap();
    let mut turns = 0;
    index.look_through(range, |word| panic!("{word:?}"), |_, _, _| turns += 1);
    index.look_ahead(range, |word| panic!("{word:?}"));
    index.drain(EntryRange::new(entry(0, 3), 9).unwrap(), |word| panic!("{word:?}"), |_| {});
    assert_eq!(turns, 64);
    empty(index);
}

#[test]
fn a_leaf_that_no_hint_leads_to_is_gone_through_all_the_same() {
    let index = filled(64);
    // Shares the hint's place, and has it now.
    insert(&index, entry(1, 512 * 4096), large(0)).unwrap();
    let range = EntryRange::new(entry(1, 0), 64).unwrap();
    let mut turns = 0;
    index.look_through(range, |_| {}, |_, _, _| turns += 1);
    assert_eq!(turns, 64);
    assert_eq!(drain(&index, entry(1, 0), 60).len(), 60);
    empty(index);
}

#[test]
fn the_last_offsets_are_looked_at_and_none_of_the_next_type() {
    let index = Index::new(TestHost::new());
    for offset in 0..16 {
        insert(&index, entry(2, OFFSET_MAX - offset), large(0)).unwrap();
        insert(&index, entry(31, OFFSET_MAX - offset), large(0)).unwrap();
        insert(&index, entry(3, offset), large(1)).unwrap();
    }
    for ty in [2, 31] {
        let range = EntryRange::new(entry(ty, OFFSET_MAX - 15), 16).unwrap();
        let seen = RefCell::new(Vec::new());
        let look = |word: Word| seen.borrow_mut().push(word.addr());
        index.look_ahead(range, look);
        assert_eq!(seen.take(), [large(0); 16]);
        let mut turns = 0;
        index.look_through(range, look, |_, _, _| turns += 1);
        assert_eq!((turns, seen.take()), (16, vec![large(0); 16]));
        index.drain(range, look, |_| turns += 1);
        assert_eq!((turns, seen.take()), (32, vec![large(0); 16]));
    }
    empty(index);
}

#[test]
fn the_next_leaf_is_asked_for_and_behind_the_last_there_is_none() {
    let index = filled(64 * 64 + 1);
    let child = |offset| {
        let position = entry(1, offset).raw();
        let node = index.memory.hinted(position).unwrap();
        (node.next_leaf(position), node.child(1, position).load(Ordering::Relaxed).cast_const())
    };
    for leaf in 0..63 {
        assert_eq!(child(leaf * 64 + leaf).0, child(leaf * 64 + 64).1);
        assert!(!child(leaf * 64).0.is_null());
    }
    // The next node's leaf is not this one's.
    assert!(child(63 * 64).0.is_null());
    assert!(child(64 * 64).0.is_null());
    empty(index);
}
