//! Which form and format is chosen.

use std::{vec, vec::Vec};

use super::*;
use crate::{
    codec::block::has_more_runs,
    tags::{Page4K, Page16K},
};

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
            assert_eq!(has_more_runs(words.as_slice(), 0, most), runs > most, "{runs}");
        }
    }
}

#[test]
fn codec_cells_of_several_shapes_are_chosen_where_they_are_shorter() {
    let mut random = Random(11);
    let mut shorter = 0;
    for _ in 0..2000 {
        let kinds: Vec<_> =
            (0..2 + random.below(2)).map(|_| (1 + random.below(3), 1 + random.below(14))).collect();
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
        if shapes.len() > 4 {
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

/// Tags are taken out of the block in the midst of the look for shapes: all that came before the one too many, and all behind it.
#[test]
fn codec_tags_are_whole_where_shapes_become_too_many() {
    let mut random = Random(17);
    for cells in 0..60 {
        for (zeroes, first) in [(0, 0), (0, 1), (1, 0), (1, 40), (70, 3), (2, 130)] {
            // Cells of two granules, but for five: a grid, if they came later.
            let mut granules = vec![0u8; zeroes];
            let tag = |random: &mut Random| 1 + random.below(15) as u8;
            granules.resize(zeroes + first, tag(&mut random));
            for cell in 0.. {
                if granules.len() > 256 {
                    break;
                }
                let others = if (cells..cells + 5).contains(&cell) { cell - cells + 2 } else { 1 };
                granules.push(0);
                granules.resize(granules.len() + others, tag(&mut random));
            }
            there_and_back::<Page4K>(&page::<Page4K>(|i| granules[i]));
            there_and_back::<Page16K>(&page::<Page16K>(|i| granules[(i / 256 * 3 + i) % 256]));
        }
    }
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
