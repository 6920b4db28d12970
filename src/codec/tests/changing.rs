//! Pages whose tags change while they are encoded.

use core::cell::Cell;
use std::vec;

use super::*;
use crate::tags::{Page4K, Page16K, Page64K};

/// Tags that are different ones whenever they are read.
struct Restless(Cell<u64>);

impl TagSource for Restless {
    fn word(&self, _: usize) -> u64 {
        let mut random = Random(self.0.get());
        self.0.set(random.next());
        // Often of one tag, so that all forms are met.
        if random.below(8) > 0 { self.0.get() % 16 * ALL_GRANULES } else { random.next() }
    }
}

#[test]
fn codec_a_source_that_changes_stays_in_bounds() {
    let source = Restless(Cell::new(1));
    for _ in 0..5000 {
        let mut encoder = Encoder::<Page64K>::new();
        let Form::Bytes(len) = encoder.read(&source) else { continue };
        let mut out = vec![0; len];
        if let Some(used) = encoder.write(&source, &mut out) {
            assert_eq!(decode_bytes::<Page64K>(&out, &mut [0u64; 256], true), Ok(used));
        }
        let mut wire = vec![0; encoded_max::<Page16K>()];
        let len = encode::<Page16K>(&source, &mut wire).unwrap();
        assert_eq!(decode::<Page16K>(&wire, &mut [0u64; 64]), Ok(len));
    }
}

/// Some runs that touch, in all words but the first, which is another each time it is read.
struct FirstChanges(Cell<u64>);

impl TagSource for FirstChanges {
    fn word(&self, index: usize) -> u64 {
        match index {
            0 => {
                self.0.set(self.0.get() + 1);
                (self.0.get() % 15 + 1) * ALL_GRANULES
            }
            _ => (index as u64 / 2 + 1) * ALL_GRANULES,
        }
    }
}

#[test]
fn codec_a_first_word_that_changes_makes_no_record_that_does_not_decode() {
    for reads in 0..60 {
        let source = FirstChanges(Cell::new(reads));
        let mut wire = vec![0; encoded_max::<Page4K>()];
        let len = encode::<Page4K>(&source, &mut wire).unwrap();
        let mut tags = [0u64; 16];
        assert_eq!(decode::<Page4K>(&wire, &mut tags), Ok(len), "{reads}: {wire:x?}");
        (1..16).for_each(|index| assert_eq!(tags[index], source.word(index)));
    }
}

/// Four words of tag 3, twelve of tag 5; but one word is another at one of the times it is read.
struct ChangesOnce {
    word: usize,
    reads: Cell<usize>,
    changed: usize,
    to: u64,
}

impl ChangesOnce {
    fn unchanged(index: usize) -> u64 {
        if index < 4 { 3 * ALL_GRANULES } else { 5 * ALL_GRANULES }
    }
}

impl TagSource for ChangesOnce {
    fn word(&self, index: usize) -> u64 {
        if index == self.word {
            self.reads.set(self.reads.get() + 1);
            if self.reads.get() == self.changed {
                return self.to;
            }
        }
        Self::unchanged(index)
    }
}

fn a_word_that_changes_changes_no_other<P: PageSize>() {
    let changes = (1..9).flat_map(|read| [(read, 7 * ALL_GRANULES), (read, 4), (read, 3 << 60)]);
    let words = 0..P::WORDS;
    for (word, (changed, to)) in words.flat_map(|word| changes.clone().map(move |c| (word, c))) {
        let source = ChangesOnce { word, reads: Cell::new(0), changed, to };
        let mut wire = vec![0; encoded_max::<P>()];
        let len = encode::<P>(&source, &mut wire).unwrap();
        let mut tags = vec![0u64; P::WORDS];
        assert_eq!(decode::<P>(&wire, tags.as_mut_slice()), Ok(len));
        // In that word each granule is as it was read once; the others never changed.
        let granules = |word: u64| (0..16).map(move |i| word >> (4 * i) & 15);
        let old = ChangesOnce::unchanged(word);
        assert!(
            granules(tags[word])
                .zip(granules(old).zip(granules(to)))
                .all(|(tag, (old, new))| tag == old || tag == new)
        );
        for index in (0..P::WORDS).filter(|index| *index != word) {
            let old = ChangesOnce::unchanged(index);
            assert_eq!(tags[index], old, "word {word}, read {changed}: {to:x}; {index}");
        }
    }
}

#[test]
fn codec_a_word_that_changes_changes_no_other() {
    a_word_that_changes_changes_no_other::<Page4K>();
    a_word_that_changes_changes_no_other::<Page16K>();
    a_word_that_changes_changes_no_other::<Page64K>();
}
