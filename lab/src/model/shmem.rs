//! Shared memory: pages belong to an object, and its slots to the object's index, not to PTEs.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use mteswap::{entry::SwapEntry, hooks};

use super::{
    Cpu, Machine,
    cache::slot,
    fault::tag_pattern,
    frame::Pfn,
    table::{Mm, Pte, PteSlot},
    variant::Step,
};
use crate::sync::Lock;

/// What an object has at an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    None,
    Page(Pfn),
    Swap(SwapEntry),
}

/// A shared memory object.
pub struct Shmem {
    places: Vec<Lock<Place>>,
    written: Vec<Arc<AtomicU64>>,
}

impl Machine {
    /// `mappings` address spaces that map one object of `pages` pages.
    pub fn new_shmem(&self, pages: usize, mappings: usize) -> Vec<Arc<Mm>> {
        let object = Arc::new(Shmem {
            places: (0..pages).map(|_| Lock::new(Place::None)).collect(),
            written: (0..pages).map(|_| Arc::default()).collect(),
        });
        let ptes = || object.written.iter().map(|written| PteSlot::new(Arc::clone(written)));
        (0..mappings).map(|_| self.add_mm(ptes().collect(), Some(Arc::clone(&object)))).collect()
    }
}

impl Shmem {
    fn place(&self, index: usize) -> Place {
        *self.places[index].lock()
    }

    /// References that the object has to a slot.
    pub fn references(&self, entry: SwapEntry) -> usize {
        (0..self.places.len()).filter(|index| self.place(*index) == Place::Swap(entry)).count()
    }

    /// References that the object has to a frame.
    pub fn holds(&self, pfn: Pfn) -> usize {
        (0..self.places.len()).filter(|index| self.place(*index) == Place::Page(pfn)).count()
    }
}

impl Cpu<'_> {
    /// `shmem_fault`: finds the object's page, or makes it, and maps it.
    pub(super) fn shmem_fault(&self, mm: &Mm, va: usize) {
        let Some(object) = &mm.shmem else { return };
        match object.place(va) {
            Place::None => self.shmem_new_page(object, va),
            Place::Swap(entry) => self.shmem_swapin(object, va, entry),
            Place::Page(pfn) => {
                let frame = self.frame(pfn);
                if !frame.try_get() {
                    return;
                }
                let folio = frame.lock.lock();
                let table = mm.ptes[va].lock.lock();
                let maps = object.place(va) == Place::Page(pfn) && mm.ptes[va].load() == Pte::None;
                if maps {
                    self.does(
                        || format!("set_pte_at(page {pfn}), by {}", mm.name),
                        || mm.ptes[va].set(Pte::Present { pfn, writable: true }),
                    );
                }
                drop(table);
                drop(folio);
                if !maps {
                    self.machine.frames.put(pfn);
                }
            }
        }
    }

    fn shmem_new_page(&self, object: &Shmem, index: usize) {
        let Some(pfn) = self.alloc() else { return };
        let frame = self.frame(pfn);
        frame.data.iter().for_each(|word| word.store(0, SeqCst));
        if self.machine.size.tagged {
            frame.page().zero_fresh().expect("nobody else knows of a fresh page");
        }
        let mut place = object.places[index].lock();
        if *place == Place::None {
            *place = Place::Page(pfn);
        } else {
            drop(place);
            self.machine.frames.put(pfn);
        }
    }

    /// `shmem_swapin_folio`: no mm and no vma here, so tags come back by the entry alone (HOOK-2).
    fn shmem_swapin(&self, object: &Shmem, index: usize, entry: SwapEntry) {
        let cached = self
            .does(|| format!("shmem_swapin_folio(slot {})", entry.offset()), || self.cached(entry));
        let Some(pfn) = cached else { return self.read_to_cache(entry) };
        let frame = self.frame(pfn);
        let folio = frame.lock.lock();
        if self.is_cached_for(pfn, entry) && object.place(index) == Place::Swap(entry) {
            self.shmem_install(object, index, entry, pfn);
        }
        drop(folio);
        self.machine.frames.put(pfn);
    }

    fn shmem_install(&self, object: &Shmem, index: usize, entry: SwapEntry, pfn: Pfn) {
        let frame = self.frame(pfn);
        let Ok(reference) = self.machine.swap.slot_ref(slot(entry)) else { return };
        let hook = self.machine.order.install.contains(&Step::Restore);
        let restored = hook.then(|| {
            self.does(
                || format!("arch_swap_restore(slot {}, page {pfn})", entry.offset()),
                || {
                    let page = |_| Some(frame.page());
                    hooks::swap_restore(self.machine.tags(), reference, slot(entry), page)
                },
            )
        });
        self.does(
            || format!("shmem_add_to_page_cache(page {pfn})"),
            || {
                frame.get();
                *object.places[index].lock() = Place::Page(pfn);
            },
        );
        self.does(
            || format!("delete_from_swap_cache(), swap_free(slot {})", entry.offset()),
            || {
                self.uncache(entry, pfn);
                self.machine.notes(entry).count.fetch_sub(1, SeqCst);
                match restored {
                    Some(Ok(restored)) => restored.swap_free(),
                    _ => {
                        if let Ok(reference) = self.machine.swap.slot_ref(slot(entry)) {
                            reference.discard();
                        }
                    }
                }
            },
        );
        let written = object.written[index].load(SeqCst);
        if self.machine.size.tagged && !frame.has_tags(tag_pattern(index, written)) {
            self.wrong("nobody restored its tags, and the record is gone");
        }
    }

    /// `shmem_writepage`: the index refers to the slot from now on, PTEs to nothing. The folio is
    /// locked and the caller's.
    pub(super) fn swap_out_shmem(&self, object: &Shmem, index: usize, pfn: Pfn) {
        let Some(entry) = self.add_to_swap(pfn) else { return };
        self.does(
            || "unmaps it everywhere".into(),
            || {
                let mms = self.machine.mms.lock().clone();
                for mm in mms.iter().filter(|mm| mm.shmem.is_some()) {
                    let pte = &mm.ptes[index];
                    let _table = pte.lock.lock();
                    if matches!(pte.load(), Pte::Present { pfn: now, .. } if now == pfn) {
                        pte.change(Pte::None);
                        self.machine.frames.put(pfn);
                    }
                }
            },
        );
        self.does(
            || format!("swap_shmem_alloc(slot {}); index -> slot", entry.offset()),
            || {
                if self.machine.swap.shmem_alloc(slot(entry)).is_ok() {
                    self.machine.notes(entry).count.fetch_add(1, SeqCst);
                    *object.places[index].lock() = Place::Swap(entry);
                    self.machine.frames.put(pfn);
                }
            },
        );
        let written = object.written[index].load(SeqCst);
        if self.frame(pfn).refs() == 2 && self.write_out(entry, pfn, written) {
            self.does(|| format!("<page {pfn} is freed>"), || self.uncache(entry, pfn));
        }
    }

    /// `shmem_unuse`, of one page.
    pub(super) fn shmem_unuse(&self, object: &Shmem, index: usize) {
        if let Place::Swap(entry) = object.place(index) {
            self.shmem_swapin(object, index, entry);
        }
    }
}
