//! Threads on few leaves of few trees, which grow, shrink and are used again under all of them, in
//! the order that a schedule says. Each entry has one writer, who knows what it must hold.
//!
//! `MTESWAP_SCHEDULES=FIRST..END` explores others than the first 20,000.

#![cfg(feature = "shuttle")]

use std::{
    alloc::Layout,
    collections::BTreeMap,
    env,
    ops::Range,
    ptr::NonNull,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use mteswap::{
    entry::{EntryRange, SwapEntry, SwapType},
    error::Error,
    host::{AllocFlags, Host, Warning},
    store::TagStore,
    sync::AtomicU32,
    tags::Page4K,
};
use mteswap_lab::{model::host::LabHost, schedule};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use shuttle::thread;

type Store = TagStore<Stingy, Page4K>;
type Tags = [u64; 16];

/// Two to so many.
const THREADS_MAX: u64 = 4;
/// Of all threads of a schedule.
const STEPS: u64 = 36;

/// In its lowest leaf, beside it, and where it has to grow by one node and by several; from each
/// on, every thread has a slot of its own, and every place has leaves beside it. A schedule has
/// some of them: on few, what dies is soon in its old place again.
const OFFSETS: [u64; 6] = [0, 64, 4096, 4096 + 64, 3 * 4096, 1 << 24];
/// Where the threads' folios are, one behind the other: the first lies in two leaves.
const FOLIOS: u64 = 8192 + 61;
const FOLIO: u64 = 6;

/// A machine that refuses one allocation in four in every other schedule, and counts its bytes.
#[derive(Clone)]
struct Stingy {
    machine: LabHost,
    chance: Option<Arc<Mutex<SmallRng>>>,
    held: Arc<AtomicUsize>,
}

impl Stingy {
    fn new(seed: u64) -> Self {
        let chance = (seed % 2 == 0).then(|| Arc::new(Mutex::new(SmallRng::seed_from_u64(!seed))));
        Self { machine: LabHost::default(), chance, held: Arc::default() }
    }
}

// SAFETY: the laboratory's host, but for allocations that fail.
unsafe impl Host for Stingy {
    type Lock = <LabHost as Host>::Lock;
    type Cookie = ();

    fn alloc(&self, layout: Layout, flags: AllocFlags) -> Option<NonNull<u8>> {
        if self.chance.as_ref().is_some_and(|chance| chance.lock().unwrap().random_bool(0.25)) {
            return None;
        }
        self.held.fetch_add(layout.size(), SeqCst);
        self.machine.alloc(layout, flags)
    }

    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout) {
        self.held.fetch_sub(layout.size(), SeqCst);
        // SAFETY: the caller's promise.
        unsafe { self.machine.free(ptr, layout) }
    }

    fn enter(&self) {}

    fn exit(&self, (): ()) {}

    fn wait(&self, word: &AtomicU32, expected: u32) {
        self.machine.wait(word, expected);
    }

    fn wake(&self, word: &AtomicU32) {
        self.machine.wake(word);
    }

    fn warn(&self, warning: Warning) {
        self.machine.warn(warning);
    }
}

/// The tree of all threads.
fn shared() -> SwapType {
    SwapType::new(3).unwrap()
}

/// A tree that one thread has to itself.
fn own(thread: u64) -> SwapType {
    SwapType::new(4 + thread as u32).unwrap()
}

fn entry(ty: SwapType, offset: u64) -> SwapEntry {
    SwapEntry::new(ty, offset).unwrap()
}

/// A tree of which everyone drops what there is.
fn everyones() -> SwapType {
    SwapType::new(31).unwrap()
}

/// What each page's tags begin with, times its number.
const PAGE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Tags of page `number` that are like no other's.
fn payload(number: u64) -> Tags {
    std::array::from_fn(|i| PAGE.wrapping_mul(number * 16 + i as u64))
}

/// True if these are the tags of one page, whole, and of a page of `thread`, where they tell.
fn are_of(tags: &Tags, thread: u64) -> bool {
    let first = tags[0];
    if tags.iter().all(|word| *word == first) {
        return first % 0x1111_1111_1111_1111 == 0;
    }
    (thread..(STEPS + 1) * FOLIO * THREADS_MAX)
        .step_by(THREADS_MAX as usize)
        .any(|number| payload(number) == *tags)
}

/// Does at random what users of a store do, with entries of its own, and looks at others'.
struct Worker {
    store: Arc<Store>,
    seed: u64,
    thread: u64,
    threads: u64,
    offsets: Arc<[u64]>,
    random: SmallRng,
    /// Pages that got tags.
    pages: u64,
    /// What its entries must hold; those in everyone's tree may hold nothing, too.
    mine: BTreeMap<SwapEntry, Tags>,
}

impl Worker {
    /// Tags of one more page: one tag, which lies in its slot, or a payload, which is like no other.
    fn tags(&mut self) -> Tags {
        self.pages += 1;
        let number = self.pages * THREADS_MAX + self.thread;
        if self.random.random_bool(0.5) {
            return [(number % 15 + 1) * 0x1111_1111_1111_1111; 16];
        }
        payload(number)
    }

    fn offset(&mut self) -> u64 {
        self.offsets[self.random.random_range(0..self.offsets.len())]
    }

    fn entry(&mut self) -> SwapEntry {
        let offset = self.offset() + self.thread;
        match self.random.random_range(0..9) {
            0 => self.folio().first(),
            1 => entry(own(self.thread), offset),
            2 => entry(everyones(), offset),
            _ => entry(shared(), offset),
        }
    }

    /// A part of its folio.
    fn folio(&mut self) -> EntryRange {
        let start = self.random.random_range(0..FOLIO);
        let nr = self.random.random_range(1..=FOLIO - start) as usize;
        EntryRange::new(entry(shared(), FOLIOS + self.thread * FOLIO + start), nr).unwrap()
    }

    /// True if this schedule's machine refuses memory.
    fn may_lack(&self) -> bool {
        self.store.host().chance.is_some()
    }

    /// True if it was done; false, and all is as before, where there was no memory.
    fn done(&self, result: Result<(), Error>) -> bool {
        match result {
            Ok(()) => true,
            Err(Error::NoMemory) if self.may_lack() => false,
            Err(error) => panic!("{error:?} in schedule {}", self.seed),
        }
    }

    fn step(&mut self) {
        let at = self.entry();
        match self.random.random_range(0..20) {
            0..6 => {
                let tags = self.tags();
                if self.done(self.store.save(at, &tags, AllocFlags::empty())) {
                    self.mine.insert(at, tags);
                }
            }
            6..10 => {
                self.store.invalidate(at);
                self.mine.remove(&at);
            }
            10 => {
                let to = self.entry();
                let moved = self.store.move_record(at, to, AllocFlags::empty());
                match (moved, self.mine.get(&at).copied()) {
                    (Ok(()), Some(tags)) => {
                        self.mine.remove(&at);
                        self.mine.insert(to, tags);
                    }
                    (Err(Error::NoEntry), known) => {
                        assert!(known.is_none() || at.swap_type() == everyones());
                    }
                    (Err(Error::NoMemory), Some(_)) if self.may_lack() => {}
                    (moved, known) => panic!("{at:?} to {to:?}: {moved:?} of {known:?}"),
                }
            }
            11 => {
                let range = self.folio();
                let pages: Vec<_> = (0..range.len())
                    .map(|_| self.random.random_bool(0.8).then(|| self.tags()))
                    .collect();
                let page = |i| pages[i as usize];
                if self.done(self.store.save_range(range, page, AllocFlags::empty())) {
                    let pages = (0..).zip(pages);
                    self.mine.extend(pages.filter_map(|(i, tags)| Some((range.get(i)?, tags?))));
                }
            }
            12 => {
                let range = self.folio();
                self.store.invalidate_range(range);
                (0..range.len()).filter_map(|i| range.get(i)).for_each(|at| {
                    self.mine.remove(&at);
                });
            }
            13 => {
                let ty = own(self.thread);
                self.store.invalidate_area(ty);
                self.mine.retain(|at, _| at.swap_type() != ty);
            }
            14 => {
                let offset = self.offset();
                let nr = if self.random.random_bool(0.5) { 4096 } else { 64 };
                self.store
                    .invalidate_range(EntryRange::new(entry(everyones(), offset), nr).unwrap());
            }
            15 => self.store.invalidate_area(everyones()),
            16 => {
                let nr = self.random.random_range(0..3);
                self.done(self.store.reserve(nr));
            }
            17 => self.next(at),
            18 => self.look_at_another(),
            _ => self.drop_in_leaf(at),
        }
        let at = self.entry();
        self.check(at);
    }

    /// What comes next is no further than the next of its own, and is what that holds.
    fn next(&self, at: SwapEntry) {
        let mut tags = [0; 16];
        let next = self.store.next(at, &mut tags);
        let stays = |at: &SwapEntry| at.swap_type() != everyones();
        let mine = self.mine.range(at..).find(|(at, _)| stays(at)).map(|(at, _)| *at);
        assert!(mine.is_none_or(|mine| next.is_some_and(|next| next <= mine)), "{at:?}: {next:?}");
        if let Some(known) = next.and_then(|next| self.mine.get(&next)) {
            assert_eq!(tags, *known, "{next:?} in schedule {}", self.seed);
        }
    }

    /// Another's entry holds nothing, or tags that its owner gave it.
    fn look_at_another(&mut self) {
        let owner = self.random.random_range(0..self.threads);
        let ty = if self.random.random_bool(0.7) { shared() } else { own(owner) };
        let at = entry(ty, self.offset() + owner);
        let mut tags = [0; 16];
        if self.store.restore(at, &mut tags) {
            assert!(are_of(&tags, owner), "{at:?} in schedule {}: {tags:x?}", self.seed);
        }
    }

    /// Drops its own record by a range, which no hint leads to.
    fn drop_in_leaf(&mut self, at: SwapEntry) {
        self.store.invalidate_range(EntryRange::new(at, 1).unwrap());
        self.mine.remove(&at);
    }

    fn check(&self, at: SwapEntry) {
        let mut tags = [0; 16];
        let found = self.store.restore(at, &mut tags).then_some(tags);
        let known = self.mine.get(&at).copied();
        let dropped = found.is_none() && at.swap_type() == everyones();
        assert!(found == known || dropped, "{at:?} in schedule {}: {found:x?}", self.seed);
    }

    fn run(mut self) {
        (0..STEPS / self.threads).for_each(|_| self.step());
        for at in self.mine.keys().copied().collect::<Vec<_>>() {
            self.check(at);
            self.store.invalidate(at);
        }
    }
}

/// One schedule, to its end.
fn run(seed: u64) {
    let host = Stingy::new(seed);
    let store = Arc::new(Store::new(host.clone()));
    let mut random = SmallRng::seed_from_u64(seed);
    let threads = random.random_range(2..=THREADS_MAX);
    let wanted = random.random_range(1..=OFFSETS.len());
    let offsets: Arc<[u64]> =
        (0..wanted).map(|_| OFFSETS[random.random_range(0..OFFSETS.len())]).collect();
    let threads: Vec<_> = (0..threads)
        .map(|thread| Worker {
            store: Arc::clone(&store),
            seed,
            thread,
            threads,
            offsets: Arc::clone(&offsets),
            random: SmallRng::seed_from_u64(seed * THREADS_MAX + thread),
            pages: 0,
            mine: BTreeMap::new(),
        })
        .map(|worker| thread::spawn(|| worker.run()))
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(store.stats().entries, 0, "schedule {seed}");
    drop(store);
    assert_eq!(host.held.load(SeqCst), 0, "bytes held after schedule {seed}");
    assert_eq!(host.machine.warnings(), 0, "schedule {seed}");
}

fn schedules() -> Range<u64> {
    let Ok(asked) = env::var("MTESWAP_SCHEDULES") else { return 1..20_001 };
    let parsed = asked.split_once("..").and_then(|(first, end)| {
        let range = first.parse().ok()?..end.parse().ok()?;
        (!range.is_empty()).then_some(range)
    });
    parsed.unwrap_or_else(|| panic!("MTESWAP_SCHEDULES={asked} is not FIRST..END"))
}

#[test]
fn tag_13_tag_14_threads_on_few_leaves_lose_and_mix_nothing_in_any_schedule() {
    let explored = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&explored);
    let wanted = schedules();
    schedule::explore_with_stalls(wanted.clone(), move |seed| {
        run(seed);
        count.fetch_add(1, SeqCst);
        true
    });
    assert_eq!(explored.load(SeqCst), wanted.end - wanted.start);
    println!("schedules {wanted:?}");
}
