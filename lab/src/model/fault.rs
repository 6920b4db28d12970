//! User space's accesses, and the faults they take.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use mteswap::{
    entry::SwapEntry,
    error::Error,
    swap::{SlotRef, Swap, SwapPin},
};

use super::{
    Backing, Cpu, PATIENCE,
    cache::slot,
    frame::{Frame, Pfn},
    host::LabHost,
    install::Incoming,
    table::{Mm, Pte, PteSlot},
    variant::Pinning,
};
use crate::sync::relax;

/// The tags of page `va` once it was written to `written` times: of one tag, of runs, of noise.
pub fn tag_pattern(va: usize, written: u64) -> impl Fn(usize) -> u64 {
    const NIBBLES: u64 = 0x1111_1111_1111_1111;
    let seed = (written << 20 | va as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    move |index| match (written, written % 3) {
        // As it was zeroed.
        (0, _) => 0,
        (_, 0) => NIBBLES * (1 + (seed >> 60) % 15),
        (_, 1) => NIBBLES * (seed >> (4 * (index / 3)) & 15),
        _ => (seed ^ index as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9),
    }
}

/// How a swap-in under way keeps others out.
enum Pin<'a> {
    None,
    Count(SlotRef<'a, LabHost, Backing>),
    Mark(SwapPin<'a, Swap<LabHost, Backing>>),
}

impl<'m> Cpu<'m> {
    /// An access to a page: an instruction, once the PTE lets it through.
    pub fn access(
        &self,
        mm: &Mm,
        va: usize,
        write: bool,
        instruction: impl FnOnce(&Frame, &PteSlot),
    ) {
        let pte = &mm.ptes[va];
        for _ in 0..PATIENCE {
            {
                let _through = pte.access.lock();
                match pte.load() {
                    Pte::Present { pfn, writable } if writable || !write => {
                        self.machine.spins[self.number].store(0, Relaxed);
                        return instruction(self.frame(pfn), pte);
                    }
                    _ => {}
                }
            }
            if self.machine.trace.has_failed() {
                return;
            }
            self.fault(mm, va, write);
        }
        self.fail("the access faults for ever");
    }

    /// Reads a page, and finds what was written last, or fails; `write`s to it after that.
    pub fn touch(&self, mm: &Mm, va: usize, write: bool) {
        self.access(mm, va, write, |frame, pte| {
            let written = pte.written.load(SeqCst);
            let found = frame.data[0].load(SeqCst);
            self.note(|| format!("user {}s: d{found}", if write { "write" } else { "read" }));
            if found != written {
                return self.fail(format!("data lost: finds d{found}, wrote d{written}"));
            }
            if self.machine.size.tagged && !frame.has_tags(tag_pattern(va, written)) {
                return self.fail(format!("tag check fault: the tags are not t{written}"));
            }
            if write {
                frame.data[0].store(written + 1, SeqCst);
                frame.set_tags(tag_pattern(va, written + 1));
                pte.written.store(written + 1, SeqCst);
                self.note(|| format!("user wrote d{0}, t{0}", written + 1));
            }
        });
    }

    /// `handle_pte_fault`.
    fn fault(&self, mm: &Mm, va: usize, write: bool) {
        match mm.ptes[va].load() {
            Pte::None if mm.shmem.is_some() => self.shmem_fault(mm, va),
            Pte::None => self.anonymous_page(mm, va),
            Pte::Swap { entry, exclusive } => self.do_swap_page(mm, va, write, entry, exclusive),
            Pte::Present { writable: false, pfn } if write => self.wp_page(mm, va, pfn),
            Pte::Present { .. } => {}
        }
    }

    fn anonymous_page(&self, mm: &Mm, va: usize) {
        let Some(pfn) = self.alloc() else { return };
        let frame = self.frame(pfn);
        frame.data.iter().for_each(|word| word.store(0, Relaxed));
        if self.machine.size.tagged {
            frame.page().zero_fresh().expect("nobody else knows of a fresh page");
        }
        let _table = mm.ptes[va].lock.lock();
        if mm.ptes[va].load() != Pte::None {
            return self.machine.frames.put(pfn);
        }
        frame.exclusive.store(true, SeqCst);
        mm.ptes[va].set(Pte::Present { pfn, writable: true });
    }

    fn do_swap_page(&self, mm: &Mm, va: usize, write: bool, entry: SwapEntry, exclusive: bool) {
        let old = Pte::Swap { entry, exclusive };
        let cached =
            self.does(|| format!("do_swap_page(slot {})", entry.offset()), || self.cached(entry));
        if let Some(pfn) = cached {
            self.map_cached(&Incoming { mm, va, entry, exclusive, pfn, write }, old);
        } else if self.machine.size.direct && self.machine.swap.count(entry) == Ok(1) {
            self.swap_in_direct(mm, va, write, entry, exclusive);
        } else {
            self.read_to_cache(entry);
        }
    }

    /// Swap-in around the swap cache: of a fast device, of a slot with one reference (PIN-5).
    fn swap_in_direct(&self, mm: &Mm, va: usize, write: bool, entry: SwapEntry, exclusive: bool) {
        let early = if self.machine.order.leaks_pin { None } else { self.alloc() };
        if early.is_none() && !self.machine.order.leaks_pin {
            return;
        }
        // The folio is the pin: locked before anyone can find it.
        let by_folio = self.machine.order.pinning == Pinning::Folio;
        let folio = early.filter(|_| by_folio).map(|pfn| self.frame(pfn).lock.lock());
        let Ok(pin) = self.pin(entry, early) else {
            drop(folio);
            early.into_iter().for_each(|pfn| self.machine.frames.put(pfn));
            return;
        };
        let Some(pfn) = early.or_else(|| self.alloc()) else {
            // What the pin's first version did here.
            if let Pin::Mark(pin) = pin {
                let _ = pin.keep();
            }
            return self.wrong("returns without clearing the pin");
        };
        self.read(entry, pfn);
        let old = Pte::Swap { entry, exclusive };
        let table = mm.ptes[va].lock.lock();
        if self.does(|| "pte_same()".into(), || mm.ptes[va].load() == old) {
            self.install(&Incoming { mm, va, entry, exclusive, pfn, write });
        } else {
            self.note(|| format!("<the PTE has changed: frees page {pfn}>"));
            self.machine.frames.put(pfn);
        }
        drop(table);
        self.unpin(entry, pin);
        drop(folio);
    }

    fn pin(&self, entry: SwapEntry, pfn: Option<Pfn>) -> Result<Pin<'m>, ()> {
        let swap = &self.machine.swap;
        let name = entry.offset();
        let pinned = match self.machine.order.pinning {
            Pinning::None => return Ok(Pin::None),
            Pinning::Count => self.does(
                || format!("swap_duplicate(slot {name}), as a pin"),
                || {
                    swap.duplicate(entry).map(Pin::Count).inspect(|_| {
                        self.machine.notes(entry).count.fetch_add(1, SeqCst);
                    })
                },
            ),
            Pinning::Mark | Pinning::Folio => self.does(
                || format!("swapcache_prepare(slot {name})"),
                || {
                    let keeper = self.keeper(pfn.unwrap_or(Pfn(0)));
                    SwapPin::new(swap, slot(entry), keeper).map(Pin::Mark).inspect(|_| {
                        self.machine.notes(entry).pinned.store(true, SeqCst);
                    })
                },
            ),
        };
        pinned.map_err(|error| {
            match error {
                Error::Exists => self.wait_for_pin(entry),
                // The slot is being freed: the PTE is about to change.
                _ => relax(),
            }
        })
    }

    fn unpin(&self, entry: SwapEntry, pin: Pin<'_>) {
        let name = entry.offset();
        match pin {
            Pin::None => {}
            Pin::Count(reference) => self.does(
                || format!("swap_free(slot {name}), the pin"),
                || {
                    self.machine.notes(entry).count.fetch_sub(1, SeqCst);
                    reference.discard();
                },
            ),
            Pin::Mark(pin) => self.does(
                || format!("swapcache_clear(slot {name})"),
                || {
                    self.machine.notes(entry).pinned.store(false, SeqCst);
                    drop(pin);
                },
            ),
        }
    }

    /// Maps a page that was found in the swap cache.
    pub(super) fn map_cached(&self, page: &Incoming<'_>, old: Pte) {
        let Incoming { mm, va, entry, pfn, .. } = *page;
        let folio = self.frame(pfn).lock.lock();
        let table = mm.ptes[va].lock.lock();
        let same = self.is_cached_for(pfn, entry) && mm.ptes[va].load() == old;
        self.note(|| {
            let changed = if same { "" } else { ": it has changed" };
            format!("<page {pfn} is in the swap cache> pte_same(){changed}")
        });
        if same {
            self.install(page);
        }
        drop(table);
        drop(folio);
        if !same {
            self.machine.frames.put(pfn);
        }
    }

    /// `do_wp_page`: a write to a page that is mapped read-only.
    fn wp_page(&self, mm: &Mm, va: usize, pfn: Pfn) {
        let old = Pte::Present { pfn, writable: false };
        let frame = self.frame(pfn);
        let folio = frame.lock.lock();
        // A page known to be exclusive is written to as it is, in the swap cache or not.
        let cached = frame.slot.load(SeqCst).checked_sub(1);
        let shared = !frame.exclusive.load(SeqCst);
        if let Some(entry) = cached.filter(|_| shared).and_then(|at| self.machine.entry(at.into()))
        {
            self.free_swap(entry, pfn);
        }
        let table = mm.ptes[va].lock.lock();
        if mm.ptes[va].load() != old {
            return;
        }
        if frame.exclusive.load(SeqCst) || frame.refs() == 1 {
            return self.does(
                || format!("do_wp_page(): page {pfn} is this mapping's alone"),
                || {
                    frame.exclusive.store(true, SeqCst);
                    mm.ptes[va].set(Pte::Present { pfn, writable: true });
                },
            );
        }
        let Some(copy) = self.alloc() else { return };
        self.does(
            || format!("do_wp_page(): copies page {pfn} to page {copy}"),
            || {
                let new = self.frame(copy);
                new.copy_data(frame);
                new.page().copy_from(&frame.page());
                new.exclusive.store(true, SeqCst);
                mm.ptes[va].change(Pte::Present { pfn: copy, writable: true });
            },
        );
        drop(table);
        drop(folio);
        self.machine.frames.put(pfn);
    }
}
