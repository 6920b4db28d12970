//! The tag store: save, restore and invalidate page tags by swap entry.
//!
//! What `arch/arm64/mm/mteswap.c` does with an xarray of 128-byte buffers. Any thread
//! may call anything for any entry at any time; no call depends on what others do
//! (TAG-13), and none waits for calls on entries of another leaf (TAG-17).

use crate::{
    entry::{EntryRange, SwapEntry, SwapType},
    error::{Error, Result},
    host::{AllocFlags, Host},
    index::{Index, Lead, LeafGuard, Reserved, Seen, Word},
    prefetch::prefetch,
    record::{Record, Records, is_inline},
    tags::{PageSize, TagSink, TagSource},
};

mod range;

#[cfg(test)]
mod tests;

/// The tags of swapped-out pages, by swap entry.
///
/// | call | may allocate | may sleep | takes |
/// |---|---|---|---|
/// | [`save`](Self::save), [`save_range`](Self::save_range), [`move_record`](Self::move_record) | yes | where its flags allow | one leaf's lock at a time |
/// | [`restore`](Self::restore), [`next`](Self::next), [`contains`](Self::contains), [`prefetch`](Self::prefetch) | no | no | nothing, or one leaf's lock |
/// | [`invalidate`](Self::invalidate) and its ranges | no | no | one leaf's lock at a time |
/// | [`reserve`](Self::reserve) | yes | yes | |
///
/// Those that do not sleep may be called with spinlocks held, with interrupts off and
/// from interrupt handlers (TAG-9), if the host's `enter` keeps handlers away.
///
/// # Examples
/// See the crate's documentation.
pub struct TagStore<H: Host, P: PageSize> {
    index: Index<H>,
    records: Records<H, P>,
}

/// A record that was there when someone looked.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    entry: SwapEntry,
    word: Word,
}

/// What a store holds. The sums are exact while no other call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Records.
    pub entries: u64,
    /// Records that fit their slot and need no payload.
    pub inline_entries: u64,
    /// Bytes held from the host for payloads: the payloads, their slabs' heads and what
    /// of the slabs is free. 0 once the last record is gone.
    pub payload_bytes: u64,
    /// Bytes held from the host for leaves and nodes, in use or pooled.
    pub index_bytes: u64,
    /// Bytes held from the host in reserve.
    pub reserved_bytes: u64,
}

impl<H: Host, P: PageSize> TagStore<H, P> {
    /// An empty store. Allocates nothing.
    pub const fn new(host: H) -> Self {
        Self { index: Index::new(host), records: Records::new() }
    }

    /// The host this store was made with.
    pub fn host(&self) -> &H {
        self.index.host()
    }

    /// Stores the tags of `tags` under `entry`; a record already there is replaced and
    /// its memory released, wiped (TAG-2, TAG-12).
    ///
    /// From the moment this returns, every restore of `entry` on any CPU finds the record
    /// (TAG-14). The caller has asked whether the page is tagged; an untagged page is not
    /// saved at all (TAG-1, [`crate::hooks`]).
    ///
    /// # Errors
    /// [`Error::NoMemory`]: the store is exactly as before, an older record of `entry`
    /// included (TAG-3).
    ///
    /// # Contexts
    /// Any, with [`AllocFlags::MAY_SLEEP`] only where the caller may sleep.
    // Inlined always, like all that only passes on: a frame between costs stack.
    #[inline(always)]
    pub fn save(
        &self,
        entry: SwapEntry,
        tags: &(impl TagSource + ?Sized),
        flags: AllocFlags,
    ) -> Result<()> {
        // Nothing but one call at each end of the usual way: it takes no stack.
        match Records::<H, P>::of_one_tag(tags) {
            Some(record) => self.insert(entry, record.into_word(), flags),
            None => {
                // While it is encoded. Not in `save_encoded`, which ends in calls that keep no register of its own.
                self.index.prefetch(entry);
                self.save_encoded(entry, tags, flags)
            }
        }
    }

    #[inline(never)]
    fn save_encoded(
        &self,
        entry: SwapEntry,
        tags: &(impl TagSource + ?Sized),
        flags: AllocFlags,
    ) -> Result<()> {
        // Encoded and allocated before any lock is taken.
        let record = self.records.create(self.host(), tags, flags);
        let record = record.ok_or(Error::NoMemory)?;
        self.insert_apart(entry, record.into_word(), flags)
    }

    /// As [`insert`](Self::insert): an encoder does not lie below the registers that this keeps.
    #[inline(never)]
    fn insert_apart(&self, entry: SwapEntry, word: Word, flags: AllocFlags) -> Result<()> {
        self.insert(entry, word, flags)
    }

    #[inline(always)]
    fn insert(&self, entry: SwapEntry, word: Word, flags: AllocFlags) -> Result<()> {
        match self.index.insert_known(entry, word) {
            // Most are: there is nothing to let go of.
            Some(replaced) if replaced.is_null() || is_inline(replaced) => Ok(()),
            Some(replaced) => self.release_replaced(replaced),
            None => self.insert_with_room(entry, word, flags),
        }
    }

    /// What [`insert`](Self::insert) does where there is no leaf yet, or another has it.
    #[inline(never)]
    fn insert_with_room(&self, entry: SwapEntry, word: Word, flags: AllocFlags) -> Result<()> {
        let stored = self.index.insert(entry, word, flags);
        // What was replaced; or, after an error, the record itself.
        self.release(stored.unwrap_or(word));
        stored.map(drop).ok_or(Error::NoMemory)
    }

    #[inline(never)]
    fn release_replaced(&self, word: Word) -> Result<()> {
        self.release(word);
        Ok(())
    }

    /// Writes the tags stored under `entry` to `tags` and keeps the record: it may be
    /// asked for again (TAG-4). Returns false, `tags` untouched, where there is no
    /// record (TAG-5).
    ///
    /// Beside an invalidation or replacement of the same entry it gives one whole record
    /// or none (TAG-13).
    ///
    /// # Contexts
    /// Any; allocates nothing, does not sleep.
    // Inlined always, as `save` is: a call that finds nothing is hardly longer than a call.
    #[inline(always)]
    pub fn restore(&self, entry: SwapEntry, tags: &mut (impl TagSink + ?Sized)) -> bool {
        match self.index.look_up(entry) {
            Seen::Word(word, lead) => self.restore_word(entry, word, Some(lead), tags),
            Seen::NoLeaf => false,
            Seen::Nothing => self.walk_and_restore(entry, tags),
        }
    }

    /// The record of `entry`, for who has something to do between finding and restoring it.
    #[inline]
    pub(crate) fn find(&self, entry: SwapEntry) -> Option<Found> {
        let word = self.index.get(entry);
        (!word.is_null()).then_some(Found { entry, word })
    }

    /// As [`restore`](Self::restore) at the moment of the find: a record that was in its slot
    /// then is restored, whatever became of it; one with a payload is looked up once more.
    #[inline]
    pub(crate) fn restore_found(&self, found: Found, tags: &mut (impl TagSink + ?Sized)) -> bool {
        self.restore_word(found.entry, found.word, None, tags)
    }

    /// What `restore` does where no hint leads to the entry.
    #[inline(never)]
    fn walk_and_restore(&self, entry: SwapEntry, tags: &mut (impl TagSink + ?Sized)) -> bool {
        self.restore_word(entry, self.index.get(entry), None, tags)
    }

    /// Restores an entry whose word has just been looked up.
    #[inline]
    fn restore_word(
        &self,
        entry: SwapEntry,
        word: Word,
        lead: Option<Lead<'_, H>>,
        tags: &mut (impl TagSink + ?Sized),
    ) -> bool {
        // The usual case first; no word is none of one tag.
        if Records::<H, P>::read_one_tag(word, tags) {
            true
        } else if is_inline(word) {
            Records::<H, P>::read_inline(word, tags)
        } else if word.is_null() {
            false
        } else {
            // While the leaf is being locked. A payload's pointer is a word's, but for its lowest bits.
            prefetch(word);
            match lead {
                Some(lead) => self.restore_led(entry, tags, lead),
                None => self.restore_locked(entry, tags),
            }
        }
    }

    /// Restores under the leaf's lock: a payload can be freed under our eyes, but not then.
    #[inline(never)]
    fn restore_led(
        &self,
        entry: SwapEntry,
        tags: &mut (impl TagSink + ?Sized),
        // Last: those before it stay where they are.
        lead: Lead<'_, H>,
    ) -> bool {
        match self.index.lock_led(entry, lead) {
            Some(leaf) => self.restore_from(leaf, entry, tags),
            None => self.restore_locked(entry, tags),
        }
    }

    /// The same from nowhere.
    #[inline(never)]
    fn restore_locked(&self, entry: SwapEntry, tags: &mut (impl TagSink + ?Sized)) -> bool {
        let leaf = self.index.lock_leaf(entry);
        leaf.is_some_and(|leaf| self.restore_from(leaf, entry, tags))
    }

    #[inline]
    fn restore_from(
        &self,
        leaf: LeafGuard<'_, H>,
        entry: SwapEntry,
        tags: &mut (impl TagSink + ?Sized),
    ) -> bool {
        let word = leaf.get_ahead(entry.raw());
        if is_inline(word) {
            leaf.unlock();
            return Records::<H, P>::read_inline(word, tags);
        }
        let whole = self.read(tags, word);
        leaf.unlock();
        whole
    }

    /// Reads a word that is not inline, whose leaf the caller has locked; false for none.
    #[inline(never)]
    fn read(&self, tags: &mut (impl TagSink + ?Sized), word: Word) -> bool {
        // SAFETY: by this function's contract, kept by its only caller, the one above.
        unsafe { self.records.read(self.host(), word, tags) }
    }

    /// True if a record is stored under `entry`.
    ///
    /// # Contexts
    /// Any; takes no lock.
    pub fn contains(&self, entry: SwapEntry) -> bool {
        !self.index.get(entry).is_null()
    }

    /// Drops the record of `entry`, if there is one (TAG-7).
    ///
    /// # Contexts
    /// Any; allocates nothing, does not sleep.
    // Inlined always, as `save` and `restore` are.
    #[inline(always)]
    pub fn invalidate(&self, entry: SwapEntry) {
        if !self.index.take_known(entry, |word| self.release(word)) {
            self.walk_and_invalidate(entry);
        }
    }

    #[inline(never)]
    fn walk_and_invalidate(&self, entry: SwapEntry) {
        self.release(self.index.take(entry));
    }

    /// Moves the record of `from` to `to` in one step, replacing what is there (TAG-16).
    /// The two may be of different types; moving an entry onto itself changes nothing.
    ///
    /// # Errors
    /// [`Error::NoEntry`] where `from` has no record, [`Error::NoMemory`] where `to` has no
    /// leaf and the host none to give. Both entries are as before.
    ///
    /// # Contexts
    /// As [`save`](Self::save).
    pub fn move_record(&self, from: SwapEntry, to: SwapEntry, flags: AllocFlags) -> Result<()> {
        if !self.contains(from) {
            return Err(Error::NoEntry);
        }
        if from == to {
            return Ok(());
        }
        let mut wanted = self.index.get(from);
        loop {
            self.index.pin(to, wanted, flags)?;
            let moved = self.index.find_both(to, from, |target, source| {
                let moved =
                    source.as_ref().map_or_else(|| target.get(from.raw()), |s| s.get(from.raw()));
                if moved.is_null() {
                    return Err(None);
                }
                // The new place first: readers that take no lock see the record twice rather
                // than not at all.
                let replaced = target.replace(to.raw(), moved).map_err(Some)?;
                match source {
                    Some(source) => source.take(from.raw()),
                    None => target.take(from.raw()),
                };
                Ok(replaced)
            });
            self.index.unpin(to);
            match moved {
                Some(Ok(replaced)) => {
                    self.release(replaced);
                    return Ok(());
                }
                // Replaced meanwhile by a record that needs a wider leaf.
                Some(Err(Some(wider))) => wanted = wider,
                Some(Err(None)) | None => return Err(Error::NoEntry),
            }
        }
    }

    /// The first entry at or after `cursor`, through all types, that has a record; its
    /// tags are written to `tags`. `None` at the end, `tags` untouched.
    ///
    /// # Contexts
    /// As [`restore`](Self::restore).
    pub fn next(&self, cursor: SwapEntry, tags: &mut (impl TagSink + ?Sized)) -> Option<SwapEntry> {
        let mut cursor = cursor;
        loop {
            match self.index.next(cursor) {
                Some(entry) => {
                    if self.walk_and_restore(entry, tags) {
                        return Some(entry);
                    }
                    // Gone since: look on behind it.
                    cursor = SwapEntry::from_raw(entry.raw().wrapping_add(1)).ok()?;
                }
                None => {
                    let behind = EntryRange::area(cursor.swap_type()).last().raw().wrapping_add(1);
                    cursor = SwapEntry::from_raw(behind).ok()?;
                }
            }
        }
    }

    /// Sets memory aside: afterwards `nr` saves of any content, to entries of one run
    /// aligned to `nr`, cannot fail, whatever the host has. `nr` is absolute, not added
    /// to an earlier one; 0 gives the reserve back. What saves use up is not refilled.
    ///
    /// # Errors
    /// [`Error::NoMemory`]: the reserve is as before.
    ///
    /// # Contexts
    /// May sleep.
    pub fn reserve(&self, nr: usize) -> Result<()> {
        let (before, wanted) = (self.index.reserved(), Reserved::for_insertions(nr));
        // First all that may fail: to lower what was raised cannot.
        self.index.raise_reserve(wanted)?;
        self.records
            .raise_reserve(self.host(), nr)
            .inspect_err(|_| self.index.lower_reserve(before))?;
        self.index.lower_reserve(wanted);
        self.records.lower_reserve(self.host(), nr);
        Ok(())
    }

    /// What the store holds. Walks all of it.
    ///
    /// # Contexts
    /// Any; the time grows with the number of records.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.index.for_each(|word| {
            stats.entries = stats.entries.wrapping_add(1);
            stats.inline_entries = stats.inline_entries.wrapping_add(is_inline(word).into());
            // SAFETY: a record's word, whose leaf `for_each` has locked.
            let own = unsafe { Records::<H, P>::own_bytes(word) };
            stats.payload_bytes = stats.payload_bytes.wrapping_add(own as u64);
        });
        let (index, reserved) = self.index.bytes();
        let slabs = self.records.slab_bytes() as u64;
        stats.payload_bytes = stats.payload_bytes.wrapping_add(slabs);
        stats.index_bytes = index as u64;
        stats.reserved_bytes =
            reserved.saturating_add(self.records.reserved_bytes(self.host())) as u64;
        stats
    }

    /// Gives the index's pooled memory back to the host and returns its bytes. It cannot
    /// go back by itself: readers that take no lock may still be looking at it, and only
    /// exclusive access says that none is left.
    ///
    /// # Contexts
    /// Any.
    pub fn shrink(&mut self) -> usize {
        self.index.shrink()
    }

    /// Lets go of a word that was taken out of the index.
    #[inline]
    fn release(&self, word: Word) {
        // Most are.
        if is_inline(word) {
            return;
        }
        // SAFETY: callers took it out of its slot, or never put it in.
        if let Some(record) = unsafe { Record::from_word(word) } {
            self.records.free(self.host(), record);
        }
    }
}

impl<H: Host, P: PageSize> Drop for TagStore<H, P> {
    fn drop(&mut self) {
        SwapType::all().for_each(|ty| self.invalidate_area(ty));
        // Lowering a reserve cannot fail.
        let _ = self.reserve(0);
    }
}
