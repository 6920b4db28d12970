//! Pages of few runs: what there is to know of one is found in one go.

use core::ops::Range;

use super::{
    ALL_GRANULES,
    block::{LIST, LOWER, has_more_runs, nonzero_granules},
    inline::{self, InlineCode},
};
use crate::{
    opaque::opaque,
    tags::{GRANULES_PER_WORD, PageSize, TAG_MASK, TagSource},
};

/// The most boundaries of a page of few runs: their tags fit two words. Where they touch in no order, a list of them is
/// shorter than a bitmap. Of more of them three eighths or more of raw tags would be left, and it would take ten times
/// as long to restore.
const BOUNDARIES: usize = 31;
/// The most boundaries of which it is not asked whether they come in order: a list is hardly longer than cells, and sooner
/// made.
pub(super) const UNORDERED: usize = 15;
/// The most boundaries of runs of which every other is of tag 0, but for those of [`inline`]: others are shorter as cells.
const ALTERNATING: usize = 6;
/// The most boundaries in the first word of a page that is going to have few, where none of them touch.
const FIRST: u64 = 2;
/// Bytes of a list before its boundaries.
const HEAD: usize = 2;
/// Room for a list and two words of tags, and for boundaries of one word too many; a power of two.
const ROOM: usize = 64;
const _: () = assert!(HEAD + BOUNDARIES + GRANULES_PER_WORD < ROOM);
const _: () = assert!(HEAD + BOUNDARIES + size_of::<u128>() + 3 <= ROOM);

/// Words of which it is asked together whether they are of one tag.
const TOGETHER: usize = 16;

/// Words that are looked at together, before the runs in them are put down.
const LOOK: usize = 8;

/// The runs of a page that has few of them.
pub(crate) struct Few {
    /// [`HEAD`] bytes, the second of which says how many boundaries there are; then the granules where the tag changes, in
    /// order, each in a byte; zeroes behind them. Of pages of more granules, two bytes each. Or a list of them, see
    /// [`make_list`](Self::make_list).
    bytes: [u8; ROOM],
    /// The runs' tags, a nibble each; zeroes behind them.
    pub(super) tags: [u64; 2],
}

/// How a page of few runs is kept.
pub(crate) enum Short<'a> {
    Inline(InlineCode),
    /// As a list ([`super::block`]), which is made.
    List(&'a Few),
    /// As they are: too little would be saved.
    Raw,
}

/// What a page's first word tells.
pub(crate) enum Glance {
    /// That it is kept as it is.
    Raw,
    /// That it has more than a few runs, none of which touch.
    Long,
    Unknown,
}

/// The tag of a page that has no other, as most have one.
#[inline(always)]
pub(crate) fn one_tag<P: PageSize>(source: &(impl TagSource + ?Sized)) -> Option<u64> {
    let (first, last) = (source.word(0), source.word(P::WORDS.wrapping_sub(1)));
    // Most others differ there, and are known at once.
    if first != last {
        return None;
    }
    // Sixteen words together: on x86-64 a branch for each takes half as long again, of 4 KiB. A larger page's first and last are
    // read once more.
    let begin = first ^ first.rotate_left(4);
    let differs = |words: Range<usize>| words.fold(0, |all, i| all | source.word(i) ^ first);
    let all = if P::WORDS == TOGETHER {
        opaque(begin | differs(1..TOGETHER - 1)) == 0
    } else {
        let mut begins = (0..P::WORDS).step_by(TOGETHER);
        begin == 0 && begins.all(|at| opaque(differs(at..at.wrapping_add(TOGETHER))) == 0)
    };
    all.then_some(first & TAG_MASK)
}

/// Whether a page has few runs.
#[derive(PartialEq, Eq)]
enum Reach {
    /// It has, and all are here.
    All,
    /// It has more, some of which touch.
    More,
    /// It is another encoder's.
    Others,
}

impl Few {
    /// Nothing read yet.
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; ROOM], tags: [0; 2] }
    }

    /// Reads a page, each word once.
    // A branch for each word would be wrong about every second time. So first it is found, without one, by what each granule
    // differs from the one before it, and which words have any that do.
    #[inline(always)]
    fn read<P: PageSize>(&mut self, source: &(impl TagSource + ?Sized)) -> Reach {
        let (mut tag, mut tags, mut len) = (0, 0u128, 0usize);
        let mut crowd = ALTERNATING;
        for base in (0..P::WORDS).step_by(LOOK) {
            let mut turns = [0; LOOK];
            let mut turning = 0u64;
            // One after the other: compilers would rather make a tree of it, which has more to do.
            let mut note = |place: &mut u64, differs: u64| {
                *place = differs;
                turning =
                    opaque(turning.wrapping_add(turning).wrapping_add(u64::from(differs != 0)));
            };
            let [first, others @ ..] = &mut turns;
            let mut word = source.word(base.wrapping_add(LOOK - 1));
            for (index, place) in others.iter_mut().enumerate().rev() {
                let before = source.word(base.wrapping_add(index));
                note(place, word ^ (word << 4 | before >> 60));
                word = before;
            }
            if base == 0 {
                tag = word;
                tags = u128::from(tag) << 124;
            }
            note(first, word ^ (word << 4 | tag & 15));
            while turning != 0 {
                let index = turning.trailing_zeros() as usize % LOOK;
                turning &= turning.wrapping_sub(1);
                let mut differs = turns.get(index).copied().unwrap_or_default();
                let mut granule = base.wrapping_add(index).wrapping_mul(GRANULES_PER_WORD);
                while differs != 0 {
                    let at = differs.trailing_zeros() & 60;
                    differs >>= at;
                    granule = granule.wrapping_add((at >> 2) as usize);
                    self.put::<P>(len, granule);
                    len = len.wrapping_add(1);
                    tag ^= differs;
                    tags = tags >> 4 | u128::from(tag) << 124;
                    differs &= !15;
                }
                // Four in a larger page are no more few.
                if P::SHIFT != 12 && len > 4 {
                    return self.finish(tags, len, Reach::Others);
                }
                if len > ALTERNATING {
                    if alternate(tags >> 64) {
                        return self.finish(tags, len, Reach::Others);
                    }
                    // Of many it is known sooner than they are read.
                    if len > crowd.wrapping_add(base.wrapping_add(index).wrapping_mul(2)) {
                        if has_more_runs(source, 0, BOUNDARIES + 1) {
                            return self.finish(tags, len, Reach::More);
                        }
                        crowd = BOUNDARIES;
                    }
                    if len > BOUNDARIES {
                        return self.finish(tags, len, Reach::More);
                    }
                }
            }
        }
        self.finish(tags, len, Reach::All)
    }

    #[inline(always)]
    fn finish(&mut self, tags: u128, len: usize, reach: Reach) -> Reach {
        let unused = BOUNDARIES.wrapping_sub(len).wrapping_mul(4);
        let tags = tags.wrapping_shr(unused as u32);
        self.tags = [tags as u64, (tags >> 64) as u64];
        let [_, number, ..] = &mut self.bytes;
        *number = len as u8;
        reach
    }

    /// Puts down boundary `index`.
    #[inline(always)]
    fn put<P: PageSize>(&mut self, index: usize, granule: usize) {
        // There is room: a word has sixteen at the most.
        let mut put = |index: usize, byte: u8| {
            if let Some(place) = self.bytes.get_mut(HEAD.wrapping_add(index) % ROOM) {
                *place = byte;
            }
        };
        let [low, high, ..] = granule.to_le_bytes();
        if P::SHIFT == 12 {
            put(index, low);
        } else {
            put(index.wrapping_mul(2), low);
            put(index.wrapping_mul(2).wrapping_add(1), high);
        }
    }

    /// Boundaries.
    pub(super) fn len(&self) -> usize {
        let [_, number, ..] = self.bytes;
        number.into()
    }

    fn tags(&self) -> u128 {
        let [low, high] = self.tags;
        u128::from(high) << 64 | u128::from(low)
    }

    /// The first boundaries, as many as fit, a byte each; of pages of more granules than 256, two bytes.
    #[inline(always)]
    pub(super) fn starts(&self) -> u64 {
        let bytes = self.bytes.get(HEAD..).and_then(<[u8]>::first_chunk);
        u64::from_le_bytes(bytes.copied().unwrap_or_default())
    }

    /// True if these runs, the first of a page where they touch, are not all as long as one another: such a page is
    /// no grid.
    fn is_irregular(&self) -> bool {
        let starts = self.bytes.get(HEAD..).unwrap_or_default();
        let ends = starts.iter().skip(1).take(self.len().wrapping_sub(1));
        let mut lengths = ends.zip(starts).map(|(end, start)| end.wrapping_sub(*start));
        let first = lengths.next();
        lengths.any(|length| Some(length) != first)
    }

    /// By how much the tag changes at each boundary, a nibble each, for the first fifteen.
    pub(super) fn deltas(&self) -> u64 {
        let known = !(u64::MAX << (self.len().wrapping_mul(4) & 63));
        (self.tags[0] ^ self.tags[0] >> 4) & known
    }

    /// The first granule has tag 0.
    pub(super) fn zero_first(&self) -> bool {
        self.tags[0] & 15 == 0
    }

    /// Every other run is of tag 0.
    pub(super) fn alternates(&self) -> bool {
        alternate(self.tags())
    }
}

/// True if every other of these tags is 0; one differs from the next.
fn alternate(tags: u128) -> bool {
    const EVERY_OTHER: u128 = (LOWER as u128) << 64 | LOWER as u128;
    tags & EVERY_OTHER == 0 || tags >> 4 & EVERY_OTHER == 0
}

impl Few {
    /// What the first word tells of a page of more than one tag.
    #[inline(always)]
    pub(crate) fn glance<P: PageSize>(source: &(impl TagSource + ?Sized)) -> Glance {
        let word = source.word(0);
        let tag = word & 15;
        if P::SHIFT != 12 || word == word.rotate_left(4) {
            return Glance::Unknown;
        }
        let starts = nonzero_granules(word ^ (word << 4 | tag));
        let tagged = nonzero_granules(word);
        let touching = starts & tagged & tagged << 4;
        // A run of one granule that touches the one before: no cell is so short.
        if touching & starts >> 4 != 0 && has_more_runs(source, 0, BOUNDARIES + 1) {
            return Glance::Raw;
        }
        if touching == 0 && starts.wrapping_mul(ALL_GRANULES) >> 60 > FIRST {
            return Glance::Long;
        }
        Glance::Unknown
    }

    /// The form of a page of few runs, or of runs in no order of which many of the bytes would be kept.
    /// `None` for others, and for those that may be shorter as cells than as a list: every other run of
    /// tag 0, or a page of several blocks. The runs come to `few`, which has none yet.
    #[inline(always)]
    pub(crate) fn choose<'a, P: PageSize>(
        source: &(impl TagSource + ?Sized),
        few: &'a mut Self,
    ) -> Option<Short<'a>> {
        match Self::glance::<P>(source) {
            Glance::Raw => Some(Short::Raw),
            Glance::Long => None,
            Glance::Unknown => Self::look::<P>(source, few),
        }
    }

    /// The same of a page of which a [`glance`](Self::glance) told nothing.
    #[inline(always)]
    pub(crate) fn look<'a, P: PageSize>(
        source: &(impl TagSource + ?Sized),
        few: &'a mut Self,
    ) -> Option<Short<'a>> {
        let reach = few.read::<P>(source);
        let all = reach == Reach::All;
        if all {
            if let Some(code) = inline::pack::<P>(few) {
                return Some(Short::Inline(code));
            }
        }
        // Of more than that it has been looked at.
        let alternates = few.len() <= ALTERNATING && few.alternates();
        if P::SHIFT != 12 || reach == Reach::Others || alternates {
            return None;
        }
        if (few.len() > UNORDERED || !all) && !few.is_irregular() {
            return None;
        }
        if !all {
            return Some(Short::Raw);
        }
        few.make_list();
        Some(Short::List(few))
    }

    /// Bytes as a list.
    pub(crate) fn list_len(&self) -> usize {
        // A nibble for each run.
        let tags = self.len().wrapping_add(2) >> 1;
        self.len().wrapping_add(tags).wrapping_add(HEAD)
    }

    /// Makes the bytes a list: its first one, and the tags behind the boundaries. [`starts`](Self::starts) is not asked any more.
    // Before memory is asked for: what reads words of what was just written in smaller pieces has to wait until that is in the
    // cache. By the time of the copy it is.
    #[inline(always)]
    fn make_list(&mut self) {
        let (len, tags) = (self.len(), self.tags());
        let [first, _, rest @ ..] = &mut self.bytes;
        *first = LIST;
        if let Some(place) = rest.get_mut(len..).and_then(<[u8]>::first_chunk_mut) {
            *place = tags.to_le_bytes();
        }
    }

    /// The list, and zeroes behind it: what is left of a payload, whose sizes are four bytes apart, three at the most.
    pub(crate) fn list(&self) -> &[u8; ROOM] {
        &self.bytes
    }

    /// Writes as much of the list as fits `out`, and zeroes behind it where there is room, as [`list`](Self::list) has them.
    pub(crate) fn write_list(&self, out: &mut [u8]) {
        let len = out.len().min(ROOM);
        if let (Some(out), Some(bytes)) = (out.get_mut(..len), self.bytes.get(..len)) {
            out.copy_from_slice(bytes);
        }
    }
}
