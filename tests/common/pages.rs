//! Page tags made from numbers: the same number makes the same tags, and tags tell their
//! number, so that a record that was mixed or mistaken for another is seen.

use std::{cell::RefCell, collections::HashMap};

use mteswap::tags::PageSize;

/// Kinds of content, from what allocators leave to what none does.
pub const KINDS: u64 = 6;

/// Numbers from here on are made anew each time.
const CACHED: u64 = 2048;

const NIBBLES: u64 = 0x1111_1111_1111_1111;

/// The tags that `number` stands for: of kind `number % KINDS`, unlike those of any other
/// number below 2^24 of another kind than 0. Kind 0 knows sixteen pages only.
pub fn page<P: PageSize>(number: u64) -> P::Words {
    thread_local! {
        /// Pages made before, by page size and number: the same few are asked for often.
        static MADE: RefCell<HashMap<(u32, u64), Vec<u64>>> = RefCell::default();
    }
    if number >= CACHED {
        return make::<P>(number);
    }
    MADE.with_borrow_mut(|made| {
        let words =
            made.entry((P::SHIFT, number)).or_insert_with(|| make::<P>(number).as_ref().to_vec());
        let mut tags = P::ZERO;
        tags.as_mut().copy_from_slice(words);
        tags
    })
}

fn make<P: PageSize>(number: u64) -> P::Words {
    let mut tags = P::ZERO;
    let words = tags.as_mut();
    let (kind, seed) = (number % KINDS, number / KINDS);
    let per_page = words.len() * 16;
    match kind {
        // One tag.
        0 => words.fill((seed % 16) * NIBBLES),
        // Few runs: the number in hexadecimal, a sixth of the page a digit.
        1 => fill(words, |i| (seed >> (4 * (i * 6 / per_page))) as u8 & 15),
        // More runs than a slot word has room for.
        2 => fill(words, |i| digit(seed, i * 40 / per_page)),
        // Blocks behind headers of tag 0, as an allocator lays them out.
        3 => fill(words, |i| if i % 7 == 0 { 0 } else { digit(seed, i / 7) }),
        // Half of the page is empty, the rest is noise.
        4 => fill(words, |i| if i < per_page / 2 { 0 } else { digit(seed, i) }),
        // Noise.
        _ => fill(words, |i| digit(seed, i)),
    }
    tags
}

/// What [`page`] of some number made `words` of, or `None` if none did. `numbers` are
/// those that may have.
pub fn find<P: PageSize>(words: &P::Words, mut numbers: impl Iterator<Item = u64>) -> Option<u64> {
    numbers.find(|number| page::<P>(*number) == *words)
}

/// The `i`-th of the endless digits of `seed`: the first six are its own, the others
/// noise that differs with it.
fn digit(seed: u64, i: usize) -> u8 {
    if i < 6 {
        return (seed >> (4 * i)) as u8 & 15;
    }
    let mut noise = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(i as u64);
    noise = (noise ^ (noise >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    noise = (noise ^ (noise >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (noise >> 60) as u8
}

fn fill(words: &mut [u64], tag: impl Fn(usize) -> u8) {
    for (at, word) in words.iter_mut().enumerate() {
        *word = (0..16).fold(0, |word, i| word | u64::from(tag(at * 16 + i)) << (4 * i));
    }
}
