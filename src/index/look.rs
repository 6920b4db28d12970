//! Looking up: no lock is taken, and nothing written.

use core::ops::Range;

use super::{
    Index,
    leaf::{AT_ONCE, Leaf, Word},
    node::{Child, Node, SLOT_MASK},
    tree::{View, Visit},
};
use crate::{
    entry::{EntryRange, SwapEntry},
    host::Host,
    pool::Ref,
    prefetch::prefetch,
    sync::Ordering,
};

/// Where a word was seen: its leaf, and the node above. Either may be another's by now.
pub(crate) struct Lead<'a, H: Host> {
    pub(super) node: Ref<'a, Node<H>>,
    pub(super) leaf: Leaf<'a>,
}

impl<H: Host> Clone for Lead<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: Host> Copy for Lead<'_, H> {}

/// What a look at an entry saw where its hint leads.
pub(crate) enum Seen<'a, H: Host> {
    /// Its word, or null.
    Word(Word, Lead<'a, H>),
    /// That it has none, nor a leaf for one.
    NoLeaf,
    /// Nothing to believe: a walk finds out.
    Nothing,
}

/// Slots that are looked at before any is worked on: what they refer to stays in a cache of the processor's own meanwhile.
const AT_MOST: u64 = 512;

/// The last position to look at on the way through a range. Behind a folio of some size the next one in its leaf often has its turn
/// soon: neighbours are read ahead together, and freed together.
pub(super) fn near(range: EntryRange) -> u64 {
    let last = range.last().raw();
    if range.len() < AT_ONCE { last } else { last | SLOT_MASK }
}

impl<H: Host> Index<H> {
    /// The word of `entry`, or null. Takes no lock, writes nothing.
    #[inline]
    pub(crate) fn get(&self, entry: SwapEntry) -> Word {
        match self.look_up(entry) {
            Seen::Word(word, _) => word,
            Seen::NoLeaf => core::ptr::null_mut(),
            Seen::Nothing => self.walk_to(entry.raw()),
        }
    }

    /// Asks for the line of cache that the slot of `entry` lies in, for who has something to do before it is needed.
    #[inline(always)]
    pub(crate) fn prefetch(&self, entry: SwapEntry) {
        let position = entry.raw();
        if let Some(node) = self.memory.hinted(position) {
            // Relaxed: whatever it is, nothing is read there. Of a narrow leaf, which has one line, it may be another's: it is not
            // worth a branch, since few pages of more than one tag come to one.
            let leaf = node.child(1, position).load(Ordering::Relaxed);
            let slot = (position & SLOT_MASK) as usize;
            prefetch(leaf.wrapping_add(slot.wrapping_mul(size_of::<Word>())));
        }
    }

    /// As [`get`](Self::get), but without a walk.
    #[inline]
    pub(crate) fn look_up(&self, entry: SwapEntry) -> Seen<'_, H> {
        let position = entry.raw();
        let Some(node) = self.memory.hinted(position) else { return Seen::NoLeaf };
        // Acquire on all, and in this order: see `Visit::valid`.
        let version = node.version.load(Ordering::Acquire);
        if !node.is_above(position) {
            return Seen::Nothing;
        }
        let child = Child(node.child(1, position).load(Ordering::Acquire));
        let Some(leaf) = child.leaf(&self.memory) else {
            return if child.0.is_null() { Seen::NoLeaf } else { Seen::Nothing };
        };
        if !leaf.is_wide() {
            // Each time, not of the first slot alone: a branch more takes registers, and with them ten instructions.
            node.prefetch_next_narrow(position);
        }
        // Acquire: what the word refers to was stored before it, too.
        let word = leaf.load(position, Ordering::Acquire);
        if Visit::keyed(node, child, version).valid() {
            Seen::Word(word, Lead { node, leaf })
        } else {
            Seen::Nothing
        }
    }

    /// Calls `each` with the place in `range` and the word of every entry that has one, in order, and where it
    /// was seen. Takes no lock and writes nothing; each word was there at a moment of its own. `ahead` is handed
    /// words as by [`look_ahead`](Self::look_ahead).
    #[inline]
    pub(crate) fn look_through<'a>(
        &'a self,
        range: EntryRange,
        ahead: impl Fn(Word),
        mut each: impl FnMut(u64, Word, Lead<'a, H>),
    ) {
        let (first, last) = (range.first().raw(), range.last().raw());
        let (mut looked_at, near) = (first, near(range));
        let mut position = first;
        'leaves: while position <= last {
            // The last of all positions is half of what fits.
            let behind = (position | SLOT_MASK).min(last).wrapping_add(1);
            let Some(view) = self.view(position) else {
                position = behind;
                continue;
            };
            while position < behind {
                let mut stop = behind;
                if view.lead().leaf.is_wide() {
                    self.look_ahead_from(position, near, &mut looked_at, &ahead);
                    stop = (position | (AT_ONCE - 1)).wrapping_add(1).min(behind);
                }
                while position < stop {
                    // As long as it is worth something; then once more from there.
                    let Some(word) = view.get(position) else { continue 'leaves };
                    if !word.is_null() {
                        each(position.wrapping_sub(first), word, view.lead());
                    }
                    position = position.wrapping_add(1);
                }
            }
        }
    }

    /// Hands words to `ahead` that it will soon be the turn of, of the first [`AT_MOST`] entries of a range: those that lie in wide leaves
    /// to which hints lead, and what else is in their lines. It is for who has a use for words that may be gone already.
    /// A model of all interleavings has none.
    #[inline]
    pub(crate) fn look_ahead(&self, range: EntryRange, ahead: impl Fn(Word)) {
        let first = range.first().raw();
        let behind = range.last().raw().min(first.wrapping_add(AT_MOST - 1)).wrapping_add(1);
        let mut position = first;
        while position < behind {
            self.glance(position..behind, &ahead);
            position = (position | SLOT_MASK).wrapping_add(1);
        }
    }

    /// The same for who is at `position` on the way to `last`: the rest of its line and the next one, but for what is before `looked_at`,
    /// which is moved on.
    #[inline]
    pub(super) fn look_ahead_from(
        &self,
        position: u64,
        last: u64,
        looked_at: &mut u64,
        ahead: &impl Fn(Word),
    ) {
        let from = position.max(*looked_at);
        let next = (position | (AT_ONCE - 1)).wrapping_add(AT_ONCE).min(last);
        // What is in another leaf has its turn when it is looked at from there.
        let behind = next.min(from | SLOT_MASK).wrapping_add(1);
        if from < behind {
            self.glance(from..behind, ahead);
            *looked_at = behind;
        }
    }

    /// The same, of positions that begin in a leaf, as far as they are of it.
    #[inline]
    fn glance(&self, positions: Range<u64>, ahead: &impl Fn(Word)) {
        if cfg!(any(loom, shuttle)) {
            return;
        }
        if let Some((node, leaf)) = self.known_leaf(positions.start) {
            node.prefetch_next_at_first(positions.start);
            leaf.glance(positions, ahead);
        }
    }

    /// A look at the leaf of `position`, if there is one.
    #[inline]
    fn view(&self, position: u64) -> Option<View<'_, H>> {
        let node = self.memory.hinted(position)?;
        // Acquire on both: see `Visit::valid`.
        let version = node.version.load(Ordering::Acquire);
        if node.is_above(position) {
            let child = Child(node.child(1, position).load(Ordering::Acquire));
            match child.leaf(&self.memory) {
                Some(leaf) => return Some(View::new(Visit::keyed(node, child, version), leaf)),
                None if child.0.is_null() => return None,
                None => {}
            }
        }
        self.walk_to_view(position)
    }
}
