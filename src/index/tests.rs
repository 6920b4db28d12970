use std::{collections::BTreeMap, vec::Vec};

use super::*;
use crate::{
    entry::{EntryRange, OFFSET_MAX, SwapType},
    testing::TestHost,
};

mod ahead;
mod hints;
mod kinds;

/// A word that refers to nothing.
fn word(value: usize) -> Word {
    core::ptr::without_provenance_mut(value)
}

fn entry(ty: u32, offset: u64) -> SwapEntry {
    SwapEntry::new(SwapType::new(ty).unwrap(), offset).unwrap()
}

fn insert(index: &Index<TestHost>, entry: SwapEntry, value: usize) -> Result<usize> {
    let known = index.insert_known(entry, word(value));
    let old = known.or_else(|| index.insert(entry, word(value), AllocFlags::MAY_SLEEP));
    old.map(|word| word.addr()).ok_or(Error::NoMemory)
}

fn take(index: &Index<TestHost>, entry: SwapEntry) -> usize {
    index.lock_leaf(entry).map_or(0, |mut leaf| leaf.take(entry.raw()).addr())
}

fn drain(index: &Index<TestHost>, first: SwapEntry, nr: usize) -> Vec<usize> {
    let mut words = Vec::new();
    index.drain(EntryRange::new(first, nr).unwrap(), |_| {}, |word| words.push(word.addr()));
    words.retain(|word| *word > 255);
    words
}

/// Drains every area and drops the index.
fn empty(index: Index<TestHost>) {
    SwapType::all().for_each(|ty| index.drain(EntryRange::area(ty), |_| {}, |_| {}));
}

/// A splitmix generator, seeded: failures repeat.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Offsets near each other, and at every height of the tree.
    fn offset(&mut self) -> u64 {
        let low = self.below(200);
        match self.below(8) {
            0..4 => low,
            4 => low * 64,
            5 => OFFSET_MAX - low,
            _ => {
                let height = self.below(52);
                (low << height) & OFFSET_MAX
            }
        }
    }
}

#[test]
fn tag_15_every_height_keeps_its_own_words() {
    let index = Index::new(TestHost::new());
    let offsets: Vec<u64> =
        (0..58).flat_map(|bit| [1u64 << bit, (1u64 << bit) - 1]).chain([OFFSET_MAX]).collect();
    for ty in [0, 1, 31] {
        for &offset in &offsets {
            insert(&index, entry(ty, offset), offset as usize * 32 + ty as usize + 1).unwrap();
        }
    }
    for ty in [0, 1, 31] {
        for &offset in &offsets {
            let expected = (offset as usize).wrapping_mul(32) + ty as usize + 1;
            assert_eq!(
                index.get(entry(ty, offset)).addr(),
                expected,
                "type {ty} offset {offset:#x}"
            );
        }
    }
    assert!(index.get(entry(2, 1)).is_null());
    assert!(index.get(entry(0, 5)).is_null());
}

#[test]
fn index_agrees_with_a_map_under_random_operations() {
    for seed in 0..40 {
        let host = TestHost::new();
        let index = Index::new(host.clone());
        let mut model = BTreeMap::new();
        let mut random = Random(seed);
        for step in 1..3000usize {
            let at = entry([0, 1, 31][random.below(3) as usize], random.offset());
            match random.below(10) {
                0..5 => {
                    // Mostly small words: leaves are born narrow and widened later.
                    let value = if random.below(9) == 0 { step * 256 + 1 } else { step % 127 + 1 };
                    let old = insert(&index, at, value).unwrap();
                    assert_eq!(model.insert(at, value), (old != 0).then_some(old));
                }
                5..8 => assert_eq!(take(&index, at), model.remove(&at).unwrap_or(0)),
                8 => {
                    let nr = random.below(5000) as usize + 1;
                    let Ok(range) = EntryRange::new(at, nr) else { continue };
                    let gone: Vec<_> =
                        model.range(at..=range.last()).map(|(e, w)| (*e, *w)).collect();
                    for (entry, _) in &gone {
                        model.remove(entry);
                    }
                    let words: Vec<_> =
                        gone.into_iter().map(|(_, word)| word).filter(|word| *word > 255).collect();
                    assert_eq!(drain(&index, at, nr), words);
                }
                _ => {
                    let area = EntryRange::area(at.swap_type()).last();
                    let next = model.range(at..=area).next().map(|(entry, _)| *entry);
                    assert_eq!(index.next(at), next);
                }
            }
            let look = entry([0, 1, 31][random.below(3) as usize], random.offset());
            assert_eq!(index.get(look).addr(), model.get(&look).copied().unwrap_or(0));
        }
        for (at, value) in &model {
            assert_eq!(index.get(*at).addr(), *value);
        }
        let mut count = 0;
        index.for_each(|_| count += 1);
        assert_eq!(count, model.len());
        assert_eq!(index.bytes().0, host.held());
        assert_eq!(host.entered(), 0);
        empty(index);
        assert_eq!(host.held(), 0, "seed {seed}");
    }
}

#[test]
fn an_emptied_index_pools_its_memory_and_shrink_returns_it() {
    let host = TestHost::new();
    let mut index = Index::new(host.clone());
    for round in 0..3 {
        for offset in (0..200_000).step_by(7) {
            insert(&index, entry(round, offset), 257).unwrap();
        }
        let full = host.held();
        assert_eq!(drain(&index, entry(round, 0), 200_000).len(), 200_000usize.div_ceil(7));
        for offset in (0..200_000).step_by(7) {
            insert(&index, entry(round + 3, offset), 257).unwrap();
        }
        assert_eq!(host.held(), full, "memory of one area serves the next");
        drain(&index, entry(round + 3, 0), 200_000);
    }
    let held = host.held();
    assert_eq!(index.shrink(), held);
    assert_eq!(host.held(), 0);
}

#[test]
fn a_tall_tree_sinks_again() {
    let host = TestHost::new();
    let mut index = Index::new(host.clone());
    insert(&index, entry(3, 5), 1).unwrap();
    index.shrink();
    let low = host.held();
    for offset in [OFFSET_MAX, 1 << 40, 1 << 20] {
        insert(&index, entry(3, offset), 1).unwrap();
    }
    for offset in [1 << 40, OFFSET_MAX, 1 << 20] {
        assert_eq!(take(&index, entry(3, offset)), 1);
        assert_eq!(index.get(entry(3, 5)).addr(), 1);
    }
    index.shrink();
    assert_eq!(host.held(), low);
}

#[test]
fn tag_3_a_failed_insertion_leaves_the_index_as_it_was() {
    let host = TestHost::new();
    let index = Index::new(host.clone());
    insert(&index, entry(0, 1), 1).unwrap();
    for (offset, needed) in [(70, 1), (1 << 20, 5), (OFFSET_MAX, 16)] {
        let mut failures = 0;
        loop {
            host.fail_after(failures);
            let result = insert(&index, entry(0, offset), 3);
            host.fail_after(-1);
            if result.is_ok() {
                break;
            }
            failures += 1;
            assert_eq!(index.get(entry(0, offset)), core::ptr::null_mut());
            assert_eq!(index.get(entry(0, 1)).addr(), 1);
            assert!(failures < 40);
        }
        // What a failed call gathered is pooled: each try gets one step further.
        assert!(failures <= needed + 2, "{failures} failures for {offset:#x}");
    }
}

fn exchange_staged(
    index: &Index<TestHost>,
    staged: &Staged<'_>,
    range: EntryRange,
    result: core::result::Result<(), Word>,
) -> (Result<bool>, Word) {
    match result {
        Ok(()) => (index.exchange(staged, range, AllocFlags::empty()), core::ptr::null_mut()),
        Err(left) => (Err(Error::NoMemory), left),
    }
}

#[test]
fn tag_10_staged_words_change_places_or_leave_the_index_as_it_was() {
    let host = TestHost::new();
    let first = entry(1, 30);
    let range = EntryRange::new(first, 300).unwrap();
    for fail in 0..40 {
        let index = Index::new(host.clone());
        for offset in (0..400).step_by(3) {
            insert(&index, entry(1, offset), offset as usize * 2 + 1).unwrap();
        }
        let mut staged = Staged::new();
        host.fail_after(fail);
        let result = index.stage(&mut staged, range, AllocFlags::empty(), |i| {
            Some(word(if i % 5 == 0 { 0 } else { 100_001 }))
        });
        let (exchanged, left) = exchange_staged(&index, &staged, range, result);
        host.fail_after(-1);
        let mut released = Vec::new();
        let result =
            index.end_staging(staged, range, exchanged, left, |word| released.push(word.addr()));
        let saved =
            |offset: u64| result.is_ok() && (30..330).contains(&offset) && (offset - 30) % 5 != 0;
        for offset in 0..400u64 {
            let old = if offset % 3 == 0 { offset as usize * 2 + 1 } else { 0 };
            let expected = if saved(offset) { 100_001 } else { old };
            assert_eq!(index.get(entry(1, offset)).addr(), expected, "{offset} after {fail}");
        }
        if result.is_ok() {
            let replaced: Vec<_> = (0..400)
                .filter(|&offset| saved(offset) && offset % 3 == 0)
                .map(|offset| offset as usize * 2 + 1)
                // A small word is let go of without a word.
                .filter(|word| *word > 255)
                .collect();
            assert_eq!(released, replaced);
        }
        empty(index);
        assert_eq!(host.held(), 0);
    }
}

#[test]
fn tag_10_staged_words_of_any_size_with_gaps_agree_with_a_map() {
    let host = TestHost::new();
    let mut random = Random(10);
    let area = EntryRange::area(SwapType::new(31).unwrap()).last();
    for round in 0..600 {
        let index = Index::new(host.clone());
        // Near the end of all entries, too, and in leaves of one kind, or of both.
        let span = [40, 300, 9000][round % 3];
        let base = if round % 2 == 0 { 0 } else { area.offset() + 1 - span };
        let (large, gaps) = (random.below(3), 1 + random.below(200));
        let value = |random: &mut Random| {
            let small = large == 0 || large == 1 && random.below(50) > 0;
            1 + random.below(if small { 255 } else { 1 << 20 }) as usize
        };
        let mut model = BTreeMap::new();
        for _ in 0..random.below(span) {
            let (offset, value) = (base + random.below(span), value(&mut random));
            insert(&index, entry(31, offset), value).unwrap();
            model.insert(offset, value);
        }
        // From anywhere to anywhere.
        let first = random.below(span);
        let nr = 1 + random.below(span - first);
        let mut new = BTreeMap::new();
        let mut offset = base + first;
        while offset < base + first + nr {
            offset += if random.below(4) == 0 { random.below(gaps) } else { 0 };
            new.insert(offset, value(&mut random));
            offset += 1;
        }
        new.retain(|offset, _| *offset < base + first + nr);
        let range = EntryRange::new(entry(31, base + first), nr as usize).unwrap();
        let mut staged = Staged::new();
        // Sometimes there is not enough memory, at any of the steps.
        host.fail_after(if round % 4 == 3 { random.below(20 + nr / 20) as i64 } else { -1 });
        let result = index.stage(&mut staged, range, AllocFlags::empty(), |i| {
            Some(word(new.get(&(base + first + i)).copied().unwrap_or(0)))
        });
        let (exchanged, left) = exchange_staged(&index, &staged, range, result);
        host.fail_after(-1);
        let mut let_go = Vec::new();
        let result =
            index.end_staging(staged, range, exchanged, left, |word| let_go.push(word.addr()));
        let replaced: Vec<_> = new.keys().filter_map(|offset| model.get(offset)).copied().collect();
        if result.is_ok() {
            let_go.sort_unstable();
            let mut replaced: Vec<_> = replaced.into_iter().filter(|word| *word > 255).collect();
            replaced.sort_unstable();
            assert_eq!(let_go, replaced, "round {round}");
            model.extend(new);
        }
        for offset in base..base + span {
            let expected = model.get(&offset).copied().unwrap_or(0);
            assert_eq!(index.get(entry(31, offset)).addr(), expected, "{offset} in round {round}");
        }
        // One by one: a leaf goes with the last of its words, if these were counted.
        for (offset, value) in model {
            assert_eq!(take(&index, entry(31, offset)), value);
        }
        assert!(index.root(entry(31, 0).raw()).load_top(&index.memory).is_none());
        empty(index);
        assert_eq!(host.held(), 0);
    }
}

#[test]
fn tag_13_tag_14_threads_on_few_leaves_lose_and_mix_nothing() {
    // Words tell their entry; each entry has one writer, so what it wrote must be there,
    // while leaves and nodes are linked, unlinked and reused under all of them.
    const THREADS: u64 = 4;
    let host = TestHost::new();
    let index = Index::new(host.clone());
    let offsets = [0u64, 1, 63, 64, 4095, 4096, 1 << 18, (1 << 18) + 64, 1 << 30, OFFSET_MAX];
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let index = &index;
            scope.spawn(move || {
                let mut random = Random(thread);
                let mut mine = BTreeMap::new();
                for step in 0..40_000usize {
                    let owner = random.below(THREADS);
                    let pick = offsets[random.below(offsets.len() as u64) as usize];
                    // Every thread has its own slot next to each offset.
                    let offset =
                        if pick > OFFSET_MAX - 8 { pick - owner } else { pick + owner * 2 };
                    let ty = random.below(2) as u32;
                    let at = entry(ty, offset);
                    let stamp = |step: usize| {
                        (step << 16)
                            | (ty as usize) << 15
                            | ((offset as usize * 31) & 0x3fff) << 1
                            | 1
                    };
                    let seen = index.get(at).addr();
                    let own = seen & 0xffff == stamp(0) & 0xffff;
                    assert!(seen <= 0xff || own, "{at:?} {seen:#x}");
                    if owner != thread {
                        continue;
                    }
                    assert_eq!(seen, mine.get(&at).copied().unwrap_or(0));
                    if random.below(2) == 0 {
                        let value = if step % 3 == 0 { stamp(step) } else { step % 127 + 1 };
                        let old = insert(index, at, value).unwrap();
                        assert_eq!(mine.insert(at, value).unwrap_or(0), old);
                    } else {
                        assert_eq!(take(index, at), mine.remove(&at).unwrap_or(0));
                    }
                }
            });
        }
    });
    assert_eq!(host.entered(), 0);
    empty(index);
    assert_eq!(host.held(), 0);
}
