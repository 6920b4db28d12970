//! Pages that come back as they were.

use std::{println, vec::Vec};

use super::*;
use crate::tags::{Page4K, Page16K, Page64K};

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
    // One bit that differs, in every word, and in every granule of some.
    for at in (0..P::GRANULES).step_by(15) {
        assert_eq!(round_trip::<P>(&page::<P>(|i| if i == at { 2 ^ 1 << (at % 4) } else { 2 })), 0);
    }
    for at in (15..P::GRANULES).step_by(16) {
        assert_eq!(round_trip::<P>(&page::<P>(|i| if i == at { 2 ^ 8 } else { 2 })), 0);
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
