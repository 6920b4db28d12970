//! The store; and, for interrupt handlers, which entry's record each CPU is at.

use core::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use hypercall::GUESTS;
use mteswap::{
    entry::{EntryRange, SwapEntry},
    error::Result,
    hooks::KeepTags,
    host::AllocFlags,
    store::TagStore,
    swap::SlotsFreed,
    tags::{Page4K, TagSink, TagSource},
};

use crate::{cpu, host::Bare};

/// The one store.
pub static STORE: Store =
    Store { tags: TagStore::new(Bare), calls: [const { AtomicU64::new(Store::NONE) }; GUESTS] };

/// A store that knows who is in it. The hooks go through it; handlers, which come and go between
/// two instructions of theirs, call `tags` itself.
pub struct Store {
    /// The library's.
    pub tags: TagStore<Bare, Page4K>,
    /// By CPU, the entry of the call it is in.
    calls: [AtomicU64; GUESTS],
}

impl Store {
    /// No entry: bit 63 is 0 in all of them (TAG-15).
    const NONE: u64 = u64::MAX;

    /// The entry of the call that this CPU's handler has interrupted, if it was in one.
    pub fn interrupted(&self) -> Option<SwapEntry> {
        // Relaxed, here and below: written and read by one CPU.
        SwapEntry::from_raw(self.calls[cpu::guest()].load(Ordering::Relaxed)).ok()
    }

    fn call<R>(&self, entry: SwapEntry, call: impl FnOnce(&TagStore<Bare, Page4K>) -> R) -> R {
        let mark = &self.calls[cpu::guest()];
        mark.store(entry.raw(), Ordering::Relaxed);
        // Between the two marks a handler finds this CPU in the call, and nowhere else.
        compiler_fence(Ordering::SeqCst);
        let result = call(&self.tags);
        compiler_fence(Ordering::SeqCst);
        mark.store(Self::NONE, Ordering::Relaxed);
        result
    }
}

impl KeepTags for Store {
    const KEEPS: bool = true;
    const WORDS: usize = TagStore::<Bare, Page4K>::WORDS;

    fn save_pages<S: TagSource>(
        &self,
        range: EntryRange,
        page: impl FnMut(u64) -> Option<S>,
        flags: AllocFlags,
    ) -> Result<()> {
        self.call(range.first(), |tags| tags.save_pages(range, page, flags))
    }

    fn restore_page(&self, entry: SwapEntry, sink: &mut (impl TagSink + ?Sized)) -> bool {
        self.call(entry, |tags| tags.restore_page(entry, sink))
    }

    fn prefetch_tags(&self, range: EntryRange) {
        self.call(range.first(), |tags| tags.prefetch_tags(range));
    }

    fn has_tags(&self, entry: SwapEntry) -> bool {
        self.call(entry, |tags| tags.has_tags(entry))
    }

    fn drop_tags(&self, range: EntryRange) {
        self.call(range.first(), |tags| tags.drop_tags(range));
    }
}

impl SlotsFreed for Store {
    fn slots_freed(&self, range: EntryRange) {
        self.drop_tags(range);
    }
}
