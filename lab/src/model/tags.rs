//! Where tags are kept: the library's store; or, for the order that only another store can show,
//! buffers behind pointers, as `arch/arm64/mm/mteswap.c` has them.

use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

use mteswap::{
    entry::{EntryRange, SwapEntry},
    error::Result,
    hooks::KeepTags,
    host::AllocFlags,
    store::TagStore,
    tags::{Page4K, PageSize, TagSink, TagSource},
};

use super::{frame::TAG_WORDS, host::LabHost};
use crate::sync::point;

pub enum Tags {
    Ours(Box<TagStore<LabHost, Page4K>>),
    Buffers(Buffers),
}

impl KeepTags for Tags {
    const KEEPS: bool = true;
    const WORDS: usize = Page4K::WORDS;

    fn save_pages<S: TagSource>(
        &self,
        range: EntryRange,
        mut page: impl FnMut(u64) -> Option<S>,
        flags: AllocFlags,
    ) -> Result<()> {
        match self {
            Self::Ours(store) => (**store).save_pages(range, page, flags),
            Self::Buffers(buffers) => {
                for index in 0..range.len() {
                    if let (Some(entry), Some(tags)) = (range.get(index), page(index)) {
                        buffers.save(entry, &tags);
                    }
                }
                Ok(())
            }
        }
    }

    fn restore_page(&self, entry: SwapEntry, tags: &mut (impl TagSink + ?Sized)) -> bool {
        match self {
            Self::Ours(store) => store.restore_page(entry, tags),
            Self::Buffers(buffers) => buffers.restore(entry, tags),
        }
    }

    fn prefetch_tags(&self, range: EntryRange) {
        if let Self::Ours(store) = self {
            store.prefetch_tags(range);
        }
    }

    fn has_tags(&self, entry: SwapEntry) -> bool {
        match self {
            Self::Ours(store) => store.has_tags(entry),
            Self::Buffers(buffers) => buffers.at(entry).load(SeqCst) != 0,
        }
    }

    fn drop_tags(&self, range: EntryRange) {
        match self {
            Self::Ours(store) => store.drop_tags(range),
            Self::Buffers(buffers) => {
                (0..range.len()).filter_map(|i| range.get(i)).for_each(|e| buffers.drop(e));
            }
        }
    }
}

/// One buffer a record, found through a pointer that nothing holds in place while it is used.
pub struct Buffers {
    /// By slot: one more than the number of its buffer.
    pointers: Box<[AtomicUsize]>,
    buffers: Box<[Buffer]>,
    /// A restore read a buffer that had been freed.
    pub read_freed: AtomicBool,
}

#[derive(Default)]
struct Buffer {
    words: [AtomicU64; TAG_WORDS],
    used: AtomicBool,
}

/// What freed memory reads as.
const POISON: u64 = 0x6b6b_6b6b_6b6b_6b6b;

impl Buffers {
    pub fn new(slots: usize) -> Self {
        Self {
            pointers: (0..slots).map(|_| AtomicUsize::new(0)).collect(),
            buffers: (0..slots * 2).map(|_| Buffer::default()).collect(),
            read_freed: AtomicBool::new(false),
        }
    }

    fn at(&self, entry: SwapEntry) -> &AtomicUsize {
        &self.pointers[entry.offset() as usize]
    }

    fn save(&self, entry: SwapEntry, tags: &impl TagSource) {
        let free = |buffer: &&Buffer| !buffer.used.load(SeqCst);
        let number = self.buffers.iter().position(|buffer| free(&buffer)).expect("two a slot");
        let buffer = &self.buffers[number];
        buffer.used.store(true, SeqCst);
        for (index, word) in buffer.words.iter().enumerate() {
            word.store(tags.word(index), Relaxed);
        }
        self.free(self.at(entry).swap(number + 1, SeqCst));
    }

    /// Loads the pointer, then reads what it points to: another may free it in between (TAG-13).
    fn restore(&self, entry: SwapEntry, tags: &mut (impl TagSink + ?Sized)) -> bool {
        let Some(number) = self.at(entry).load(SeqCst).checked_sub(1) else { return false };
        point();
        let buffer = &self.buffers[number];
        if !buffer.used.load(SeqCst) {
            self.read_freed.store(true, SeqCst);
        }
        for (index, word) in buffer.words.iter().enumerate() {
            tags.set_word(index, word.load(Relaxed));
        }
        true
    }

    fn drop(&self, entry: SwapEntry) {
        self.free(self.at(entry).swap(0, SeqCst));
    }

    fn free(&self, pointer: usize) {
        if let Some(number) = pointer.checked_sub(1) {
            let buffer = &self.buffers[number];
            buffer.words.iter().for_each(|word| word.store(POISON, Relaxed));
            buffer.used.store(false, SeqCst);
        }
    }
}
