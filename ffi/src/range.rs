//! Tag store: ranges of entries.

use core::ffi::{c_int, c_long, c_uint, c_ulong, c_void};

use mteswap::{entry::SwapType, error::Result, host::AllocFlags, tags::PageSize};

use crate::{
    Page,
    args::{TagsIn, TagsOut, errno, non_null, range, reference},
    mteswap_entry_t,
    store::mteswap_store,
};

/// mteswap_invalidate_range() - drop the records of consecutive entries
/// @store: the store
/// @first: the first entry
/// @nr: how many; nothing happens for 0 or where the range leaves its type (TAG-15)
///
/// Context: As mteswap_restore(). Its time grows with the records there are, not with @nr.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_invalidate_range(
    store: *mut mteswap_store,
    first: mteswap_entry_t,
    nr: usize,
) {
    // SAFETY: the caller's store.
    if let (Ok(store), Ok(range)) = (unsafe { reference(store) }, range(first, nr)) {
        store.tags.invalidate_range(range);
    }
}

/// mteswap_invalidate_area() - drop every record of a swap type
/// @store: the store
/// @type: 0 to 31; nothing happens above
///
/// First and last offset included, and none of another type (TAG-8).
///
/// Context: As mteswap_invalidate_range().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_invalidate_area(store: *mut mteswap_store, r#type: c_uint) {
    // SAFETY: the caller's store.
    if let (Ok(store), Ok(ty)) = (unsafe { reference(store) }, SwapType::new(r#type)) {
        store.tags.invalidate_area(ty);
    }
}

/// mteswap_save_range() - keep the tags of consecutive pages, all or none
/// @store: the store
/// @first: the entry of the first page
/// @nr: number of pages
/// @tags: @nr times MTESWAP_TAGS_BYTES bytes
///
/// Others may see a part of it while it runs (TAG-10).
///
/// Context: Process context. May sleep.
/// Return: 0, -EINVAL, -ENOMEM; on an error every entry is as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_save_range(
    store: *mut mteswap_store,
    first: mteswap_entry_t,
    nr: usize,
    tags: *const c_void,
) -> c_int {
    let save = || -> Result<()> {
        // SAFETY: the caller's store.
        let store = unsafe { reference(store) }?;
        let range = range(first, nr)?;
        // SAFETY: the caller's tags, of `nr` pages.
        let tags = unsafe { TagsIn::new(tags) }?;
        // A range is of `usize` pages, so each index is one.
        store.tags.save_range(range, |i| Some(tags.page(i as usize)), AllocFlags::MAY_SLEEP)
    };
    errno(save())
}

/// mteswap_restore_range() - copy the tags of consecutive entries out
/// @store: the store
/// @first: the first entry
/// @nr: how many
/// @tags: room for @nr times MTESWAP_TAGS_BYTES bytes; where an entry has no record, its
///        part is left as it is
/// @present: NULL, or a bitmap of @nr bits in unsigned longs, all of which are written:
///           bit i is set where entry i had a record
///
/// Context: As mteswap_restore().
/// Return: The number of records restored, or -EINVAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_restore_range(
    store: *mut mteswap_store,
    first: mteswap_entry_t,
    nr: usize,
    tags: *mut c_void,
    present: *mut c_ulong,
) -> c_long {
    let restore = || -> Result<c_long> {
        // SAFETY: the caller's store.
        let store = unsafe { reference(store) }?;
        let range = range(first, nr)?;
        let tags = non_null(tags)?.as_ptr();
        const BITS: usize = c_ulong::BITS as usize;
        store.tags.prefetch(range);
        let mut restored: c_long = 0;
        let mut found: c_ulong = 0;
        for index in 0..nr {
            let bit = index % BITS;
            let Some(entry) = range.get(index as u64) else { break };
            let page = tags.wrapping_byte_add(index.wrapping_mul(Page::TAG_BYTES));
            // SAFETY: the caller's room for the tags of `nr` pages, of which this is one.
            if store.tags.restore(entry, unsafe { TagsOut::new(page) }?) {
                found |= 1 << bit;
                restored = restored.wrapping_add(1);
            }
            // The last bit of a word, or of all.
            if bit.wrapping_add(1) == BITS || index.wrapping_add(1) == nr {
                if !present.is_null() {
                    // SAFETY: one of the words that hold `nr` bits, which the caller lets
                    // this function write.
                    unsafe { present.wrapping_add(index / BITS).write(found) };
                }
                found = 0;
            }
        }
        Ok(restored)
    };
    restore().unwrap_or_else(|error| error.to_errno().into())
}
