//! A machine made of arrays: eight frames, a device, tags in a shadow of the frames.

use std::{
    alloc::{self, Layout},
    cell::Cell,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use mteswap::{
    entry::SwapType,
    page::{FlagWord, Page},
    tagmem::ShadowPage,
    tags::{TagSink, TagSource},
};
use mteswap_template::{Kernel, KernelHost, PAGE_BYTES, PageError, Pager, Pte, PteValue, Store};

const FRAMES: usize = 8;
const SLOTS: usize = 64;
/// Where the machine's memory begins, so that no address is a frame's number.
const BASE: usize = 0x4000_0000;

#[derive(Clone, Copy)]
struct Machine;

/// A frame's content, reached by pointers only.
struct Memory(std::cell::UnsafeCell<[u8; PAGE_BYTES]>);
// SAFETY: who has a frame alone has its memory alone.
unsafe impl Sync for Memory {}

static MEMORY: [Memory; FRAMES] =
    [const { Memory(std::cell::UnsafeCell::new([0; PAGE_BYTES])) }; FRAMES];
static TAGS: [[AtomicU64; 16]; FRAMES] = [const { [const { AtomicU64::new(0) }; 16] }; FRAMES];
static FLAGS: [AtomicUsize; FRAMES] = [const { AtomicUsize::new(0) }; FRAMES];
static FREE: Mutex<Vec<usize>> = Mutex::new(Vec::new());
static DEVICE: Mutex<Vec<[u8; PAGE_BYTES]>> = Mutex::new(Vec::new());
static BROKEN: AtomicBool = AtomicBool::new(false);
static HEAP: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// How deep this CPU's interrupts are off.
    static OFF: Cell<usize> = const { Cell::new(0) };
}

fn number(frame: usize) -> usize {
    (frame - BASE) / PAGE_BYTES
}

// SAFETY: frames are handed out from a list, once each; the heap is std's; no interrupts.
unsafe impl Kernel for Machine {
    type Tags = ShadowPage<'static>;

    fn alloc_frame() -> Option<usize> {
        let frame = FREE.lock().unwrap().pop()?;
        FLAGS[number(frame)].store(0, SeqCst);
        Some(frame)
    }

    fn dealloc_frame(frame: usize) {
        // Whatever was in it is of no use to the next one.
        TAGS[number(frame)].iter().for_each(|word| word.store(!0, SeqCst));
        let mut free = FREE.lock().unwrap();
        assert!(!free.contains(&frame), "freed twice");
        free.push(frame);
    }

    fn phys_to_virt(frame: usize) -> *mut u8 {
        MEMORY[number(frame)].0.get().cast()
    }

    fn page(frame: usize) -> Page<'static, Self::Tags> {
        let number = number(frame);
        Page::new(FlagWord::new(&FLAGS[number]), ShadowPage::new(&TAGS[number]))
    }

    fn heap_alloc(layout: Layout, _: bool) -> *mut u8 {
        assert_eq!(OFF.get(), 0, "memory asked for with interrupts off");
        HEAP.fetch_add(layout.size() as i64, SeqCst);
        // SAFETY: the library asks for no empty blocks.
        unsafe { alloc::alloc(layout) }
    }

    unsafe fn heap_free(ptr: *mut u8, layout: Layout) {
        HEAP.fetch_sub(layout.size() as i64, SeqCst);
        // SAFETY: the caller's promise.
        unsafe { alloc::dealloc(ptr, layout) }
    }

    fn irq_save() -> usize {
        OFF.replace(OFF.get() + 1)
    }

    fn irq_restore(_: usize) {
        OFF.set(OFF.get() - 1);
    }

    fn processor() -> usize {
        0
    }

    fn yield_now() {
        std::thread::yield_now();
    }

    fn device_write(slot: u64, page: &[u8; PAGE_BYTES]) -> bool {
        DEVICE.lock().unwrap()[slot as usize] = *page;
        !BROKEN.load(SeqCst)
    }

    fn device_read(slot: u64, page: &mut [u8; PAGE_BYTES]) -> bool {
        *page = DEVICE.lock().unwrap()[slot as usize];
        !BROKEN.load(SeqCst)
    }
}

struct Entry(Mutex<PteValue>);

impl Pte for Entry {
    fn locked<R>(&self, change: impl FnOnce(&mut PteValue) -> R) -> R {
        change(&mut self.0.lock().unwrap())
    }
}

impl Entry {
    fn frame(&self) -> Option<usize> {
        match *self.0.lock().unwrap() {
            PteValue::Present(frame) => Some(frame),
            PteValue::Swapped(_) => None,
        }
    }
}

/// One test at a time has the machine, all frames free.
fn boot() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    *FREE.lock().unwrap() = (0..FRAMES).map(|number| BASE + number * PAGE_BYTES).collect();
    *DEVICE.lock().unwrap() = vec![[0; PAGE_BYTES]; SLOTS];
    BROKEN.store(false, SeqCst);
    turn
}

fn tag_word(page: usize, index: usize) -> u64 {
    (page as u64 * 16 + index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A new page in a free frame, its data and tags made from its number.
fn new_page(page: usize) -> Entry {
    let frame = Machine::alloc_frame().expect("a free frame");
    // SAFETY: just allocated.
    unsafe { Machine::phys_to_virt(frame).write_bytes(page as u8, PAGE_BYTES) };
    let wrote = Machine::page(frame).tag_with(|tags| {
        (0..16).for_each(|index| tags.set_word(index, tag_word(page, index)));
        true
    });
    assert!(wrote);
    Entry(Mutex::new(PteValue::Present(frame)))
}

/// True if the page is in memory as it was made, each granule.
fn is_whole(page: usize, pte: &Entry) -> bool {
    let Some(frame) = pte.frame() else { return false };
    // SAFETY: mapped, and written to by nobody.
    let data = unsafe { &*Machine::phys_to_virt(frame).cast::<[u8; PAGE_BYTES]>() };
    let shadow = Machine::page(frame);
    let Some(tags) = shadow.tags() else { return false };
    data.iter().all(|byte| *byte == page as u8)
        && (0..16).all(|index| tags.word(index) == tag_word(page, index))
}

/// A store and a pager, with `pages` pages that are all paged out; then all is torn down, and
/// nothing left.
fn with_pages(pages: usize, test: impl FnOnce(&Store<Machine>, &Pager<'_, Machine>, &[Entry])) {
    let _turn = boot();
    let store = Store::<Machine>::new(KernelHost::new());
    let pager = Pager::new(&store, SwapType::new(1).unwrap(), SLOTS).unwrap();
    let ptes: Vec<_> = (0..pages)
        .map(|page| {
            let pte = new_page(page);
            pager.page_out(&pte).unwrap();
            pte
        })
        .collect();
    assert_eq!((store.stats().entries, FREE.lock().unwrap().len()), (pages as u64, FRAMES));
    test(&store, &pager, &ptes);
    for pte in &ptes {
        pager.page_in(pte).unwrap();
        Machine::dealloc_frame(pte.frame().unwrap());
    }
    assert_eq!((store.stats().entries, FREE.lock().unwrap().len()), (0, FRAMES));
    drop(pager);
    drop(store);
    assert_eq!(HEAP.load(SeqCst), 0, "memory that never came back");
}

#[test]
fn more_pages_than_frames_come_back_with_their_tags() {
    with_pages(40, |_, pager, ptes| {
        let mut seed = 1usize;
        for _ in 0..2000 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let page = (seed >> 33) % ptes.len();
            pager.page_in(&ptes[page]).unwrap();
            assert!(is_whole(page, &ptes[page]), "page {page}");
            pager.page_out(&ptes[page]).unwrap();
        }
    });
}

/// The check above sees tags that are lost.
#[test]
fn tags_that_are_lost_are_noticed() {
    with_pages(4, |store, pager, ptes| {
        store.invalidate_area(SwapType::new(1).unwrap());
        for (page, pte) in ptes.iter().enumerate() {
            pager.page_in(pte).unwrap();
            assert!(!is_whole(page, pte));
        }
    });
}

#[test]
fn a_device_error_leaves_every_page_where_it_was() {
    with_pages(8, |store, pager, ptes| {
        pager.page_in(&ptes[0]).unwrap();
        BROKEN.store(true, SeqCst);
        assert_eq!(pager.page_in(&ptes[1]), Err(PageError::Device));
        assert_eq!(pager.page_out(&ptes[0]), Err(PageError::Device));
        assert_eq!((store.stats().entries, FREE.lock().unwrap().len()), (7, FRAMES - 1));
        BROKEN.store(false, SeqCst);
        for (page, pte) in ptes.iter().enumerate() {
            pager.page_in(pte).unwrap();
            assert!(is_whole(page, pte), "page {page}");
        }
    });
}

/// The PTE changes while the page is on its way to the device: nothing of the newer one's is
/// touched, and neither slot nor record is left.
#[test]
fn a_page_that_moved_while_it_was_written_is_not_replaced() {
    /// One whose owner gets the page another frame after it was first looked at.
    struct Moving<'a>(&'a Entry, Cell<bool>);
    impl Pte for Moving<'_> {
        fn locked<R>(&self, change: impl FnOnce(&mut PteValue) -> R) -> R {
            if self.1.replace(true) {
                *self.0.0.lock().unwrap() = PteValue::Present(Machine::alloc_frame().unwrap());
            }
            self.0.locked(change)
        }
    }
    with_pages(2, |store, pager, ptes| {
        pager.page_in(&ptes[0]).unwrap();
        let before = ptes[0].frame().unwrap();
        let moving = Moving(&ptes[0], Cell::new(false));
        assert_eq!(pager.page_out(&moving), Err(PageError::Again));
        let after = ptes[0].frame().unwrap();
        assert_ne!(before, after);
        assert_eq!(store.stats().entries, 1);
        assert!(!FREE.lock().unwrap().contains(&before));
        Machine::dealloc_frame(before);
    });
}

#[test]
fn without_a_free_frame_a_page_stays_out_until_there_is_one() {
    with_pages(FRAMES + 1, |_, pager, ptes| {
        let (last, others) = ptes.split_last().unwrap();
        others.iter().for_each(|pte| pager.page_in(pte).unwrap());
        assert_eq!(pager.page_in(last), Err(PageError::NoFrame));
        pager.page_out(&others[0]).unwrap();
        pager.page_in(last).unwrap();
        assert!(is_whole(FRAMES, last));
        ptes.iter().for_each(|pte| pager.page_out(pte).unwrap());
    });
}

#[test]
fn faults_of_two_cpus_on_one_page_bring_it_in_once() {
    with_pages(3, |_, pager, ptes| {
        for _ in 0..300 {
            std::thread::scope(|threads| {
                for _ in 0..2 {
                    threads.spawn(|| {
                        for pte in ptes {
                            while pager.page_in(pte) == Err(PageError::Again) {}
                        }
                    });
                }
            });
            assert_eq!(FREE.lock().unwrap().len(), FRAMES - ptes.len());
            for (page, pte) in ptes.iter().enumerate() {
                assert!(is_whole(page, pte), "page {page}");
                pager.page_out(pte).unwrap();
            }
        }
    });
}
