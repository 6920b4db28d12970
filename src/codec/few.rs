//! Pages of few runs: what there is to know of one fits some registers, and is found in one go.

use super::{
    ALL_GRANULES,
    block::{LIST, LOWER, has_more_runs, nonzero_granules},
    inline::{self, InlineCode},
};
use crate::tags::{GRANULES_PER_WORD, PageSize, TagSource};

/// The most boundaries of a page of few runs: their tags fit a word. Where they touch, a list is hardly
/// longer than cells, and sooner made.
pub(super) const BOUNDARIES: usize = 15;
/// The most boundaries in the first word of a page that is going to have few, where none of them touch.
const FIRST: u64 = 2;
/// Runs that touch, in no order, of which a list is still shorter than a bitmap. Of more of them three eighths
/// or more would be left, and it would take ten times as long to restore.
const LISTED: usize = 32;
/// Bytes of a list before its boundaries.
const HEAD: usize = 2;
/// Room for a list, its tags a whole word, in a payload: those are in steps of 4 bytes.
const LIST_MAX: usize = (HEAD + BOUNDARIES + size_of::<u64>()).next_multiple_of(4);

/// The runs of a page that has few of them.
pub(crate) struct Few {
    /// The granules where the tag changes, in order; zeroes behind them.
    pub(super) starts: [u16; BOUNDARIES],
    /// The runs' tags, a nibble each; zeroes behind them.
    pub(super) tags: u64,
    /// Boundaries.
    pub(super) len: usize,
}

/// How a page of few runs is kept.
pub(crate) enum Short {
    Inline(InlineCode),
    List(List),
    /// As they are: too little would be saved.
    Raw,
}

impl Few {
    /// Reads a page from word `alike` on: those before it had the tag `first` in each granule. The first runs of
    /// it, and false, where it has more than are counted here, or is going to by what its first words have.
    #[inline(always)]
    fn read<P: PageSize>(
        source: &(impl TagSource + ?Sized),
        first: u64,
        alike: usize,
    ) -> (Self, bool) {
        let mut starts = [0; BOUNDARIES];
        let (mut tags, mut len) = (first << 60, 0usize);
        let mut fill = first.wrapping_mul(ALL_GRANULES);
        let mut all = true;
        'page: for index in alike..P::WORDS {
            let word = source.word(index);
            let mut differs = word ^ fill;
            if differs == 0 {
                continue;
            }
            while differs != 0 {
                let shift = differs.trailing_zeros() & 60;
                let tag = word >> shift & 15;
                let granule = index.wrapping_mul(GRANULES_PER_WORD) | (shift >> 2) as usize;
                let Some(start) = starts.get_mut(len) else {
                    all = false;
                    break 'page;
                };
                *start = granule as u16;
                len = len.wrapping_add(1);
                tags = tags >> 4 | tag << 60;
                fill = tag.wrapping_mul(ALL_GRANULES);
                differs = (word ^ fill) >> shift << shift;
            }
            // More than six of those are no few, nor more than four in a larger page.
            if len > index.wrapping_add(4).min(6) && alternate(tags) || P::SHIFT != 12 && len > 4 {
                all = false;
                break;
            }
        }
        // Else the first word has changed since its first tag was read.
        let [start, ..] = starts;
        all &= len == 0 || start > 0;
        let unused = (15usize.wrapping_sub(len)).wrapping_mul(4);
        (Self { starts, tags: tags >> (unused & 63), len }, all)
    }

    /// True if these runs, the first of a page where they touch, are not all as long as one another: such a page is
    /// no grid.
    fn is_irregular(&self) -> bool {
        let ends = self.starts.iter().skip(1).take(self.len.wrapping_sub(1));
        let mut lengths = ends.zip(&self.starts).map(|(end, start)| end.wrapping_sub(*start));
        let first = lengths.next();
        lengths.any(|length| Some(length) != first)
    }

    /// By how much the tag changes at each boundary, a nibble each.
    pub(super) fn deltas(&self) -> u64 {
        let known = !(u64::MAX << (self.len.wrapping_mul(4) & 63));
        (self.tags ^ self.tags >> 4) & known
    }

    /// The first granule has tag 0.
    pub(super) fn zero_first(&self) -> bool {
        self.tags & 15 == 0
    }

    /// Every other run is of tag 0.
    pub(super) fn alternates(&self) -> bool {
        alternate(self.tags)
    }
}

/// True if every other of these tags is 0; one differs from the next.
fn alternate(tags: u64) -> bool {
    tags & LOWER == 0 || tags >> 4 & LOWER == 0
}

/// The form of a page of few runs, or of runs in no order of which many of the bytes would be kept.
/// `None` for others, and for those that may be shorter as cells than as a list: every other run of
/// tag 0, or a page of several blocks.
#[inline(always)]
pub(crate) fn encode<P: PageSize>(source: &(impl TagSource + ?Sized)) -> Option<Short> {
    let first = source.word(0);
    let one_tag = (first & 15).wrapping_mul(ALL_GRANULES);
    // Of one tag: passed over quickly.
    let alike = (0..P::WORDS).take_while(|index| source.word(*index) == one_tag).count();
    if P::SHIFT == 12 && alike == 0 {
        let starts = nonzero_granules(first ^ (first << 4 | first & 15));
        let tagged = nonzero_granules(first);
        let touching = starts & tagged & tagged << 4;
        // A run of one granule that touches the one before: no cell is so short.
        if touching & starts >> 4 != 0 && has_more_runs(source, 0, LISTED) {
            return Some(Short::Raw);
        }
        if touching == 0 && starts.wrapping_mul(ALL_GRANULES) >> 60 > FIRST {
            return None;
        }
    }
    let (few, all) = Few::read::<P>(source, first & 15, alike);
    if all {
        if let Some(code) = inline::pack::<P>(&few) {
            return Some(Short::Inline(code));
        }
    }
    if P::SHIFT != 12 || few.alternates() {
        return None;
    }
    if all {
        return Some(Short::List(List(few)));
    }
    (few.is_irregular() && has_more_runs(source, 0, LISTED)).then_some(Short::Raw)
}

/// The runs of a block as a list ([`super::block`]), a nibble for each.
pub(crate) struct List(Few);

impl List {
    /// Bytes of it.
    pub(crate) fn len(&self) -> usize {
        let tags = self.0.len.wrapping_add(2) >> 1;
        self.0.len.wrapping_add(tags).wrapping_add(HEAD)
    }

    /// Writes as much of it as fits `out`, and zeroes behind it, so far as three bytes.
    #[inline(always)]
    pub(crate) fn write(&self, out: &mut [u8]) {
        let Self(few) = self;
        // In one piece first, where each byte has its place: no length is looked at but once.
        let mut bytes = [0; LIST_MAX];
        let [first, second, rest @ ..] = &mut bytes;
        *first = LIST;
        *second = few.len as u8;
        for (byte, start) in rest.iter_mut().zip(few.starts) {
            *byte = start as u8;
        }
        if let Some(tags) = rest.get_mut(few.len..).and_then(<[u8]>::first_chunk_mut) {
            *tags = few.tags.to_le_bytes();
        }
        let len = out.len().min(LIST_MAX);
        if let (Some(out), Some(bytes)) = (out.get_mut(..len), bytes.get(..len)) {
            out.copy_from_slice(bytes);
        }
    }
}
