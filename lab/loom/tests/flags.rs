//! The flag protocol, every order of it (FLAG-1 to FLAG-5).

#![cfg(feature = "loom")]

use std::sync::Arc;

use loom::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};
use mteswap::{
    page::{FlagWord, PageFlags},
    sync::AtomicUsize,
};
use mteswap_loom::explore;

/// Granules of the modelled page: words that are written and read with no ordering of their own.
const GRANULES: usize = 2;
const TAG: u64 = 7;

struct Frame {
    flags: AtomicUsize,
    tags: [AtomicU64; GRANULES],
}

impl Frame {
    fn new() -> Arc<Self> {
        let tags = std::array::from_fn(|_| AtomicU64::new(0));
        Arc::new(Self { flags: AtomicUsize::new(0), tags })
    }

    fn flags(&self) -> FlagWord<'_> {
        FlagWord::new(&self.flags)
    }

    fn write(&self, tag: u64) {
        self.tags.iter().for_each(|granule| granule.store(tag, Relaxed));
    }

    fn holds(&self, tag: u64) -> bool {
        self.tags.iter().all(|granule| granule.load(Relaxed) == tag)
    }
}

#[test]
fn flag_1_flag_2_who_sees_the_flag_sees_the_tags() {
    explore(None, || {
        let frame = Frame::new();
        let writer = Arc::clone(&frame);
        let writer = thread::spawn(move || {
            writer.write(TAG);
            writer.flags().set_tagged();
        });
        if frame.flags().is_tagged() {
            assert!(frame.holds(TAG));
        }
        writer.join().unwrap();
        assert!(frame.flags().is_tagged() && frame.holds(TAG));
    });
}

/// The control: without the barrier loom finds the reader that sees the flag and not the tags.
#[test]
#[should_panic(expected = "holds(TAG)")]
fn a_flag_that_orders_nothing_is_found_out() {
    explore(None, || {
        let frame = Frame::new();
        let writer = Arc::clone(&frame);
        let writer = thread::spawn(move || {
            writer.write(TAG);
            writer.flags.fetch_or(PageFlags::TAGGED.bits(), Relaxed);
        });
        if frame.flags().is_tagged() {
            assert!(frame.holds(TAG));
        }
        writer.join().unwrap();
    });
}

#[test]
fn flag_3_one_gets_the_duty_and_the_others_wait_for_its_tags() {
    explore(None, || {
        let frame = Frame::new();
        let ask = |frame: Arc<Frame>, tag| {
            move || match frame.flags().try_tagging() {
                Some(duty) => {
                    frame.write(tag);
                    duty.publish();
                    true
                }
                None => {
                    assert!(frame.holds(1) || frame.holds(2), "whole, and one of the two");
                    false
                }
            }
        };
        let one = thread::spawn(ask(Arc::clone(&frame), 1));
        let two = ask(Arc::clone(&frame), 2)();
        let one = one.join().unwrap();
        assert!(one != two, "one of the two had the duty");
        assert!(frame.holds(if one { 1 } else { 2 }));
    });
}

#[test]
fn flag_5_a_duty_given_up_goes_to_one_who_waits() {
    explore(None, || {
        let frame = Frame::new();
        let other = Arc::clone(&frame);
        let gives_up = thread::spawn(move || {
            if let Some(duty) = other.flags().try_tagging() {
                // Begun, and not finished.
                other.tags[0].store(9, Relaxed);
                drop(duty);
            }
        });
        match frame.flags().try_tagging() {
            Some(duty) => {
                frame.write(TAG);
                duty.publish();
            }
            None => unreachable!("the other never publishes"),
        }
        gives_up.join().unwrap();
        assert!(frame.flags().is_tagged());
    });
}

#[test]
fn flag_5_what_the_next_one_writes_is_not_overwritten_by_who_gave_up() {
    explore(None, || {
        let frame = Frame::new();
        let duty = frame.flags().try_tagging();
        assert!(duty.is_some());
        drop(duty);
        let other = Arc::clone(&frame);
        let gives_up = thread::spawn(move || {
            if let Ok(Some(duty)) = other.flags().try_tagging_bounded(0) {
                other.write(9);
                drop(duty);
                return true;
            }
            false
        });
        let duty = frame.flags().try_tagging().expect("nobody else publishes");
        frame.write(TAG);
        duty.publish();
        gives_up.join().unwrap();
        assert!(frame.holds(TAG), "last written, last seen");
    });
}

#[test]
fn flag_4_a_flag_once_set_stays_set() {
    explore(None, || {
        let frame = Frame::new();
        let other = Arc::clone(&frame);
        let sets = thread::spawn(move || {
            if let Some(duty) = other.flags().try_tagging() {
                other.write(TAG);
                duty.publish();
            }
        });
        let seen = frame.flags().is_tagged();
        // Takes part, gives up, or finds it done.
        if let Ok(Some(duty)) = frame.flags().try_tagging_bounded(0) {
            drop(duty);
        }
        assert!(!seen || frame.flags().is_tagged());
        sets.join().unwrap();
        assert!(frame.flags().is_tagged() && frame.holds(TAG));
    });
}
