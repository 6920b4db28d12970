//! Payload memory: objects of close-fitting sizes cut out of slabs of 1 KiB.
//!
//! An allocator of powers of two loses a third on payloads of 5 to 127 bytes; classes
//! four bytes apart lose a tenth. What is too large for a class comes from the host
//! as it is ([`crate::record`]).
//!
//! A freed object is zeroed before it is put on a free list, an emptied slab goes back
//! to the host at once, all zero (TAG-12). Objects that go together are put together first
//! ([`dropped`]).

mod class;
mod dropped;
mod list;

#[cfg(test)]
mod tests;

use core::{alloc::Layout, cell::Cell, ptr::NonNull};

pub(crate) use class::OBJECT_MAX;
pub(crate) use dropped::Dropped;

use class::{CLASSES, FINE_STEP, OBJECT_MIN, class_bytes, class_of};
use dropped::Tally;
use list::List;

use crate::{
    host::{AllocFlags, Guard, Host, Lock},
    lanes::{LANES, OwnLine, lane},
    overlap,
    sync::{AtomicUsize, Ordering},
    wipe::{wipe, wipe_few},
};

/// Bytes of a slab, and its alignment: an object's slab is found by masking its address.
/// A power of two below the page, so that a kernel's allocator fits it exactly.
pub(crate) const SLAB_BYTES: usize = 1024;
/// Lists from the classes of one lane to those of the next: with this many none shares a cache line with another
/// lane's, whatever the size of a lock.
const LANE: usize = CLASSES.next_multiple_of(8);
const LISTS: usize = LANES * LANE;

/// The head of a slab; its objects follow. Sizes and places are in words of 4 bytes.
///
/// # Invariants
/// - The slab lies at an address aligned to [`SLAB_BYTES`].
/// - `list`, which is that of its class in its lane, and `words`, an object's size, never change. All cells belong
///   to whoever holds the lock of that list.
/// - The last `fresh` words, whole objects, were never handed out. `free` is the place of an object that was
///   given back, 0 for none; the first byte of each of them is the next, in the same way.
/// - Objects that are not in use are zero but for that byte. Those of `dropped` are in use, by
///   whoever dropped the first of them; it is no part of what the lock guards.
/// - A slab with an object to spare is on its list; no other is.
#[repr(C, align(8))]
struct Slab {
    next: Cell<Option<NonNull<Self>>>,
    previous: Cell<Option<NonNull<Self>>>,
    list: u8,
    words: u8,
    used: Cell<u8>,
    fresh: Cell<u8>,
    free: Cell<u8>,
    dropped: Tally,
}

const HEAD: usize = size_of::<Slab>();
/// Places and counts of words fit a byte, as lists do, and no object is at place 0.
const _: () = assert!(LISTS <= 256);
const _: () = assert!(SLAB_BYTES / FINE_STEP <= 256 && HEAD > 0 && HEAD % FINE_STEP == 0);

impl Slab {
    const LAYOUT: Layout = match Layout::from_size_align(SLAB_BYTES, SLAB_BYTES) {
        Ok(layout) => layout,
        // The sizes are constants: this arm is never built.
        Err(_) => Layout::new::<Self>(),
    };

    /// Bytes of an object.
    fn object_bytes(&self) -> usize {
        usize::from(self.words).wrapping_mul(FINE_STEP)
    }

    fn is_full(&self) -> bool {
        self.free.get() | self.fresh.get() == 0
    }

    /// Takes an object out, all zero.
    ///
    /// # Safety
    /// `slab` is live and not full, and the caller holds its list's lock or is the only
    /// one who knows of it.
    unsafe fn pop(slab: NonNull<Self>) -> NonNull<u8> {
        // SAFETY: `slab` is live, and its cells are the caller's.
        let head = unsafe { slab.as_ref() };
        head.used.set(head.used.get().wrapping_add(1));
        let at = usize::from(head.free.get()).wrapping_mul(FINE_STEP);
        if at == 0 {
            let fresh = usize::from(head.fresh.get()).wrapping_mul(FINE_STEP);
            head.fresh.set(head.fresh.get().wrapping_sub(head.words));
            // SAFETY: not full and nothing given back, so an object that was never handed out
            // begins with the fresh words, which end with the slab.
            return unsafe { slab.cast::<u8>().add(SLAB_BYTES.wrapping_sub(fresh)) };
        }
        // SAFETY: what is on the free list is an object's place in the slab.
        let object = unsafe { slab.cast::<u8>().add(at) };
        // SAFETY: an object on the free list belongs to the slab, and its first byte
        // was written by `push`.
        head.free.set(unsafe { object.read() });
        // SAFETY: as above. INVARIANT: the object is zero again.
        unsafe { object.write(0) };
        object
    }

    /// Puts an object back.
    ///
    /// # Safety
    /// `object` is one of this live slab's that is in use by nobody but the caller, all
    /// zero, and the caller holds its list's lock.
    unsafe fn push(slab: NonNull<Self>, object: NonNull<u8>) {
        // SAFETY: `slab` is live, and its cells are the caller's.
        let head = unsafe { slab.as_ref() };
        // SAFETY: the object is the caller's.
        unsafe { object.write(head.free.get()) };
        head.free.set(place_of(object));
        head.used.set(head.used.get().wrapping_sub(1));
    }
}

/// Objects of 1 to [`OBJECT_MAX`] bytes.
///
/// Locks: one a class and lane, held for a few dozen instructions and never together with
/// another.
pub(crate) struct Slabs<H: Host> {
    lists: OwnLine<[Lock<H, List>; LISTS]>,
    held: AtomicUsize,
}

impl<H: Host> Slabs<H> {
    pub(crate) const fn new() -> Self {
        let lists = OwnLine([const { Lock::new(List::new()) }; LISTS]);
        Self { lists, held: AtomicUsize::new(0) }
    }

    /// Bytes held from the host.
    pub(crate) fn bytes(&self) -> usize {
        self.held.load(Ordering::Relaxed).saturating_mul(SLAB_BYTES)
    }

    /// An object of at least `len` bytes, all zero and aligned to 4; [`size`](Self::size) says how many they are, a word at
    /// least.
    /// `None` without memory, or for a `len` above [`OBJECT_MAX`].
    // Not inlined: the caller has an encoder on its stack.
    #[inline(never)]
    pub(crate) fn alloc(&self, host: &H, len: usize, flags: AllocFlags) -> Option<NonNull<u8>> {
        let class = class_of(len);
        if class >= CLASSES {
            return None;
        }
        let list = lane(host).wrapping_mul(LANE).wrapping_add(class);
        let lock = self.lists.0.get(list)?;
        let object = Self::pop_partial(&mut lock.lock(host));
        match object {
            None => self.alloc_new(host, list, class, flags),
            object => object,
        }
    }

    /// [`alloc`](Self::alloc) where no slab of the list has an object to spare.
    #[inline(never)]
    fn alloc_new(
        &self,
        host: &H,
        list: usize,
        class: usize,
        flags: AllocFlags,
    ) -> Option<NonNull<u8>> {
        let lock = self.lists.0.get(list)?;
        let slab = self.new_slab(host, list, class_bytes(class), flags)?;
        // SAFETY: fresh, so not full, and nobody else knows of it.
        let object = unsafe { Slab::pop(slab) };
        // SAFETY: live, and only we know of it.
        if !unsafe { slab.as_ref() }.is_full() {
            // SAFETY: as above; `retire` takes it off before it gives it back.
            unsafe { lock.lock(host).push(slab) };
        }
        Some(object)
    }

    fn pop_partial(list: &mut List) -> Option<NonNull<u8>> {
        let slab = list.first()?;
        // SAFETY: on the list, so live and not full; `list` is borrowed from its lock.
        let object = unsafe { Slab::pop(slab) };
        // SAFETY: live.
        if unsafe { slab.as_ref() }.is_full() {
            list.pop();
        }
        Some(object)
    }

    #[inline]
    fn new_slab(
        &self,
        host: &H,
        list: usize,
        bytes: usize,
        flags: AllocFlags,
    ) -> Option<NonNull<Slab>> {
        let slab = host.alloc(Slab::LAYOUT, flags)?;
        let room = (SLAB_BYTES - HEAD) / FINE_STEP;
        let words = bytes / FINE_STEP;
        // None has no words.
        let left_over = room.checked_rem(words).unwrap_or(0);
        let head = Slab {
            next: Cell::new(None),
            previous: Cell::new(None),
            list: list as u8,
            words: words as u8,
            used: Cell::new(0),
            fresh: Cell::new(room.saturating_sub(left_over) as u8),
            free: Cell::new(0),
            dropped: Tally::new(),
        };
        // SAFETY: the host gave us this many bytes.
        unsafe { slab.write_bytes(0, SLAB_BYTES) };
        let slab = slab.cast::<Slab>();
        // SAFETY: aligned and large enough by its layout. INVARIANT: all objects are fresh.
        unsafe { slab.write(head) };
        self.held.fetch_add(1, Ordering::Relaxed);
        Some(slab)
    }

    /// The exact size of an object: a word at least.
    ///
    /// # Safety
    /// `object` came from [`alloc`](Self::alloc) and was not freed.
    pub(crate) unsafe fn size(object: NonNull<u8>) -> usize {
        // SAFETY: the caller's object lies in a slab.
        let slab = unsafe { slab_of(object) };
        // SAFETY: a live object's slab is live; its objects' size never changes.
        unsafe { slab.as_ref() }.object_bytes()
    }

    /// Takes an object back and wipes it. Called with no lock held.
    ///
    /// # Safety
    /// `object` came from [`alloc`](Self::alloc) of this allocator, was not freed, and is
    /// not used any more.
    // What is seldom done is done by others, last: nothing is kept on the stack for it.
    #[inline(never)]
    pub(crate) unsafe fn free(&self, host: &H, object: NonNull<u8>) {
        // SAFETY: the caller's object lies in a slab.
        let slab = unsafe { slab_of(object) };
        // SAFETY: a live object's slab is live; its objects' size never changes.
        let bytes = unsafe { slab.as_ref() }.object_bytes();
        if bytes > overlap::MAX {
            // SAFETY: the caller's promise.
            return unsafe { self.free_long(host, object) };
        }
        // SAFETY: the object is the caller's, this many bytes, `OBJECT_MIN` at least.
        unsafe { wipe_few(object, bytes) };
        // SAFETY: the caller's promise, and it is wiped.
        unsafe { self.free_wiped(host, object) };
    }

    /// [`free`](Self::free) of more than a few words.
    ///
    /// # Safety
    /// As for `free`.
    #[inline(never)]
    unsafe fn free_long(&self, host: &H, object: NonNull<u8>) {
        // SAFETY: the caller's object.
        let bytes = unsafe { Self::size(object) };
        // SAFETY: the object is the caller's, this many bytes.
        unsafe { wipe(object, bytes) };
        // SAFETY: the caller's promise, and it is wiped.
        unsafe { self.free_wiped(host, object) };
    }

    /// # Safety
    /// As for [`free`](Self::free); the object is all zero.
    #[inline(always)]
    unsafe fn free_wiped(&self, host: &H, object: NonNull<u8>) {
        // SAFETY: the caller's object lies in a slab.
        let slab = unsafe { slab_of(object) };
        // SAFETY: a live object's slab is live; its list never changes.
        let head = unsafe { slab.as_ref() };
        let Some(lock) = self.lists.0.get(usize::from(head.list)) else { return };
        let mut list = lock.lock(host);
        let was_full = head.is_full();
        // SAFETY: the object is the caller's, wiped, and the lock is held.
        unsafe { Slab::push(slab, object) };
        if head.used.get() > 0 {
            if was_full {
                // SAFETY: full slabs are on no list; `retire` takes it off before it gives it back.
                unsafe { list.push(slab) };
            }
            return;
        }
        // SAFETY: as the lock says, no object is in use any more.
        unsafe { self.retire(host, list, slab, was_full) };
    }

    /// Gives a slab back to the host, and its list's lock.
    ///
    /// # Safety
    /// No object of it is in use, and `list` is its own, on which it is unless it `was_full`.
    #[inline]
    unsafe fn retire(
        &self,
        host: &H,
        mut list: Guard<'_, H, List>,
        slab: NonNull<Slab>,
        was_full: bool,
    ) {
        if !was_full {
            // SAFETY: not full until now, so it is on this list.
            unsafe { list.remove(slab) };
        }
        drop(list);
        // SAFETY: no object is in use and no list leads here.
        unsafe { self.give_back(host, slab) };
    }

    /// # Safety
    /// The slab is the caller's alone.
    #[inline(never)]
    unsafe fn give_back(&self, host: &H, slab: NonNull<Slab>) {
        // SAFETY: the caller's promise.
        unsafe { wipe(slab.cast(), SLAB_BYTES) };
        self.held.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: it came from `new_slab`, of this host, with this layout.
        unsafe { host.free(slab.cast(), Slab::LAYOUT) };
    }
}

/// The place of an object in its slab, in words: behind the head, so 1 to 255.
fn place_of(object: NonNull<u8>) -> u8 {
    (object.addr().get() % SLAB_BYTES / FINE_STEP) as u8
}

/// Where the slab begins that holds what `at` points into, if it is one that does.
#[inline(always)]
pub(crate) fn head_of(at: *mut u8) -> *mut u8 {
    at.map_addr(|a| a & !(SLAB_BYTES - 1))
}

/// # Safety
/// `object` lies in a slab.
unsafe fn slab_of(object: NonNull<u8>) -> NonNull<Slab> {
    let slab = head_of(object.as_ptr());
    // SAFETY: a slab lies at an aligned address and is no larger than that, so this takes off
    // how far the object is into it; and no slab lies at null.
    unsafe { NonNull::new_unchecked(slab) }.cast()
}
