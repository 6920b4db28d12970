//! Ranges of entries: folios, swap areas.

use super::TagStore;
use crate::{
    entry::{EntryRange, SwapType},
    error::{Error, Result},
    host::{AllocFlags, Host},
    index::Staged,
    record::{Record, Records, is_inline},
    tags::{PageSize, TagSink, TagSource},
};

impl<H: Host, P: PageSize> TagStore<H, P> {
    /// Stores the tags of a folio: those of `page(i)` under slot `i` of `range`; where
    /// `page(i)` is `None`, page `i` is untagged and an older record of its slot is left
    /// alone (TAG-1, TAG-10).
    ///
    /// All or nothing at its end; readers may see a part of it while it runs.
    ///
    /// # Errors
    /// [`Error::NoMemory`]: every entry is as before.
    ///
    /// # Contexts
    /// As [`save`](Self::save). `page` is called with no lock held.
    pub fn save_range<S: TagSource>(
        &self,
        range: EntryRange,
        mut page: impl FnMut(u64) -> Option<S>,
        flags: AllocFlags,
    ) -> Result<()> {
        if range.len() > 1 {
            return self.save_staged(range, page, flags);
        }
        // The line of its slot comes while the tags are read.
        self.index.prefetch(range.first());
        let Some(tags) = page(0) else { return Ok(()) };
        let record = self.encode_one(&tags, flags).ok_or(Error::NoMemory)?;
        self.insert_apart(range.first(), record.into_word(), flags)
    }

    #[inline]
    fn save_staged<S: TagSource>(
        &self,
        range: EntryRange,
        mut page: impl FnMut(u64) -> Option<S>,
        flags: AllocFlags,
    ) -> Result<()> {
        let mut staged = Staged::new();
        let staging = self.index.stage(&mut staged, range, flags, |index| match page(index) {
            None => Some(core::ptr::null_mut()),
            Some(tags) => self.encode_one(&tags, flags).map(Record::into_word),
        });
        let (exchanged, left) = match staging {
            Ok(()) => (self.index.exchange(&staged, range, flags), core::ptr::null_mut()),
            Err(word) => (Err(Error::NoMemory), word),
        };
        // What was replaced, or, after an error, what was staged.
        self.index.end_staging(staged, range, exchanged, left, |word| self.release(word))
    }

    /// A record of the tags of a page, the encoder's stack given back.
    #[inline(never)]
    fn encode_one(&self, tags: &impl TagSource, flags: AllocFlags) -> Option<Record> {
        match Records::<H, P>::of_one_tag(tags) {
            None => self.encode_more(tags, flags),
            record => record,
        }
    }

    /// What [`encode_one`](Self::encode_one) does with more than one tag: it keeps something, which
    /// with one takes no stack.
    #[inline(never)]
    fn encode_more(&self, tags: &impl TagSource, flags: AllocFlags) -> Option<Record> {
        self.records.create(self.host(), tags, flags)
    }

    /// Restores a folio: for each slot `i` of `range` with a record, writes it to
    /// `page(i)`, unless that is `None`. Returns how many were written.
    ///
    /// # Contexts
    /// As [`restore`](Self::restore).
    pub fn restore_range<S: TagSink>(
        &self,
        range: EntryRange,
        mut page: impl FnMut(u64) -> Option<S>,
    ) -> u64 {
        let mut written = 0u64;
        self.index.look_through(range, Records::<H, P>::prefetch, |index, word, lead| {
            if let (Some(entry), Some(mut tags)) = (range.get(index), page(index)) {
                let whole = self.restore_word(entry, word, Some(lead), &mut tags);
                written = written.wrapping_add(whole.into());
            }
        });
        written
    }

    /// Asks for what restoring `range` will read to be brought to the processor's caches, for who restores a folio page by page; of
    /// its first 512 entries, 128 bytes of each record at most, and of one entry nothing. Records of what was swapped out
    /// long ago lie in memory that nothing has touched since. A hint: it changes nothing, and leaves out what takes long to
    /// find. [`restore_range`](Self::restore_range) asks by itself, a little ahead of where it is.
    ///
    /// # Contexts
    /// Any; takes no lock.
    // Not inlined: its stack is given back before a page is restored.
    #[inline(never)]
    pub fn prefetch(&self, range: EntryRange) {
        if range.len() > 1 {
            self.index.look_ahead(range, Records::<H, P>::prefetch);
        }
    }

    /// Drops the records of all entries of `range`.
    ///
    /// # Contexts
    /// As [`invalidate`](Self::invalidate); the time grows with what the range holds.
    pub fn invalidate_range(&self, range: EntryRange) {
        let mut dropping = self.records.dropping(self.host());
        self.index.drain(range, Records::<H, P>::prefetch, |word| {
            if !is_inline(word) {
                // SAFETY: null, or taken out of its slot.
                unsafe { dropping.take(word) };
            }
        });
    }

    /// Drops every record of one swap type, its first and last offset included, and none
    /// of another (TAG-8). What others save meanwhile may stay.
    ///
    /// # Contexts
    /// As [`invalidate_range`](Self::invalidate_range).
    pub fn invalidate_area(&self, ty: SwapType) {
        self.invalidate_range(EntryRange::area(ty));
    }
}
