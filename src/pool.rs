//! Type-stable memory: blocks that stay blocks of one type until no reader can be left.
//!
//! The index is read without locks, so a reader may look at a leaf that was unlinked
//! a moment ago. Such a look is harmless as long as the memory still holds a leaf,
//! this one or another: the reader finds out afterwards and tries again. So leaves
//! and nodes go back to a [`Pool`] of the store, and from there to the host only
//! through `&mut self`, when nobody else can be inside.

mod reserve;
mod stack;
mod unused;

#[cfg(test)]
mod tests;

use core::{alloc::Layout, marker::PhantomData, ptr::NonNull};

pub(crate) use reserve::Reserve;
pub(crate) use stack::Stack;

use unused::Unused;

use crate::{
    error::Result,
    host::{AllocFlags, Host, Lock},
    lanes::{LANES, Lanes, OwnLine},
    prefetch::{LINE, prefetch, prefetch_eight},
    sync::{AtomicUsize, Ordering},
};

/// A shared reference to an object of a [`Pool`] that keeps the pool's pointer, so that
/// the object can be given back through it.
pub(crate) struct Ref<'a, T> {
    object: NonNull<T>,
    pool: PhantomData<&'a T>,
}

impl<T> Ref<'_, T> {
    /// # Safety
    /// `object` came from a pool that stays borrowed, and not mutably, for the lifetime.
    pub(crate) const unsafe fn new(object: NonNull<T>) -> Self {
        Self { object, pool: PhantomData }
    }

    pub(crate) const fn as_ptr(self) -> NonNull<T> {
        self.object
    }
}

impl<'a, T> Ref<'a, T> {
    pub(crate) const fn get(self) -> &'a T {
        // SAFETY: by `new`'s promise the pool is borrowed: its memory holds a valid object
        // (`Pool`'s invariant), which is used through shared references alone.
        unsafe { self.object.as_ref() }
    }
}

impl<T> Clone for Ref<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ref<'_, T> {}

impl<T> core::ops::Deref for Ref<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.get()
    }
}

/// What a [`Pool`] is made of.
///
/// # Safety
/// The type is at least a word in size, its first word is an `AtomicPtr` that may hold
/// anything while the block is unused, all its other fields may be read at any time
/// by shared reference, and it needs no drop.
pub(crate) unsafe trait Pooled {
    /// Lays an empty object down.
    ///
    /// # Safety
    /// `at` is memory of this type's layout that the caller owns.
    unsafe fn init(at: NonNull<Self>);
}

/// Blocks of one type, shared by all areas of a store.
///
/// # Invariants
/// Memory that was ever taken from the pool holds a valid `T` until the pool is
/// borrowed mutably or dropped.
pub(crate) struct Pool<H: Host, T: Pooled> {
    unused: Lanes<Unused<H>>,
    /// Held while blocks are on their way from one lane to another: who has it and finds none in any lane has missed none.
    moving: Lock<H, ()>,
    reserve: Reserve<H>,
    /// Blocks that came from the host, wherever they are now.
    held: AtomicUsize,
    objects: PhantomData<T>,
}

impl<H: Host, T: Pooled> Pool<H, T> {
    pub(crate) const fn new() -> Self {
        Self {
            unused: Lanes::new([const { OwnLine(Unused::new()) }; LANES]),
            moving: Lock::new(()),
            reserve: Reserve::new(),
            held: AtomicUsize::new(0),
            objects: PhantomData,
        }
    }

    /// An empty object: from those given back, from the host, or, where the host has
    /// none, from the reserve.
    // Each next step is the last that its function takes: it has no stack left below the step.
    pub(crate) fn take(&self, host: &H, flags: AllocFlags) -> Option<NonNull<T>> {
        match self.take_unused(host) {
            None => self.take_elsewhere(host, flags),
            object => object,
        }
    }

    /// An empty object of those that were given back to the caller's lane.
    pub(crate) fn take_unused(&self, host: &H) -> Option<NonNull<T>> {
        let block = self.unused.own(host).pop(host, |next| {
            // As allocators do: whoever takes one will take another, and fill it.
            if size_of::<T>() < 8 * LINE { prefetch(next) } else { prefetch_eight(next) }
        });
        block.map(NonNull::cast)
    }

    /// As [`take`](Self::take), of any lane, or the host's, or the reserve's.
    #[inline(never)]
    fn take_elsewhere(&self, host: &H, flags: AllocFlags) -> Option<NonNull<T>> {
        // A look, which waits for nobody and may miss what is on its way: `take_last` does not.
        let mut has_some = false;
        self.unused.all().for_each(|lane| has_some |= lane.has_some());
        if !has_some {
            return self.take_new(host, flags);
        }
        match self.take_from_others(host) {
            Some(block) => Some(block.cast()),
            None => self.take_new(host, flags),
        }
    }

    /// One that another lane has, or that was brought to the caller's meanwhile.
    #[inline(always)]
    fn take_from_others(&self, host: &H) -> Option<NonNull<u8>> {
        if LANES == 1 {
            return None;
        }
        let own = self.unused.own(host);
        let _moving = self.moving.lock(host);
        // A loop, which is in this function's own frame.
        for lane in self.unused.all() {
            if let Some(block) = own.pop_from(host, lane) {
                return Some(block);
            }
        }
        None
    }

    /// The same, of the host.
    #[inline(never)]
    fn take_new(&self, host: &H, flags: AllocFlags) -> Option<NonNull<T>> {
        match self.new_object(host, flags) {
            None => self.take_last(host),
            object => object,
        }
    }

    /// The same, where the host has none: nothing in any lane is missed before the reserve is asked.
    #[cold]
    #[inline(never)]
    fn take_last(&self, host: &H) -> Option<NonNull<T>> {
        let block = self.take_from_others(host).or_else(|| self.reserve.pop(host));
        block.map(NonNull::cast)
    }

    fn new_object(&self, host: &H, flags: AllocFlags) -> Option<NonNull<T>> {
        let block = host.alloc(Layout::new::<T>(), flags)?.cast();
        // SAFETY: fresh memory of the layout of `T`, by `Host::alloc`'s promise.
        unsafe { T::init(block) };
        self.held.fetch_add(1, Ordering::Relaxed);
        Some(block)
    }

    /// Gives an object back.
    ///
    /// # Safety
    /// `object` came from [`take`](Self::take) of this pool, is as empty as it was then,
    /// and nobody will write to it any more.
    pub(crate) unsafe fn give(&self, host: &H, object: NonNull<T>) {
        // SAFETY: by `Pooled`'s promise a `T` begins with a word for the link; the
        // caller hands the object over.
        unsafe { self.unused.own(host).push(host, object.cast()) };
    }

    /// Sees to it that as many objects as are wanted, or more, are kept for when the host has no
    /// memory. On an error the reserve is as before. May sleep.
    pub(crate) fn raise_reserve(&self, host: &H, wanted: usize) -> Result<()> {
        let make = || self.new_object(host, AllocFlags::MAY_SLEEP).map(NonNull::cast);
        // Straight back to the host: what is in the reserve came straight from there, was
        // in no tree yet, and no reader knows of it.
        let unmake = |block| self.return_to_host(host, block);
        // SAFETY: `new_object` hands over a `T`, which begins with a word.
        unsafe { self.reserve.raise(host, wanted, make, unmake) }
    }

    /// Gives back those of the reserve that are more than are wanted.
    pub(crate) fn lower_reserve(&self, host: &H, wanted: usize) {
        // As above: no reader knows of them.
        self.reserve.lower(host, wanted, |block| self.return_to_host(host, block));
    }

    /// Objects in the reserve.
    pub(crate) fn reserved(&self, host: &H) -> usize {
        self.reserve.len(host)
    }

    /// Bytes held from the host for objects, without the reserve.
    pub(crate) fn bytes(&self, host: &H) -> usize {
        let held = self.held.load(Ordering::Relaxed);
        let objects = held.saturating_sub(self.reserved(host));
        objects.saturating_mul(size_of::<T>())
    }

    /// Bytes held from the host for the reserve.
    pub(crate) fn reserved_bytes(&self, host: &H) -> usize {
        self.reserved(host).saturating_mul(size_of::<T>())
    }

    /// Gives every unused object back to the host, the reserve left out. Returns the
    /// bytes given back.
    ///
    /// Exclusive access says that no reader is left who might look at one.
    #[inline(never)]
    pub(crate) fn shrink(&mut self, host: &H) -> usize {
        let mut bytes = 0usize;
        for lane in self.unused.all() {
            while let Some(block) = lane.pop(host, |_| {}) {
                self.return_to_host(host, block);
                bytes = bytes.saturating_add(size_of::<T>());
            }
        }
        bytes
    }

    /// Gives everything unused back to the host, the reserve as well.
    #[inline(never)]
    pub(crate) fn clear(&mut self, host: &H) {
        self.shrink(host);
        while let Some(block) = self.reserve.pop(host) {
            self.return_to_host(host, block);
        }
    }

    /// Only for blocks that no reader can know of.
    fn return_to_host(&self, host: &H, block: NonNull<u8>) {
        self.held.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: blocks on this pool's stacks came from this host with this layout
        // (`new_object` is their only source), and callers saw to it that it is theirs
        // alone: it was never linked, or the pool is borrowed mutably.
        unsafe { host.free(block, Layout::new::<T>()) };
    }
}
