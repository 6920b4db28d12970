//! The page-flag protocol: who writes a page's tags, and when others may read them.
//!
//! Two bits of a page's flag word (PG_mte_tagged and PG_mte_lock in Linux,
//! `arch/arm64/include/asm/mte.h`) and three states (FLAG-4):
//!
//! | state | lock | tagged | left by |
//! |---|---|---|---|
//! | untouched | 0 | 0 | [`FlagWord::try_tagging`]: one caller gets the duty |
//! | locked | 1 | 0 | [`TaggingGuard::publish`], or its drop: the duty goes to one who waits |
//! | tagged | any | 1 | nothing, until the page is freed |
//!
//! Nothing here sleeps. A caller that waits for another's duty spins, as in Linux: who holds the
//! duty writes one page's tags and must do nothing that faults or sleeps meanwhile.
//!
//! Which page operations exist, and the Linux function each is: [`sync`] (`mte_sync_tags`),
//! [`Page::copy_from`] (`copy_highpage`), [`Page::override_tags`] (KVM_ARM_MTE_COPY_TAGS),
//! [`Page::differs_from`] (`memcmp_pages`), [`Page::zero_fresh`] (`tag_clear_highpage`),
//! [`FlagWord::inherit`] (`__split_huge_page_tail`).

#![forbid(unsafe_code)]

use bitflags::bitflags;

use crate::{
    error::{Error, Result},
    sync::{AtomicUsize, Ordering, fence, spin_loop},
    tagmem::TagMemory,
};

bitflags! {
    /// The protocol's bits for callers with a flag word of their own
    /// (`MTESWAP_PG_TAGGED`, `MTESWAP_PG_LOCK`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct PageFlags: usize {
        /// The page's tags are valid (PG_mte_tagged).
        const TAGGED = 1 << 0;
        /// Someone has, or had, the duty to write them (PG_mte_lock).
        const LOCK = 1 << 1;
    }
}

/// The number of a flag's one bit.
const fn number(flag: PageFlags) -> u8 {
    flag.bits().trailing_zeros() as u8
}

/// A page's flag word, and which of its bits are the protocol's.
///
/// All other bits are the owner's and left alone. Two of these are equal if they are one page's:
/// the same word and bits.
///
/// # Invariants
/// `tagged` and `lock` are numbers of bits of a word, and not the same.
#[derive(Debug, Clone, Copy)]
pub struct FlagWord<'a> {
    word: &'a AtomicUsize,
    tagged: u8,
    lock: u8,
}

impl<'a> FlagWord<'a> {
    /// A word with the bits of [`PageFlags`].
    #[must_use]
    pub const fn new(word: &'a AtomicUsize) -> Self {
        // INVARIANT: two different constants of one bit each.
        Self { word, tagged: number(PageFlags::TAGGED), lock: number(PageFlags::LOCK) }
    }

    /// A word whose bits number `tagged` and `lock` are the protocol's, as PG_arch_2 and
    /// PG_arch_3 in the kernel. [`Error::Invalid`] where they are the same, or past the word.
    pub const fn with_bits(word: &'a AtomicUsize, tagged: u32, lock: u32) -> Result<Self> {
        if tagged == lock || tagged >= usize::BITS || lock >= usize::BITS {
            return Err(Error::Invalid);
        }
        // INVARIANT: as just checked.
        Ok(Self { word, tagged: tagged as u8, lock: lock as u8 })
    }

    /// The bit that says "tagged".
    const fn tagged(self) -> usize {
        1 << (self.tagged as u32 & (usize::BITS - 1))
    }

    /// The bit that says "someone writes its tags".
    const fn lock(self) -> usize {
        1 << (self.lock as u32 & (usize::BITS - 1))
    }

    /// True if the page is tagged; then tags read from now on are those that were published
    /// (`page_mte_tagged`, FLAG-2).
    ///
    /// # Contexts
    /// Any.
    #[must_use]
    pub fn is_tagged(self) -> bool {
        let tagged = self.word.load(Ordering::Relaxed) & self.tagged() != 0;
        if tagged {
            self.order_reads();
        }
        tagged
    }

    /// Says that the page's tags are written (`set_page_mte_tagged`, FLAG-1). For those who took
    /// the duty and ignored the answer; others have [`TaggingGuard::publish`].
    ///
    /// # Contexts
    /// Any.
    pub fn set_tagged(self) {
        // Ordering: all tag writes come before the flag. A fence and a relaxed store rather than
        // a store-release, as Linux has smp_wmb() before set_bit(): tags are written by STG and
        // STGM, and a barrier (DMB) is what orders these beyond doubt. Pairs with `order_reads`.
        fence(Ordering::Release);
        self.word.fetch_or(self.tagged(), Ordering::Relaxed);
    }

    /// Asks for the duty to write this page's tags (`try_page_mte_tagging`, FLAG-3).
    ///
    /// `Some` for one caller at a time, who writes tags and then publishes. Whoever else asks
    /// waits, spinning, until the page is tagged, and gets `None`: nothing is left to do.
    ///
    /// # Contexts
    /// Any, but not from a handler that may have interrupted the one with the duty.
    #[must_use]
    pub fn try_tagging(self) -> Option<TaggingGuard<'a>> {
        loop {
            // An attempt that ran out of patience is made again.
            if let Ok(outcome) = self.try_tagging_bounded(usize::MAX) {
                return outcome;
            }
        }
    }

    /// As [`try_tagging`](Self::try_tagging), looking at most `spins` times more after the first:
    /// 0 does not wait at all.
    ///
    /// # Errors
    /// [`Error::TimedOut`]: someone else still had the duty.
    pub fn try_tagging_bounded(self, spins: usize) -> Result<Option<TaggingGuard<'a>>> {
        let mut left = spins;
        loop {
            let mut word = self.word.load(Ordering::Relaxed);
            if word & (self.tagged() | self.lock()) == 0 {
                // Ordering: Acquire, so that our tag writes stay behind those of a predecessor
                // who gave the duty up (the Release in `abandon_tagging`).
                word = self.word.fetch_or(self.lock(), Ordering::Acquire);
                if word & (self.tagged() | self.lock()) == 0 {
                    return Ok(Some(TaggingGuard { flags: self }));
                }
            }
            if word & self.tagged() != 0 {
                self.order_reads();
                return Ok(None);
            }
            left = left.checked_sub(1).ok_or(Error::TimedOut)?;
            spin_loop();
        }
    }

    /// Gives the duty up without tags: one of those who wait gets it (FLAG-5). Only for who has
    /// it; on a page that is tagged it does nothing.
    ///
    /// # Contexts
    /// Any.
    pub fn abandon_tagging(self) {
        // Ordering: Release, so that what we wrote stays before what the next one writes.
        // The holder alone sets the flag, so it cannot come between the two.
        if self.word.load(Ordering::Relaxed) & self.tagged() == 0 {
            self.word.fetch_and(!self.lock(), Ordering::Release);
        }
    }

    /// Takes over the bits `mask` of `head`, but none of the protocol's: what a split gives each
    /// new page. A page keeps the tag state that is its own (FLAG-11); Linux overwrites it with
    /// the head's, by which an untagged tail becomes tagged and one tagged alone loses its tags.
    ///
    /// # Contexts
    /// Any; both words belong to the caller, as the pages of a frozen folio do.
    pub fn inherit(self, head: Self, mask: usize) {
        let mask = mask & !(self.tagged() | self.lock());
        let bits = head.word.load(Ordering::Relaxed) & mask;
        // Ordering: none. A split is published by unfreezing the page's reference count.
        self.word.fetch_and(!mask, Ordering::Relaxed);
        self.word.fetch_or(bits, Ordering::Relaxed);
    }

    /// Ordering: the flag was seen, and tags are read after it (smp_rmb() in `page_mte_tagged`).
    /// Pairs with the fence in `set_tagged`.
    fn order_reads(self) {
        fence(Ordering::Acquire);
    }
}

impl PartialEq for FlagWord<'_> {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.word, other.word)
            && self.tagged == other.tagged
            && self.lock == other.lock
    }
}

impl Eq for FlagWord<'_> {}

/// The duty to write one page's tags.
///
/// Having one tells you that nobody else has it for this page, and that others wait for you. It
/// does not tell you that nobody reads the tags: those who override them from outside may.
/// Publish it once they are written. Dropped, it hands the duty on (FLAG-5).
#[derive(Debug, PartialEq, Eq)]
#[must_use = "dropping it gives the duty up; others wait meanwhile"]
pub struct TaggingGuard<'a> {
    flags: FlagWord<'a>,
}

impl TaggingGuard<'_> {
    /// Sets the flag: the tags are written, and all who wait may read them (FLAG-1).
    pub fn publish(self) {
        self.flags.set_tagged();
        // Tagged: the drop that follows has nothing to hand on, and is not needed.
        core::mem::forget(self);
    }
}

impl Drop for TaggingGuard<'_> {
    fn drop(&mut self) {
        self.flags.abandon_tagging();
    }
}

/// A page: its flag word and its tags. A hugetlb folio is one of these too, with the head's flag
/// word and a memory that spans all of its pages (FLAG-7).
///
/// A handle: clones are the same page.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a, M> {
    flags: FlagWord<'a>,
    memory: M,
}

impl<'a, M: TagMemory> Page<'a, M> {
    /// The page with these flags and tags.
    #[must_use]
    pub const fn new(flags: FlagWord<'a>, memory: M) -> Self {
        Self { flags, memory }
    }

    /// The flag word.
    #[must_use]
    pub const fn flags(&self) -> FlagWord<'a> {
        self.flags
    }

    /// Words of tags the page has.
    #[must_use]
    pub fn words(&self) -> usize {
        self.memory.words()
    }

    /// The tags, where the page has any that are valid: what a save reads (TAG-1).
    ///
    /// # Contexts
    /// Any.
    #[must_use]
    pub fn tags(&self) -> Option<&M> {
        self.flags.is_tagged().then_some(&self.memory)
    }

    /// Writes this page's tags by `write`, unless it is tagged already, or another is at it: then
    /// waits for that. Returns true if `write` ran and said that it wrote; where it says no, the
    /// duty is handed on and the page left untagged.
    ///
    /// # Contexts
    /// As [`FlagWord::try_tagging`]; `write` must not sleep or fault.
    pub fn tag_with(&self, write: impl FnOnce(&mut M) -> bool) -> bool {
        let Some(duty) = self.flags.try_tagging() else { return false };
        let mut memory = self.memory_for_user();
        let wrote = write(&mut memory);
        if wrote {
            duty.publish();
        }
        wrote
    }

    /// Makes this page a copy of `source` as far as tags go, at copy on write or migration
    /// (FLAG-8, FLAG-7): where `source` is tagged, takes its tags over and is tagged, whatever it
    /// was before, since migration may reuse a page. Where it is not, nothing changes.
    ///
    /// # Contexts
    /// As [`FlagWord::try_tagging`]. The caller owns this page; it is in no page table yet.
    pub fn copy_from(&self, source: &Self) {
        if let Some(tags) = source.tags() {
            self.overwrite(|memory| memory.copy_from(tags));
        }
    }

    /// Gives this page the `tags` that come from outside, as a restored or migrated guest's
    /// (KVM_ARM_MTE_COPY_TAGS, FLAG-12). Where `tags` has fewer words than the page, all of the
    /// page's tags are cleared, so that none are left from before, and it returns false. The page
    /// is tagged in either case, whatever it was before.
    ///
    /// `tags` is memory that is there, not a user's: reading that may fault or sleep, and is done
    /// before the duty is taken. That is why this takes a slice.
    ///
    /// # Contexts
    /// As [`FlagWord::try_tagging`].
    pub fn override_tags(&self, tags: &[u64]) -> bool {
        let whole = tags.len() >= self.memory.words();
        self.overwrite(|memory| if whole { memory.copy_from(tags) } else { memory.clear() });
        whole
    }

    /// True if two pages of equal bytes must not become one: either is tagged, and they are not
    /// one page already (FLAG-9). KSM asks this, and so does whoever would put the zero page in
    /// the place of a zero-filled one (FLAG-10). The bytes are the caller's to compare.
    ///
    /// # Contexts
    /// Any.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        self.flags != other.flags && (self.flags.is_tagged() || other.flags.is_tagged())
    }

    /// Zeroes data and tags of a page just allocated for a tagged mapping, and flags it (FLAG-13,
    /// `tag_clear_highpage`). Nobody else can know of such a page: nothing is waited for.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the page is tagged or someone has its duty: it is not fresh.
    /// Nothing was changed.
    ///
    /// # Contexts
    /// Any.
    pub fn zero_fresh(&self) -> Result<()> {
        let duty = self.flags.try_tagging_bounded(0).ok().flatten().ok_or(Error::Invalid)?;
        self.memory_for_user().clear_with_data();
        duty.publish();
        Ok(())
    }

    /// Zeroes the tags of the zero page at boot and leaves it unflagged, as it stays: it is
    /// mapped by special PTEs, which [`sync`] is not called for (FLAG-10).
    ///
    /// # Contexts
    /// Before user space runs.
    pub fn clear_zero_page(&self) {
        self.memory_for_user().clear();
    }

    /// Takes the duty, ignores the answer, writes and flags. Between writers of this kind the
    /// last one wins.
    fn overwrite(&self, write: impl FnOnce(&mut M)) {
        let duty = self.flags.try_tagging();
        write(&mut self.memory_for_user());
        match duty {
            Some(duty) => duty.publish(),
            None => self.flags.set_tagged(),
        }
    }

    /// The memory, about to hold user tags (HOOK-12).
    fn memory_for_user(&self) -> M {
        let mut memory = self.memory.clone();
        memory.reset_kernel_tag();
        memory
    }
}

/// Prepares the pages of a mapping before its PTEs are set (`mte_sync_tags`, FLAG-6): each that
/// is neither tagged nor being tagged gets zero tags and the flag. On return all of this is
/// ordered before the caller's writes of PTEs, on any CPU.
///
/// For PTEs that are present, accessible to the user, not special, and tagged. No flag is ever
/// set here over tags that were not written.
///
/// # Contexts
/// As [`FlagWord::try_tagging`]; page-table lock held.
pub fn sync<'a, M: TagMemory + 'a>(pages: impl IntoIterator<Item = Page<'a, M>>) {
    for page in pages {
        page.tag_with(|memory| {
            memory.clear();
            true
        });
    }
    // Ordering: flags and tags, ours and those we waited for, before the PTE: who follows the
    // PTE sees the tags (smp_wmb() at the end of mte_sync_tags).
    fence(Ordering::Release);
}
