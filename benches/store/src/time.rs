//! Nanoseconds a call, the stores taking turns within each round.
//!
//! One thread is measured by the processor's time it had, so that what else the machine does
//! counts only by the caches it empties; two by the wall clock.

use std::{hint::black_box, sync::Barrier, thread, time::Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::{
    pages::{Random, Tags},
    stores::{Store, first_of},
};

/// What one run goes through.
pub(crate) struct Plan<'a> {
    pub(crate) pages: &'a [Tags],
    pub(crate) entries: u64,
    pub(crate) ty: u32,
    /// Offsets in a random order.
    pub(crate) shuffled: Vec<u32>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(pages: &'a [Tags], entries: u32, ty: u32) -> Self {
        let mut shuffled: Vec<u32> = (0..entries).collect();
        Random(2).shuffle(&mut shuffled);
        Self { pages, entries: entries.into(), ty, shuffled }
    }

    pub(crate) fn page(&self, offset: u64) -> &Tags {
        &self.pages[offset as usize % self.pages.len()]
    }

    fn sequential(&self) -> impl Iterator<Item = u64> + use<> {
        0..self.entries
    }

    fn random(&self) -> impl Iterator<Item = u64> {
        self.shuffled.iter().map(|offset| u64::from(*offset))
    }
}

/// One round of every operation on one store, empty before and after: what was done and
/// its nanoseconds a call.
pub(crate) fn round<S: Store>(store: &S, plan: &Plan<'_>) -> Vec<(&'static str, f64)> {
    let base = first_of(plan.ty);
    let beyond = base + plan.entries;
    let mut tags = [0; 16];
    let mut absent_restore = |offset| assert!(!store.restore(beyond + offset, &mut tags));
    let mut results = Vec::new();
    let mut note = |what, ns| results.push((what, ns));

    note("save, sequential", each(plan.sequential(), |i| store.save(base + i, plan.page(i))));
    note("restore, sequential", each(plan.sequential(), |i| restore(store, base + i)));
    note("restore, absent", each(plan.sequential(), &mut absent_restore));
    note("invalidate, absent", each(plan.sequential(), |i| store.invalidate(beyond + i)));
    note(
        "replace, sequential",
        each(plan.sequential(), |i| store.save(base + i, plan.page(i + 1))),
    );
    note("invalidate, sequential", each(plan.sequential(), |i| store.invalidate(base + i)));

    note("save, random", each(plan.random(), |i| store.save(base + i, plan.page(i))));
    note("restore, random", each(plan.random(), |i| restore(store, base + i)));
    note("invalidate, random", each(plan.random(), |i| store.invalidate(base + i)));

    plan.sequential().for_each(|i| store.save(base + i, plan.page(i)));
    let start = cpu_time();
    store.invalidate_area(plan.ty);
    note("area, an entry", (cpu_time() - start) / plan.entries as f64);
    results
}

#[inline(always)]
fn restore<S: Store>(store: &S, entry: u64) {
    let mut tags = [0; 16];
    assert!(store.restore(entry, &mut tags));
    black_box(&tags);
}

#[inline(always)]
fn each(offsets: impl Iterator<Item = u64>, mut call: impl FnMut(u64)) -> f64 {
    let start = cpu_time();
    let mut calls = 0_u64;
    offsets.for_each(|offset| {
        call(offset);
        calls += 1;
    });
    (cpu_time() - start) / calls as f64
}

/// Nanoseconds this thread has run.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Every operation by `threads` threads at once, each on its share of the offsets, in one
/// type or each in its own: calls a microsecond of all together.
pub(crate) fn parallel<S: Store>(
    store: &S,
    plan: &Plan<'_>,
    threads: u32,
    disjoint: bool,
) -> Vec<(&'static str, f64)> {
    type Call<S> = fn(&S, u64, &Tags);
    let operations: [(&'static str, Call<S>); 3] = [
        ("save", |store, entry, tags| store.save(entry, tags)),
        ("restore", |store, entry, _| restore(store, entry)),
        ("invalidate", |store, entry, _| store.invalidate(entry)),
    ];
    let share = plan.entries / u64::from(threads);
    let barrier = Barrier::new(threads as usize);
    operations
        .into_iter()
        .map(|(what, call)| {
            let work = |thread: u32| {
                let ty = if disjoint { plan.ty + thread } else { plan.ty };
                let first = u64::from(thread) * share;
                barrier.wait();
                let start = Instant::now();
                for i in first..first + share {
                    call(store, first_of(ty) + i, plan.page(i));
                }
                (start, Instant::now())
            };
            let spans: Vec<_> = thread::scope(|scope| {
                let handles: Vec<_> = (0..threads)
                    .map(|thread| {
                        let work = &work;
                        scope.spawn(move || work(thread))
                    })
                    .collect();
                handles.into_iter().map(|handle| handle.join().expect("no panic")).collect()
            });
            let start = spans.iter().map(|span| span.0).min().expect("a thread");
            let end = spans.iter().map(|span| span.1).max().expect("a thread");
            let calls = share * u64::from(threads);
            (what, calls as f64 * 1e3 / (end - start).as_nanos() as f64)
        })
        .collect()
}
