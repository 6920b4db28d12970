//! Two data races, made on purpose: what `cargo xtask tsan` has to report, or it would see nothing
//! in the library either.
//!
//! One is in a word of this program's, the other in the library: the map of a swap area, under a
//! host's lock that keeps nobody out. Neither can do harm: what is read wrong is a number.

use std::{cell::UnsafeCell, hint::black_box, sync::Barrier, thread};

use mteswap::{
    entry::{EntryRange, SwapType},
    swap::{SlotsFreed, Swap, SwapCache},
};
use mteswap_lab::model::host::LabHost;

/// Times that each thread does what races.
const TIMES: usize = 1000;

struct Word(UnsafeCell<u64>);

// SAFETY: none, on purpose: this is one of the races that have to be seen.
unsafe impl Sync for Word {}

static WORD: Word = Word(UnsafeCell::new(0));

fn add_to_the_word() {
    let word = black_box(WORD.0.get());
    // SAFETY: as above. The word is there for ever.
    unsafe { *word += 1 };
}

/// A lock that is never taken.
struct Open;

// SAFETY: none, on purpose: this is what makes the library's map race.
unsafe impl lock_api::RawMutex for Open {
    const INIT: Self = Self;
    type GuardMarker = lock_api::GuardSend;

    fn lock(&self) {}

    fn try_lock(&self) -> bool {
        true
    }

    unsafe fn unlock(&self) {}
}

struct Nobody;

impl SlotsFreed for Nobody {
    fn slots_freed(&self, _: EntryRange) {}
}

/// Runs `body` on two threads. Each is there until the other is done: a thread that ended is soon
/// forgotten, and what it did with it.
fn on_two_threads(body: impl Fn() + Sync) {
    let (begin, end) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                begin.wait();
                (0..TIMES).for_each(|_| body());
                end.wait();
            });
        }
    });
}

fn main() {
    on_two_threads(add_to_the_word);
    let ty = SwapType::new(1).expect("1 is a swap type");
    let swap =
        Swap::new(LabHost::<Open>::default(), Nobody, ty, 1).expect("there is memory for one slot");
    let slot = swap.alloc(1).expect("it is free").keep();
    on_two_threads(|| {
        let _ = black_box(swap.duplicate(slot.first()).map(|slot| slot.into_entry()));
    });
    swap.swapcache_clear(slot);
    println!("done");
}
