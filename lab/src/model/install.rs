//! The steps that put a swapped-in page into a page table, in the order of the variant.

use std::sync::atomic::Ordering::SeqCst;

use mteswap::{
    entry::SwapEntry,
    hooks::{self, KeepTags},
    swap::{RestoredSlot, SlotRef},
};

use super::{
    Backing, Cpu,
    cache::slot,
    fault::tag_pattern,
    frame::{Pfn, TAG_WORDS},
    host::LabHost,
    table::{Mm, Pte},
    variant::Step,
};

/// A page about to be mapped.
pub(super) struct Incoming<'a> {
    pub mm: &'a Mm,
    pub va: usize,
    pub entry: SwapEntry,
    /// The old PTE said that the page is its mapping's alone.
    pub exclusive: bool,
    pub pfn: Pfn,
    pub write: bool,
}

/// The reference of the old PTE to the slot.
enum Held<'a> {
    Unrestored(SlotRef<'a, LabHost, Backing>),
    Restored(RestoredSlot<'a, LabHost, Backing>),
    Freed,
}

impl Cpu<'_> {
    /// Maps the page. The page-table lock is held, the PTE was compared, and the folio is locked
    /// where it is in the swap cache. The caller's reference becomes the mapping's.
    pub(super) fn install(&self, page: &Incoming<'_>) {
        let Ok(reference) = self.machine.swap.slot_ref(slot(page.entry)) else { return };
        let mut held = Held::Unrestored(reference);
        let mut exclusive = page.exclusive;
        for step in self.machine.order.install {
            match step {
                Step::Restore => held = self.restore(page, held),
                Step::RestoreOver => {
                    self.restore_over(page);
                    held = self.restore(page, held);
                }
                Step::RestoreByNewPte => {
                    // The new PTE is no swap entry.
                    self.does(|| "arch_do_swap_page(old = the new PTE)".into(), || ());
                    self.wrong("the entry is not in there: nothing is restored");
                }
                Step::SwapFree => {
                    self.swap_free(page, held);
                    held = Held::Freed;
                }
                Step::Exclusive => exclusive |= self.frame(page.pfn).refs() == 1,
                Step::SetPte => self.set_pte(page, exclusive, false),
                Step::SetPteRestores => self.set_pte(page, exclusive, true),
            }
        }
        let sole = self.frame(page.pfn).refs() == 1;
        if page.write && sole && !exclusive {
            self.fail("mapped read-only for its only owner");
        }
    }

    fn restore<'a>(&self, page: &Incoming<'_>, held: Held<'a>) -> Held<'a> {
        let Incoming { entry, pfn, .. } = *page;
        let frame = self.frame(pfn);
        let held = self.does(
            || format!("arch_swap_restore(slot {}, page {pfn})", entry.offset()),
            || {
                let tags = self.machine.tags();
                match held {
                    Held::Unrestored(reference) => {
                        let range = slot(entry);
                        hooks::swap_restore(tags, reference, range, |_| Some(frame.page()))
                            .map_or(Held::Freed, Held::Restored)
                    }
                    // Freed already: no type forbids to try, but nothing is left to restore.
                    held => {
                        let _ = hooks::restore_folio(tags, slot(entry), |_| Some(frame.page()));
                        held
                    }
                }
            },
        );
        if self.machine.trace.is_on() && self.machine.size.tagged && frame.page().tags().is_none() {
            self.wrong("there is no record any more");
        }
        held
    }

    /// v3: what the record says is written over whatever tags the page has.
    fn restore_over(&self, page: &Incoming<'_>) {
        let frame = self.frame(page.pfn);
        if frame.page().tags().is_none() {
            return;
        }
        self.does(
            || format!("arch_swap_restore(slot {}): overwrites", page.entry.offset()),
            || {
                let mut words = [0; TAG_WORDS];
                if self.machine.tags().restore_page(page.entry, &mut words) {
                    frame.page().override_tags(&words);
                }
            },
        );
        self.check_tags(page, "an older record's tags in place of the page's own");
    }

    fn swap_free(&self, page: &Incoming<'_>, held: Held<'_>) {
        let Incoming { entry, pfn, .. } = *page;
        self.does(
            || format!("swap_free(slot {})", entry.offset()),
            || {
                self.machine.notes(entry).count.fetch_sub(1, SeqCst);
                match held {
                    Held::Restored(restored) => restored.swap_free(),
                    // Where the order frees first there is no proof of a restore: it takes a
                    // discard to write that at all.
                    Held::Unrestored(reference) => reference.discard(),
                    Held::Freed => {}
                }
            },
        );
        if page.write {
            self.free_swap(entry, pfn);
        }
    }

    fn set_pte(&self, page: &Incoming<'_>, exclusive: bool, restores: bool) {
        let Incoming { mm, va, entry, pfn, write, .. } = *page;
        let frame = self.frame(pfn);
        if restores {
            let _ = self.does(
                || format!("set_pte_at(): restores slot {} -> page {pfn}", entry.offset()),
                || hooks::restore_folio(self.machine.tags(), slot(entry), |_| Some(frame.page())),
            );
            self.check_tags(page, "there is no record any more");
        }
        self.does(
            || format!("set_pte_at(page {pfn})"),
            || {
                frame.exclusive.store(exclusive, SeqCst);
                mm.ptes[va].set(Pte::Present { pfn, writable: exclusive && write });
            },
        );
        if self.machine.trace.is_on() {
            if frame.data[0].load(SeqCst) != mm.ptes[va].written.load(SeqCst) {
                self.wrong("stale data: not what was written last");
            }
            self.check_tags(page, "visible to user space without its tags");
        }
    }

    /// Marks the last step where the page does not have the tags it should.
    fn check_tags(&self, page: &Incoming<'_>, why: &str) {
        if self.machine.trace.is_on() && self.machine.size.tagged {
            let written = page.mm.ptes[page.va].written.load(SeqCst);
            if !self.frame(page.pfn).has_tags(tag_pattern(page.va, written)) {
                self.wrong(why);
            }
        }
    }
}
