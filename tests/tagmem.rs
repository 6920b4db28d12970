//! Backends: the shadow in memory, and the block arithmetic of LDGM/STGM on a mock processor.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
};

use mteswap::{
    error::Error,
    tagmem::{BlockAccess, BlockPage, BlockSize, ShadowPage, TagMemory},
    tags::{GRANULE, Page4K, Page16K, Page64K, PageSize, TagSink, TagSource},
};

/// A word whose nibbles depend on word and position, so that no two places can be mixed up.
fn pattern(index: usize) -> u64 {
    (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(index as u32)
}

fn shadow(words: usize) -> Vec<AtomicU64> {
    (0..words).map(|_| AtomicU64::new(0)).collect()
}

#[test]
fn shadow_words_come_back_and_past_the_page_is_nothing() {
    fn check<P: PageSize>() {
        let memory = shadow(P::WORDS);
        let mut page = ShadowPage::new(&memory);
        assert_eq!(page.words(), P::WORDS);
        for index in 0..P::WORDS {
            page.set_word(index, pattern(index));
        }
        page.set_word(P::WORDS, !0);
        page.set_word(usize::MAX, !0);
        for index in 0..P::WORDS {
            assert_eq!(page.word(index), pattern(index));
        }
        assert_eq!((page.word(P::WORDS), page.word(usize::MAX)), (0, 0));
        page.clear();
        assert!((0..P::WORDS).all(|index| page.word(index) == 0));
    }
    check::<Page4K>();
    check::<Page16K>();
    check::<Page64K>();
}

#[test]
fn shadow_bytes_hold_granule_i_at_bit_4i() {
    let mut words = [0_u64; Page4K::WORDS];
    // SAFETY: the array is Page4K::TAG_BYTES long, aligned to 8, and used by nobody else.
    let mut page = unsafe { ShadowPage::from_ptr::<Page4K>(words.as_mut_ptr().cast()) }.unwrap();
    page.set_word(2, 0xfedc_ba98_7654_3210);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    for granule in 32..48 {
        let byte = bytes[granule / 2];
        assert_eq!(usize::from(byte >> (granule % 2 * 4) & 0xf), granule - 32);
    }
}

#[test]
fn shadow_refuses_null_and_misaligned_pointers() {
    let mut words = [0_u64; Page4K::WORDS + 1];
    let start: *mut u8 = words.as_mut_ptr().cast();
    // SAFETY: nothing is read or written behind a pointer that is refused.
    let null = unsafe { ShadowPage::from_ptr::<Page4K>(std::ptr::null_mut()) };
    assert_eq!(null.err(), Some(Error::Invalid));
    for off in 1..8 {
        // SAFETY: as above.
        let odd = unsafe { ShadowPage::from_ptr::<Page4K>(start.wrapping_add(off)) };
        assert_eq!(odd.err(), Some(Error::Invalid), "{off} bytes off");
    }
}

#[test]
fn shadow_gives_whole_words_beside_a_writer() {
    let memory = shadow(Page4K::WORDS);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut page = ShadowPage::new(&memory);
            for round in 0..20_000_u64 {
                page.set_word(5, (round & 0xf) * 0x1111_1111_1111_1111);
            }
        });
        let page = ShadowPage::new(&memory);
        for _ in 0..20_000 {
            let word = page.word(5);
            assert_eq!(word, (word & 0xf) * 0x1111_1111_1111_1111);
        }
    });
}

#[test]
fn gmid_names_block_sizes_16_to_256_and_nothing_else() {
    let sizes: Vec<_> =
        (0..16).map(|bs| BlockSize::from_gmid(bs).map(BlockSize::bytes).ok()).collect();
    let mut expected = [None; 16];
    expected[2..=6].copy_from_slice(&[Some(16), Some(32), Some(64), Some(128), Some(256)]);
    assert_eq!(sizes, expected);
    // Upper bits are reserved, and not ours to judge.
    assert_eq!(BlockSize::from_gmid(0xabc0 | 6).map(BlockSize::bytes), Ok(256));
}

/// A processor with MTE: a tag a granule and sixteen bytes of data, in blocks of some size.
#[derive(Clone)]
struct Mock(Rc<RefCell<State>>);

struct State {
    size: BlockSize,
    tags: Vec<u8>,
    data: Vec<u8>,
    accesses: usize,
}

impl Mock {
    fn new(size: BlockSize, granules: usize) -> Self {
        Self(Rc::new(RefCell::new(State {
            size,
            tags: vec![0xa; granules],
            data: vec![0xdd; granules * GRANULE],
            accesses: 0,
        })))
    }

    /// The granules of the block at `offset`, as the manual has them: aligned, or it is a bug.
    fn block(state: &State, offset: usize) -> std::ops::Range<usize> {
        assert_eq!(offset % state.size.bytes(), 0, "a block starts at its size");
        offset / GRANULE..(offset + state.size.bytes()) / GRANULE
    }
}

impl BlockAccess for Mock {
    fn size(&self) -> BlockSize {
        self.0.borrow().size
    }

    fn load(&self, offset: usize) -> u64 {
        let state = &mut *self.0.borrow_mut();
        state.accesses += 1;
        Self::block(state, offset)
            .fold(0, |word, granule| word | u64::from(state.tags[granule]) << (granule % 16 * 4))
    }

    fn store(&mut self, offset: usize, word: u64) {
        let state = &mut *self.0.borrow_mut();
        state.accesses += 1;
        for granule in Self::block(state, offset) {
            state.tags[granule] = (word >> (granule % 16 * 4) & 0xf) as u8;
        }
    }

    fn zero_granule(&mut self, offset: usize) {
        let state = &mut *self.0.borrow_mut();
        assert_eq!(offset % GRANULE, 0);
        state.tags[offset / GRANULE] = 0;
        state.data[offset..offset + GRANULE].fill(0);
    }
}

fn each_size(check: impl Fn(BlockSize)) {
    for bs in 2..=6 {
        check(BlockSize::from_gmid(bs).unwrap());
    }
}

fn words_are_assembled<P: PageSize>() {
    each_size(|size| {
        let mock = Mock::new(size, P::GRANULES);
        let mut page = BlockPage::new::<P>(mock.clone(), 1).unwrap();
        for index in 0..P::WORDS {
            page.set_word(index, pattern(index));
        }
        for granule in 0..P::GRANULES {
            let expected = (pattern(granule / 16) >> (granule % 16 * 4) & 0xf) as u8;
            assert_eq!(mock.0.borrow().tags[granule], expected, "{size:?}, granule {granule}");
        }
        mock.0.borrow_mut().accesses = 0;
        for index in 0..P::WORDS {
            assert_eq!(page.word(index), pattern(index), "{size:?}, word {index}");
        }
        assert_eq!(mock.0.borrow().accesses, (1 << P::SHIFT) / size.bytes(), "one access a block");
        // Past the page, nothing is touched.
        mock.0.borrow_mut().accesses = 0;
        page.set_word(P::WORDS, !0);
        assert_eq!((page.word(P::WORDS), page.word(usize::MAX)), (0, 0));
        assert_eq!(mock.0.borrow().accesses, 0);
    });
}

#[test]
fn words_are_assembled_from_blocks_of_every_size_4k() {
    words_are_assembled::<Page4K>();
}

#[test]
fn words_are_assembled_from_blocks_of_every_size_16k() {
    words_are_assembled::<Page16K>();
}

#[test]
fn words_are_assembled_from_blocks_of_every_size_64k() {
    words_are_assembled::<Page64K>();
}

#[test]
fn one_word_written_leaves_its_neighbours_alone() {
    each_size(|size| {
        let mock = Mock::new(size, Page4K::GRANULES);
        let mut page = BlockPage::new::<Page4K>(mock, 1).unwrap();
        page.set_word(7, 0x0123_4567_89ab_cdef);
        for index in 0..Page4K::WORDS {
            let expected = if index == 7 { 0x0123_4567_89ab_cdef } else { 0xaaaa_aaaa_aaaa_aaaa };
            assert_eq!(page.word(index), expected, "{size:?}, word {index}");
        }
    });
}

#[test]
fn clearing_leaves_data_alone_and_clearing_with_data_does_not_flag_13() {
    each_size(|size| {
        let mock = Mock::new(size, Page4K::GRANULES);
        let mut page = BlockPage::new::<Page4K>(mock.clone(), 1).unwrap();
        page.clear();
        assert!(mock.0.borrow().tags.iter().all(|&tag| tag == 0));
        assert!(mock.0.borrow().data.iter().all(|&byte| byte == 0xdd));
        page.set_word(0, !0);
        page.clear_with_data();
        assert!(mock.0.borrow().tags.iter().all(|&tag| tag == 0));
        assert!(mock.0.borrow().data.iter().all(|&byte| byte == 0));
    });
}

#[test]
fn tags_copied_between_backends_are_the_same() {
    let memory = shadow(Page4K::WORDS);
    for (index, word) in memory.iter().enumerate() {
        word.store(pattern(index).to_le(), Ordering::Relaxed);
    }
    each_size(|size| {
        let mut page = BlockPage::new::<Page4K>(Mock::new(size, Page4K::GRANULES), 1).unwrap();
        page.copy_from(&ShadowPage::new(&memory));
        assert!((0..Page4K::WORDS).all(|index| page.word(index) == pattern(index)));
    });
}

#[test]
fn more_pages_than_an_address_can_reach_are_refused() {
    let mock = || Mock::new(BlockSize::GRANULE, 0);
    for pages in [usize::MAX, usize::MAX >> 12, (usize::MAX >> 12) + 1, usize::MAX / 16] {
        let fits = pages.checked_mul(4096).is_some();
        let made = BlockPage::new::<Page4K>(mock(), pages);
        assert_eq!(made.err(), (!fits).then_some(Error::Invalid), "{pages} pages");
    }
}
