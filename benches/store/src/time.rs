//! Nanoseconds a call, the stores taking turns within each round.
//!
//! One thread is measured by the processor's time it had, so that what else the machine does
//! counts only by the caches it empties; two by the wall clock.

use std::{hint::black_box, sync::Barrier, thread, time::Instant};

use rustix::{
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
};

use crate::{
    pace::{Sample, pace},
    pages::{Random, Tags},
    stores::{Store, first_of, set_processor},
};

/// What one run goes through.
pub(crate) struct Plan<'a> {
    pub(crate) pages: &'a [Tags],
    pub(crate) entries: u64,
    pub(crate) ty: u32,
    /// Offsets in a random order.
    pub(crate) shuffled: Vec<u32>,
    /// What takes an offset to its page, see [`page`](Self::page).
    share: u64,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(pages: &'a [Tags], entries: u32, ty: u32) -> Self {
        let mut shuffled: Vec<u32> = (0..entries).collect();
        Random(2).shuffle(&mut shuffled);
        let share = (u64::MAX / pages.len() as u64).wrapping_add(1);
        Self { pages, entries: entries.into(), ty, shuffled, share }
    }

    /// The page of an offset, 32 bits of it: the remainder by how many there are, as two
    /// multiplications tell it. A division takes as long as many a call that is measured
    /// (Lemire, Kaser, Kurz: Faster remainder by direct computation, 2019).
    #[inline(always)]
    pub(crate) fn page(&self, offset: u64) -> &Tags {
        let fraction = self.share.wrapping_mul(offset & u64::from(u32::MAX));
        let number = (u128::from(fraction) * self.pages.len() as u128) >> 64;
        &self.pages[number as usize]
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
pub(crate) fn round<S: Store>(store: &S, plan: &Plan<'_>) -> Vec<(&'static str, Sample)> {
    let base = first_of(plan.ty);
    let beyond = base + plan.entries;
    let mut tags = [0; 16];
    let mut results = Vec::new();
    let mut note = |what, sample| results.push((what, sample));

    note("save, sequential", each(plan.sequential(), |i| store.save(base + i, plan.page(i))));
    note("restore, sequential", each(plan.sequential(), |i| restore(store, base + i, &mut tags)));
    note(
        "restore, absent",
        each(plan.sequential(), |i| assert!(!store.restore(beyond + i, &mut tags))),
    );
    note("invalidate, absent", each(plan.sequential(), |i| store.invalidate(beyond + i)));
    note(
        "replace, sequential",
        each(plan.sequential(), |i| store.save(base + i, plan.page(i + 1))),
    );
    note("invalidate, sequential", each(plan.sequential(), |i| store.invalidate(base + i)));

    note("save, random", each(plan.random(), |i| store.save(base + i, plan.page(i))));
    note("restore, random", each(plan.random(), |i| restore(store, base + i, &mut tags)));
    note("invalidate, random", each(plan.random(), |i| store.invalidate(base + i)));

    plan.sequential().for_each(|i| store.save(base + i, plan.page(i)));
    // A slot that is freed is used again: another page's tags come to it.
    note(
        "churn, random",
        each(plan.random(), |i| {
            store.invalidate(base + i);
            store.save(base + i, plan.page(i + 1));
        }),
    );
    store.invalidate_area(plan.ty);

    for (nr, save, restore, random, invalidate) in [
        (
            16,
            "save, folios of 16",
            "restore, folios of 16",
            "restore, random folios of 16",
            "invalidate, folios of 16",
        ),
        (
            512,
            "save, folios of 512",
            "restore, folios of 512",
            "restore, random folios of 512",
            "invalidate, folios of 512",
        ),
    ] {
        let folios = || (0..plan.entries / nr as u64).map(|folio| folio * nr as u64);
        let shuffled: Vec<u64> = plan.random().filter(|offset| offset % nr as u64 == 0).collect();
        let page = |first| move |i| plan.page(first + i);
        let mut a_page = |what, sample: Sample| note(what, sample.with(|ns| ns / nr as f64));
        a_page(save, each(folios(), |first| store.save_range(base + first, nr, page(first))));
        let mut tags = vec![[0; 16]; nr];
        let mut restore_folio = |first| {
            assert_eq!(store.restore_range(base + first, &mut tags), nr);
            black_box(&tags);
        };
        a_page(restore, each(folios(), &mut restore_folio));
        a_page(random, each(shuffled.into_iter(), &mut restore_folio));
        a_page(invalidate, each(folios(), |first| store.invalidate_range(base + first, nr)));
    }

    plan.sequential().for_each(|i| store.save(base + i, plan.page(i)));
    note("area, an entry", area(store, plan));
    results
}

/// Nanoseconds an entry to drop them all.
fn area<S: Store>(store: &S, plan: &Plan<'_>) -> Sample {
    Sample::of(|| {
        let start = cpu_time();
        store.invalidate_area(plan.ty);
        (cpu_time() - start) / plan.entries as f64
    })
}

#[inline(always)]
fn restore<S: Store>(store: &S, entry: u64, tags: &mut Tags) {
    assert!(store.restore(entry, tags));
    black_box(tags);
}

#[inline(always)]
pub(crate) fn each(offsets: impl Iterator<Item = u64>, mut call: impl FnMut(u64)) -> Sample {
    Sample::of(|| {
        let start = cpu_time();
        let mut calls = 0_u64;
        offsets.for_each(|offset| {
            call(offset);
            calls += 1;
        });
        (cpu_time() - start) / calls as f64
    })
}

/// Nanoseconds this thread has run.
pub(crate) fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// How the costs grow: three operations in random order, and the area.
pub(crate) fn growth<S: Store>(store: &S, plan: &Plan<'_>) -> Vec<(&'static str, Sample)> {
    let base = first_of(plan.ty);
    let save = |i| store.save(base + i, plan.page(i));
    let mut tags = [0; 16];
    let mut results = vec![
        ("save", each(plan.random(), save)),
        ("restore", each(plan.random(), |i| restore(store, base + i, &mut tags))),
        ("invalidate", each(plan.random(), |i| store.invalidate(base + i))),
    ];
    plan.sequential().for_each(save);
    results.push(("area, an entry", area(store, plan)));
    results
}

/// Where two threads work.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// Each in a type of its own.
    OwnTypes,
    /// In two halves of one type.
    SameType,
    /// On the even and the odd entries of the same leaves, a leaf at a time.
    SameLeaf,
}

/// Keeps this thread to a processor that no other number has, as far as there are so many: what
/// is measured is over before a scheduler has moved one of two threads that began on the same.
fn own_processor(number: u32) {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let processors = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    if let Some(cpu) = processors.cycle().nth(number as usize) {
        let mut own = CpuSet::new();
        own.set(cpu);
        // Where that is forbidden, the part of its time that a thread had a processor tells.
        let _ = sched_setaffinity(None, &own);
    }
}

/// Every operation by `threads` threads at once, each on its part of the offsets: calls a microsecond, of all of them
/// together.
pub(crate) fn parallel<S: Store>(
    store: &S,
    plan: &Plan<'_>,
    threads: u32,
    place: Place,
) -> Vec<(&'static str, Sample)> {
    type Call<S> = fn(&S, u64, &Tags, &mut Tags);
    let operations: [(&'static str, Call<S>); 3] = [
        ("save", |store, entry, page, _| store.save(entry, page)),
        ("restore", |store, entry, _, tags| restore(store, entry, tags)),
        ("invalidate", |store, entry, _, _| store.invalidate(entry)),
    ];
    let nr = plan.entries / u64::from(threads);
    let barrier = Barrier::new(threads as usize);
    operations
        .into_iter()
        .map(|(what, call)| {
            let work = |thread: u32| {
                let number = u64::from(thread);
                let (ty, first, step) = match place {
                    Place::OwnTypes => (plan.ty + thread, number * nr, 1),
                    Place::SameType => (plan.ty, number * nr, 1),
                    Place::SameLeaf => (plan.ty, number, u64::from(threads)),
                };
                own_processor(thread);
                set_processor(thread);
                let mut tags = [0; 16];
                // While the others take theirs: two hyperthreads of one core would show, too.
                barrier.wait();
                let before = pace();
                barrier.wait();
                let (start, ran) = (Instant::now(), cpu_time());
                for i in (0..nr).map(|i| first + i * step) {
                    call(store, first_of(ty) + i, plan.page(i), &mut tags);
                }
                let (end, ran) = (Instant::now(), cpu_time() - ran);
                (start, end, ran, before.max(pace()))
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
            let value = (nr * u64::from(threads)) as f64 * 1e3 / (end - start).as_nanos() as f64;
            let pace = spans.iter().map(|span| span.3).fold(0.0, f64::max);
            // The least part of its time that a thread had a processor: something else had the rest, or it slept.
            let parts =
                spans.iter().map(|(start, end, ran, _)| ran / (*end - *start).as_nanos() as f64);
            (what, Sample { value, pace: pace / parts.fold(1.0, f64::min) })
        })
        .collect()
}
