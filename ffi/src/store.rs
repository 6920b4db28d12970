//! Tag store.

use core::{
    alloc::Layout,
    ffi::{c_int, c_void},
    sync::atomic::{AtomicUsize, Ordering},
};

use mteswap::{
    error::{Error, Result},
    host::{AllocFlags, Host, Warning},
    store::TagStore,
};

use crate::{
    Page,
    args::{self, TagsIn, TagsOut, errno, non_null, range, reference},
    host::KernelHost,
    mteswap_entry_t,
};

/// The tags of swapped-out pages, by swap entry. Any thread may call anything for any
/// entry at any time (TAG-13), except beside mteswap_store_destroy() and mteswap_shrink().
pub struct mteswap_store {
    pub(crate) tags: TagStore<KernelHost, Page>,
    /// Swaps that refer to this store.
    swaps: AtomicUsize,
}

impl mteswap_store {
    pub(crate) fn host(&self) -> &KernelHost {
        self.tags.host()
    }

    /// Notes a swap that lives on this store.
    pub(crate) fn add_swap(&self) {
        self.swaps.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes the end of one.
    pub(crate) fn remove_swap(&self) {
        // Release: what the swap did to the store comes before the store's end.
        self.swaps.fetch_sub(1, Ordering::Release);
    }
}

/// struct mteswap_stats - what a store holds
///
/// Sixteen words; later versions use more of them. Exact while no other call runs on the
/// store.
///
/// @payload_bytes and @index_bytes together are every byte that the store has from its
/// host: slack, headers, free lists and struct mteswap_store itself included, the reserve
/// apart.
#[repr(C)]
#[derive(Default)]
pub struct mteswap_stats {
    /// @entries: records
    pub entries: u64,
    /// @inline_entries: records that need no payload
    pub inline_entries: u64,
    /// @payload_bytes: held for payloads; 0 once the last record is gone
    pub payload_bytes: u64,
    /// @index_bytes: held for the index, in use or pooled; see mteswap_shrink()
    pub index_bytes: u64,
    /// @reserved_bytes: held in reserve; see mteswap_reserve()
    pub reserved_bytes: u64,
    /// @unused: 0
    pub unused: [u64; 11],
}

/// Copied to where a store is made, never built on the stack: it is larger than that may
/// grow.
#[expect(clippy::declare_interior_mutable_const, reason = "each use is a store of its own")]
const EMPTY: mteswap_store =
    mteswap_store { tags: TagStore::new(KernelHost), swaps: AtomicUsize::new(0) };

/// mteswap_store_create() - make an empty store
/// @out: where its address goes; written on success only
///
/// Context: Process context. May sleep.
/// Return: 0, -EINVAL for NULL, -ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_store_create(out: *mut *mut mteswap_store) -> c_int {
    let create = || -> Result<()> {
        let out = non_null(out)?;
        let layout = Layout::new::<mteswap_store>();
        let memory = KernelHost.alloc(layout, AllocFlags::MAY_SLEEP).ok_or(Error::NoMemory)?;
        let store = memory.cast::<mteswap_store>();
        // SAFETY: allocated above with this type's layout, and nobody else's.
        unsafe { store.write(EMPTY) };
        // SAFETY: not NULL; the caller lets this function write there.
        unsafe { out.write(store.as_ptr()) };
        Ok(())
    };
    errno(create())
}

/// mteswap_store_destroy() - drop every record and give all memory back
/// @store: the store, or NULL
///
/// A store that still has swaps is reported to the host (MTESWAP_WARN_STORE_IN_USE)
/// and leaked.
///
/// Context: Process context. May sleep. No other call on @store runs or follows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_store_destroy(store: *mut mteswap_store) {
    let Ok(store) = non_null(store) else { return };
    // SAFETY: the caller's store, live until the end of this call.
    let shared = unsafe { store.as_ref() };
    // Acquire: pairs with `remove_swap`.
    if shared.swaps.load(Ordering::Acquire) != 0 {
        return shared.host().warn(Warning::StoreInUse);
    }
    // SAFETY: made by mteswap_store_create(); no one uses it any more.
    unsafe { store.drop_in_place() };
    // SAFETY: allocated by mteswap_store_create() with this layout.
    unsafe { KernelHost.free(store.cast(), Layout::new::<mteswap_store>()) };
}

/// # Safety
/// As [`mteswap_save`].
unsafe fn save(
    store: *mut mteswap_store,
    at: mteswap_entry_t,
    tags: *const c_void,
    flags: AllocFlags,
) -> Result<()> {
    // SAFETY: the caller's store.
    let store = unsafe { reference(store) }?;
    // SAFETY: the caller's tags, of one page.
    let tags = unsafe { TagsIn::new(tags) }?;
    store.tags.save(args::entry(at)?, &tags, flags)
}

/// mteswap_save() - keep a page's tags under a swap entry
/// @store: the store
/// @entry: the entry; a record it has already is replaced, its memory wiped and released
/// @tags: MTESWAP_TAGS_BYTES bytes
///
/// Every mteswap_restore() on any CPU that begins after this returned sees the record
/// (TAG-2, TAG-14). An untagged page is not saved (TAG-1): that is the caller's part, or
/// mteswap_prepare_to_swap()'s.
///
/// Context: Process context. May sleep.
/// Return: 0, -EINVAL, -ENOMEM; on an error an older record is as it was (TAG-3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_save(
    store: *mut mteswap_store,
    entry: mteswap_entry_t,
    tags: *const c_void,
) -> c_int {
    // SAFETY: this function's own contract.
    errno(unsafe { save(store, entry, tags, AllocFlags::MAY_SLEEP) })
}

/// mteswap_save_atomic() - mteswap_save() that never sleeps
/// @store: the store
/// @entry: the entry
/// @tags: MTESWAP_TAGS_BYTES bytes
///
/// Context: Any; spinlocks may be held, interrupts may be off.
/// Return: As mteswap_save().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_save_atomic(
    store: *mut mteswap_store,
    entry: mteswap_entry_t,
    tags: *const c_void,
) -> c_int {
    // SAFETY: this function's own contract.
    errno(unsafe { save(store, entry, tags, AllocFlags::empty()) })
}

/// mteswap_restore() - copy the tags of an entry out
/// @store: the store
/// @entry: the entry; its record stays, to be restored again (TAG-4)
/// @tags: room for MTESWAP_TAGS_BYTES bytes; written only where 1 is returned (TAG-5)
///
/// Beside a replacement or invalidation of the same entry it gives one whole record or
/// none (TAG-13).
///
/// Context: Any; spinlocks may be held, interrupts may be off. Allocates nothing (TAG-9).
/// Return: 1 restored, 0 no record, -EINVAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_restore(
    store: *mut mteswap_store,
    entry: mteswap_entry_t,
    tags: *mut c_void,
) -> c_int {
    // SAFETY: the caller's store.
    let store = unsafe { reference(store) };
    // SAFETY: the caller's room for one page's tags.
    let tags = unsafe { TagsOut::new(tags) };
    match (store, args::entry(entry), tags) {
        (Ok(store), Ok(entry), Ok(tags)) => store.tags.restore(entry, tags).into(),
        _ => Error::Invalid.to_errno(),
    }
}

/// mteswap_invalidate() - drop the record of an entry
/// @store: the store
/// @entry: the entry; nothing happens where it has none, or is none (TAG-7)
///
/// The memory is wiped before it goes to a free list or to the host (TAG-12).
///
/// Context: As mteswap_restore().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_invalidate(store: *mut mteswap_store, entry: mteswap_entry_t) {
    // SAFETY: the caller's store.
    if let (Ok(store), Ok(entry)) = (unsafe { reference(store) }, args::entry(entry)) {
        store.tags.invalidate(entry);
    }
}

/// mteswap_move() - give an entry's record to another entry, in one step
/// @store: the store
/// @from: has no record afterwards, unless it is @to
/// @to: its own record, if any, is replaced; may be of another type
///
/// Context: Process context. May sleep.
/// Return: 0, -EINVAL, -ENOENT where @from has no record, -ENOMEM; on an error both are
/// as they were (TAG-16).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_move(
    store: *mut mteswap_store,
    from: mteswap_entry_t,
    to: mteswap_entry_t,
) -> c_int {
    let move_record = || -> Result<()> {
        // SAFETY: the caller's store.
        let store = unsafe { reference(store) }?;
        store.tags.move_record(args::entry(from)?, args::entry(to)?, AllocFlags::MAY_SLEEP)
    };
    errno(move_record())
}

/// mteswap_next() - find the next record, to walk through all of them
/// @store: the store
/// @cursor: where to look from, itself included; set to the entry found, if any. Add 1
///          to go on
/// @tags: room for MTESWAP_TAGS_BYTES bytes; written only where 1 is returned
///
/// Goes through all types in the order of entries. What others save or drop meanwhile may
/// be seen or not.
///
/// Context: As mteswap_restore().
/// Return: 1 found, 0 at the end, -EINVAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_next(
    store: *mut mteswap_store,
    cursor: *mut mteswap_entry_t,
    tags: *mut c_void,
) -> c_int {
    let next = || -> Result<bool> {
        // SAFETY: the caller's store.
        let store = unsafe { reference(store) }?;
        let cursor = non_null(cursor)?;
        // SAFETY: the caller's room for one page's tags.
        let tags = unsafe { TagsOut::new(tags) }?;
        // SAFETY: the caller's cursor.
        let from = args::entry(unsafe { cursor.read() })?;
        let Some(found) = store.tags.next(from, tags) else { return Ok(false) };
        // SAFETY: the caller's cursor.
        unsafe { cursor.write(found.raw()) };
        Ok(true)
    };
    next().map_or_else(Error::to_errno, c_int::from)
}

/// mteswap_reserve() - set memory aside for saves that must not fail
/// @store: the store
/// @nr: afterwards @nr saves of any content, to entries of one run aligned to @nr, cannot
///      fail. Not added to an earlier one; 0 gives the reserve back
///
/// What saves take from the reserve is not refilled.
///
/// Context: Process context. May sleep.
/// Return: 0, -EINVAL where no run can be that long, -ENOMEM; on an error the reserve is
/// as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_reserve(store: *mut mteswap_store, nr: usize) -> c_int {
    let reserve = || -> Result<()> {
        // SAFETY: the caller's store.
        let store = unsafe { reference(store) }?;
        if nr != 0 {
            // No run is longer than an area.
            range(0, nr)?;
        }
        store.tags.reserve(nr)
    };
    errno(reserve())
}

/// mteswap_stats() - tell what a store holds
/// @store: the store
/// @stats: all of it is written
///
/// Context: As mteswap_restore(). Walks the whole index: for people, not for hot paths.
/// Return: 0, -EINVAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_stats(
    store: *const mteswap_store,
    stats: *mut mteswap_stats,
) -> c_int {
    let tell = || -> Result<()> {
        // SAFETY: the caller's store.
        let store = unsafe { reference(store) }?;
        let place = non_null(stats)?;
        let held = store.tags.stats();
        let stats = mteswap_stats {
            entries: held.entries,
            inline_entries: held.inline_entries,
            payload_bytes: held.payload_bytes,
            index_bytes: held.index_bytes.saturating_add(size_of::<mteswap_store>() as u64),
            reserved_bytes: held.reserved_bytes,
            unused: [0; 11],
        };
        // SAFETY: not NULL; the caller lets this function write there.
        unsafe { place.write(stats) };
        Ok(())
    };
    errno(tell())
}

/// mteswap_shrink() - give the index's pooled memory back
/// @store: the store
///
/// Leaves and nodes that fell empty are pooled, because others may be looking at them
/// without a lock. Payloads go back by themselves.
///
/// Context: Any. No other call on @store runs.
/// Return: Bytes given back; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_shrink(store: *mut mteswap_store) -> usize {
    // SAFETY: the caller's store, and by contract no one else uses it now.
    unsafe { store.as_mut() }.map_or(0, |store| store.tags.shrink())
}
