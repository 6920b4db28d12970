//! Pages of runs that touch: lists, and what is kept raw where there is memory for it.

use super::*;

/// A page of runs that touch, at places in no order: what is kept of it is a list, of 10 to 49 bytes with 6 to 32 runs.
fn touching(runs: u64, seed: u64) -> [u64; 16] {
    let mut random = seed;
    let mut begins = [false; 256];
    while begins.iter().filter(|begins| **begins).count() < runs as usize - 1 {
        random = (random ^ random >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(1);
        begins[(random >> 32) as usize % 255 + 1] = true;
    }
    let mut tag = 1 + seed % 15;
    let mut words = [0; 16];
    for (granule, begins) in begins.into_iter().enumerate() {
        // 1 to 15, and never the same again.
        tag = if begins { tag % 15 + 1 } else { tag };
        words[granule / 16] |= tag << (granule % 16 * 4);
    }
    words
}

#[test]
fn tag_2_lists_of_every_length_come_back_whole_beside_one_another() {
    let store = TagStore::<_, Page4K>::new(TestHost::new());
    let page = |number: u64| touching(6 + number % 27, number + 1);
    for round in 0..2 {
        // Replaced in the second round, so that memory is used that was used.
        for number in 0..810 {
            store.save(entry(1, number), &page(number + round), SLEEP).unwrap();
        }
        for number in 0..810 {
            assert_eq!(restored(&store, entry(1, number)).unwrap(), page(number + round));
        }
    }
    let stats = store.stats();
    assert_eq!(stats.inline_entries, 0);
    assert!(stats.payload_bytes < 810 * 64, "lists, not pages as they are");
}

#[test]
fn tag_3_what_is_kept_raw_is_coded_where_there_is_room_for_that_alone() {
    let host = TestHost::new();
    let store = TagStore::<_, Page4K>::new(host.clone());
    // Bitmaps, as every other run is of tag 0: their slabs have objects to spare.
    for runs in (60..110).step_by(2) {
        let mut words = touching(runs, runs);
        let mut before = (0, false);
        for granule in 0..256 {
            let tag = words[granule / 16] >> (granule % 16 * 4) & 15;
            before = (tag, if tag == before.0 { before.1 } else { !before.1 });
            if before.1 {
                words[granule / 16] &= !(15 << (granule % 16 * 4));
            }
        }
        store.save(entry(1, runs), &words, SLEEP).unwrap();
    }
    host.fail_after(0);
    for seed in 0..40 {
        let page = touching(41, seed);
        store.save(entry(1, 0), &page, AllocFlags::empty()).unwrap();
        assert_eq!(restored(&store, entry(1, 0)).unwrap(), page, "{seed}");
    }
    let random = tags::<Page4K>(2);
    assert_eq!(store.save(entry(1, 0), &random, AllocFlags::empty()), Err(Error::NoMemory));
    assert_eq!(restored(&store, entry(1, 0)).unwrap(), touching(41, 39));
}
