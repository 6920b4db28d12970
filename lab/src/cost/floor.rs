//! What a pin cannot cost less than: its two changes of a slot's word, with nothing around them.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
};

use mteswap::host::SpinLock;

use super::cpu_time;

/// Nanoseconds a page.
#[derive(Debug, Clone, Copy)]
pub struct Floor {
    /// The word is changed under the area's lock, taken twice.
    pub locked: f64,
    /// The word is changed by two compare-and-exchanges, with no lock.
    pub exchanged: f64,
}

/// One round over the words of so many pages.
pub fn round(pages: usize) -> Floor {
    let bits = [1, 2];
    let lock = lock_api::Mutex::<SpinLock, _>::new((0..pages as u64).collect::<Vec<_>>());
    let locked = time(pages, |page| {
        for bit in bits {
            lock.lock()[page] ^= black_box(bit);
        }
    });
    let words: Vec<_> = (0..pages).map(|_| AtomicU64::new(0)).collect();
    let exchanged = time(pages, |page| {
        for bit in bits {
            let word = words[page].load(Ordering::Relaxed);
            let changed = word ^ black_box(bit);
            let (won, lost) = (Ordering::AcqRel, Ordering::Relaxed);
            let _ = black_box(words[page].compare_exchange(word, changed, won, lost));
        }
    });
    Floor { locked, exchanged }
}

fn time(pages: usize, change: impl Fn(usize)) -> f64 {
    let begun = cpu_time();
    (0..pages).for_each(change);
    (cpu_time() - begun) / pages as f64
}
