//! Letting go of many objects at once.
//!
//! Most of them leave nothing in their slab that is in use: it is wiped once, as a whole, instead
//! of object by object. Which do shows at the end. Until then all of them are in use still, by
//! whoever drops them: they are on no free list, so nobody is handed one, and no lock is taken.

use core::ptr::NonNull;

use super::{FINE_STEP, OBJECT_MIN, SLAB_BYTES, Slab, Slabs, slab_of};
use crate::{
    host::Host,
    sync::{AtomicU16, Ordering, spin_loop},
    wipe::wipe,
};

/// The objects of one slab that were dropped and are not wiped: how many, and the place of the
/// last. The first byte of each is the place of the one before; that of the first is part of the
/// link in [`Dropped`].
///
/// The place is the upper byte, the count the lower. All 0 where there are none.
pub(super) struct Tally(AtomicU16);

/// An object's place, from its address.
const PLACE_SHIFT: u32 = FINE_STEP.trailing_zeros();

impl Tally {
    pub(super) const fn new() -> Self {
        Self(AtomicU16::new(0))
    }
}

/// Objects that were dropped, and are free only when [`Slabs::free_dropped`] has had them.
///
/// # Invariants
/// Each object of this list is the first of its slab's [`Tally`]: who counted it there, and nobody
/// else, takes the whole of the tally. Its memory holds the next of the list until then.
#[must_use = "objects that are dropped and not freed leak"]
pub(crate) struct Dropped(Option<NonNull<u8>>);

/// What an object of the list holds; all objects have room for it.
type Link = Option<NonNull<u8>>;
const _: () = assert!(size_of::<Link>() <= OBJECT_MIN);

impl Dropped {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Takes an object.
    ///
    /// # Safety
    /// `object` came from [`Slabs::alloc`] of the allocator that will have this list, was not
    /// freed, and is not used any more.
    #[inline(always)]
    pub(crate) unsafe fn push(&mut self, object: NonNull<u8>) {
        // SAFETY: the caller's promise.
        match unsafe { count(object) } {
            // SAFETY: the first, as this says.
            Ok(0) => unsafe { self.list(object) },
            Ok(_) => {}
            // SAFETY: as above, and it is not counted.
            Err(_) => unsafe { self.push_beside_others(object) },
        }
    }

    /// As [`push`](Self::push), where others are dropped from the same slab at this moment.
    #[cold]
    #[inline(never)]
    unsafe fn push_beside_others(&mut self, object: NonNull<u8>) {
        loop {
            spin_loop();
            // SAFETY: `push`'s caller's promise; it is not counted.
            match unsafe { count(object) } {
                // SAFETY: the first, as this says.
                Ok(0) => return unsafe { self.list(object) },
                Ok(_) => return,
                Err(_) => {}
            }
        }
    }

    /// Takes the first object of a tally.
    ///
    /// # Safety
    /// It is the first: the caller has counted it there.
    #[inline(never)]
    unsafe fn list(&mut self, object: NonNull<u8>) {
        // SAFETY: ours, as nobody else takes the tally; large enough, and of any alignment.
        unsafe { object.cast::<Link>().write_unaligned(self.0) };
        // INVARIANT: the first of its tally.
        self.0 = Some(object);
    }

    fn pop(&mut self) -> Option<NonNull<u8>> {
        let object = self.0?;
        // SAFETY: an object of the list, and the first of its tally: ours, with its link.
        self.0 = unsafe { object.cast::<Link>().read_unaligned() };
        Some(object)
    }
}

/// Puts an object into the tally of its slab, and returns what that was; `Err` where it changed
/// meanwhile.
///
/// # Safety
/// The object lies in a slab, and is the caller's.
#[inline(always)]
unsafe fn count(object: NonNull<u8>) -> Result<u16, u16> {
    // SAFETY: the caller's object lies in a slab.
    let slab = unsafe { slab_of(object) };
    // SAFETY: live, as one of its objects is in use: this one, until it is in the tally.
    let tally = &unsafe { slab.as_ref() }.dropped.0;
    // Relaxed: what the others of the tally hold is of no interest here.
    let seen = tally.load(Ordering::Relaxed);
    let [count, last] = seen.to_le_bytes();
    // SAFETY: the object is the caller's.
    unsafe { object.write(last) };
    // Its place above the count, which its slab's objects do not overflow: the place's bits of an address, moved
    // up. Those above leave the word, and below there are none, as objects are aligned.
    const _: () = assert!(FINE_STEP == 1 << PLACE_SHIFT && SLAB_BYTES == FINE_STEP << 8);
    const _: () = assert!(SLAB_BYTES / OBJECT_MIN < 256);
    let place = (object.addr().get() as u32) << (8 - PLACE_SHIFT);
    let new = place.wrapping_add(u32::from(count).wrapping_add(1));
    // Release: whoever takes the tally finds what was written just now, and nobody uses the object
    // any more. If it was taken since and has come to the same again, that is as good.
    tally.compare_exchange(seen, new as u16, Ordering::Release, Ordering::Relaxed)
}

impl<H: Host> Slabs<H> {
    /// Wipes and frees what was dropped. Called with no lock held.
    ///
    /// # Safety
    /// All of it came from this allocator.
    pub(crate) unsafe fn free_dropped(&self, host: &H, mut dropped: Dropped) {
        while let Some(first) = dropped.pop() {
            // SAFETY: an object that was dropped lies in a slab.
            let slab = unsafe { slab_of(first) };
            // SAFETY: `first` is in the tally, and its place in the list is ours.
            unsafe { self.free_tally(host, slab) };
        }
    }

    /// Frees the objects of a slab that were dropped: the slab, if it has no others.
    ///
    /// # Safety
    /// The slab is of this allocator, has a tally, and the caller has had its first object.
    unsafe fn free_tally(&self, host: &H, slab: NonNull<Slab>) {
        // SAFETY: objects of the tally are in use, so the slab is live.
        let head = unsafe { slab.as_ref() };
        // Acquire: pairs with the Release of each that is in the tally. From here on it is another's
        // who drops the next one.
        let tally = head.dropped.0.swap(0, Ordering::Acquire);
        let [count, place] = tally.to_le_bytes();
        let Some(lock) = self.lists.0.get(usize::from(head.list)) else { return };
        let mut list = lock.lock(host);
        let mut chain = None;
        if head.used.get() != count {
            // Some stay: these are wiped one by one, for which no lock is held.
            drop(list);
            // SAFETY: the tally that was taken.
            chain = Some(unsafe { wipe_tally(slab, place, count) });
            list = lock.lock(host);
        }
        let was_full = head.is_full();
        head.used.set(head.used.get().wrapping_sub(count));
        if head.used.get() == 0 {
            // SAFETY: no object is in use, and the lock is held.
            return unsafe { self.retire(host, list, slab, was_full) };
        }
        // Without one all were the tally's.
        if let Some(last) = chain {
            // SAFETY: the last of the chain, still ours. INVARIANT: wiped, as all before it.
            unsafe { last.write(head.free.get()) };
            head.free.set(place);
        }
        if was_full {
            // SAFETY: full slabs are on no list; `retire` takes it off before it gives it back.
            unsafe { list.push(slab) };
        }
    }
}

/// Wipes the objects of a tally but for their first bytes, which lead from each to the next; the
/// last one comes back.
///
/// # Safety
/// The caller has taken the tally of this place and this count, which is not 0, from this slab.
unsafe fn wipe_tally(slab: NonNull<Slab>, place: u8, count: u8) -> NonNull<u8> {
    // SAFETY: objects of the tally are in use, so the slab is live.
    let bytes = unsafe { slab.as_ref() }.object_bytes();
    let object_at = |place: u8| {
        let at = usize::from(place).wrapping_mul(FINE_STEP);
        debug_assert!(at < SLAB_BYTES);
        // SAFETY: the tally leads to objects' places in the slab.
        unsafe { slab.cast::<u8>().add(at) }
    };
    let mut object = object_at(place);
    for _ in 1..count {
        // SAFETY: an object of the tally, and not its first: ours, with a place in its first byte.
        let next = unsafe { object.read() };
        // SAFETY: ours, this many bytes.
        unsafe { wipe(object, bytes) };
        // SAFETY: as above.
        unsafe { object.write(next) };
        object = object_at(next);
    }
    // SAFETY: ours, this many bytes.
    unsafe { wipe(object, bytes) };
    object
}
