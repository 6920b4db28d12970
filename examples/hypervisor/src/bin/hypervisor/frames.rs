//! Frames: the memory that guests' pages are in, and who has which.
//!
//! A frame is held while it is filled, copied, emptied or given back; holding it is what Linux
//! calls the folio lock. Lock order: frame, then page tables, then the library.

extern crate alloc;

use alloc::{
    alloc::{alloc_zeroed, handle_alloc_error},
    boxed::Box,
    vec::Vec,
};
use core::{
    alloc::Layout,
    num::NonZeroU32,
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering},
};

use hypercall::PAGE;
use mteswap::{
    entry::SwapEntry,
    page::{FlagWord, Page},
    swap::FolioId,
    tagmem::{NativePage, native_page},
    tags::{Page4K, TagSink},
};

use crate::lock::Mutex;

/// What a frame is filled with when it is given back: neither data nor tags survive in it.
const SCRUB: u8 = 0xa5;
const SCRUB_TAGS: u64 = 0xeeee_eeee_eeee_eeee;

/// What a frame is used for.
#[derive(Debug, Default)]
pub struct State {
    /// The page it holds: its number in guest memory, the same in every guest that maps it.
    pub page: usize,
    /// Bit `i`: guest `i` maps it.
    pub mappers: u8,
    /// Its slot, while it is in the swap cache; then it is mapped read-only, and what is on the
    /// device is the same.
    pub cached: Option<SwapEntry>,
    /// Never swapped out.
    pub wired: bool,
}

struct Frame {
    /// The protocol's flags of the page it holds.
    flags: AtomicUsize,
    state: spin::Mutex<State>,
}

/// All frames.
///
/// # Invariants
/// `memory` is the start of `frames.len()` pages that are these frames' alone.
pub struct Frames {
    memory: NonNull<u8>,
    frames: Box<[Frame]>,
    free: Mutex<Vec<usize>>,
    /// Where reclaim looks next.
    hand: AtomicUsize,
}

// SAFETY: the memory is reached through `Held` only, of which there is one a frame.
unsafe impl Send for Frames {}
// SAFETY: as above.
unsafe impl Sync for Frames {}

impl Frames {
    /// `count` frames, all free.
    pub fn new(count: usize) -> Self {
        let layout = Layout::from_size_align(count * PAGE, PAGE).expect("fewer frames than memory");
        assert!(count > 0, "no frames");
        // SAFETY: more than zero bytes.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) });
        let frame = |_| Frame { flags: AtomicUsize::new(0), state: spin::Mutex::default() };
        // INVARIANT: allocated here, and never given back.
        Self {
            memory: memory.unwrap_or_else(|| handle_alloc_error(layout)),
            frames: (0..count).map(frame).collect(),
            free: Mutex::new((0..count).collect()),
            hand: AtomicUsize::new(0),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.frames.len()
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.free.lock().len()
    }

    /// A free frame, if there is one.
    pub fn take(&self) -> Option<Held<'_>> {
        let index = self.free.lock().pop()?;
        Some(self.hold(index))
    }

    /// Waits for the frame numbered `index`.
    pub fn hold(&self, index: usize) -> Held<'_> {
        Held { frames: self, index, state: self.frames[index].state.lock() }
    }

    /// Waits for the frame that a pin names.
    pub fn hold_folio(&self, FolioId(id): FolioId) -> Held<'_> {
        self.hold(id.get() as usize - 1)
    }

    /// The next frame in turn that can be swapped out; `None` where the one in turn cannot.
    pub fn victim(&self) -> Option<Held<'_>> {
        let index = self.hand.fetch_add(1, Ordering::Relaxed) % self.count();
        let state = self.frames[index].state.try_lock()?;
        let idle = state.mappers != 0 && !state.wired;
        idle.then_some(Held { frames: self, index, state })
    }
}

/// A frame that is held. Its memory is the holder's as far as no guest maps it writable.
pub struct Held<'a> {
    frames: &'a Frames,
    index: usize,
    /// What it is used for.
    pub state: spin::MutexGuard<'a, State>,
}

impl Held<'_> {
    /// Its number.
    pub fn index(&self) -> usize {
        self.index
    }

    /// By what a pin names it.
    pub fn folio(&self) -> FolioId {
        FolioId(NonZeroU32::MIN.saturating_add(self.index as u32))
    }

    /// Its physical address.
    pub fn address(&self) -> usize {
        self.pointer().as_ptr().expose_provenance()
    }

    fn pointer(&self) -> NonNull<u8> {
        // SAFETY: by the invariant, `memory` has as many pages as there are frames.
        unsafe { self.frames.memory.add(self.index * PAGE) }
    }

    /// Its flags and tags, for the library.
    pub fn page(&self) -> Page<'_, NativePage<'_>> {
        // SAFETY: a page of the heap, mapped Tagged for good, with tag access at EL2 (`cpu`);
        // nothing relies on its tags but the guests, through the flag protocol. Its data is
        // zeroed for a fresh page only, which nobody else knows of.
        let tags = unsafe { native_page::<Page4K>(self.pointer().as_ptr()) };
        let tags = tags.expect("frames are aligned, and `cpu` has checked for MTE");
        Page::new(FlagWord::new(&self.frames.frames[self.index].flags), tags)
    }

    /// Its data, while no guest can write to it.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: by the invariant one page of memory; it is held, and callers have unmapped it
        // or mapped it read-only.
        unsafe { core::slice::from_raw_parts(self.pointer().as_ptr(), PAGE) }
    }

    /// Its data, while no guest maps it.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: by the invariant one page of memory; it is held, and no guest maps it.
        unsafe { core::slice::from_raw_parts_mut(self.pointer().as_ptr(), PAGE) }
    }

    /// Gives it back, wiped, untagged. No guest maps it.
    pub fn free(mut self) {
        self.wipe();
        *self.state = State::default();
        self.frames.free.lock().push(self.index);
    }

    /// Makes it as a frame just taken: what was in it must not be found again.
    pub fn wipe(&mut self) {
        self.bytes_mut().fill(SCRUB);
        // SAFETY: as in `page`; no guest maps it.
        let tags = unsafe { native_page::<Page4K>(self.pointer().as_ptr()) };
        let mut tags = tags.expect("as in `page`");
        (0..PAGE / 256).for_each(|index| tags.set_word(index, SCRUB_TAGS));
        // Freed, and so untagged (FLAG-4).
        self.frames.frames[self.index].flags.store(0, Ordering::Release);
    }
}
