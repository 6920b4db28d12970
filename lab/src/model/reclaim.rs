//! Swap-out: a page goes to a slot.

use std::sync::atomic::Ordering::SeqCst;

use mteswap::{entry::SwapEntry, hooks, host::AllocFlags};

use super::{
    Cpu,
    cache::slot,
    frame::Pfn,
    table::{Mm, Pte},
};

impl Cpu<'_> {
    /// Swaps out the page that `va` maps, if it is one. Without `write_back` it only unmaps it,
    /// as reclaim does that may not write now; the page stays in the swap cache.
    pub fn swap_out(&self, mm: &Mm, va: usize, write_back: bool) {
        let Pte::Present { pfn, .. } = mm.ptes[va].load() else { return };
        if !self.frame(pfn).try_get() {
            return;
        }
        let folio = self.frame(pfn).lock.lock();
        let mapped = matches!(mm.ptes[va].load(), Pte::Present { pfn: now, .. } if now == pfn);
        if mapped {
            match &mm.shmem {
                None => self.swap_out_anonymous(mm, va, pfn, write_back),
                Some(object) => self.swap_out_shmem(object, va, pfn),
            }
        }
        drop(folio);
        self.machine.frames.put(pfn);
    }

    fn swap_out_anonymous(&self, mm: &Mm, va: usize, pfn: Pfn, write_back: bool) {
        let cached = self.frame(pfn).slot.load(SeqCst).checked_sub(1);
        let cached = cached.and_then(|offset| self.machine.entry(offset.into()));
        let Some(entry) = cached.or_else(|| self.add_to_swap(pfn)) else { return };
        self.unmap(va, entry, pfn);
        if !write_back {
            return self.note(|| format!("<page {pfn} stays in the swap cache, not written now>"));
        }
        // The cache and this reclaim: nobody else.
        if self.frame(pfn).refs() == 2
            && self.write_out(entry, pfn, mm.ptes[va].written.load(SeqCst))
        {
            self.does(|| format!("<page {pfn} is freed>"), || self.uncache(entry, pfn));
        }
    }

    /// Gives a locked folio a slot, and puts it into the swap cache.
    pub(super) fn add_to_swap(&self, pfn: Pfn) -> Option<SwapEntry> {
        if !self.machine.swap_on.load(SeqCst) {
            return None;
        }
        let pin = self.machine.swap.alloc(1).ok()?;
        // swapoff may have begun meanwhile; it waits for slots that are pinned.
        if !self.machine.swap_on.load(SeqCst) {
            return None;
        }
        let entry = pin.keep().first();
        self.does(
            || format!("add_to_swap(page {pfn}): slot {}", entry.offset()),
            || {
                self.machine.notes(entry).pinned.store(true, SeqCst);
                self.cache(entry, pfn);
            },
        );
        Some(entry)
    }

    /// Replaces every mapping of an anonymous page by its swap entry (`try_to_unmap`).
    fn unmap(&self, va: usize, entry: SwapEntry, pfn: Pfn) {
        let frame = self.frame(pfn);
        let mms = self.machine.mms.lock().clone();
        for mm in mms.iter().filter(|mm| va < mm.ptes.len()) {
            let pte = &mm.ptes[va];
            let _table = pte.lock.lock();
            if !matches!(pte.load(), Pte::Present { pfn: now, .. } if now == pfn) {
                continue;
            }
            self.does(
                || format!("try_to_unmap(): PTE -> slot {}", entry.offset()),
                || {
                    let Ok(reference) = self.machine.swap.duplicate(entry) else { return };
                    self.machine.notes(entry).count.fetch_add(1, SeqCst);
                    let entry = reference.into_entry();
                    pte.change(Pte::Swap { entry, exclusive: frame.exclusive.load(SeqCst) });
                    self.machine.frames.put(pfn);
                },
            );
        }
    }

    /// Saves tags, then writes data (HOOK-1). False where the page has to stay.
    pub(super) fn write_out(&self, entry: SwapEntry, pfn: Pfn, written: u64) -> bool {
        let frame = self.frame(pfn);
        let saved = self.does(
            || format!("arch_prepare_to_swap(page {pfn}): saves t{written}"),
            || {
                let page = |_| Some(frame.page());
                let flags = AllocFlags::MAY_SLEEP;
                let saved = hooks::prepare_to_swap(self.machine.tags(), slot(entry), page, flags);
                if saved == Ok(1) {
                    self.machine.notes(entry).record.store(written + 1, SeqCst);
                }
                saved
            },
        );
        if saved.is_err() {
            return false;
        }
        self.does(
            || format!("swap_writepage(page {pfn}): writes d{written}"),
            || self.machine.device().write(entry.offset(), frame),
        );
        true
    }
}
