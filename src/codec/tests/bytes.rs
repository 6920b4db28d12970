//! Bytes: what a block has, and any that are not an encoder's.

use std::{vec, vec::Vec};

use super::*;
use crate::tags::{Page4K, Page16K};

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
            multiples += usize::from(encoder.block.len() % 16 == 0);
        }
    }
    assert!(multiples > 0, "tags that end a word");
}

/// Of cells that fill words of numbers, and one more behind them without a run: no tag of the page is in its place.
#[test]
fn codec_a_cell_without_a_run_has_tag_0() {
    for cells in [16, 32, 48] {
        let mut granules = Vec::new();
        for cell in 0..cells {
            granules.push(0);
            granules.resize(granules.len() + 2 + cell % 3, (cell * 7 % 15 + 1) as u8);
        }
        assert!(granules.len() < 250);
        let bytes = block_bytes(&page::<Page4K>(|i| granules.get(i).copied().unwrap_or(0)));
        // Four shapes, the last that of the zeroes: two bits of a number, four of a tag.
        let head = 10;
        assert_eq!((bytes[0], bytes.len()), (0x83, head + (6 * (cells + 1)).div_ceil(8)));
        let last = 6 * cells + 2;
        let bit = |at: usize| bytes[head + at / 8] >> (at % 8) & 1;
        assert_eq!((last..last + 4).map(bit).max(), Some(0), "{cells}");
    }
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
