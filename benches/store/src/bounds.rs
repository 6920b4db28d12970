//! What a call costs that does one thing alone which a store's calls cannot do without: below that
//! no store goes on this machine, nor, in writing tags, one that has no wider registers.

use std::{
    arch::asm,
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    pace::Sample,
    pages::{Random, Tags},
    time::each,
};

#[inline(never)]
fn nothing(entry: u64) {
    // SAFETY: the assembly is a comment.
    unsafe { asm!("/* {0} */", in(reg) entry, options(nomem, nostack, preserves_flags)) }
}

/// As a leaf is locked: one exchange that is compared, one store.
#[inline(never)]
fn lock(lock: &AtomicUsize) {
    let taken = lock.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
    black_box(taken.is_ok());
    lock.store(0, Ordering::Release);
}

/// As a kernel's code does, which has no wider registers: a machine word at a time.
#[inline(never)]
fn write(tags: &mut Tags, word: u64) {
    for place in tags {
        // SAFETY: a place of the page's.
        unsafe { std::ptr::from_mut(place).write_volatile(word) };
    }
}

/// One of two ways, neither of which can be taken by a conditional move.
#[inline(never)]
fn branch(one: bool) {
    if one {
        // SAFETY: the assembly is a comment.
        unsafe { asm!("/* one */", options(nomem, nostack, preserves_flags)) }
    } else {
        // SAFETY: the assembly is a comment.
        unsafe { asm!("/* other */", options(nomem, nostack, preserves_flags)) }
    }
}

/// What a call does alone, and its nanoseconds.
pub(crate) fn round(calls: u64) -> [(&'static str, Sample); 5] {
    let words = [const { AtomicUsize::new(0) }; 64];
    let mut tags = [0; 16];
    let mut random = Random(3);
    let bits: Vec<bool> = (0..calls).map(|_| random.next() >> 63 == 1).collect();
    let ways = |always: bool| each(0..calls, |i| branch(bits[i as usize] | always));
    let (expected, unexpected) = (ways(true), ways(false));
    [
        ("does nothing", each(0..calls, nothing)),
        (
            "takes a lock that is free, and leaves it",
            each(0..calls, |i| lock(&words[i as usize % 64])),
        ),
        ("writes the tags of a page, word by word", each(0..calls, |i| write(&mut tags, i))),
        ("takes one of two ways, always the same", expected),
        ("takes one of two ways at random", unexpected),
    ]
}
