//! The tags of a block's runs, from where the runs begin.
//!
//! Where they are as far apart as one another some are taken up at once, and no way is taken by where they are.

use super::{
    block::{BLOCK_WORDS, Block, GRANULES, QUARTERS, WORDS_OF_QUARTER},
    nibbles::{Appender, NIBBLES, Words, word},
};
use crate::tags::GRANULES_PER_WORD;

/// The most granules from one tag to the next, where two are taken up at once: both lie in eight bytes, whichever half of a byte
/// the first is.
const TWO_MAX: usize = 14;
const _: () = assert!(TWO_MAX + 2 <= NIBBLES);

impl Block {
    /// Finds the runs, in the words that were read, and takes up their tags. What is in place of their starts says, of a block that
    /// alternates, which granules have a tag.
    #[inline(never)]
    pub(super) fn gather(&mut self) {
        let mut begins = self.starts.0;
        let mut last = 1;
        if self.alternate {
            let mut before = 0;
            for (starts, begins) in self.starts.0.iter_mut().zip(&mut begins) {
                let tagged = *starts;
                let after = tagged << 1 | before;
                before = tagged >> 63;
                (*starts, *begins) = (tagged ^ after, tagged & !after);
            }
            last = before;
        }
        let [first, ..] = &mut self.starts.0;
        *first &= !1;
        self.zero_first = word(&self.words, 0) & 15 == 0;
        let first = self.find_period();
        match (self.period(), first) {
            (0..=1, _) => self.one_by_one(&begins),
            (2, first) => self.some_at_once::<3>(first),
            (4, first) => self.some_at_once::<2>(first),
            (..=TWO_MAX, first) => self.some_at_once::<1>(first),
            (_, first) => self.each(first),
        }
        // Between tags there are zeroes, if they alternate, and at the ends there may be.
        let zero_last = u16::from(last == 0);
        let between = self.len.wrapping_sub(1);
        self.boundaries = match self.len {
            0 => 0,
            _ if self.alternate => {
                between.wrapping_mul(2).wrapping_add(self.zero_first.into()).wrapping_add(zero_last)
            }
            _ => between,
        };
        self.cells = self.len.wrapping_add(zero_last) as u8;
    }

    /// Finds how many granules each cell has; returns where the first one's tag is, if that is known, which may be before the
    /// block.
    #[inline(always)]
    fn find_period(&mut self) -> isize {
        self.period = 0;
        let mut cursor = self.starts.cursor();
        // Each cell ends where one without a tag begins, or where runs touch.
        let mut next = || cursor.next(&self.starts);
        let mut first = 0;
        if self.alternate && self.zero_first {
            first = next();
        }
        let end = next();
        let begin = if self.alternate { next() } else { end };
        let second_end = next();
        if second_end >= GRANULES || !self.starts.are_periodic(second_end.wrapping_sub(end)) {
            return 0;
        }
        self.period = second_end.wrapping_sub(end) as u8;
        if !self.zero_first || !self.alternate {
            first = begin.wrapping_sub(self.period.into());
        }
        first as isize
    }

    /// Takes up the tags of these granules.
    #[inline(never)]
    fn one_by_one(&mut self, begins: &[u64; QUARTERS]) {
        let mut tags = Appender::default();
        for (&begins, quarter) in begins.iter().zip((0usize..).step_by(WORDS_OF_QUARTER)) {
            let mut rest = begins;
            while rest != 0 {
                let at = rest.trailing_zeros() as usize;
                let word = word(&self.words, quarter | at / GRANULES_PER_WORD);
                // What is written over has been read: there are no more tags than granules.
                tags.push(word >> (at.wrapping_mul(4) & 60), &mut self.words);
                rest &= rest.wrapping_sub(1);
            }
        }
        self.len = tags.finish(&mut self.words) as u16;
    }

    /// Takes up the tags of cells two to the power of `LOG` at a time, the first at granule `at`.
    #[inline(never)]
    fn some_at_once<const LOG: u32>(&mut self, at: isize) {
        let group = Group::<LOG>::new(self.period(), at);
        let mut byte = at >> 1;
        let mut tags = bytes_from(&self.words, byte);
        if byte < 0 {
            // What of the first cell lies before the block has the tag of its first granule.
            let word = word(&self.words, 0);
            tags = word << (byte.wrapping_mul(-8) & 63) | (word & 15) << group.odd;
        }
        let len = self.cells_from(at);
        for index in 0..=len / NIBBLES {
            let mut sixteen = 0u64;
            for _ in 0..NIBBLES >> LOG {
                sixteen = sixteen >> (4 << LOG) | group.together(tags);
                byte = byte.wrapping_add(group.bytes);
                tags = bytes_from(&self.words, byte);
            }
            self.put_down(index, sixteen);
        }
        self.end(len);
    }

    /// The same, one after the other.
    #[inline(never)]
    fn each(&mut self, mut at: isize) {
        let mut first = if at < 0 { word(&self.words, 0) & 15 } else { 0 };
        let period = self.period() as isize;
        let len = self.cells_from(at);
        for index in 0..=len / NIBBLES {
            let mut sixteen = 0u64;
            for _ in 0..NIBBLES {
                let tag = word(&self.words, (at >> 4) as usize) >> (at.wrapping_mul(4) & 63) | first;
                first = 0;
                sixteen = sixteen >> 4 | tag << 60;
                at = at.wrapping_add(period);
            }
            self.put_down(index, sixteen);
        }
        self.end(len);
    }

    /// Cells of a period, from the one on whose tag is at granule `at`.
    #[inline(always)]
    fn cells_from(&self, at: isize) -> usize {
        let period = self.period();
        let granules = GRANULES.wrapping_add_signed(at.wrapping_neg());
        let cells = (granules.wrapping_add(period).wrapping_sub(1) as u32).checked_div(period as u32);
        cells.unwrap_or(0) as usize
    }

    /// Puts down sixteen tags.
    // What is written over has been read: there are no more tags than granules.
    #[inline(always)]
    fn put_down(&mut self, index: usize, sixteen: u64) {
        if let Some(place) = self.words.get_mut(index) {
            *place = sixteen.to_le_bytes();
        }
    }

    /// There are so many tags, and zeroes behind them.
    #[inline(always)]
    fn end(&mut self, len: usize) {
        let those = !(u64::MAX << (len.wrapping_mul(4) & 63));
        self.put_down(len / NIBBLES, word(&self.words, len / NIBBLES) & those);
        self.len = len as u16;
    }
}

/// Two to the power of `LOG` tags that are taken up at once, from eight bytes: two, four or eight.
struct Group<const LOG: u32> {
    /// Where the first one is in its byte, and those so far apart.
    odd: u32,
    those: u64,
    /// Brings them together.
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
        let mut those = beside(15, 1);
        // A tag that comes `i`-th, `i` times `apart` above the first, comes to lie `i` tags above where that one goes to; of what it
        // brings along of the others nothing comes to lie there, where they are further apart than they are many.
        let top = u64::BITS.wrapping_sub(4 << LOG).wrapping_sub(odd);
        let moved = |number: u32| 1u64 << (top.wrapping_sub(apart.wrapping_sub(4).wrapping_mul(number)) & 63);
        let mut factor = moved(0) | moved(1);
        if LOG >= 2 {
            those = beside(those, 2);
            factor |= moved(2) | moved(3);
        }
        let bytes = (period << LOG >> 1) as isize;
        Self { odd, those: those << odd, factor, bytes }
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

/// Eight bytes of the words, from this one on; before the first, others.
#[inline(always)]
fn bytes_from(words: &Words, byte: isize) -> u64 {
    let from = byte as usize % (BLOCK_WORDS * size_of::<u64>());
    let bytes = words.as_flattened().get(from..).and_then(<[u8]>::first_chunk);
    u64::from_le_bytes(bytes.copied().unwrap_or_default())
}
