//! The tags of a block's runs, taken out of its words, from where the runs begin.
//!
//! Where cells are as far apart as one another some are taken out at once, and no way is taken by where they are.

use super::{
    block::{BLOCK_BYTES, BLOCK_WORDS, Block, QUARTERS, WORDS_OF_QUARTER},
    nibbles::{Kind::Tags, NIBBLES, Words, last_of, set_sixteen, set_word, sixteen, word},
};
use crate::tags::GRANULES_PER_WORD;

/// The most granules from one tag to the next, where two are taken out at once: both lie in eight bytes, whichever half of a byte
/// the first is.
const TWO_MAX: usize = 14;
const _: () = assert!(TWO_MAX + 2 <= NIBBLES);

/// Tags that were taken out: how many, and the last of them, in the highest nibbles.
#[derive(Default)]
struct Taken {
    held: u64,
    len: usize,
}

// What is written over has been read. Tag `k` of runs that alternate, or of cells of two granules or more, is at granule `2 * k` or
// behind it, but for one where the first cell is cut. Those that are put down with the last of sixteen, tag `16 * m + 15`, go to words
// `2 * m` and `2 * m + 1`; tag `16 * m + 16` is at granule `32 * m + 32` or behind it, in word `2 * m + 2`; after a cut cell it may be the
// granule before, in word `2 * m + 1`, of which nothing is written but where runs alternate, and its bytes have been read before. Of other
// runs that touch tag `k` is at granule `k` or behind it, and put down densely at first.
impl Block {
    /// Takes out the tags of a block whose cells are all as long as one another.
    #[inline(always)]
    pub(super) fn take_cells(&mut self) {
        let at = self.first_tag();
        match self.period() {
            2 => self.take_some::<3>(at),
            4 => self.take_some::<2>(at),
            3..=TWO_MAX => self.take_some::<1>(at),
            _ => self.take_each(at),
        }
    }

    /// Takes out the tags of any block.
    #[inline(never)]
    pub(super) fn take_runs(&mut self) {
        if self.alternates() {
            return self.take_others(0, 0);
        }
        let mut taken = Taken::default();
        for quarter in 0..QUARTERS {
            let mut rest = self.turns(quarter);
            while rest != 0 {
                self.take::<1>(&mut taken, quarter, rest);
                rest &= rest.wrapping_sub(1);
            }
        }
        set_word(&mut self.words, taken.len / NIBBLES, last_of(taken.held, taken.len));
        for index in (0..=BLOCK_WORDS / 2).rev() {
            let tags = word(&self.words, index);
            set_sixteen(&mut self.words, Tags, index, tags);
        }
    }

    /// Takes out the tags of a block that alternates, behind `len` others, of the runs from granule `from` on, which the first
    /// begins at or behind. Those of the others that are not put down are held in the last word.
    #[inline(never)]
    pub(super) fn take_others(&mut self, len: usize, from: usize) {
        let mut taken = Taken { held: word(&self.words, BLOCK_WORDS), len };
        let mut those = u64::MAX << (from & 63);
        let mut within = false;
        for quarter in from >> 6..QUARTERS {
            let mut rest = self.turns(quarter) & those;
            those = u64::MAX;
            if within {
                // The first ends the run.
                within = rest == 0;
                rest &= rest.wrapping_sub(1);
            }
            while rest != 0 {
                self.take::<2>(&mut taken, quarter, rest);
                rest &= rest.wrapping_sub(1);
                within = rest == 0;
                rest &= rest.wrapping_sub(1);
            }
        }
        let last = last_of(taken.held, taken.len);
        set_sixteen(&mut self.words, Tags, taken.len / NIBBLES, last);
    }

    /// Takes out the tag of the run that begins first of these in a quarter, to be put down so far apart.
    #[inline(always)]
    fn take<const APART: usize>(&mut self, taken: &mut Taken, quarter: usize, begins: u64) {
        let tag = self.tag_at(quarter, begins.trailing_zeros());
        taken.held = taken.held >> 4 | tag << 60;
        if taken.len % NIBBLES == NIBBLES - 1 {
            let index = (taken.len / NIBBLES).wrapping_mul(APART);
            set_word(&mut self.words, index, taken.held);
        }
        taken.len = taken.len.wrapping_add(1);
    }

    /// The tag of a granule of a quarter, in the lowest of these bits.
    #[inline(always)]
    pub(super) fn tag_at(&self, quarter: usize, granule: u32) -> u64 {
        let index = granule as usize / GRANULES_PER_WORD;
        let word = word(&self.words, quarter.wrapping_mul(WORDS_OF_QUARTER) | index);
        word >> (granule.wrapping_mul(4) & 63)
    }

    /// Takes out the tags of cells of one length two to the power of `LOG` at a time, the first at granule `at`.
    #[inline(never)]
    fn take_some<const LOG: u32>(&mut self, at: isize) {
        let group = Group::<LOG>::new(self.period(), at);
        let mut byte = at >> 1;
        let mut tags = bytes_from(&self.words, byte);
        if byte < 0 {
            // What of the first cell lies before the block has the tag of its first granule.
            let word = word(&self.words, 0);
            tags = word << (byte.wrapping_mul(-8) & 63) | (word & 15) << group.odd;
        }
        for index in 0..=self.len() / NIBBLES {
            let mut sixteen = 0u64;
            for _ in 0..NIBBLES >> LOG {
                sixteen = sixteen >> (4 << LOG) | group.together(tags);
                byte = byte.wrapping_add(group.bytes);
                tags = bytes_from(&self.words, byte);
            }
            set_sixteen(&mut self.words, Tags, index, sixteen);
        }
        self.end_tags();
    }

    /// Takes out the tags of cells of one length, each by itself, the first at granule `at`.
    #[inline(never)]
    fn take_each(&mut self, mut at: isize) {
        let period = self.period() as isize;
        for index in 0..=self.len() / NIBBLES {
            let mut sixteen = 0u64;
            for _ in 0..NIBBLES {
                // What of the first cell lies before the block has the tag of its first granule.
                let granule = at.max(0) as usize;
                let word = word(&self.words, granule / GRANULES_PER_WORD % BLOCK_WORDS);
                sixteen = sixteen >> 4 | word >> (granule.wrapping_mul(4) & 63) << 60;
                at = at.wrapping_add(period);
            }
            set_sixteen(&mut self.words, Tags, index, sixteen);
        }
        self.end_tags();
    }

    /// Puts zeroes behind the tags.
    #[inline(always)]
    fn end_tags(&mut self) {
        let last = self.len() / NIBBLES;
        let those = !(u64::MAX << (self.len().wrapping_mul(4) & 63));
        let tags = sixteen(&self.words, Tags, last) & those;
        set_sixteen(&mut self.words, Tags, last, tags);
    }
}

/// Two to the power of `LOG` tags that are taken out at once, of eight bytes.
struct Group<const LOG: u32> {
    /// Bits of the first byte that come before the first of them.
    odd: u32,
    /// The bits that are theirs.
    those: u64,
    /// What brings them together, if they are no eight.
    factor: u64,
    /// From one group to the next.
    bytes: isize,
}

impl<const LOG: u32> Group<LOG> {
    /// Of tags so many granules apart, the first at granule `at`.
    #[inline(always)]
    fn new(period: usize, at: isize) -> Self {
        let (odd, apart) = ((at as u32 & 1).wrapping_mul(4), (period as u32).wrapping_mul(4));
        let beside = |of: u64, count: u32| of | of << (apart.wrapping_mul(count) & 63);
        // Tag `i`, `i` times `apart` above the first, is brought to `i` tags above the place of that one, in the highest bits. The
        // others are brought along: `j` comes as many times `apart` above or below tag `i` as it comes behind or before it, so out of
        // the word, or below all; and no two of those meet, as there are fewer tags than granules between them.
        let top = u64::BITS.wrapping_sub(4 << LOG).wrapping_sub(odd);
        let nearer = apart.wrapping_sub(4);
        let bring = |number: u32| 1 << (top.wrapping_sub(nearer.wrapping_mul(number)) & 63);
        let (mut those, mut factor) = (beside(15, 1), bring(0) | bring(1));
        if LOG == 2 {
            (those, factor) = (beside(those, 2), factor | bring(2) | bring(3));
        }
        Self { odd, those: those << odd, factor, bytes: (period << LOG >> 1) as isize }
    }

    /// The tags in these bytes, one beside the other in the highest bits.
    #[inline(always)]
    fn together(&self, bytes: u64) -> u64 {
        if LOG < 3 {
            return (bytes & self.those).wrapping_mul(self.factor) & !(u64::MAX >> (4 << LOG));
        }
        // Two granules apart.
        let tags = bytes >> self.odd & 0x0f0f_0f0f_0f0f_0f0f;
        let tags = (tags | tags >> 4) & 0x00ff_00ff_00ff_00ff;
        let tags = (tags | tags >> 8) & 0x0000_ffff_0000_ffff;
        (tags | tags >> 16) << 32
    }
}

/// Eight bytes of the words, from this one on; before the first and behind the last, any.
#[inline(always)]
fn bytes_from(words: &Words, byte: isize) -> u64 {
    let from = byte as usize % BLOCK_BYTES;
    let bytes = words.as_flattened().get(from..).and_then(<[u8]>::first_chunk);
    u64::from_le_bytes(bytes.copied().unwrap_or_default())
}
