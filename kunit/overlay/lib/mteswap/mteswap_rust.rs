// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tag store for kernel code in Rust: the C interface behind types that own what they
//! made. `mteswap_rust_kunit.rs` has the tests.

use core::{marker::PhantomData, mem::MaybeUninit, ptr, ptr::NonNull};
use kernel::{error::to_result, page::PAGE_SIZE, prelude::*};

#[path = "mteswap_rust_kunit.rs"]
mod tests;

/// What bindgen makes of `mteswap.h`.
#[expect(dead_code, non_camel_case_types, reason = "made by bindgen")]
#[expect(unreachable_pub, reason = "made by bindgen")]
mod c {
    include!(env!("MTESWAP_BINDINGS"));
}

module! {
    type: Mteswap,
    name: "mteswap_rust",
    author: "mteswap contributors",
    description: "The tag store for swapped-out pages, from Rust",
    license: "Dual MIT/GPL",
}

/// `MTESWAP_TAGS_BYTES`, which bindgen cannot work out: a nibble for each 16 bytes.
const TAGS_BYTES: usize = PAGE_SIZE / 32;

/// The tags of a page, two a byte.
type Tags = [u8; TAGS_BYTES];

/// Those of a page that was never tagged.
const NO_TAGS: Tags = [0; TAGS_BYTES];

/// The module: one store for as long as it is there.
struct Mteswap {
    store: Store,
}

impl kernel::Module for Mteswap {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let store = Store::new()?;
        pr_info!("a store of {} bytes\n", store.stats().index_bytes);
        Ok(Self { store })
    }
}

impl Drop for Mteswap {
    fn drop(&mut self) {
        pr_info!("{} records go\n", self.store.stats().entries);
    }
}

/// A store; its records go with it.
///
/// # Invariants
///
/// The pointer is of a store that was created and not destroyed.
struct Store(NonNull<c::mteswap_store>);

// SAFETY: A store knows no thread.
unsafe impl Send for Store {}
// SAFETY: Any thread may call anything at any time, except beside the store's end and
// `mteswap_shrink()`: the one takes `&mut`, by `drop()`, the other is not called.
unsafe impl Sync for Store {}

impl Store {
    fn new() -> Result<Self> {
        let mut store = ptr::null_mut();
        // SAFETY: `store` is there to be written to.
        to_result(unsafe { c::mteswap_store_create(&mut store) })?;
        // INVARIANT: It was just created, and nobody else has it.
        NonNull::new(store).map(Self).ok_or(ENOMEM)
    }

    /// Keeps tags under an entry. May sleep.
    fn save(&self, entry: u64, tags: &Tags) -> Result {
        // SAFETY: The store is one by the invariant; the tags are as many as are read.
        to_result(unsafe { c::mteswap_save(self.0.as_ptr(), entry, tags.as_ptr().cast()) })
    }

    /// [`save`](Self::save) for who holds spinlocks.
    fn save_atomic(&self, entry: u64, tags: &Tags) -> Result {
        // SAFETY: As in `save()`.
        to_result(unsafe { c::mteswap_save_atomic(self.0.as_ptr(), entry, tags.as_ptr().cast()) })
    }

    /// The tags of an entry, if it has a record; that stays.
    fn restore(&self, entry: u64) -> Result<Option<Tags>> {
        let mut tags = NO_TAGS;
        // SAFETY: The store is one by the invariant; there is room for a page's tags.
        match unsafe { c::mteswap_restore(self.0.as_ptr(), entry, tags.as_mut_ptr().cast()) } {
            0 => Ok(None),
            error @ ..=-1 => Err(Error::from_errno(error)),
            _ => Ok(Some(tags)),
        }
    }

    /// Drops the record of an entry.
    fn invalidate(&self, entry: u64) {
        // SAFETY: The store is one by the invariant.
        unsafe { c::mteswap_invalidate(self.0.as_ptr(), entry) };
    }

    /// Drops all records of a swap type.
    fn invalidate_area(&self, area: u32) {
        // SAFETY: The store is one by the invariant.
        unsafe { c::mteswap_invalidate_area(self.0.as_ptr(), area) };
    }

    /// Gives an entry's record to another entry.
    fn rename(&self, from: u64, to: u64) -> Result {
        // SAFETY: The store is one by the invariant.
        to_result(unsafe { c::mteswap_move(self.0.as_ptr(), from, to) })
    }

    /// The first record at `cursor` or behind it.
    fn next(&self, mut cursor: u64) -> Option<(u64, Tags)> {
        let mut tags = NO_TAGS;
        let to = tags.as_mut_ptr().cast();
        // SAFETY: The store is one by the invariant; the cursor can be written to, and there
        // is room for a page's tags.
        let found = unsafe { c::mteswap_next(self.0.as_ptr(), &mut cursor, to) };
        (found == 1).then_some((cursor, tags))
    }

    fn stats(&self) -> c::mteswap_stats {
        let mut stats = MaybeUninit::<c::mteswap_stats>::zeroed();
        // SAFETY: The store is one by the invariant; all of the statistics can be written to.
        unsafe { c::mteswap_stats(self.0.as_ptr(), stats.as_mut_ptr()) };
        // SAFETY: They are numbers, and were zeroed.
        unsafe { stats.assume_init() }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: It is a store by the invariant, and nobody has it any more.
        unsafe { c::mteswap_store_destroy(self.0.as_ptr()) };
    }
}

/// The slots of a swap area, whose records are in a store that outlives them.
///
/// # Invariants
///
/// The pointer is of a swap of that store that was created and not destroyed.
struct Swap<'a> {
    swap: NonNull<c::mteswap_swap>,
    store: PhantomData<&'a Store>,
}

impl<'a> Swap<'a> {
    fn new(store: &'a Store, area: u32, slots: usize) -> Result<Self> {
        let mut swap = ptr::null_mut();
        // SAFETY: The store is one by its invariant; `swap` is there to be written to.
        to_result(unsafe { c::mteswap_swap_create(store.0.as_ptr(), area, slots, &mut swap) })?;
        // INVARIANT: It was just created, and nobody else has it.
        Ok(Self {
            swap: NonNull::new(swap).ok_or(ENOMEM)?,
            store: PhantomData,
        })
    }

    /// A free slot, with the cache mark.
    fn alloc(&self) -> Result<u64> {
        let mut entry = 0;
        // SAFETY: The swap is one by the invariant; `entry` is there to be written to.
        to_result(unsafe { c::mteswap_swap_alloc(self.swap.as_ptr(), 1, &mut entry) })?;
        Ok(entry)
    }

    fn duplicate(&self, entry: u64) -> Result {
        // SAFETY: The swap is one by the invariant.
        to_result(unsafe { c::mteswap_swap_duplicate(self.swap.as_ptr(), entry) })
    }

    fn free(&self, entry: u64) {
        // SAFETY: The swap is one by the invariant.
        unsafe { c::mteswap_swap_free(self.swap.as_ptr(), entry, 1) };
    }

    /// Ends the cache mark that [`alloc`](Self::alloc) set.
    fn leave_cache(&self, entry: u64) {
        // SAFETY: The swap is one by the invariant.
        unsafe { c::mteswap_swapcache_clear(self.swap.as_ptr(), entry, 1) };
    }

    /// Pins a slot for a swap-in.
    fn pin(&self, entry: u64) -> Result<Pinned<'_>> {
        // SAFETY: The swap is one by the invariant.
        to_result(unsafe { c::mteswap_swapcache_prepare(self.swap.as_ptr(), entry, 1) })?;
        Ok(Pinned { swap: self, entry })
    }
}

impl Drop for Swap<'_> {
    fn drop(&mut self) {
        // SAFETY: It is a swap by the invariant, and nobody has it any more.
        unsafe { c::mteswap_swap_destroy(self.swap.as_ptr()) };
    }
}

/// A slot that nobody else swaps in, until this is dropped.
struct Pinned<'a> {
    swap: &'a Swap<'a>,
    entry: u64,
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        self.swap.leave_cache(self.entry);
    }
}
