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
    block::{BLOCK_WORDS, GRANULES},
    canvas::{Canvas, pattern},
    few::Few,
};
use crate::tags::{Page4K, PageSize, TagSink};

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
/// Bits of a granule number.
const fn number_bits<P: PageSize>() -> u32 {
    P::SHIFT.wrapping_sub(4)
}

/// Boundaries that a code of mode 0 holds.
const fn boundaries<P: PageSize>() -> usize {
    if P::SHIFT > 14 { 3 } else { 4 }
}

/// The code of a page of few runs, if they are few enough.
#[inline(always)]
pub(super) fn pack<P: PageSize>(few: &Few) -> Option<InlineCode> {
    if few.len() <= boundaries::<P>() {
        return Some(pack_any::<P>(few));
    }
    let mode = match (few.len(), few.zero_first()) {
        (5, _) => SIX_RUNS,
        (6, true) => SEVEN_RUNS,
        _ => return None,
    };
    (P::SHIFT == 12 && few.alternates()).then(|| pack_alternating(few, mode))
}

/// Mode 0.
#[inline(always)]
fn pack_any<P: PageSize>(few: &Few) -> InlineCode {
    let first = few.tags[0] & 15;
    let (mut starts, mut deltas) = (few.starts(), few.deltas());
    if P::SHIFT == 12 {
        // Four bytes, and four nibbles, each twelve bits from the next: by pairs first.
        let starts = starts & 0xffff | (starts & 0xffff_0000) << 8;
        let starts = starts & 0xff00_00ff | (starts & 0xff_0000_ff00) << 4;
        let deltas = deltas & 0xffff;
        let deltas = (deltas | deltas << 16) & 0xff00_00ff;
        let deltas = (deltas | deltas << 8) & 0xf0_0f00_f00f;
        return InlineCode::from_bits(first | starts << 4 | deltas << 12);
    }
    let bits = number_bits::<P>();
    let start_bits = bits.next_multiple_of(8);
    let mut code = first;
    let mut shift = 4;
    for _ in 0..boundaries::<P>() {
        let granule = starts & !(u64::MAX << start_bits);
        code |= (granule | (deltas & 15) << bits) << shift;
        starts >>= start_bits;
        deltas >>= 4;
        shift = bits.wrapping_add(4).wrapping_add(shift);
    }
    InlineCode::from_bits(code)
}

/// Modes 1 and 2, for the 8-bit granule numbers of a 4 KiB page.
fn pack_alternating(few: &Few, mode: u64) -> InlineCode {
    let mut code = mode << MODE_SHIFT;
    // Nibbles of the tags that are not 0: every other one.
    let mut tags = few.tags[0];
    if few.zero_first() {
        tags >>= 4;
    } else {
        code |= 1 << 59;
    }
    // Behind the boundaries there are zeroes.
    code |= few.starts();
    let mut shift = few.len().wrapping_mul(8) as u32;
    for _ in 0..3 {
        code |= (tags & 15) << (shift & 63);
        shift = shift.wrapping_add(4);
        tags >>= 8;
    }
    InlineCode::from_bits(code)
}

/// Writes the tags of a code; every word of the page is written.
// Apart: a page of many runs is decoded by others, with more stack.
#[inline(never)]
pub(crate) fn decode_inline<P: PageSize>(code: InlineCode, sink: &mut (impl TagSink + ?Sized)) {
    let code = code.bits();
    // A page of one tag, the commonest: no boundary, no mode.
    if code < 16 {
        return sink.fill_words(P::WORDS, code);
    }
    if code >> MODE_SHIFT == 0 || P::SHIFT != 12 {
        let bits = number_bits::<P>();
        // What the tag changes by is in the entry's upper bits: without it, it is none.
        let mut rest = (code & !(u64::MAX << MODE_SHIFT)) >> 4;
        let changes = core::iter::from_fn(move || {
            let entry = rest;
            rest >>= bits.wrapping_add(4);
            let granule = entry & !(u64::MAX << bits);
            (entry != 0).then_some((granule as usize, entry >> bits & 15))
        });
        write::<P>(sink, code & 15, changes);
    } else {
        decode_alternating(code, sink);
    }
}

/// Modes 1 and 2.
#[inline(never)]
fn decode_alternating(code: u64, sink: &mut (impl TagSink + ?Sized)) {
    let six = code >> MODE_SHIFT == SIX_RUNS;
    let (len, tags) = if six { (5usize, code >> 40) } else { (6, code >> 48) };
    let zero_first = !six || code >> 59 & 1 == 0;
    // Three tags, each with a zero beside it.
    let tags = tags & 0xf | tags << 4 & 0xf00 | tags << 8 & 0x0f_0000;
    let tags = if zero_first { tags << 4 } else { tags };
    let mut deltas = tags ^ tags >> 4;
    let mut granules = code;
    let changes = (0..len).map(move |_| {
        let change = (granules as usize & 0xff, deltas & 15);
        granules >>= 8;
        deltas >>= 4;
        change
    });
    write::<Page4K>(sink, tags & 15, changes);
}

/// Writes a page that begins with the tag `first`, which changes by so much from these granules on.
#[inline(always)]
fn write<P: PageSize>(
    sink: &mut (impl TagSink + ?Sized),
    first: u64,
    changes: impl Iterator<Item = (usize, u64)> + Clone,
) {
    let mut before = pattern(first);
    for block in 0..P::WORDS / BLOCK_WORDS {
        let mut here = Canvas::new();
        for (granule, delta) in changes.clone() {
            if granule / GRANULES == block || P::WORDS == BLOCK_WORDS {
                here.change(granule % GRANULES, pattern(delta));
            }
        }
        before = here.write(sink, block.wrapping_mul(BLOCK_WORDS), before);
    }
}

/// True if an encoder of this page size may have written the code's mode.
pub(super) fn is_known<P: PageSize>(code: InlineCode) -> bool {
    match code.bits() >> MODE_SHIFT {
        0 => true,
        SIX_RUNS | SEVEN_RUNS => P::SHIFT == 12,
        _ => false,
    }
}
