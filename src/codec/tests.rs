//! What the tests of the codec have in common.

use std::{boxed::Box, env, fs, path::Path, vec, vec::Vec};

use super::*;

mod bytes;
mod changing;
mod choice;
mod pages;

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
    let bytes = match Few::choose::<P>(words, &mut few) {
        Some(Short::Inline(code)) => {
            out.fill(!0);
            decode_inline::<P>(code, out.as_mut_slice());
            assert_eq!(out, words);
            0
        }
        // What the long way round would have made of it.
        Some(Short::List(few)) => {
            let len = few.list_len();
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
