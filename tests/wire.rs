//! The wire format is stable: the vectors of `tests/wire/vectors.tsv` hold both ways.
//!
//! A line is a page: its name, log2 of its bytes, its tags as runs (`tag*granules`), its
//! encoding in hexadecimal. Lines are added (`MTESWAP_NEW_VECTORS=1 cargo test --test wire` adds
//! those that have no line yet), and their bytes never changed: what was written once is read for ever. Where an
//! encoder has come to write another format, a line stays, [`READ_ONLY`], and so does a stream.

use std::{env, fmt::Write, fs, path::Path};

use mteswap::{
    codec::{decode, encode, encoded_max},
    error::Error,
    stream::{Item, Keys, Reader, Writer, room},
    tags::{Page4K, Page16K, Page64K, PageSize},
};

const VECTORS: &str = "tests/wire/vectors.tsv";
const STREAM: &str = "tests/wire/stream.hex";
const STREAM_READ_ONLY: &str = "tests/wire/stream-read-only.hex";
/// How the names end of pages that are read as they were written once, and written otherwise.
const READ_ONLY: &str = " (read only)";

/// The pages there are vectors of: each format, and each flag of each.
fn pages() -> Vec<(&'static str, u32, Vec<u8>)> {
    let mut pages = Vec::new();
    for shift in [12, 14, 16] {
        let granules = 1usize << (shift - 4);
        let mut add = |name, tag: &dyn Fn(usize) -> u8| {
            pages.push((name, shift, (0..granules).map(tag).collect()));
        };
        add("zero", &|_| 0);
        add("one tag", &|_| 15);
        add("two runs", &|i| if i < 100 { 3 } else { 12 });
        add("four runs", &|i| [1, 0, 14, 7][i * 4 / granules]);
        add("five runs", &|i| [1, 2, 3, 4, 5][(i * 5 / granules).min(4)]);
        add("six runs, every other zero", &|i| [9, 0, 5, 0, 6, 0][i * 6 / granules]);
        add("six runs, the first zero", &|i| [0, 9, 0, 5, 0, 6][i * 6 / granules]);
        add("seven runs, the first zero", &|i| [0, 9, 0, 5, 0, 6, 0][i * 7 / granules]);
        add("list, any tags", &|i| match i % 256 {
            0..30 => 3,
            30..37 => 4,
            37..90 => 5,
            90..91 => 0,
            91..200 => 7,
            200..203 => 8,
            _ => 9,
        });
        add("list, every other zero", &|i| match i % 256 {
            2..9 => 3,
            15..=39 => 4,
            41..90 => 5,
            99..104 => 6,
            200..251 => 7,
            _ => 0,
        });
        add("cells of one shape", &|i| if i % 9 < 2 { 0 } else { (i / 9 * 5 % 15 + 1) as u8 });
        add("cells of one shape, odd and even", &|i| {
            let cell = i / 9;
            if i % 9 < 2 { 0 } else { (cell % 7 * 2 + 1 + cell % 2) as u8 }
        });
        add("cells of two shapes", &|i| {
            let second = usize::from(i % 20 > 8);
            if matches!(i % 20, 0 | 7 | 8) { 0 } else { (i / 20 * 2 + second) as u8 % 15 + 1 }
        });
        add("cells without zeroes", &|i| (i / 6 * 7 % 15 + 1) as u8);
        // Larger pages are blocks of these: two page sizes will do.
        if shift < 16 {
            let begin = |i: usize| (0..=i).rev().find(|at| noise(*at) % 3 == 0).unwrap_or(0);
            let number = |i: usize| (0..=begin(i)).filter(|at| noise(*at) % 3 == 0).count();
            add("bitmap, any tags", &|i| (number(i) * 7 % 16) as u8);
            add("bitmap, every other zero", &|i| match number(i) {
                run if run % 2 == 0 => 0,
                run => (run * 4 % 15 + 1) as u8,
            });
            add("bitmap, odd and even", &|i| match number(i) {
                run if run % 2 == 1 => 0,
                run => (run * 3 % 14 / 2 * 2 + 1 + run / 2 % 2) as u8,
            });
        }
        add("noise", &|i| (noise(i) >> 9) as u8 & 15);
    }
    pages
}

fn noise(i: usize) -> u64 {
    let mut noise = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    noise = (noise ^ (noise >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    noise ^ (noise >> 27)
}

fn runs(granules: &[u8]) -> String {
    let runs = granules.chunk_by(|a, b| a == b);
    runs.map(|run| format!("{:x}*{}", run[0], run.len())).collect::<Vec<_>>().join(" ")
}

fn granules(runs: &str) -> Vec<u8> {
    let run = |run: &str| {
        let (tag, len) = run.split_once('*').unwrap();
        vec![u8::from_str_radix(tag, 16).unwrap(); len.parse().unwrap()]
    };
    runs.split(' ').flat_map(run).collect()
}

/// Granule `i` in bits `4i..4i+3` of a little-endian array.
fn packed(granules: &[u8]) -> Vec<u8> {
    granules.chunks(2).map(|pair| pair[0] | pair[1] << 4).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn encoded<P: PageSize>(tags: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; encoded_max::<P>()];
    let len = encode::<P>(tags, &mut buffer).unwrap();
    buffer.truncate(len);
    buffer
}

/// Bytes to tags, tags to bytes; and a byte less is refused.
fn holds<P: PageSize>(name: &str, tags: &[u8], wire: &[u8]) {
    assert_eq!(tags.len(), P::TAG_BYTES, "{name}");
    let written = hex(&encoded::<P>(tags)) == hex(wire);
    assert_eq!(written, !name.ends_with(READ_ONLY), "{name}: tags to bytes");
    let mut decoded = vec![0xa5; P::TAG_BYTES];
    assert_eq!(decode::<P>(wire, decoded.as_mut_slice()), Ok(wire.len()), "{name}");
    assert_eq!(hex(&decoded), hex(tags), "{name}: bytes to tags");
    for len in 0..wire.len() {
        let refused = decode::<P>(&wire[..len], decoded.as_mut_slice());
        assert_eq!(refused, Err(Error::Invalid), "{name}: {len} bytes");
        assert_eq!(decoded, tags, "{name}");
    }
}

fn path(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

#[test]
fn wire_vectors_hold_both_ways() {
    let mut text = fs::read_to_string(path(VECTORS)).unwrap_or_default();
    if env::var_os("MTESWAP_NEW_VECTORS").is_some() {
        for (name, shift, granules) in pages() {
            if !text.lines().any(|line| line.starts_with(&format!("{name}\t{shift}\t"))) {
                let tags = packed(&granules);
                let wire = match shift {
                    12 => encoded::<Page4K>(&tags),
                    14 => encoded::<Page16K>(&tags),
                    _ => encoded::<Page64K>(&tags),
                };
                writeln!(text, "{name}\t{shift}\t{}\t{}", runs(&granules), hex(&wire)).unwrap();
            }
        }
        fs::write(path(VECTORS), &text).unwrap();
    }
    let mut first_bytes = Vec::new();
    for line in text.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [name, shift, runs, wire] = fields[..] else { panic!("not four fields: {line}") };
        let (tags, wire) = (packed(&granules(runs)), unhex(wire));
        match shift {
            "12" => {
                holds::<Page4K>(name, &tags, &wire);
                first_bytes.push((wire[0], if wire[0] == 0xa2 { wire[1] } else { 0 }));
            }
            "14" => holds::<Page16K>(name, &tags, &wire),
            "16" => holds::<Page64K>(name, &tags, &wire),
            _ => panic!("{name}: pages of {shift}"),
        }
    }
    assert!(text.lines().count() >= pages().len());
    // Each form of a page, and each format of a block.
    let has = |first: u8, mask: u8, block: u8| {
        first_bytes.iter().any(|(a, b)| *a & mask == first && b & 0xb0 == block)
    };
    assert!(has(0xb0, 0xf0, 0) && has(0xa1, 0xff, 0) && has(0xa3, 0xff, 0));
    assert!(has(0xa2, 0xff, 0x20) && has(0xa2, 0xff, 0x30), "{first_bytes:02x?}");
    let cells = first_bytes.iter().filter(|(a, b)| *a == 0xa2 && b & 0x80 != 0);
    let flags: std::collections::BTreeSet<_> = cells.map(|(_, b)| b & 0x60).collect();
    assert!(flags.len() >= 3, "{flags:02x?}");
}

/// The stream of the first pages of the list, with gaps.
#[test]
fn wire_stream_holds_both_ways() {
    let pages: Vec<_> = pages().into_iter().filter(|(_, shift, _)| *shift == 12).collect();
    let mut buffer = [0; room::<Page4K>()];
    let (mut writer, len) = Writer::<Page4K>::begin(Keys::GuestFrames, &mut buffer).unwrap();
    let mut parts = vec![hex(&buffer[..len])];
    for ((_, _, granules), number) in pages.iter().zip(0u64..) {
        let len = writer.record(number * number * 50, packed(granules).as_slice(), &mut buffer);
        parts.push(hex(&buffer[..len.unwrap()]));
    }
    let len = writer.end(&mut buffer).unwrap();
    parts.push(hex(&buffer[..len]));
    let written = parts.join("\n") + "\n";
    if env::var_os("MTESWAP_NEW_VECTORS").is_some() && !path(STREAM).exists() {
        fs::write(path(STREAM), &written).unwrap();
    }
    let wanted = fs::read_to_string(path(STREAM)).unwrap();
    assert_eq!(written, wanted, "tags to bytes");

    reads(&unhex(&wanted), pages.iter().map(|(_, _, granules)| granules));
}

/// Checks that a stream is of these pages.
fn reads<'a>(bytes: &[u8], pages: impl ExactSizeIterator<Item = &'a Vec<u8>>) {
    let records = pages.len() as u64;
    let (mut reader, mut at) = Reader::<Page4K>::begin(Keys::GuestFrames, bytes).unwrap();
    for (granules, number) in pages.zip(0u64..) {
        let mut tags = [0u8; Page4K::TAG_BYTES];
        let item = reader.next(&bytes[at..], &mut tags);
        let Ok(Item::Record { key, used }) = item else { panic!("{number}: {item:?}") };
        assert_eq!((key, tags.as_slice()), (number * number * 50, packed(granules).as_slice()));
        at += used;
    }
    let end = Item::End { records, used: bytes.len() - at };
    assert_eq!(reader.next(&bytes[at..], &mut [0u64; 16]), Ok(end));
}

/// Of the same pages, but that the one which has two lines was as in the older of them.
#[test]
fn wire_a_stream_of_an_earlier_encoder_is_read() {
    let vectors = fs::read_to_string(path(VECTORS)).unwrap();
    let old = |name: &str| {
        let line = vectors.lines().find(|line| {
            line.strip_prefix(name).is_some_and(|rest| {
                rest.split('\t').next().is_some_and(|name| name.ends_with(READ_ONLY))
            })
        });
        line.map(|line| granules(line.split('\t').nth(2).unwrap()))
    };
    let pages: Vec<_> = pages()
        .into_iter()
        .filter(|(_, shift, _)| *shift == 12)
        .map(|(name, _, granules)| match name {
            "cells of two shapes" => old(name).unwrap(),
            _ => granules,
        })
        .collect();
    let bytes = unhex(&fs::read_to_string(path(STREAM_READ_ONLY)).unwrap());
    reads(&bytes, pages.iter());
}

/// The example in docs/wire.md is of the stream.
#[test]
fn wire_document_shows_the_stream() {
    let page = fs::read_to_string(path("docs/wire.md")).unwrap();
    let (_, example) = page.split_once("```text\n").unwrap();
    let shown: Vec<_> = example
        .lines()
        .take_while(|line| *line != "```")
        .map(|line| line.split("  ").next().unwrap().replace(' ', ""))
        .collect();
    let stream = fs::read_to_string(path(STREAM)).unwrap();
    let lines: Vec<_> = stream.lines().collect();
    assert_eq!(shown, [lines[0], lines[1], lines[2], lines[lines.len() - 1]]);
}
