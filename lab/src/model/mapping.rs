//! fork, exit, and swapoff.

use std::sync::{
    Arc,
    atomic::{
        AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
};

use mteswap::{entry::SwapEntry, hooks};

use super::{
    Cpu, PATIENCE,
    cache::slot,
    frame::Pfn,
    install::Incoming,
    table::{Mm, Pte, PteSlot},
};
use crate::sync::relax;

impl Cpu<'_> {
    /// A child that shares every page until someone writes (`copy_present_pte`,
    /// `copy_nonpresent_pte`).
    pub fn fork(&self, parent: &Mm) -> Arc<Mm> {
        self.note(|| format!("fork({})", parent.name));
        let ptes = parent.ptes.iter().map(|pte| {
            let _table = pte.lock.lock();
            let _no_access = pte.access.lock();
            let shared = match pte.load() {
                Pte::None => Pte::None,
                Pte::Present { pfn, writable } if parent.shmem.is_some() => {
                    self.frame(pfn).get();
                    Pte::Present { pfn, writable }
                }
                Pte::Present { pfn, .. } => {
                    self.frame(pfn).get();
                    self.frame(pfn).exclusive.store(false, SeqCst);
                    Pte::Present { pfn, writable: false }
                }
                Pte::Swap { entry, .. } => self.duplicate(entry),
            };
            pte.set(shared);
            let written = if parent.shmem.is_some() {
                Arc::clone(&pte.written)
            } else {
                Arc::new(AtomicU64::new(pte.written.load(SeqCst)))
            };
            let child = PteSlot::new(written);
            child.set(shared);
            child
        });
        let ptes = ptes.collect();
        self.machine.add_mm(ptes, parent.shmem.clone())
    }

    fn duplicate(&self, entry: SwapEntry) -> Pte {
        if let Ok(reference) = self.machine.swap.duplicate(entry) {
            self.machine.notes(entry).count.fetch_add(1, SeqCst);
            let _ = reference.into_entry();
        }
        Pte::Swap { entry, exclusive: false }
    }

    /// Takes every page out of an address space; no swap-in, no restore (HOOK-10).
    pub fn exit(&self, mm: &Mm) {
        self.note(|| format!("exit({})", mm.name));
        for pte in &mm.ptes {
            let table = pte.lock.lock();
            let old = pte.load();
            match old {
                Pte::None => {}
                Pte::Present { .. } => pte.change(Pte::None),
                Pte::Swap { entry, .. } => {
                    pte.set(Pte::None);
                    self.machine.notes(entry).count.fetch_sub(1, SeqCst);
                    if let Ok(reference) = self.machine.swap.slot_ref(slot(entry)) {
                        reference.discard();
                    }
                }
            }
            drop(table);
            let pfn = match old {
                Pte::Present { pfn, .. } => Some(pfn),
                Pte::Swap { entry, .. } => self.cached(entry),
                Pte::None => None,
            };
            if let Some(pfn) = pfn {
                self.free_cached(pfn);
                self.machine.frames.put(pfn);
            }
        }
        mm.alive.store(false, Relaxed);
        self.machine.mms.lock().retain(|other| !std::ptr::eq(&**other, mm));
    }

    /// Takes a folio out of the swap cache if nobody needs it there and its lock is free.
    fn free_cached(&self, pfn: Pfn) {
        let Some(_folio) = self.frame(pfn).lock.try_lock() else { return };
        let cached = self.frame(pfn).slot.load(SeqCst).checked_sub(1);
        if let Some(entry) = cached.and_then(|offset| self.machine.entry(offset.into())) {
            self.free_swap(entry, pfn);
        }
    }

    /// Brings every page back and drops the area's records (HOOK-4).
    pub fn swapoff(&self) {
        self.note(|| "swapoff()".into());
        self.machine.swap_on.store(false, SeqCst);
        for _ in 0..PATIENCE {
            let mms = self.machine.mms.lock().clone();
            for mm in &mms {
                (0..mm.ptes.len()).for_each(|va| self.unuse(mm, va));
                if let Some(object) = &mm.shmem {
                    (0..mm.ptes.len()).for_each(|va| self.shmem_unuse(object, va));
                }
            }
            for offset in 0..self.machine.size.slots as u64 {
                let cached = self.machine.entry(offset).and_then(|entry| self.cached(entry));
                if let Some(pfn) = cached {
                    self.free_cached(pfn);
                    self.machine.frames.put(pfn);
                }
            }
            if self.machine.slots_in_use() == 0 || self.machine.trace.has_failed() {
                let ty = self.machine.swap.swap_type();
                self.does(
                    || "arch_swap_invalidate_area()".into(),
                    || hooks::swap_invalidate_area(self.machine.tags(), ty),
                );
                return;
            }
            relax();
        }
        self.fail("swapoff never ends");
    }

    /// `unuse_pte`.
    fn unuse(&self, mm: &Mm, va: usize) {
        let old = mm.ptes[va].load();
        let Pte::Swap { entry, exclusive } = old else { return };
        if let Some(pfn) = self.cached(entry) {
            self.map_cached(&Incoming { mm, va, entry, exclusive, pfn, write: false }, old);
        } else {
            self.read_to_cache(entry);
        }
    }
}
