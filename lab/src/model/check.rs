//! What must hold once nothing moves any more.

use std::sync::atomic::Ordering::SeqCst;

use mteswap::{entry::SwapEntry, hooks::KeepTags, swap::SwapCache};

use super::{Cpu, Machine, frame::Pfn, table::Pte};

impl Machine {
    pub(super) fn entry(&self, offset: u64) -> Option<SwapEntry> {
        self.swap.slots().get(offset)
    }

    /// Slots that are neither free nor bad.
    pub fn slots_in_use(&self) -> usize {
        self.size.slots - self.swap.free_slots()
    }

    fn references(&self, of: impl Fn(Pte) -> bool) -> usize {
        let mms = self.mms.lock();
        mms.iter().flat_map(|mm| &mm.ptes).filter(|pte| of(pte.load())).count()
    }
}

impl Cpu<'_> {
    /// Fails where a count, a mark, a record or a reference is left that nobody has.
    pub fn check_at_rest(&self) {
        let machine = self.machine;
        for offset in 0..machine.size.slots as u64 {
            if let Some(fault) = machine.entry(offset).and_then(|entry| machine.check_slot(entry)) {
                return self.fail(format!("slot {offset}: {fault}"));
            }
        }
        for number in 0..machine.size.frames as u32 {
            if let Some(fault) = machine.check_frame(Pfn(number)) {
                return self.fail(format!("page {}: {fault}", Pfn(number)));
            }
        }
        if machine.host.warnings() > 0 {
            self.fail(format!("the library warned {} times", machine.host.warnings()));
        }
    }
}

impl Machine {
    fn check_slot(&self, entry: SwapEntry) -> Option<String> {
        let ptes = self.references(|pte| matches!(pte, Pte::Swap { entry: e, .. } if e == entry));
        let shared = self.mms.lock().iter().find_map(|mm| mm.shmem.clone());
        let wanted = ptes + shared.map_or(0, |object| object.references(entry));
        let cached = self.cache[entry.offset() as usize].load(SeqCst) != 0;
        let pinned = self.swap.keeper(entry).is_some();
        let count = self.swap.count(entry).unwrap_or(0) as usize;
        let notes = self.notes(entry);
        if count != wanted {
            return Some(format!("count {count}, but {wanted} refer to it"));
        }
        if pinned && !cached {
            return Some("pinned, and nobody is left to clear the pin".into());
        }
        if cached && !pinned {
            return Some("its folio is in the swap cache, but it has no mark".into());
        }
        if count == 0 && !pinned && self.tags().has_tags(entry) {
            return Some("free, but its record is still there".into());
        }
        let noted = (notes.count.load(SeqCst) as usize, notes.pinned.load(SeqCst));
        (noted != (count, pinned)).then(|| format!("the trace has it as {noted:?}"))
    }

    fn check_frame(&self, pfn: Pfn) -> Option<String> {
        let mapped = self.references(|pte| matches!(pte, Pte::Present { pfn: p, .. } if p == pfn));
        let shared = self.mms.lock().iter().find_map(|mm| mm.shmem.clone());
        let held = shared.map_or(0, |object| object.holds(pfn));
        let cached = self.cache.iter().filter(|place| place.load(SeqCst) == pfn.0 + 1).count();
        let wanted = mapped + held + cached;
        let refs = self.frames.frame(pfn).refs() as usize;
        (refs != wanted).then(|| format!("{refs} references, but {wanted} are known"))
    }
}
