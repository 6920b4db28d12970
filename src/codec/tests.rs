use std::{boxed::Box, env, fs, path::Path, println, vec, vec::Vec};

use super::*;
use crate::tags::{Page4K, Page16K, Page64K};

/// Encodes by both ways, decodes again, and compares. Returns the form's bytes.
fn round_trip<P: PageSize>(words: &[u64]) -> usize {
    refuse_truncated::<P>(words);
    there_and_back::<P>(words)
}

fn there_and_back<P: PageSize>(words: &[u64]) -> usize {
    let mut out = vec![!0u64; P::WORDS];
    // Every page has blocks, whatever else it may be kept as.
    let mut encoder = Encoder::<P>::new();
    let blocks = match encoder.read(words) {
        Form::Bytes(len) => {
            assert!(len < P::TAG_BYTES);
            let mut bytes = vec![0xa5; len + 5];
            assert_eq!(encoder.write(words, &mut bytes), Some(len));
            assert_eq!(bytes[len..], [0; 5]);
            assert_eq!(decode_bytes::<P>(&bytes, out.as_mut_slice(), true), Ok(len));
            assert_eq!(out, words);
            assert_eq!(encoder.write(words, &mut bytes[..len - 1]), None);
            bytes[..len].to_vec()
        }
        Form::Raw => vec![0; P::TAG_BYTES],
    };
    let mut few = Few::new();
    let bytes = match few.choose::<P>(words) {
        Some(Short::Inline(code)) => {
            out.fill(!0);
            decode_inline::<P>(code, out.as_mut_slice());
            assert_eq!(out, words);
            0
        }
        // What the long way round would have made of it.
        Some(Short::List(len)) => {
            let mut bytes = vec![0xa5; len + 3];
            few.write_list(&mut bytes);
            assert_eq!(bytes[len..], [0; 3]);
            assert_eq!(bytes[..len], blocks);
            len
        }
        // Three eighths would have been left, or more.
        Some(Short::Raw) => {
            assert!(blocks.len() > P::TAG_BYTES / 8 * 3, "{} bytes", blocks.len());
            P::TAG_BYTES
        }
        None => blocks.len(),
    };
    let mut wire = vec![0x5a; P::TAG_BYTES + 4];
    let len = encode::<P>(words, &mut wire).unwrap();
    assert!(len <= encoded_max::<P>());
    out.fill(!0);
    assert_eq!(decode::<P>(&wire, out.as_mut_slice()), Ok(len));
    assert_eq!(out, words);
    assert_eq!(decode::<P>(&wire[..len], out.as_mut_slice()), Ok(len));
    bytes
}

fn refuse_truncated<P: PageSize>(words: &[u64]) {
    let mut wire = vec![0x5a; P::TAG_BYTES + 4];
    let len = encode::<P>(words, &mut wire).unwrap();
    let mut untouched = vec![3u64; P::WORDS];
    for short in (0..len).step_by(1 + len / 140) {
        assert_eq!(decode::<P>(&wire[..short], untouched.as_mut_slice()), Err(Error::Invalid));
        assert!(untouched.iter().all(|word| *word == 3));
        assert_eq!(encode::<P>(words, &mut vec![0; short]), None);
    }
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

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

fn page<P: PageSize>(tag: impl FnMut(usize) -> u8) -> Vec<u64> {
    let tags: Vec<u8> = (0..P::GRANULES).map(tag).collect();
    let word = |tags: &[u8]| tags.iter().rev().fold(0, |word, tag| word << 4 | u64::from(*tag));
    tags.chunks(16).map(word).collect()
}

fn structured<P: PageSize>() {
    for tag in 0..16 {
        assert_eq!(round_trip::<P>(&page::<P>(|_| tag)), 0, "one tag is inline");
    }
    let mut random = Random(P::SHIFT.into());
    // One run of every length at many places.
    for len in (1..P::GRANULES).step_by(P::GRANULES / 256) {
        let at = random.below(P::GRANULES - len + 1);
        assert_eq!(
            round_trip::<P>(&page::<P>(|i| if i >= at && i < at + len { 15 } else { 2 })),
            0
        );
    }
    // Grids of every period, phase and gap, tags random, odd/even or few.
    for period in 1..=140 {
        for _ in 0..6 {
            let (phase, gap) = (random.below(period), random.below(period.min(9)));
            let mode = random.below(4);
            let seed = random.next();
            let tags = |i: usize| {
                let (cell, place) = ((i + phase) / period, (i + phase) % period);
                let tag = Random(seed ^ cell as u64).next() as u8;
                match mode {
                    _ if place < gap => 0,
                    0 => tag % 15 + 1,
                    1 => (tag & 14 | cell as u8 & 1).max(1),
                    2 => tag & 3,
                    _ => tag & 15,
                }
            };
            round_trip::<P>(&page::<P>(tags));
        }
    }
    // Cells of a few lengths; runs of random lengths; random tags of few and many kinds.
    for _ in 0..300 {
        let kinds: Vec<_> =
            (0..1 + random.below(20)).map(|_| (random.below(4), 1 + random.below(40))).collect();
        let (alternate, tags) = (random.below(2) == 0, 1 + random.below(15));
        let mut granules = Vec::new();
        let mut parity = 0;
        while granules.len() < P::GRANULES {
            let (zeroes, others) = kinds[random.below(kinds.len())];
            let tag = if alternate {
                random.next() as u8 & 14 | parity
            } else {
                (random.below(tags) + 1) as u8
            };
            parity ^= 1;
            granules.resize(granules.len() + zeroes, 0);
            granules.resize(granules.len() + others, tag);
        }
        let skip = random.below(granules.len() - P::GRANULES + 1);
        round_trip::<P>(&page::<P>(|i| granules[skip + i]));
        let tags = 2 + random.below(15);
        round_trip::<P>(&page::<P>(|_| random.below(tags) as u8));
        let changes = 1 + random.below(60);
        let mut tag = 0;
        round_trip::<P>(&page::<P>(|_| {
            if random.below(P::GRANULES) < changes {
                tag = random.next() as u8 & 15;
            }
            tag
        }));
    }
    let alternating = page::<P>(|i| if i % 2 == 0 { 0 } else { 5 });
    round_trip::<P>(&alternating);
    round_trip::<P>(&page::<P>(|i| (i % 16) as u8));
}

#[test]
fn tag_2_structured_pages_come_back_4k() {
    structured::<Page4K>();
}

#[test]
fn tag_2_structured_pages_come_back_16k() {
    structured::<Page16K>();
}

#[test]
fn tag_2_structured_pages_come_back_64k() {
    structured::<Page64K>();
}

/// The bytes of one block.
fn block_bytes(words: &[u64]) -> Vec<u8> {
    let mut encoder = Encoder::<Page4K>::new();
    encoder.look_at(words, 0);
    let mut bytes = vec![0; encoder.layout.len()];
    assert_eq!(encoder.write(words, &mut bytes), Some(bytes.len()));
    bytes
}

#[test]
fn codec_a_block_has_the_same_bytes_whatever_stands_before_it() {
    // 128 tags, so that all places of the encoder's have held one.
    let full = page::<Page4K>(|i| if i % 2 == 0 { 0 } else { (i % 15 + 1) as u8 });
    let mut multiples = 0;
    for (period, phase) in (2..=40).flat_map(|period| (0..period).map(move |at| (period, at))) {
        for parity in [0, 1] {
            let grid = page::<Page4K>(|i| match ((i + phase) / period, (i + phase) % period) {
                (_, 0) => 0,
                (cell, _) => [cell * 7 % 15 + 1, cell % 2 + 2][parity] as u8,
            });
            let large = [&full[..], &grid, &full, &grid].concat();
            let mut encoder = Encoder::<Page16K>::new();
            let Form::Bytes(len) = encoder.read(large.as_slice()) else { panic!("has a pattern") };
            let mut bytes = vec![0; len];
            assert_eq!(encoder.write(large.as_slice(), &mut bytes), Some(len));
            let (full, grid) = (block_bytes(&full), block_bytes(&grid));
            assert_eq!(bytes, [&full[..], &grid, &full, &grid].concat(), "{period} {phase}");
            multiples += usize::from(encoder.block.tags.len() % 16 == 0);
        }
    }
    assert!(multiples > 0, "tags that end a word");
}

#[test]
fn codec_any_bytes_decode_safely_or_are_refused_untouched() {
    let mut random = Random(7);
    let mut accepted = 0u32;
    for round in 0..1_000_000u32 {
        let mut bytes = [0u8; 140];
        let len = random.below(bytes.len());
        if round % 2 == 0 {
            bytes
                .chunks_mut(8)
                .for_each(|c| c.copy_from_slice(&random.next().to_le_bytes()[..c.len()]));
        } else {
            // A true encoding with a few bytes changed.
            let gap = random.below(3);
            let period = 2 + random.below(20);
            let words =
                page::<Page4K>(
                    |i| if i % period <= gap { 0 } else { (i / period * 7 % 15 + 1) as u8 },
                );
            encode::<Page4K>(words.as_slice(), &mut bytes);
            for _ in 0..1 + random.below(3) {
                bytes[random.below(50)] ^= 1 << random.below(8);
            }
        }
        if random.below(4) > 0 {
            bytes[0] = [0xa1, 0xa2, 0xa2, 0xa3, 0xb5][random.below(5)];
        }
        let mut words = [3u64; 16];
        match decode::<Page4K>(&bytes[..len], &mut words) {
            Ok(used) => {
                assert!(used <= len);
                accepted += 1;
            }
            Err(error) => {
                assert_eq!(error, Error::Invalid);
                assert_eq!(words, [3; 16]);
            }
        }
        let mut large = [3u64; 64];
        if decode::<Page16K>(&bytes[..len], &mut large).is_err() {
            assert_eq!(large, [3; 64]);
        }
    }
    assert!(accepted > 10_000, "{accepted}");
}

/// Tags that are different ones whenever they are read.
struct Restless(core::cell::Cell<u64>);

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
    let source = Restless(core::cell::Cell::new(1));
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

#[test]
fn codec_runs_are_counted_as_far_as_they_tell() {
    let mut random = Random(3);
    for _ in 0..500 {
        let (every, tags) = (1 + random.below(12), 2 + random.below(14));
        let mut tag = 0;
        let words = page::<Page4K>(|_| {
            if random.below(every) == 0 {
                tag = random.below(tags) as u8;
            }
            tag
        });
        let granule = |i: usize| words[i / 16] >> (i % 16 * 4) & 15;
        let runs = 1 + (1..256).filter(|i| granule(*i) != granule(i - 1)).count();
        for most in [0, runs.saturating_sub(2), runs - 1, runs, runs + 1, 300] {
            assert_eq!(
                super::block::has_more_runs(words.as_slice(), 0, most),
                runs > most,
                "{runs}"
            );
        }
    }
}

#[test]
fn codec_cells_of_several_shapes_are_chosen_where_they_are_shorter() {
    let mut random = Random(11);
    let mut shorter = 0;
    for _ in 0..2000 {
        let kinds: Vec<_> =
            (0..2 + random.below(6)).map(|_| (1 + random.below(3), 1 + random.below(14))).collect();
        let (mut granules, mut shapes, mut cells) = (Vec::new(), Vec::new(), 0);
        while granules.len() < 256 {
            let (zeroes, others) = kinds[random.below(kinds.len())];
            granules.extend(core::iter::repeat_n(0, zeroes));
            granules.extend(core::iter::repeat_n(1 + random.below(15) as u8, others));
            // What the end cuts off is a shape of its own, at the worst.
            let cut = granules.len().saturating_sub(256);
            shapes.push((zeroes, others.saturating_sub(cut)));
            cells += 1;
        }
        shapes.sort_unstable();
        shapes.dedup();
        if shapes.len() > 8 {
            continue;
        }
        let bits = shapes.len().next_power_of_two().ilog2() as usize + 4;
        let bound = 2 + 2 * shapes.len() + (cells * bits).div_ceil(8);
        let len = round_trip::<Page4K>(&page::<Page4K>(|i| granules[i]));
        assert!(len <= bound, "{len} bytes, {bound} as cells: {shapes:?}");
        // A list of as many runs, and a bitmap.
        let runs = cells * 2;
        shorter += usize::from(bound < (2 + runs + cells / 2).min(33 + cells / 2));
    }
    assert!(shorter > 500, "{shorter}");
}

/// Some runs that touch, in all words but the first, which is another each time it is read.
struct FirstChanges(core::cell::Cell<u64>);

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
        let source = FirstChanges(core::cell::Cell::new(reads));
        let mut wire = vec![0; encoded_max::<Page4K>()];
        let len = encode::<Page4K>(&source, &mut wire).unwrap();
        let mut tags = [0u64; 16];
        assert_eq!(decode::<Page4K>(&wire, &mut tags), Ok(len), "{reads}: {wire:x?}");
        (1..16).for_each(|index| assert_eq!(tags[index], source.word(index)));
    }
}

/// Four words of tag 3, twelve of tag 5; but the first one is another at one of the times it is read.
struct FirstChangesOnce {
    reads: core::cell::Cell<usize>,
    changed: usize,
    to: u64,
}

impl TagSource for FirstChangesOnce {
    fn word(&self, index: usize) -> u64 {
        if index == 0 {
            self.reads.set(self.reads.get() + 1);
            if self.reads.get() == self.changed {
                return self.to;
            }
        }
        if index < 4 { 3 * ALL_GRANULES } else { 5 * ALL_GRANULES }
    }
}

#[test]
fn codec_a_first_word_that_changes_changes_no_other() {
    for (changed, to) in (1..9).flat_map(|read| [(read, 7 * ALL_GRANULES), (read, 4)]) {
        let source = FirstChangesOnce { reads: core::cell::Cell::new(0), changed, to };
        let mut wire = vec![0; encoded_max::<Page4K>()];
        let len = encode::<Page4K>(&source, &mut wire).unwrap();
        let mut tags = [0u64; 16];
        assert_eq!(decode::<Page4K>(&wire, &mut tags), Ok(len));
        // In the first word each granule is as it was read once; the others never changed.
        let granules = |word: u64| (0..16).map(move |i| word >> (4 * i) & 15);
        assert!(granules(tags[0]).zip(granules(to)).all(|(tag, new)| tag == 3 || tag == new));
        assert_eq!(tags[1..4], [3 * ALL_GRANULES; 3], "read {changed}: {to:x}");
        assert_eq!(tags[4..], [5 * ALL_GRANULES; 12]);
    }
}

/// The maps of `MTESWAP_TAG_MAPS`, or those that come with the crate.
fn real_maps() -> Vec<(Box<str>, Vec<u64>)> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tags");
    let folder = env::var_os("MTESWAP_TAG_MAPS").map_or(own, Into::into);
    let mut maps = Vec::new();
    for file in fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|ending| ending == "tags") {
            let bytes = fs::read(&file).unwrap();
            let words = bytes.chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().unwrap()));
            maps.push((file.file_stem().unwrap().to_string_lossy().into(), words.collect()));
        }
    }
    assert!(!maps.is_empty(), "no tag maps in {}", folder.display());
    maps
}

#[test]
fn tag_2_every_page_of_the_real_maps_comes_back() {
    let mut pages = 0;
    let mut bytes = 0;
    for (name, words) in real_maps() {
        let sizes: Vec<_> = words.chunks_exact(16).map(there_and_back::<Page4K>).collect();
        for page in words.chunks_exact(64) {
            there_and_back::<Page16K>(page);
        }
        for page in words.chunks_exact(256) {
            there_and_back::<Page64K>(page);
        }
        let fitted: usize = sizes.iter().map(|size| size.next_multiple_of(4)).sum();
        println!("{name:24} {:6.1} bytes a page", fitted as f64 / sizes.len() as f64);
        pages += sizes.len();
        bytes += fitted;
    }
    let mean = bytes as f64 / pages as f64;
    println!("{pages} pages, {mean:.2} bytes a page");
    assert!(mean < 24.0, "{mean} bytes a page");
}

#[test]
fn codec_inspection_agrees_with_what_is_encoded() {
    let mut chosen = [0; 6];
    for (name, words) in real_maps() {
        for page in words.chunks_exact(16) {
            let page: [u64; 16] = page.try_into().unwrap();
            let choice = inspect::inspect(&page);
            let least = choice.bytes.iter().flatten().min();
            assert_eq!(choice.bytes[choice.chosen].as_ref(), least, "{name}");
            let mut wire = [0; 129];
            let len = encode::<Page4K>(&page, &mut wire).unwrap();
            let payload = match wire[0] {
                0xa2 | 0xa3 => len - 1,
                _ => 0,
            };
            assert_eq!(choice.bytes[choice.chosen], Some(payload), "{name}");
            chosen[choice.chosen] += 1;
        }
    }
    // No program's page needs to be raw; noise does.
    assert!(chosen[..5].iter().all(|count| *count > 0), "{chosen:?}");
    let mut random = Random(3);
    assert_eq!(inspect::inspect(&[(); 16].map(|()| random.next())).chosen, 5);
}
