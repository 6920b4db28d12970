//! A page out, and a page in.

use mteswap::{
    entry::{EntryRange, SwapType},
    error::{Error, Result},
    hooks,
    host::AllocFlags,
    store::TagStore,
    swap::{Keeper, Swap, SwapCache, SwapPin},
    tags::Page4K,
};

use crate::{Kernel, KernelHost, PAGE_BYTES, Pte, PteValue};

/// The tags of the pages that are out. One for the machine, in a static.
pub type Store<K> = TagStore<KernelHost<K>, Page4K>;

/// Why a page stayed where it was. Nothing else was harmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageError {
    /// The library refused: no memory, no slot.
    Refused(Error),
    /// The device failed. The page is where it was, in memory or in its slot.
    Device,
    /// Another CPU is at this page: fault again.
    Again,
    /// No frame is free: page something out, fault again.
    NoFrame,
}

impl From<Error> for PageError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// One device to page to.
pub struct Pager<'a, K: Kernel> {
    store: &'a Store<K>,
    swap: Swap<KernelHost<K>, &'a Store<K>>,
}

impl<'a, K: Kernel> Pager<'a, K> {
    /// A device of so many pages (swapon).
    ///
    /// # Errors
    /// [`Error::NoMemory`], [`Error::Invalid`].
    pub fn new(store: &'a Store<K>, area: SwapType, pages: usize) -> Result<Self> {
        Ok(Self { store, swap: Swap::new(store.host().clone(), store, area, pages)? })
    }

    /// Moves the page of `pte` to the device and frees its frame. The caller sees to it that
    /// nobody writes to the page meanwhile: its mapping is invalid, its TLB entries are gone.
    ///
    /// # Errors
    /// The page is in memory still; or, [`PageError::Again`], another CPU has moved it meanwhile.
    pub fn page_out(&self, pte: &impl Pte) -> core::result::Result<(), PageError> {
        let PteValue::Present(frame) = pte.locked(|value| *value) else { return Ok(()) };
        // The pin goes on every way out; a slot without a reference goes with it.
        let pin = self.swap.alloc(1)?;
        let slot = pin.range();
        // Tags before data (HOOK-1).
        hooks::prepare_to_swap(self.store, slot, |_| Some(K::page(frame)), AllocFlags::MAY_SLEEP)?;
        // SAFETY: a frame that is mapped, to which by the caller's word nobody writes.
        let data = unsafe { &*K::phys_to_virt(frame).cast::<[u8; PAGE_BYTES]>() };
        if !K::device_write(slot.first().offset(), data) {
            return Err(PageError::Device);
        }
        let reference = self.swap.duplicate(slot.first())?;
        pte.locked(|value| {
            if *value != PteValue::Present(frame) {
                reference.discard();
                return Err(PageError::Again);
            }
            // The reference is the PTE's from here on.
            *value = PteValue::Swapped(reference.into_entry());
            Ok(())
        })?;
        drop(pin);
        K::dealloc_frame(frame);
        Ok(())
    }

    /// Brings the page of `pte` back: the fault handler (PIN-5). A page that was not tagged comes
    /// back so; where its PTE maps it tagged from now on, [`page::sync`](mteswap::page::sync) clears
    /// its tags before that can be seen (FLAG-6).
    ///
    /// # Errors
    /// The page is in its slot still, tags and all.
    pub fn page_in(&self, pte: &impl Pte) -> core::result::Result<(), PageError> {
        let PteValue::Swapped(entry) = pte.locked(|value| *value) else { return Ok(()) };
        let slot = EntryRange::new(entry, 1)?;
        let pin = match SwapPin::new(&self.swap, slot, Keeper::Mark) {
            Ok(pin) => pin,
            // Someone swaps it in, or has just done so.
            Err(Error::Exists | Error::NoEntry) => {
                // Woken or not: the fault is tried again.
                let _ = self.swap.swapcache_wait(entry);
                return Err(PageError::Again);
            }
            Err(error) => return Err(error.into()),
        };
        let frame = Frame::<K>::new().ok_or(PageError::NoFrame)?;
        if !frame.read(entry.offset()) {
            return Err(PageError::Device);
        }
        let done = pte.locked(|value| {
            if *value != PteValue::Swapped(entry) {
                return Err(PageError::Again);
            }
            let reference = self.swap.slot_ref(slot)?;
            // Tags, then the slot, then the PTE: in another order it does not compile, or
            // loses tags.
            let restored =
                hooks::swap_restore(self.store, reference, slot, |_| Some(K::page(frame.0)))?;
            restored.swap_free();
            *value = PteValue::Present(frame.keep());
            Ok(())
        });
        drop(pin);
        done
    }
}

/// A frame that goes back unless it is kept.
struct Frame<K: Kernel>(usize, core::marker::PhantomData<K>);

impl<K: Kernel> Frame<K> {
    fn new() -> Option<Self> {
        Some(Self(K::alloc_frame()?, core::marker::PhantomData))
    }

    fn read(&self, slot: u64) -> bool {
        // SAFETY: our own frame, mapped, that nobody else has.
        let data = unsafe { &mut *K::phys_to_virt(self.0).cast::<[u8; PAGE_BYTES]>() };
        K::device_read(slot, data)
    }

    fn keep(self) -> usize {
        core::mem::ManuallyDrop::new(self).0
    }
}

impl<K: Kernel> Drop for Frame<K> {
    fn drop(&mut self) {
        K::dealloc_frame(self.0);
    }
}
