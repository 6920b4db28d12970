//! One leaf after the other: ranges that are emptied, and all that there is.

use super::{
    Index, LeafGuard,
    leaf::{Word, is_small},
    look::near,
    node::SLOT_MASK,
};
use crate::{
    entry::{EntryRange, SwapEntry, SwapType},
    host::Host,
};

/// Words taken off a leaf in one go, to be let go of once it is unlocked.
const BATCH: usize = 2;

impl<H: Host> Index<H> {
    /// Takes every word of `range` out and hands those that are not small to `each`, with no
    /// lock held. A small word is no pointer: there is nothing to let go of. Where a leaf goes as
    /// a whole `each` may get small ones too, and nulls: whoever has to look at a word sees that
    /// by the way. `ahead` is handed words as by [`look_ahead`](Self::look_ahead), of leaves that do not go as a whole.
    #[inline(never)]
    pub(crate) fn drain(
        &self,
        range: EntryRange,
        ahead: impl Fn(Word),
        mut each: impl FnMut(Word),
    ) {
        let last = range.last().raw();
        let mut first = range.first().raw();
        let (mut looked_at, near) = (first, near(range));
        loop {
            if first & SLOT_MASK != 0 || first | SLOT_MASK > last {
                self.look_ahead_from(first, near, &mut looked_at, &ahead);
            }
            // Where there is a leaf, the next one follows mostly.
            let leaf = self.lock_known(first).or_else(|| self.next_leaf(first, last));
            let Some(leaf) = leaf else { return };
            let position = leaf.position();
            let end = position | SLOT_MASK;
            let whole = position & SLOT_MASK == 0 && end <= last;
            let done = if whole && !leaf.is_pinned() {
                leaf.detach().for_each(&mut each);
                end
            } else {
                drain_some(leaf, position, end.min(last), &mut each)
            };
            // Behind the last position of all, counting would begin anew.
            if done >= last {
                return;
            }
            first = done.wrapping_add(1);
        }
    }

    /// The first entry from `entry` on, of its swap type, that has a word.
    #[inline(never)]
    pub(crate) fn next(&self, entry: SwapEntry) -> Option<SwapEntry> {
        let last = EntryRange::area(entry.swap_type()).last().raw();
        let mut position = entry.raw();
        while let Some(leaf) = self.next_leaf(position, last) {
            let end = leaf.position() | SLOT_MASK;
            let mut here = leaf.position()..=end;
            if let Some(found) = here.find(|&position| !leaf.get(position).is_null()) {
                return SwapEntry::from_raw(found).ok();
            }
            position = end.wrapping_add(1);
        }
        None
    }

    /// Calls `each` with every word there is. Each leaf is locked while its words are
    /// looked at; leaves that come or go meanwhile may be missed.
    pub(crate) fn for_each(&self, mut each: impl FnMut(Word)) {
        self.for_each_leaf(|leaf| {
            let here = leaf.position()..=leaf.position() | SLOT_MASK;
            here.map(|p| leaf.get(p)).filter(|word| !word.is_null()).for_each(&mut each);
        });
    }

    pub(super) fn for_each_leaf(&self, mut each: impl FnMut(LeafGuard<'_, H>)) {
        for area in SwapType::all().map(EntryRange::area) {
            let mut next = Some(area.first().raw());
            while let Some(leaf) = next.and_then(|next| self.next_leaf(next, area.last().raw())) {
                next = (leaf.position() | SLOT_MASK).checked_add(1);
                each(leaf);
            }
        }
    }
}

/// Takes words out of a leaf, from `first` to `last` or as many as can be kept until it is
/// unlocked; returns the last position that was looked at.
#[inline(always)]
fn drain_some<H: Host>(
    mut leaf: LeafGuard<'_, H>,
    first: u64,
    last: u64,
    each: &mut impl FnMut(Word),
) -> u64 {
    // A range that knows its end: behind the last position of all, counting would begin anew.
    let mut rest = first..=last;
    let mut batch: [Word; BATCH] = [core::ptr::null_mut(); BATCH];
    for place in &mut batch {
        let mut words = rest.by_ref().map(|position| leaf.take(position));
        *place = words.find(|word| !is_small(*word)).unwrap_or(core::ptr::null_mut());
    }
    drop(leaf);
    batch.into_iter().filter(|word| !word.is_null()).for_each(each);
    if rest.is_empty() { last } else { rest.start().wrapping_sub(1) }
}
