//! All or nothing for a range of entries.

use super::{
    Index,
    directory::{Directory, Kind, Place, Top},
    exchange::Part,
    leaf::{Leaf, Wide, Word, is_small},
    node::SLOT_MASK,
};
use crate::{
    entry::EntryRange,
    error::{Error, Result},
    host::{AllocFlags, Host},
    pool::Ref,
};

/// Words of a range that are held back until all of them are there, and then change places with
/// the index's words, leaf by leaf.
///
/// They lie in wide leaves that are in no tree. Someone who knows such a leaf from a life before
/// finds words that are not for them, and sees that by the version of the node that they came
/// from: see `Visit::valid`.
///
/// # Invariants
/// What it leads to is of the pool of an index, and this one's alone: the leaf of the range, where
/// that lies in one, or else the last directory. Each leaf has a word, unless it has been
/// exchanged, and none for positions out of the range.
// One word, and the range is told each time: what lies above an encoder is short of stack.
pub(crate) struct Staged<'a>(Top<'a>);

impl<'a> Staged<'a> {
    pub(crate) const fn new() -> Self {
        Self(Top::NOTHING)
    }

    #[inline]
    fn directory(&self) -> Option<Directory<'a>> {
        match self.0.kind() {
            Kind::Directory(directory) => Some(directory),
            Kind::Nothing | Kind::Leaf(_) => None,
        }
    }

    /// The only staged leaf, of a range that lies in one.
    #[inline]
    fn only(&self, range: EntryRange) -> Option<Part<'a>> {
        match self.0.kind() {
            // INVARIANT: by that of `Staged`.
            Kind::Leaf(leaf) => {
                Some(Part { leaf, first: range.first().raw(), last: range.last().raw() })
            }
            Kind::Nothing | Kind::Directory(_) => None,
        }
    }

    /// The staged leaves, always in the same order.
    #[inline]
    fn parts(&self, range: EntryRange) -> Parts<'a> {
        Parts { top: self.0, place: Place::FIRST, range }
    }
}

struct Parts<'a> {
    top: Top<'a>,
    /// Of the next leaf, where that is in a directory.
    place: Place,
    range: EntryRange,
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    // Inlined always, and with one end for both kinds: those who walk do so once.
    #[inline(always)]
    fn next(&mut self) -> Option<Part<'a>> {
        let (first, last) = (self.range.first().raw(), self.range.last().raw());
        loop {
            let (leaf, position) = match self.top.kind() {
                Kind::Nothing => return None,
                Kind::Leaf(leaf) => {
                    self.top = Top::NOTHING;
                    (Some(leaf), first)
                }
                Kind::Directory(directory) => {
                    let place = self.place;
                    let position = directory.position(place);
                    match place.next().filter(|_| (position | SLOT_MASK) < last) {
                        Some(next) => self.place = next,
                        None => (self.top, self.place) = (directory.before(), Place::FIRST),
                    }
                    (directory.get(place), position)
                }
            };
            if let Some(leaf) = leaf {
                let last = (position | SLOT_MASK).min(last);
                // INVARIANT: by that of `Staged`.
                return Some(Part { leaf, first: position.max(first), last });
            }
        }
    }
}

/// True if no position of the range has another leaf.
#[inline]
fn is_one_leaf(range: EntryRange) -> bool {
    (range.first().raw() ^ range.last().raw()) <= SLOT_MASK
}

/// What is done with staged words. All of one [`Staged`] by one index and for one range.
impl<H: Host> Index<H> {
    /// Stages what `word` gives for each place in the range, in turn; nothing where it gives null.
    /// An error where it gives `None`, with null, or where there is no memory, with the word that
    /// was not staged.
    // Inlined always: of what takes a word to its place nothing lies above what makes it.
    #[inline(always)]
    pub(crate) fn stage<'a>(
        &'a self,
        staged: &mut Staged<'a>,
        range: EntryRange,
        flags: AllocFlags,
        mut word: impl FnMut(u64) -> Option<Word>,
    ) -> core::result::Result<(), Word> {
        let mut at_hand: Option<Ref<'a, Wide>> = None;
        for index in 0..range.len() {
            let word = word(index).ok_or(core::ptr::null_mut())?;
            // Known only now: while a word is made it would lie in a register more.
            let position = range.first().raw().wrapping_add(index);
            if !word.is_null() {
                match at_hand {
                    Some(leaf) => leaf.get().put(position, word),
                    None => at_hand = Some(self.stage_first(staged, range, position, word, flags)?),
                }
            }
            if position & SLOT_MASK == SLOT_MASK {
                at_hand = None;
            }
        }
        Ok(())
    }

    /// Stages the first word of a leaf, which is returned.
    #[inline(never)]
    fn stage_first<'a>(
        &'a self,
        staged: &mut Staged<'a>,
        range: EntryRange,
        position: u64,
        word: Word,
        flags: AllocFlags,
    ) -> core::result::Result<Ref<'a, Wide>, Word> {
        let leaf = self.begin_leaf(staged, range, position, flags).ok_or(word)?;
        leaf.get().put(position, word);
        Ok(leaf)
    }

    /// A leaf for words from `position` on.
    fn begin_leaf<'a>(
        &'a self,
        staged: &mut Staged<'a>,
        range: EntryRange,
        position: u64,
        flags: AllocFlags,
    ) -> Option<Ref<'a, Wide>> {
        if is_one_leaf(range) {
            let leaf = self.memory.take_wide(flags)?;
            staged.0 = Top::leaf(leaf);
            return Some(leaf);
        }
        let known = staged.directory().and_then(|directory| {
            let place = directory.place(position)?;
            Some((directory, place))
        });
        let (directory, place) = match known {
            Some(known) => known,
            None => (self.begin_directory(staged, position, flags)?, Place::FIRST),
        };
        let leaf = self.memory.take_wide(flags)?;
        directory.set(place, leaf);
        Some(leaf)
    }

    #[inline(never)]
    fn begin_directory<'a>(
        &'a self,
        staged: &mut Staged<'a>,
        position: u64,
        flags: AllocFlags,
    ) -> Option<Directory<'a>> {
        let leaf = self.memory.take_wide(flags)?;
        let directory = Directory::new(leaf, position, staged.0);
        // INVARIANT: of the pool, here and in `begin_leaf`.
        staged.0 = Top::directory(directory);
        Some(directory)
    }

    /// Exchanges the staged words with the index's own: afterwards the index holds what was
    /// staged, and `staged` what was there, if `Ok` says that this is anything; small ones may be
    /// left out. On an error the index is as before.
    // Inlined always: none of the steps lies above another.
    #[inline(always)]
    pub(crate) fn exchange(
        &self,
        staged: &Staged<'_>,
        range: EntryRange,
        flags: AllocFlags,
    ) -> Result<bool> {
        if let Some(replaced) = self.exchange_known(staged, range) {
            return Ok(replaced);
        }
        self.pin_parts(staged, range, flags)?;
        Ok(self.exchange_pinned(staged, range))
    }

    /// What [`exchange`](Self::exchange) does with a folio in one leaf that is there, as most are;
    /// `None` with others, or where another has it.
    #[inline(never)]
    fn exchange_known(&self, staged: &Staged<'_>, range: EntryRange) -> Option<bool> {
        let part = staged.only(range)?;
        self.lock_known(part.first)?.exchange_known(&part)
    }

    /// Sees to it that the index has the leaves that hold what is staged, and pins them.
    #[inline(never)]
    fn pin_parts(&self, staged: &Staged<'_>, range: EntryRange, flags: AllocFlags) -> Result<()> {
        let mut pinned = 0usize;
        for part in staged.parts(range) {
            if !self.pin_leaf(part.first, part.largest(), flags) {
                self.unpin_parts(staged, range, pinned);
                return Err(Error::NoMemory);
            }
            pinned = pinned.wrapping_add(1);
        }
        Ok(())
    }

    /// Takes the first so many pins back.
    #[cold]
    #[inline(never)]
    fn unpin_parts(&self, staged: &Staged<'_>, range: EntryRange, pinned: usize) {
        for part in staged.parts(range).take(pinned) {
            self.unpin_leaf(part.first);
        }
    }

    /// Pinned leaves are there and stay, and get no narrower: nothing fails here.
    #[inline(never)]
    fn exchange_pinned(&self, staged: &Staged<'_>, range: EntryRange) -> bool {
        let mut replaced = false;
        for part in staged.parts(range) {
            replaced |= self.find(part.first).is_some_and(|leaf| leaf.exchange_pinned(&part));
        }
        replaced
    }

    /// Ends the staging with what [`exchange`](Self::exchange) returned, which is returned, or with
    /// an error: hands every word that is staged now, and `left`, to `each` if it is not small.
    #[inline(never)]
    pub(crate) fn end_staging(
        &self,
        staged: Staged<'_>,
        range: EntryRange,
        exchanged: Result<bool>,
        left: Word,
        mut each: impl FnMut(Word),
    ) -> Result<()> {
        if !is_small(left) {
            each(left);
        }
        for part in staged.parts(range) {
            if exchanged != Ok(false) {
                part.empty(&mut each);
            }
            // SAFETY: from the leaves' pool, in no tree, and empty.
            unsafe { self.memory.give_leaf(Leaf::wide(part.leaf)) };
        }
        let mut top = staged.0;
        while let Kind::Directory(directory) = top.kind() {
            top = directory.before();
            // SAFETY: as above.
            unsafe { self.memory.give_leaf(Leaf::wide(directory.into_unused())) };
        }
        exchanged.map(drop)
    }
}
