//! The page-flag protocol (FLAG-1 to FLAG-13), on shadow pages and real threads.

use std::{
    cell::RefCell,
    sync::{
        Barrier,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use mteswap::{
    error::Error,
    page::{FlagWord, Page, PageFlags, sync},
    tagmem::{ShadowPage, TagMemory},
    tags::{Page4K, Page16K, Page64K, PageSize, TagSink, TagSource},
};

const TAGGED: usize = PageFlags::TAGGED.bits();
const LOCK: usize = PageFlags::LOCK.bits();
const BOTH: usize = TAGGED | LOCK;

/// What a kernel has of a page: a flag word, and tags.
struct Frame {
    flags: AtomicUsize,
    tags: Vec<AtomicU64>,
}

impl Frame {
    fn new(flags: usize, words: usize, fill: u64) -> Self {
        Self {
            flags: AtomicUsize::new(flags),
            tags: (0..words).map(|_| AtomicU64::new(fill)).collect(),
        }
    }

    fn page(&self) -> Page<'_, ShadowPage<'_>> {
        Page::new(FlagWord::new(&self.flags), ShadowPage::new(&self.tags))
    }

    fn bits(&self) -> usize {
        self.flags.load(Ordering::SeqCst)
    }

    fn all(&self, word: u64) -> bool {
        self.tags.iter().all(|tags| tags.load(Ordering::SeqCst) == word)
    }
}

#[test]
fn flag_1_flag_2_who_sees_the_flag_sees_the_tags() {
    for _ in 0..500 {
        let frame = Frame::new(0, Page4K::WORDS, 0);
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(frame.page().tag_with(|memory| {
                    (0..memory.words()).for_each(|index| memory.set_word(index, !0));
                    true
                }));
            });
            while !frame.page().flags().is_tagged() {
                thread::yield_now();
            }
            let page = frame.page();
            let tags = page.tags().expect("tagged");
            assert!((0..Page4K::WORDS).all(|index| tags.word(index) == !0));
        });
    }
}

#[test]
fn flag_3_one_of_many_gets_the_duty_and_the_rest_find_its_tags() {
    for round in 0..200 {
        let frame = Frame::new(0, Page4K::WORDS, 0);
        let (winners, barrier) = (AtomicUsize::new(0), Barrier::new(4));
        thread::scope(|scope| {
            for id in 1..=4_u64 {
                let (frame, winners, barrier) = (&frame, &winners, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    match frame.page().flags().try_tagging() {
                        Some(duty) => {
                            winners.fetch_add(1, Ordering::SeqCst);
                            for word in &frame.tags {
                                word.store(id, Ordering::Relaxed);
                            }
                            duty.publish();
                        }
                        None => {
                            let first = frame.tags[0].load(Ordering::Relaxed);
                            assert!((1..=4).contains(&first), "waited until tags were there");
                            assert!(frame.tags.iter().all(|w| w.load(Ordering::Relaxed) == first));
                        }
                    }
                });
            }
        });
        assert_eq!(winners.load(Ordering::SeqCst), 1, "round {round}");
        assert_eq!(frame.bits(), BOTH);
    }
}

#[test]
fn flag_3_a_waiter_does_not_return_before_the_flag_is_set() {
    let flags = AtomicUsize::new(0);
    let word = FlagWord::new(&flags);
    let duty = word.try_tagging().expect("untouched");
    let (done, waited) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let outcome = word.try_tagging();
            done.send((outcome.is_none(), word.is_tagged())).unwrap();
        });
        // It may not have started yet; but if it answers before the flag is set, it is wrong.
        for _ in 0..100 {
            thread::yield_now();
            assert_eq!(waited.try_recv(), Err(mpsc::TryRecvError::Empty));
        }
        duty.publish();
        assert_eq!(waited.recv(), Ok((true, true)));
    });
}

#[test]
fn flag_4_the_three_states_and_what_each_answers() {
    for (bits, answer) in
        [(0, Ok(true)), (LOCK, Err(Error::TimedOut)), (TAGGED, Ok(false)), (BOTH, Ok(false))]
    {
        let flags = AtomicUsize::new(bits | 0xf0);
        let word = FlagWord::new(&flags);
        let outcome = word.try_tagging_bounded(3).map(|duty| {
            let won = duty.is_some();
            std::mem::forget(duty);
            won
        });
        assert_eq!(outcome, answer, "from {bits:#b}");
        assert_eq!(word.is_tagged(), bits & TAGGED != 0, "from {bits:#b}");
        assert_eq!(flags.load(Ordering::SeqCst) & !BOTH, 0xf0, "other bits are left alone");
    }
}

#[test]
fn flag_4_the_flag_outlives_every_call_but_the_page() {
    let frame = Frame::new(0, Page4K::WORDS, 5);
    frame.page().flags().set_tagged();
    frame.page().flags().abandon_tagging();
    assert_eq!(frame.page().flags().try_tagging(), None);
    sync([frame.page()]);
    assert!(frame.page().flags().is_tagged());
    assert!(frame.all(5), "a tagged page's tags are not cleared");
}

#[test]
fn flag_5_a_dropped_guard_hands_the_duty_to_exactly_one_waiter() {
    for _ in 0..100 {
        let flags = AtomicUsize::new(0);
        let word = FlagWord::new(&flags);
        let duty = word.try_tagging().expect("untouched");
        let won = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    if let Some(duty) = word.try_tagging() {
                        won.fetch_add(1, Ordering::SeqCst);
                        duty.publish();
                    }
                });
            }
            thread::yield_now();
            drop(duty);
        });
        assert_eq!(won.load(Ordering::SeqCst), 1);
        assert_eq!(flags.load(Ordering::SeqCst), BOTH);
    }
}

#[test]
fn flag_5_the_duty_passes_on_through_all_who_give_it_up() {
    let flags = AtomicUsize::new(0);
    let word = FlagWord::new(&flags);
    let (holders, gave_up) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    let Some(duty) = word.try_tagging() else { panic!("nobody publishes") };
                    assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                    gave_up.fetch_add(1, Ordering::SeqCst);
                    holders.fetch_sub(1, Ordering::SeqCst);
                    drop(duty);
                }
            });
        }
    });
    assert_eq!(gave_up.load(Ordering::SeqCst), 8000);
    assert_eq!(flags.load(Ordering::SeqCst), 0);
}

#[test]
fn flag_5_a_bounded_wait_runs_out_and_changes_nothing() {
    let flags = AtomicUsize::new(0);
    let word = FlagWord::new(&flags);
    let duty = word.try_tagging_bounded(0).unwrap().expect("untouched");
    for spins in [0, 1, 1000] {
        assert_eq!(word.try_tagging_bounded(spins), Err(Error::TimedOut));
    }
    assert_eq!(flags.load(Ordering::SeqCst), LOCK);
    duty.publish();
    assert_eq!(word.try_tagging_bounded(0), Ok(None));
}

#[test]
fn flag_5_a_write_that_says_no_leaves_the_page_untagged_and_free() {
    let frame = Frame::new(0, Page4K::WORDS, 0);
    assert!(!frame.page().tag_with(|_| false));
    assert_eq!(frame.bits(), 0);
}

#[test]
fn flag_6_sync_clears_and_flags_each_page_that_is_untouched() {
    fn check<P: PageSize>() {
        let frames = [
            Frame::new(0, P::WORDS, !0),
            Frame::new(BOTH, P::WORDS, 7),
            Frame::new(0, P::WORDS, 1),
        ];
        sync(frames.iter().map(Frame::page));
        assert!(frames[0].all(0) && frames[2].all(0), "stale tags are gone");
        assert!(frames[1].all(7), "a tagged page keeps its tags");
        assert!(frames.iter().all(|frame| frame.bits() == BOTH));
    }
    check::<Page4K>();
    check::<Page16K>();
    check::<Page64K>();
}

/// Says when it was written, and what the flag word was then.
#[derive(Clone)]
struct Spy<'a> {
    flags: &'a AtomicUsize,
    log: &'a RefCell<Vec<(&'static str, usize)>>,
}

impl Spy<'_> {
    fn log(&self, what: &'static str) {
        self.log.borrow_mut().push((what, self.flags.load(Ordering::SeqCst)));
    }
}

impl TagSource for Spy<'_> {
    fn word(&self, _: usize) -> u64 {
        self.log("read");
        0
    }
}

impl TagSink for Spy<'_> {
    fn set_word(&mut self, _: usize, _: u64) {
        self.log("write");
    }
}

impl TagMemory for Spy<'_> {
    fn words(&self) -> usize {
        1
    }

    fn reset_kernel_tag(&mut self) {
        self.log("reset");
    }

    fn clear_with_data(&mut self) {
        self.log("zero");
    }
}

#[test]
fn hook_12_flag_6_flag_8_the_kernel_tag_is_reset_then_tags_written_then_the_flag_set() {
    let (source, log) = (AtomicUsize::new(BOTH), RefCell::default());
    let silent = RefCell::default();
    let from = Page::new(FlagWord::new(&source), Spy { flags: &source, log: &silent });

    let run = |act: &dyn Fn(Page<'_, Spy<'_>>)| {
        let flags = AtomicUsize::new(0);
        act(Page::new(FlagWord::new(&flags), Spy { flags: &flags, log: &log }));
        (log.take(), flags.load(Ordering::SeqCst))
    };
    let written = (vec![("reset", LOCK), ("write", LOCK)], BOTH);
    assert_eq!(run(&|page| sync([page])), written);
    assert_eq!(run(&|page| page.copy_from(&from)), written);
    assert_eq!(run(&|page| assert!(page.override_tags(&[0]))), written);
    assert_eq!(
        run(&|page| assert!(page.tag_with(|m| {
            m.clear();
            true
        }))),
        written
    );
    assert_eq!(
        run(&|page| page.zero_fresh().unwrap()),
        (vec![("reset", LOCK), ("zero", LOCK)], BOTH)
    );
    assert_eq!(run(&|page| page.clear_zero_page()), (vec![("reset", 0), ("write", 0)], 0));
}

#[test]
fn flag_7_a_hugetlb_folio_is_flagged_cleared_and_copied_as_one() {
    // 512 subpages behind the head's one flag word.
    let (from, to) =
        (Frame::new(0, 512 * Page4K::WORDS, !0), Frame::new(0, 512 * Page4K::WORDS, 3));
    sync([from.page()]);
    assert!(from.all(0) && from.bits() == BOTH);
    for (index, word) in from.tags.iter().enumerate() {
        word.store(index as u64, Ordering::SeqCst);
    }
    to.page().copy_from(&from.page());
    assert_eq!(to.bits(), BOTH);
    for (index, word) in to.tags.iter().enumerate() {
        assert_eq!(word.load(Ordering::SeqCst), index as u64, "word {index} of the folio");
    }
}

#[test]
fn flag_8_a_copy_takes_tags_and_flag_and_later_changes_are_not_shared() {
    for before in [0, TAGGED, BOTH] {
        let (from, to) = (Frame::new(BOTH, Page4K::WORDS, 6), Frame::new(before, Page4K::WORDS, 9));
        to.page().copy_from(&from.page());
        assert!(to.all(6), "destination was {before:#b}");
        assert_eq!(to.bits() & TAGGED, TAGGED);
        from.tags[0].store(1, Ordering::SeqCst);
        assert!(to.all(6));
        to.tags[1].store(2, Ordering::SeqCst);
        assert_eq!(from.tags[1].load(Ordering::SeqCst), 6);
    }
}

#[test]
fn flag_8_a_copy_of_an_untagged_page_changes_nothing() {
    let (from, to) = (Frame::new(0, Page4K::WORDS, 6), Frame::new(0, Page4K::WORDS, 9));
    to.page().copy_from(&from.page());
    assert!(to.all(9) && to.bits() == 0);
}

#[test]
fn flag_9_pages_differ_if_either_is_tagged_unless_they_are_one() {
    for (one, other, differ) in
        [(0, 0, false), (BOTH, 0, true), (0, BOTH, true), (BOTH, BOTH, true), (LOCK, 0, false)]
    {
        let (one, other) = (Frame::new(one, 16, 0), Frame::new(other, 16, 0));
        assert_eq!(one.page().differs_from(&other.page()), differ);
        assert!(!one.page().differs_from(&one.page()), "a page does not differ from itself");
    }
}

#[test]
fn flag_10_the_zero_page_has_zero_tags_no_flag_and_replaces_untagged_pages_only() {
    let zero = Frame::new(0, Page4K::WORDS, !0);
    zero.page().clear_zero_page();
    assert!(zero.all(0) && zero.bits() == 0);
    let (plain, tagged) = (Frame::new(0, Page4K::WORDS, 0), Frame::new(BOTH, Page4K::WORDS, 0));
    assert!(!plain.page().differs_from(&zero.page()));
    assert!(tagged.page().differs_from(&zero.page()), "its tags may become nonzero");
    // A COW copy of it stays untagged until a mapping is tagged.
    plain.page().copy_from(&zero.page());
    assert_eq!((plain.bits(), zero.bits()), (0, 0));
}

#[test]
fn flag_11_a_split_keeps_each_pages_own_bits_where_linux_gives_all_the_heads() {
    const UPTODATE: usize = 1 << 3;
    const DIRTY: usize = 1 << 4;
    const OWN: usize = 1 << 7;
    for (head, tail) in [(BOTH, 0), (0, BOTH), (BOTH, BOTH), (0, 0), (BOTH, TAGGED)] {
        let (h, t) = (AtomicUsize::new(head | DIRTY), AtomicUsize::new(tail | OWN | UPTODATE));
        // The kernel asks for all flags a tail takes over, the two of arch/arm64 among them.
        let mask = UPTODATE | DIRTY | BOTH;
        FlagWord::new(&t).inherit(FlagWord::new(&h), mask);
        assert_eq!(t.load(Ordering::SeqCst), tail | OWN | DIRTY, "{head:#b} to {tail:#b}");
        assert_eq!(h.load(Ordering::SeqCst), head | DIRTY);

        // Linux 6.12, __split_huge_page_tail(): the tail's masked bits become the head's.
        let linux = ((tail | OWN | UPTODATE) & !mask) | ((head | DIRTY) & mask);
        assert_eq!(linux & BOTH, head);
        let differs = linux != t.load(Ordering::SeqCst);
        assert_eq!(differs, head != tail, "Linux's split changes a page that is not as its head");
    }
}

#[test]
fn flag_12_an_override_wins_over_any_state_and_a_short_one_clears_all() {
    fn check<P: PageSize>() {
        for before in [0, TAGGED, BOTH] {
            let frame = Frame::new(before, P::WORDS, 9);
            assert!(frame.page().override_tags(&vec![4; P::WORDS]));
            assert!(frame.all(4), "from {before:#b}");
            assert_eq!(frame.bits() & TAGGED, TAGGED);
            for short in [0, 1, P::WORDS - 1] {
                assert!(!frame.page().override_tags(&vec![5; short]));
                assert!(frame.all(0), "neither the older tags nor part of the newer ones");
                assert_eq!(frame.bits() & TAGGED, TAGGED);
                frame.tags[0].store(4, Ordering::SeqCst);
            }
        }
    }
    check::<Page4K>();
    check::<Page16K>();
    check::<Page64K>();
}

#[test]
fn flag_13_a_fresh_page_is_zeroed_and_flagged_and_one_in_use_is_refused() {
    let frame = Frame::new(0, Page4K::WORDS, 9);
    assert_eq!(frame.page().zero_fresh(), Ok(()));
    assert!(frame.all(0) && frame.bits() == BOTH);
    for before in [LOCK, TAGGED, BOTH] {
        let frame = Frame::new(before, Page4K::WORDS, 9);
        assert_eq!(frame.page().zero_fresh(), Err(Error::Invalid));
        assert!(frame.all(9) && frame.bits() == before);
    }
}

#[test]
fn flag_words_take_any_two_bits_and_refuse_what_is_none() {
    let word = AtomicUsize::new(0);
    let last = usize::BITS - 1;
    for (tagged, lock) in [(last, 0), (0, last), (14, 15)] {
        let flags = FlagWord::with_bits(&word, tagged, lock).unwrap();
        flags.try_tagging().expect("untouched").publish();
        assert_eq!(word.swap(0, Ordering::SeqCst), 1 << tagged | 1 << lock);
    }
    for (tagged, lock) in [(3, 3), (usize::BITS, 0), (0, usize::BITS), (u32::MAX, 1)] {
        assert_eq!(FlagWord::with_bits(&word, tagged, lock), Err(Error::Invalid));
    }
}
