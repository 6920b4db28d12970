//! TAG-12: memory of a dropped record tells nothing of the tags that were in it, neither on
//! the library's free lists nor back at the host.
//!
//! The same calls are made twice, on the same addresses, with tags that differ in every
//! granule that has one. If what the host gets back, and what the library keeps, is the same
//! to the byte both times, it does not depend on the tags.

mod common;

use std::{
    alloc::{self, Layout},
    collections::BTreeMap,
    ptr::NonNull,
    sync::{Arc, Mutex, atomic::AtomicU32},
};

use common::{SLEEP, entry, maps, swap_type};
use mteswap::{
    entry::EntryRange,
    host::{AllocFlags, Host, SpinLock, Warning},
    store::TagStore,
    tags::PageSize,
};

/// A piece of memory that hands out the same addresses in the same order after each reset.
struct Arena {
    memory: NonNull<u8>,
    used: usize,
    /// Bytes handed out, those given back among them.
    given: usize,
    /// Blocks given back, by size and alignment.
    free: BTreeMap<(usize, usize), Vec<usize>>,
    /// All bytes that were ever given back, in order.
    told: Vec<u8>,
}

// SAFETY: it owns its memory.
unsafe impl Send for Arena {}

const ARENA: Layout = match Layout::from_size_align(64 << 20, 1 << 16) {
    Ok(layout) => layout,
    Err(_) => panic!("no layout"),
};

impl Arena {
    fn new() -> Self {
        // SAFETY: the size is above zero.
        let memory = NonNull::new(unsafe { alloc::alloc_zeroed(ARENA) }).expect("64 MiB");
        Self { memory, used: 0, given: 0, free: BTreeMap::new(), told: Vec::new() }
    }

    fn reset(&mut self) {
        // SAFETY: nobody else uses it between two runs.
        unsafe { self.memory.write_bytes(0, ARENA.size()) };
        self.used = 0;
        self.given = 0;
        self.free.clear();
        self.told.clear();
    }

    /// What all of its memory holds, in use or not.
    fn all(&self) -> Vec<u8> {
        let memory = NonNull::slice_from_raw_parts(self.memory, self.used);
        // SAFETY: initialised, and nobody writes while the store is at rest.
        unsafe { memory.as_ref() }.to_vec()
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: from `new`, of this layout.
        unsafe { alloc::dealloc(self.memory.as_ptr(), ARENA) }
    }
}

#[derive(Clone)]
struct Listener(Arc<Mutex<Arena>>);

// SAFETY: blocks do not overlap and are handed out again only once given back; nothing
// here calls into the library; the lock is spin's.
unsafe impl Host for Listener {
    type Lock = SpinLock;
    type Cookie = ();

    fn alloc(&self, layout: Layout, _: AllocFlags) -> Option<NonNull<u8>> {
        let mut arena = self.0.lock().unwrap();
        let class = (layout.size(), layout.align());
        let at = match arena.free.get_mut(&class).and_then(Vec::pop) {
            Some(at) => at,
            None => {
                let at = arena.used.next_multiple_of(layout.align());
                arena.used = at + layout.size();
                at
            }
        };
        assert!(arena.used <= ARENA.size());
        arena.given += layout.size();
        // SAFETY: within the arena.
        Some(unsafe { arena.memory.add(at) })
    }

    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout) {
        let mut arena = self.0.lock().unwrap();
        let block = NonNull::slice_from_raw_parts(ptr, layout.size());
        // SAFETY: the caller's memory, all of it once written to.
        arena.told.extend_from_slice(unsafe { block.as_ref() });
        let at = ptr.addr().get() - arena.memory.addr().get();
        arena.free.entry((layout.size(), layout.align())).or_default().push(at);
    }

    fn enter(&self) {}
    fn exit(&self, (): ()) {}
    fn wait(&self, _: &AtomicU32, _: u32) {}
    fn wake(&self, _: &AtomicU32) {}

    fn warn(&self, warning: Warning) {
        panic!("{warning:?}");
    }
}

/// Other tags that an encoder finds as long as the first: 0 stays 0, odd stays odd.
fn disguise(words: &[u64]) -> Vec<u64> {
    const OTHER: [u64; 16] = [0, 3, 4, 1, 2, 7, 8, 5, 6, 11, 12, 9, 14, 15, 10, 13];
    let other = |word: &u64| {
        (0..16).map(|i| OTHER[(word >> (4 * i)) as usize & 15] << (4 * i)).fold(0, |all, n| all | n)
    };
    words.iter().map(other).collect()
}

/// What a run leaves to look at.
struct Traces {
    /// All memory while the secrets were stored.
    full: Vec<u8>,
    /// All memory once they were dropped, with other records still there.
    rest: Vec<u8>,
    /// What the host was given back, until it had everything.
    told: Vec<u8>,
}

/// Saves, replaces, moves and drops `secrets` in every way there is, among records of `others`.
fn live<P: PageSize>(host: &Listener, others: &[Vec<u64>], secrets: &[Vec<u64>]) -> Traces {
    host.0.lock().unwrap().reset();
    let mut store = TagStore::<_, P>::new(host.clone());
    let page = |number: u64| secrets[number as usize % secrets.len()].as_slice();
    // Past the folio's end.
    let nr = (2 * secrets.len() as u64).max(300);
    store.reserve(64).unwrap();
    for offset in 0..nr {
        store.save(entry(offset as u32 % 3, offset), page(offset), SLEEP).unwrap();
        // In the same leaves and slabs, so that these stay.
        let other = others[offset as usize % others.len()].as_slice();
        store.save(entry(offset as u32 % 3, nr + offset), other, SLEEP).unwrap();
    }
    let full = host.0.lock().unwrap().all();
    for offset in (0..nr).step_by(5) {
        store.save(entry(offset as u32 % 3, offset), page(offset + 7), SLEEP).unwrap();
    }
    let folio = EntryRange::new(entry(2, 64), 200).unwrap();
    store.save_range(folio, |i| (i % 3 > 0).then(|| Words(page(i))), SLEEP).unwrap();
    for offset in (0..nr - 3).step_by(33) {
        store.move_record(entry(0, offset), entry(0, offset + 3), SLEEP).unwrap();
    }
    for offset in (0..nr).step_by(2) {
        store.invalidate(entry(offset as u32 % 3, offset));
    }
    for ty in 0..3 {
        store.invalidate_range(EntryRange::new(entry(ty, 0), nr as usize).unwrap());
    }
    let rest = host.0.lock().unwrap().all();
    store.invalidate_area(swap_type(1));
    store.shrink();
    drop(store);
    let arena = host.0.lock().unwrap();
    assert_eq!(arena.told.len(), arena.given, "all of it came back");
    Traces { full, rest, told: arena.told.clone() }
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
}

struct Words<'a>(&'a [u64]);

impl mteswap::tags::TagSource for Words<'_> {
    fn word(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }
}

fn nothing_is_told<P: PageSize>() {
    let host = Listener(Arc::new(Mutex::new(Arena::new())));
    // Of every map, and pages of one tag, which no map of larger pages has many of.
    let mut pages: Vec<Vec<u64>> =
        (0..16).map(|tag| vec![tag * 0x1111_1111_1111_1111; P::WORDS]).collect();
    for map in maps::load() {
        pages.extend(map.pages(P::TAG_BYTES).step_by(9).take(20).map(words));
    }
    let disguised: Vec<_> = pages.iter().map(|page| disguise(page)).collect();
    let one = live::<P>(&host, &pages, &pages);
    let other = live::<P>(&host, &pages, &disguised);
    // The two can be told apart as long as the tags are there.
    assert_eq!(one.full.len(), other.full.len());
    assert!(one.full.iter().zip(&other.full).filter(|(a, b)| a != b).count() > pages.len());
    assert!(one.rest == other.rest, "what the library keeps depends on dropped tags");
    assert!(one.told == other.told, "what the host got back depends on the tags");
}

test_at_every_page_size! {
    tag_12_dropped_tags_leave_no_trace = nothing_is_told;
}
