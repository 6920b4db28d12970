//! Threads on few leaves of one tree: it grows, shrinks and is used again under all of them, in
//! the order that a schedule says. Each entry has one writer, who knows what it must hold.

#![cfg(feature = "shuttle")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use mteswap::{
    entry::{EntryRange, SwapEntry, SwapType},
    host::AllocFlags,
    store::TagStore,
    tags::Page4K,
};
use mteswap_lab::{model::host::LabHost, schedule};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use shuttle::thread;

type Store = TagStore<LabHost, Page4K>;
type Tags = [u64; 16];

const SCHEDULES: u64 = 20_000;
const THREADS: u64 = 3;
const STEPS: usize = 12;

/// In the lowest leaf, beside it, and where the tree has to grow by one node and by several; from
/// each on, every thread has a slot of its own, and every place has leaves beside it.
const OFFSETS: [u64; 5] = [0, 64, 4096, 4096 + 64, 1 << 24];

/// One tag, which lies in its slot, or a payload. They say whose they are, and no two are alike.
fn tags(thread: u64, step: usize, random: &mut SmallRng) -> Tags {
    let one_tag = random.random_bool(0.5);
    let number = (thread as usize * STEPS + step) as u64 + 1;
    if one_tag {
        [(number % 15 + 1) * 0x1111_1111_1111_1111; 16]
    } else {
        std::array::from_fn(|i| 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number * 16 + i as u64 + 1))
    }
}

struct Worker {
    store: Arc<Store>,
    seed: u64,
    thread: u64,
    random: SmallRng,
    /// What its entries must hold.
    mine: BTreeMap<SwapEntry, Tags>,
}

impl Worker {
    fn entry(&mut self) -> SwapEntry {
        let offset = OFFSETS[self.random.random_range(0..OFFSETS.len())] + self.thread;
        SwapEntry::new(SwapType::new(3).unwrap(), offset).unwrap()
    }

    fn step(&mut self, step: usize) {
        let at = self.entry();
        match self.random.random_range(0..8) {
            0..3 => {
                let tags = tags(self.thread, step, &mut self.random);
                self.store.save(at, &tags, AllocFlags::empty()).unwrap();
                self.mine.insert(at, tags);
            }
            3..5 => {
                self.store.invalidate(at);
                self.mine.remove(&at);
            }
            5 => {
                self.store.invalidate_range(EntryRange::new(at, 1).unwrap());
                self.mine.remove(&at);
            }
            6 => {
                let to = self.entry();
                match self.store.move_record(at, to, AllocFlags::empty()) {
                    Ok(()) if at != to => {
                        let moved = self.mine.remove(&at);
                        self.mine.remove(&to);
                        self.mine.extend(moved.map(|tags| (to, tags)));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        let at = self.entry();
        self.check(at);
    }

    fn check(&self, at: SwapEntry) {
        let mut tags = [0; 16];
        let found = self.store.restore(at, &mut tags).then_some(tags);
        assert_eq!(found, self.mine.get(&at).copied(), "{at:?} in schedule {}", self.seed);
    }

    fn end(mut self) {
        for at in std::mem::take(&mut self.mine).into_keys() {
            self.store.invalidate(at);
        }
    }
}

#[test]
fn tag_13_tag_14_threads_on_few_leaves_lose_and_mix_nothing_in_any_schedule() {
    let explored = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&explored);
    schedule::explore(1..1 + SCHEDULES, move |seed| {
        let store = Arc::new(Store::new(LabHost::default()));
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| Worker {
                store: Arc::clone(&store),
                seed,
                thread,
                random: SmallRng::seed_from_u64(seed * THREADS + thread),
                mine: BTreeMap::new(),
            })
            .collect();
        let threads: Vec<_> = workers
            .into_iter()
            .map(|mut worker| {
                thread::spawn(move || {
                    (0..STEPS).for_each(|step| worker.step(step));
                    worker.end();
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap_or_else(|_| panic!("schedule {seed}"));
        }
        assert_eq!(store.stats().entries, 0, "schedule {seed}");
        assert_eq!(store.host().warnings(), 0, "schedule {seed}");
        count.fetch_add(1, SeqCst);
        true
    });
    assert_eq!(explored.load(SeqCst), SCHEDULES);
}
