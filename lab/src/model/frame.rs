//! Page frames: data, tags, and what a kernel keeps of each.

use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use mteswap::{
    page::{FlagWord, Page},
    tagmem::ShadowPage,
};
use parking_lot::Mutex;

use crate::sync::{AtomicUsize, Lock};

/// Words of a page's tags, 4 KiB pages.
pub const TAG_WORDS: usize = 16;

/// A page of the model: the library's, over a frame's flag word and tags.
pub type FramePage<'a> = Page<'a, ShadowPage<'a>>;

/// A frame's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pfn(pub u32);

impl std::fmt::Display for Pfn {
    /// A, B, C: as commit messages name pages.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", (b'A' + (self.0 % 26) as u8) as char)
    }
}

/// One frame.
pub struct Frame {
    flags: AtomicUsize,
    tags: [AtomicU64; TAG_WORDS],
    pub data: Box<[AtomicU64]>,
    /// PTEs, caches and faults under way that hold it; 0 while it is free.
    refs: AtomicU32,
    /// The folio lock.
    pub lock: Lock<()>,
    /// The slot it is cached for, one more than its offset; 0 for none. Under the folio lock.
    pub slot: AtomicU32,
    /// PageAnonExclusive: its one mapping may write without a copy.
    pub exclusive: AtomicBool,
}

impl Frame {
    fn new(words: usize) -> Self {
        Self {
            flags: AtomicUsize::new(0),
            // What a last owner left: nobody may see it.
            tags: [const { AtomicU64::new(!0) }; TAG_WORDS],
            data: (0..words).map(|_| AtomicU64::new(!0)).collect(),
            refs: AtomicU32::new(0),
            lock: Lock::new(()),
            slot: AtomicU32::new(0),
            exclusive: AtomicBool::new(false),
        }
    }

    pub fn page(&self) -> FramePage<'_> {
        Page::new(FlagWord::new(&self.flags), ShadowPage::new(&self.tags))
    }

    /// The tags as they stand, flagged or not: what a load checks against.
    pub fn tag_word(&self, index: usize) -> u64 {
        self.tags[index].load(Relaxed)
    }

    /// What a store of tags by user space does.
    pub fn set_tags(&self, tags: impl Fn(usize) -> u64) {
        for (index, word) in self.tags.iter().enumerate() {
            word.store(tags(index), Relaxed);
        }
    }

    pub fn has_tags(&self, tags: impl Fn(usize) -> u64) -> bool {
        (0..TAG_WORDS).all(|index| self.tag_word(index) == tags(index))
    }

    pub fn copy_data(&self, from: &Self) {
        for (to, from) in self.data.iter().zip(&from.data) {
            to.store(from.load(Relaxed), Relaxed);
        }
    }

    pub fn refs(&self) -> u32 {
        self.refs.load(SeqCst)
    }

    pub fn get(&self) {
        self.refs.fetch_add(1, SeqCst);
    }

    /// A reference more, unless the frame is being freed.
    pub fn try_get(&self) -> bool {
        self.refs.fetch_update(SeqCst, SeqCst, |refs| (refs > 0).then_some(refs + 1)).is_ok()
    }
}

/// All frames, and those that are free: last freed, first used.
pub struct Frames {
    frames: Box<[Frame]>,
    free: Mutex<Vec<u32>>,
    /// Allocations that fail from now on.
    failing: AtomicU32,
}

impl Frames {
    pub fn new(frames: usize, words: usize) -> Self {
        Self {
            frames: (0..frames).map(|_| Frame::new(words)).collect(),
            free: Mutex::new((0..frames as u32).rev().collect()),
            failing: AtomicU32::new(0),
        }
    }

    pub fn frame(&self, pfn: Pfn) -> &Frame {
        &self.frames[pfn.0 as usize]
    }

    /// A frame with one reference; nothing else of it is touched.
    pub fn alloc(&self) -> Option<Pfn> {
        if self.failing.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            return None;
        }
        let pfn = Pfn(self.free.lock().pop()?);
        self.frame(pfn).refs.store(1, SeqCst);
        Some(pfn)
    }

    /// Drops a reference; with the last one the frame is free.
    pub fn put(&self, pfn: Pfn) {
        let frame = self.frame(pfn);
        if frame.refs.fetch_sub(1, SeqCst) != 1 {
            return;
        }
        // FLAG-4: the flag goes with the page.
        frame.flags.store(0, SeqCst);
        frame.exclusive.store(false, SeqCst);
        // Whoever gets it finds a stranger's data and tags.
        frame.data.iter().for_each(|word| word.store(!0, Relaxed));
        frame.set_tags(|_| !0);
        self.free.lock().push(pfn.0);
    }

    /// Makes the next `count` allocations fail.
    pub fn fail_next(&self, count: u32) {
        self.failing.store(count, SeqCst);
    }
}
