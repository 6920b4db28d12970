//! The stores under measurement, behind one trait.

use std::{
    alloc::Layout,
    cell::Cell,
    collections::BTreeMap,
    ffi::{c_uint, c_void},
    hint::black_box,
    ptr::NonNull,
    sync::Arc,
};

use mteswap::{
    entry::{EntryRange, SwapEntry, SwapType},
    host::{AllocFlags, Host, SpinLock, Warning},
    store::TagStore,
    tags::Page4K,
};

use crate::pages::Tags;

/// Entries are raw values, `type << 58 | offset`.
pub(crate) trait Store: Sync {
    const NAME: &str;
    fn save(&self, entry: u64, tags: &Tags);
    fn restore(&self, entry: u64, tags: &mut Tags) -> bool;
    fn invalidate(&self, entry: u64);
    fn invalidate_area(&self, ty: u32);
    /// A folio, from its first entry on. Where a store has no call for it, page by page, as
    /// mteswap.c does.
    fn save_range<'a>(&self, first: u64, nr: usize, page: impl Fn(u64) -> &'a Tags) {
        (0..nr as u64).for_each(|i| self.save(first + i, page(i)));
    }
    /// Returns how many pages had a record.
    fn restore_range(&self, first: u64, tags: &mut [Tags]) -> usize {
        (first..).zip(tags).map(|(entry, tags)| usize::from(self.restore(entry, tags))).sum()
    }
    fn invalidate_range(&self, first: u64, nr: usize) {
        (first..).take(nr).for_each(|entry| self.invalidate(entry));
    }
}

pub(crate) fn first_of(ty: u32) -> u64 {
    u64::from(ty) << 58
}

mod c {
    use super::{c_uint, c_void};
    unsafe extern "C" {
        pub(super) fn slab_alloc(size: usize, align: usize) -> *mut c_void;
        pub(super) fn slab_free(object: *mut c_void, size: usize);
        pub(super) fn slab_use_processor(processor: c_uint);
        pub(super) safe fn slab_live() -> i64;
        pub(super) fn slab_keep_order_of_frees();
        pub(super) safe fn pages_make_large();
        pub(super) fn kernel_save(entry: u64, tags: *const u64) -> i32;
        pub(super) fn kernel_restore(entry: u64, tags: *mut u64) -> bool;
        pub(super) safe fn kernel_invalidate(entry: u64);
        pub(super) safe fn kernel_invalidate_area(first: u64, last: u64);
    }
}

/// Bytes the stores hold from the bench's allocator.
pub(crate) fn bytes_held() -> i64 {
    c::slab_live()
}

/// Makes giving memory back one push, and its order that of the calls: for who counts instructions, where a slab's
/// bookkeeping would be most of what it takes to drop a page. To be called before any store is used.
pub(crate) fn keep_order_of_frees() {
    // SAFETY: nothing was allocated, by this function's contract, so no slab's books are wrong by it.
    unsafe { c::slab_keep_order_of_frees() }
}

/// Has all memory of that allocator in large pages. To be called before any store is used: later on it is too late for some.
pub(crate) fn make_pages_large() {
    c::pages_make_large();
}

thread_local! {
    /// The processor that this thread is kept to.
    static PROCESSOR: Cell<usize> = const { Cell::new(0) };
}

/// Says which processor this thread is kept to, of which no other thread says so at the time.
pub(crate) fn set_processor(number: u32) {
    PROCESSOR.set(number as usize);
    // SAFETY: by this function's contract.
    unsafe { c::slab_use_processor(number) }
}

/// Memory from the bench's allocator; nothing to switch off and on around locks, as on
/// the kernel's side.
#[derive(Clone, Copy)]
pub(crate) struct BenchHost;

// SAFETY: `slab_alloc` hands memory of the layout to one owner at a time; nothing
// interrupts a thread to call into the store.
unsafe impl Host for BenchHost {
    type Lock = SpinLock;
    type Cookie = ();

    #[inline]
    fn alloc(&self, layout: Layout, _: AllocFlags) -> Option<NonNull<u8>> {
        // SAFETY: takes any size that is a multiple of its alignment.
        let at = unsafe { c::slab_alloc(layout.pad_to_align().size(), layout.align()) };
        NonNull::new(at.cast())
    }

    #[inline]
    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout) {
        // SAFETY: by the caller's promise it came from `alloc` with this layout.
        unsafe { c::slab_free(ptr.as_ptr().cast(), layout.pad_to_align().size()) }
    }

    #[inline]
    fn enter(&self) {}
    #[inline]
    fn exit(&self, (): ()) {}
    #[inline]
    fn processor(&self) -> usize {
        PROCESSOR.get()
    }
    fn wait(&self, _: &core::sync::atomic::AtomicU32, _: u32) {
        std::thread::yield_now();
    }
    fn wake(&self, _: &core::sync::atomic::AtomicU32) {}
    fn warn(&self, warning: Warning) {
        // For all that the compiler knows it returns, as a kernel's does: what leads here is compiled as it is there.
        assert!(black_box(false), "{warning:?}");
    }
}

/// The library, called from Rust.
pub(crate) struct Ours(pub(crate) TagStore<BenchHost, Page4K>);

impl Ours {
    pub(crate) const fn new() -> Self {
        Self(TagStore::new(BenchHost))
    }
}

#[inline]
fn entry_of(raw: u64) -> SwapEntry {
    SwapEntry::from_raw(raw).expect("a type below 32")
}

impl Store for Ours {
    const NAME: &str = "ours";
    #[inline]
    fn save(&self, entry: u64, tags: &Tags) {
        self.0.save(entry_of(entry), tags, AllocFlags::MAY_SLEEP).expect("memory");
    }
    #[inline]
    fn restore(&self, entry: u64, tags: &mut Tags) -> bool {
        self.0.restore(entry_of(entry), tags)
    }
    #[inline]
    fn invalidate(&self, entry: u64) {
        self.0.invalidate(entry_of(entry));
    }
    fn invalidate_area(&self, ty: u32) {
        self.0.invalidate_area(SwapType::new(ty).expect("a type below 32"));
    }
    fn save_range<'a>(&self, first: u64, nr: usize, page: impl Fn(u64) -> &'a Tags) {
        let range = EntryRange::new(entry_of(first), nr).expect("a range of one type");
        self.0.save_range(range, |i| Some(page(i)), AllocFlags::MAY_SLEEP).expect("memory");
    }
    fn restore_range(&self, first: u64, tags: &mut [Tags]) -> usize {
        let range = EntryRange::new(entry_of(first), tags.len()).expect("a range of one type");
        let mut pages = tags.iter_mut();
        // All of them have records here, so they are asked for in order.
        self.0.restore_range(range, |_| pages.next()) as usize
    }
    fn invalidate_range(&self, first: u64, nr: usize) {
        let range = EntryRange::new(entry_of(first), nr).expect("a range of one type");
        self.0.invalidate_range(range);
    }
}

/// Linux's xarray and a slab of 128 bytes, one in the process.
pub(crate) struct Kernel;

impl Store for Kernel {
    const NAME: &str = "kernel";
    #[inline]
    fn save(&self, entry: u64, tags: &Tags) {
        // SAFETY: it reads the 128 bytes of a page's tags.
        let failed = unsafe { c::kernel_save(entry, tags.as_ptr()) };
        assert_eq!(failed, 0);
    }
    #[inline]
    fn restore(&self, entry: u64, tags: &mut Tags) -> bool {
        // SAFETY: it writes the 128 bytes of a page's tags. The bench invalidates no
        // entry while another thread restores it.
        unsafe { c::kernel_restore(entry, tags.as_mut_ptr()) }
    }
    #[inline]
    fn invalidate(&self, entry: u64) {
        c::kernel_invalidate(entry);
    }
    fn invalidate_area(&self, ty: u32) {
        let area = EntryRange::area(SwapType::new(ty).expect("a type below 32"));
        c::kernel_invalidate_area(first_of(ty), area.last().raw());
    }
}

pub(crate) type Tree = spin::Mutex<BTreeMap<u64, Box<Tags>>>;

impl Store for Tree {
    const NAME: &str = "spin::Mutex<BTreeMap>";
    fn save(&self, entry: u64, tags: &Tags) {
        let tags = Box::new(*tags);
        let old = self.lock().insert(entry, tags);
        drop(old);
    }
    fn restore(&self, entry: u64, tags: &mut Tags) -> bool {
        self.lock().get(&entry).map(|stored| *tags = **stored).is_some()
    }
    fn invalidate(&self, entry: u64) {
        let old = self.lock().remove(&entry);
        drop(old);
    }
    fn invalidate_area(&self, ty: u32) {
        let mut map = self.lock();
        let mut area = map.split_off(&first_of(ty));
        map.append(&mut area.split_off(&first_of(ty + 1)));
        drop(map);
    }
}

pub(crate) type Dash = dashmap::DashMap<u64, Box<Tags>>;

impl Store for Dash {
    const NAME: &str = "dashmap";
    fn save(&self, entry: u64, tags: &Tags) {
        self.insert(entry, Box::new(*tags));
    }
    fn restore(&self, entry: u64, tags: &mut Tags) -> bool {
        self.get(&entry).map(|stored| *tags = **stored).is_some()
    }
    fn invalidate(&self, entry: u64) {
        self.remove(&entry);
    }
    fn invalidate_area(&self, ty: u32) {
        self.retain(|entry, _| entry >> 58 != u64::from(ty));
    }
}

pub(crate) type Scc = scc::HashMap<u64, Box<Tags>>;

impl Store for Scc {
    const NAME: &str = "scc::HashMap";
    fn save(&self, entry: u64, tags: &Tags) {
        self.upsert_sync(entry, Box::new(*tags));
    }
    fn restore(&self, entry: u64, tags: &mut Tags) -> bool {
        self.read_sync(&entry, |_, stored| *tags = **stored).is_some()
    }
    fn invalidate(&self, entry: u64) {
        self.remove_sync(&entry);
    }
    fn invalidate_area(&self, ty: u32) {
        self.retain_sync(|entry, _| *entry >> 58 != u64::from(ty));
    }
}

pub(crate) type Papaya = papaya::HashMap<u64, Box<Tags>>;

impl Store for Papaya {
    const NAME: &str = "papaya";
    fn save(&self, entry: u64, tags: &Tags) {
        self.pin().insert(entry, Box::new(*tags));
    }
    fn restore(&self, entry: u64, tags: &mut Tags) -> bool {
        self.pin().get(&entry).map(|stored| *tags = **stored).is_some()
    }
    fn invalidate(&self, entry: u64) {
        self.pin().remove(&entry);
    }
    fn invalidate_area(&self, ty: u32) {
        self.pin().retain(|entry, _| entry >> 58 != u64::from(ty));
    }
}

pub(crate) type Art = congee::CongeeArc<usize, Tags>;

impl Store for Art {
    const NAME: &str = "congee";
    fn save(&self, entry: u64, tags: &Tags) {
        let stored = self.insert(entry as usize, Arc::new(*tags), &self.pin());
        stored.expect("memory");
    }
    fn restore(&self, entry: u64, tags: &mut Tags) -> bool {
        self.get(entry as usize, &self.pin()).map(|stored| *tags = *stored).is_some()
    }
    fn invalidate(&self, entry: u64) {
        self.remove(entry as usize, &self.pin());
    }
    fn invalidate_area(&self, ty: u32) {
        // It can tell no part of its keys: all, then those of the area.
        for entry in self.keys().into_iter().filter(|entry| entry >> 58 == ty as usize) {
            self.remove(entry, &self.pin());
        }
    }
}

pub(crate) type Hash = spin::Mutex<hashbrown::HashMap<u64, Box<Tags>>>;

impl Store for Hash {
    const NAME: &str = "spin::Mutex<hashbrown>";
    fn save(&self, entry: u64, tags: &Tags) {
        let tags = Box::new(*tags);
        let old = self.lock().insert(entry, tags);
        drop(old);
    }
    fn restore(&self, entry: u64, tags: &mut Tags) -> bool {
        self.lock().get(&entry).map(|stored| *tags = **stored).is_some()
    }
    fn invalidate(&self, entry: u64) {
        let old = self.lock().remove(&entry);
        drop(old);
    }
    fn invalidate_area(&self, ty: u32) {
        self.lock().retain(|entry, _| entry >> 58 != u64::from(ty));
    }
}
