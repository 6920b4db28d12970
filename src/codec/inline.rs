//! Pages of few runs, in the 62 bits that a slot word has for them.
//!
//! | bits 60, 61 | the page is | bits 0 to 59 |
//! |---|---|---|
//! | 0 | any tags, up to four boundaries (three of a 64 KiB page) | the first granule's tag in 4 bits, then for each boundary its granule number and the XOR of the tags before and after it |
//! | 1 | six runs, every other of tag 0; 4 KiB pages | five granule numbers, the three other tags; bit 59 set where the first run is one of those |
//! | 2 | seven runs, the first and every other of tag 0; 4 KiB pages | six granule numbers, the three other tags |
//!
//! A granule number is 8, 10 or 12 bits long. Boundaries that are not there are zeroes, so
//! a page of one tag is that tag, a small number. Any 62 bits decode to something.

use super::{
    ALL_GRANULES,
    block::Block,
    canvas::{Blocks, Canvas, pattern},
};
use crate::tags::{PageSize, TagSink, TagSource};

/// An encoded page.
///
/// # Invariants
/// The upper two bits are clear.
#[derive(Clone, Copy)]
pub(crate) struct InlineCode(u64);

impl InlineCode {
    /// Bits of a code.
    const BITS: u32 = 62;

    /// The code in the lowest 62 bits.
    pub(crate) fn from_bits(bits: u64) -> Self {
        // INVARIANT: masked.
        Self(bits & !(u64::MAX << Self::BITS))
    }

    /// The code, below `1 << 62`.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }
}

const MODE_SHIFT: u32 = 60;
const SIX_RUNS: u64 = 1;
const SEVEN_RUNS: u64 = 2;
/// The most boundaries of any code.
const BOUNDARIES: usize = 6;

/// Bits of a granule number.
const fn number_bits<P: PageSize>() -> u32 {
    P::SHIFT.wrapping_sub(4)
}

/// Boundaries that a code of mode 0 holds.
const fn boundaries<P: PageSize>() -> usize {
    if P::SHIFT > 14 { 3 } else { 4 }
}

/// A page of few runs while it is taken apart: `(granule, tag from there on)`.
struct Runs {
    first: u8,
    starts: [(u16, u8); BOUNDARIES],
    len: usize,
}

impl Runs {
    /// Mode 0 of `bits`-bit granule numbers.
    fn pack(&self, bits: u32) -> InlineCode {
        let mut before = self.first;
        let mut code = u64::from(before);
        let mut shift = 4;
        for &(granule, tag) in self.starts.iter().take(self.len) {
            let entry = u64::from(granule) | u64::from(before ^ tag) << bits;
            code |= entry << shift;
            shift = bits.wrapping_add(4).wrapping_add(shift);
            before = tag;
        }
        InlineCode::from_bits(code)
    }

    /// Modes 1 and 2, for the 8-bit granule numbers of a 4 KiB page.
    fn pack_alternating(&self) -> Option<InlineCode> {
        let first_is_zero = self.first == 0;
        let mode = match (self.len, first_is_zero) {
            (5, _) => SIX_RUNS,
            (6, true) => SEVEN_RUNS,
            _ => return None,
        };
        let mut code = mode << MODE_SHIFT;
        if mode == SIX_RUNS && !first_is_zero {
            code |= 1 << 59;
        }
        let mut tags = u64::from(self.first);
        let mut tag_shift = if first_is_zero { 0 } else { 4 };
        let mut zero = first_is_zero;
        let mut shift = 0u32;
        for &(granule, tag) in self.starts.iter().take(self.len) {
            code |= u64::from(granule) << shift;
            shift = shift.wrapping_add(8);
            if (tag == 0) == zero {
                return None;
            }
            zero = !zero;
            if !zero {
                tags |= u64::from(tag) << tag_shift;
                tag_shift = 4u32.wrapping_add(tag_shift);
            }
        }
        Some(InlineCode::from_bits(code | tags << shift))
    }
}

/// The code of a 4 KiB page, if it has one.
#[inline(never)]
pub(super) fn encode_block(block: &Block) -> Option<InlineCode> {
    if block.boundaries() > BOUNDARIES {
        return None;
    }
    let mut all = block.runs();
    let (_, first) = all.next()?;
    let mut runs = Runs { first, starts: [(0, 0); BOUNDARIES], len: 0 };
    for (granule, tag) in all {
        *runs.starts.get_mut(runs.len)? = (granule as u16, tag);
        runs.len = runs.len.wrapping_add(1);
    }
    if runs.len <= 4 { Some(runs.pack(8)) } else { runs.pack_alternating() }
}

/// The code of a page of any size, if it has one.
#[inline(never)]
pub(super) fn encode_inline<P: PageSize>(source: &(impl TagSource + ?Sized)) -> Option<InlineCode> {
    let mut before = source.word(0) as u8 & 15;
    let mut runs = Runs { first: before, starts: [(0, 0); BOUNDARIES], len: 0 };
    for index in 0..P::WORDS {
        let word = source.word(index);
        if word == u64::from(before).wrapping_mul(ALL_GRANULES) {
            continue;
        }
        for granule in 0..16u16 {
            let tag = (word >> (granule & 15).wrapping_mul(4)) as u8 & 15;
            if tag == before {
                continue;
            }
            if runs.len >= boundaries::<P>() {
                return None;
            }
            let number = (index as u16).wrapping_mul(16).wrapping_add(granule);
            *runs.starts.get_mut(runs.len)? = (number, tag);
            runs.len = runs.len.wrapping_add(1);
            before = tag;
        }
    }
    Some(runs.pack(number_bits::<P>()))
}

/// Writes the tags of a code; every word of the page is written.
// Apart: a page of many runs is decoded by others, with more stack.
#[inline(never)]
pub(crate) fn decode_inline<P: PageSize>(code: InlineCode, sink: &mut (impl TagSink + ?Sized)) {
    let code = code.bits();
    // A page of one tag, the commonest: no boundary, no mode.
    if code < 16 {
        let word = code.wrapping_mul(ALL_GRANULES);
        return (0..P::WORDS).for_each(|index| sink.set_word(index, word));
    }
    let (first, steps) = unpack::<P>(code);
    let mut blocks = Blocks::new(sink, true);
    let mut canvas = Canvas::of_words(&mut blocks, P::WORDS);
    canvas.change_here(0, pattern(first.into()));
    // Boundaries come in order; where they do not, the code is none of ours.
    for &(granule, delta) in &steps {
        canvas.change(granule.into(), pattern(delta.into()));
    }
    canvas.finish();
}

/// The first tag, and where the tag changes by how much. Boundaries that are not there
/// change nothing.
fn unpack<P: PageSize>(code: u64) -> (u8, [(u16, u8); BOUNDARIES]) {
    let mut steps = [(0u16, 0u8); BOUNDARIES];
    let mode = code >> MODE_SHIFT & 3;
    if mode == 0 || P::SHIFT != 12 {
        let bits = number_bits::<P>();
        let mut rest = code >> 4;
        for step in steps.iter_mut().take(boundaries::<P>()) {
            let granule = rest & !(u64::MAX << bits);
            *step = (granule as u16, (rest >> bits) as u8 & 15);
            rest >>= bits.wrapping_add(4);
        }
        return (code as u8 & 15, steps);
    }
    let (len, first_is_zero) = if mode == SIX_RUNS { (5, code >> 59 & 1 == 0) } else { (6, true) };
    let mut tags = code >> if mode == SIX_RUNS { 40 } else { 48 };
    let mut next_tag = || {
        let tag = tags as u8 & 15;
        tags >>= 4;
        tag
    };
    let first = if first_is_zero { 0 } else { next_tag() };
    let mut before = first;
    let mut zero = first_is_zero;
    let mut granules = code;
    for step in steps.iter_mut().take(len) {
        zero = !zero;
        let tag = if zero { 0 } else { next_tag() };
        *step = (granules as u16 & 0xff, before ^ tag);
        granules >>= 8;
        before = tag;
    }
    (first, steps)
}

/// True if an encoder of this page size may have written the code's mode.
pub(super) fn is_known<P: PageSize>(code: InlineCode) -> bool {
    match code.bits() >> MODE_SHIFT {
        0 => true,
        SIX_RUNS | SEVEN_RUNS => P::SHIFT == 12,
        _ => false,
    }
}
