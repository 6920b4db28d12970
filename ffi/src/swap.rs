//! Swap map and pin.

use core::{
    alloc::Layout,
    ffi::{c_int, c_uint},
    ptr::NonNull,
};

use mteswap::{
    entry::{EntryRange, SwapType},
    error::{Error, Result},
    host::{AllocFlags, Host, Warning},
    swap::{self, Keeper, SlotsFreed, Swap, SwapCache},
};

use crate::{
    args::{self, errno, non_null, range, reference},
    host::KernelHost,
    mteswap_entry_t,
    store::mteswap_store,
};

/// Slots of a cluster, which no range of mteswap_swapcache_prepare() may cross (PIN-2).
pub const MTESWAP_CLUSTER: usize = 512;
const _: () = assert!(MTESWAP_CLUSTER == swap::CLUSTER);

/// The slots of one swap area: how many refer to each, and whose swap-in is under way.
pub struct mteswap_swap(Swap<KernelHost, Records>);

/// The store that has the records of a swap's slots.
///
/// A pointer, since mteswap_shrink() takes the store for itself between calls.
///
/// # Invariants
/// The store counts this among its swaps, and so is not freed: mteswap_store_destroy() leaks
/// it instead.
struct Records(NonNull<mteswap_store>);

impl Records {
    /// # Safety
    /// `store` is to a live store.
    unsafe fn new(store: NonNull<mteswap_store>) -> Self {
        // INVARIANT: counted from here on.
        // SAFETY: the caller's promise.
        unsafe { store.as_ref() }.add_swap();
        Self(store)
    }

    fn store(&self) -> &mteswap_store {
        // SAFETY: live by the invariant; nobody has it exclusively while a call runs.
        unsafe { self.0.as_ref() }
    }
}

impl SlotsFreed for Records {
    fn slots_freed(&self, range: EntryRange) {
        self.store().tags.slots_freed(range);
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.store().remove_swap();
    }
}

/// mteswap_swap_create() - make the swap map of an area
/// @store: where the records of its slots are; must outlive it
/// @type: the area, 0 to 31
/// @slots: their number, 1 to 2^31 - 2; the slots are 0 to @slots - 1, all free
/// @out: where its address goes; written on success only
///
/// Context: Process context. May sleep.
/// Return: 0, -EINVAL, -ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_swap_create(
    store: *mut mteswap_store,
    r#type: c_uint,
    slots: usize,
    out: *mut *mut mteswap_swap,
) -> c_int {
    let create = || -> Result<()> {
        let store = non_null(store)?;
        let out = non_null(out)?;
        let ty = SwapType::new(r#type)?;
        let layout = Layout::new::<mteswap_swap>();
        let memory = KernelHost.alloc(layout, AllocFlags::MAY_SLEEP).ok_or(Error::NoMemory)?;
        // SAFETY: the caller's store.
        let records = unsafe { Records::new(store) };
        let made = Swap::new(KernelHost, records, ty, slots).inspect_err(|_| {
            // SAFETY: allocated above with this layout, and not used.
            unsafe { KernelHost.free(memory, layout) };
        })?;
        let swap = memory.cast::<mteswap_swap>();
        // SAFETY: allocated above with this type's layout, and nobody else's.
        unsafe { swap.write(mteswap_swap(made)) };
        // SAFETY: not NULL; the caller lets this function write there.
        unsafe { out.write(swap.as_ptr()) };
        Ok(())
    };
    errno(create())
}

/// mteswap_swap_destroy() - drop a swap map and the records of its slots
/// @swap: the swap, or NULL
///
/// Slots that are still referenced or pinned are reported to the host
/// (MTESWAP_WARN_SWAP_IN_USE) and go all the same.
///
/// Context: Process context. May sleep. No other call on @swap runs or follows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_swap_destroy(swap: *mut mteswap_swap) {
    let Ok(swap) = non_null(swap) else { return };
    // SAFETY: made by mteswap_swap_create(); no one uses it any more.
    unsafe { swap.drop_in_place() };
    // SAFETY: allocated by mteswap_swap_create() with this layout.
    unsafe { KernelHost.free(swap.cast(), Layout::new::<mteswap_swap>()) };
}

/// mteswap_swap_alloc() - hand out free slots
/// @swap: the swap
/// @nr: how many, a power of two, at most MTESWAP_CLUSTER; consecutive and aligned to @nr
/// @out: where the first one's entry goes; written on success only
///
/// Lowest first at first use, then last freed first. As in Linux, with the cache mark set
/// and count 0: duplicate once a reference, clear when the folio leaves the swap cache.
///
/// Context: Any.
/// Return: 0, -EINVAL, -ENOSPC where no such run is free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_swap_alloc(
    swap: *mut mteswap_swap,
    nr: usize,
    out: *mut mteswap_entry_t,
) -> c_int {
    let alloc = || -> Result<()> {
        // SAFETY: the caller's swap.
        let swap = unsafe { reference(swap) }?;
        let out = non_null(out)?;
        let first = swap.0.alloc(nr)?.keep().first().raw();
        // SAFETY: not NULL; the caller lets this function write there.
        unsafe { out.write(first) };
        Ok(())
    };
    errno(alloc())
}

/// mteswap_swap_duplicate() - take one more reference to a slot
/// @swap: the swap
/// @entry: the slot's entry
///
/// Linux's swap_duplicate() hides -EINVAL and -ENOENT; this does not.
///
/// Context: Any; spinlocks may be held.
/// Return: 0; -EINVAL for an entry of no slot here or a slot of shmem's; -ENOENT for a free
/// or bad slot; -ENOMEM where the count cannot be continued (PIN-1).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_swap_duplicate(
    swap: *mut mteswap_swap,
    entry: mteswap_entry_t,
) -> c_int {
    let duplicate = || -> Result<()> {
        // SAFETY: the caller's swap.
        let swap = unsafe { reference(swap) }?;
        // The reference is C's from here on.
        let _ = swap.0.duplicate(args::entry(entry)?)?.into_entry();
        Ok(())
    };
    errno(duplicate())
}

/// mteswap_swap_free() - drop one reference to each of consecutive slots
/// @swap: the swap
/// @first: the first slot's entry
/// @nr: how many
///
/// A slot without references and cache mark is free, its record gone before it can be
/// handed out again (HOOK-3). Where any slot of the range has no reference, that is
/// reported to the host (MTESWAP_WARN_BAD_SWAP_FREE) and nothing is dropped (PIN-4).
///
/// Context: Any; spinlocks may be held. After mteswap_swap_restore(), never before (HOOK-7).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_swap_free(
    swap: *mut mteswap_swap,
    first: mteswap_entry_t,
    nr: usize,
) {
    // SAFETY: the caller's swap.
    let Ok(swap) = (unsafe { reference(swap) }) else { return };
    match range(first, nr).and_then(|range| swap.0.slot_ref(range)) {
        // That its page was restored before is the caller's to see to.
        Ok(slots) => slots.discard(),
        Err(_) => KernelHost.warn(Warning::BadSwapFree),
    }
}

/// mteswap_swap_count() - how many refer to a slot
/// @swap: the swap
/// @entry: the slot's entry
///
/// Context: Any.
/// Return: References, the cache mark not among them; -ENOENT where the slot is free, bad
/// or not here; -EINVAL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_swap_count(
    swap: *const mteswap_swap,
    entry: mteswap_entry_t,
) -> c_int {
    let count = || -> Result<u32> {
        // SAFETY: the caller's swap.
        let swap = unsafe { reference(swap) }?;
        swap.0.count(args::entry(entry).map_err(|_| Error::NoEntry)?)
    };
    // Counts end far below an int's.
    count().map_or_else(Error::to_errno, |count| count.try_into().unwrap_or(c_int::MAX))
}

/// mteswap_swap_mark_bad() - never hand a slot out
/// @swap: the swap
/// @entry: the slot's entry
///
/// Context: Any.
/// Return: 0, also where it is bad already; -EINVAL where it is in use or no slot here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_swap_mark_bad(
    swap: *mut mteswap_swap,
    entry: mteswap_entry_t,
) -> c_int {
    let mark = || -> Result<()> {
        // SAFETY: the caller's swap.
        let swap = unsafe { reference(swap) }?;
        swap.0.mark_bad(args::entry(entry)?)
    };
    errno(mark())
}

/// mteswap_swap_shmem_alloc() - give consecutive slots to shmem
/// @swap: the swap
/// @first: the first slot's entry; the slots are handed out and have no reference yet
/// @nr: how many
///
/// Such a slot has one reference, which mteswap_swap_free() drops.
///
/// Context: Any.
/// Return: 0; -ENOENT where one is free or bad; -EINVAL where one has references or is no
/// slot here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_swap_shmem_alloc(
    swap: *mut mteswap_swap,
    first: mteswap_entry_t,
    nr: usize,
) -> c_int {
    let alloc = || -> Result<()> {
        // SAFETY: the caller's swap.
        let swap = unsafe { reference(swap) }?;
        swap.0.shmem_alloc(range(first, nr)?)
    };
    errno(alloc())
}

/// mteswap_swapcache_prepare() - pin consecutive slots for a swap-in
/// @swap: the swap
/// @first: the first slot's entry
/// @nr: how many; all of one cluster (PIN-2)
///
/// Sets the cache mark of all or of none (PIN-1). Whoever pinned clears, on error paths too,
/// once (PIN-6).
///
/// Context: Any.
/// Return: 0; -EINVAL for slots that are not here or not of one cluster; -ENOENT for a free
/// or bad slot; -EEXIST where one has the mark.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_swapcache_prepare(
    swap: *mut mteswap_swap,
    first: mteswap_entry_t,
    nr: usize,
) -> c_int {
    let prepare = || -> Result<()> {
        // SAFETY: the caller's swap.
        let swap = unsafe { reference(swap) }?;
        swap.0.swapcache_prepare(range(first, nr)?, Keeper::Mark)
    };
    errno(prepare())
}

/// mteswap_swapcache_clear() - drop the cache mark of consecutive slots
/// @swap: the swap
/// @first: the first slot's entry
/// @nr: how many
///
/// A slot left without references is free, its record gone first (PIN-3). Wakes who waits.
/// Where any slot has no mark, that is reported to the host (MTESWAP_WARN_BAD_CACHE_CLEAR)
/// and nothing is cleared.
///
/// Context: Any; spinlocks may be held.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_swapcache_clear(
    swap: *mut mteswap_swap,
    first: mteswap_entry_t,
    nr: usize,
) {
    // SAFETY: the caller's swap.
    let Ok(swap) = (unsafe { reference(swap) }) else { return };
    match range(first, nr) {
        Ok(range) => swap.0.swapcache_clear(range),
        Err(_) => KernelHost.warn(Warning::BadCacheClear),
    }
}

/// mteswap_swapcache_wait() - wait until a slot is not pinned
/// @swap: the swap
/// @entry: the slot's entry
///
/// For the loser of mteswap_swapcache_prepare(): waits for mteswap_swapcache_clear(), or
/// for a tick at most (PIN-7).
///
/// Context: Process context. May sleep.
/// Return: 0 the slot has no mark, -ETIMEDOUT it still has, -EINVAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_swapcache_wait(
    swap: *mut mteswap_swap,
    entry: mteswap_entry_t,
) -> c_int {
    let wait = || -> Result<()> {
        // SAFETY: the caller's swap.
        let swap = unsafe { reference(swap) }?;
        swap.0.swapcache_wait(args::entry(entry)?)
    };
    errno(wait())
}
