//! The slabs that have an object to spare, linked through their heads.

use core::ptr::NonNull;

use intrusive_collections::{
    Adapter, DefaultPointerOps, LinkedList, PointerOps, UnsafeRef, linked_list::LinkedListOps,
};

use super::Slab;

/// Links in a slab's head.
///
/// `intrusive-collections`' own links panic where an element is pushed twice; here the
/// invariant on full slabs says who is on the list.
struct SlabLinks;

// SAFETY: a slab is pushed when it gets its first spare object and removed when it
// loses the last, both under its list's lock, so a link is free when acquired.
unsafe impl intrusive_collections::LinkOps for SlabLinks {
    type LinkPtr = NonNull<Slab>;

    unsafe fn acquire_link(&mut self, _: Self::LinkPtr) -> bool {
        true
    }

    unsafe fn release_link(&mut self, _: Self::LinkPtr) {}
}

// SAFETY: each getter returns what its setter stored last.
unsafe impl LinkedListOps for SlabLinks {
    unsafe fn next(&self, slab: NonNull<Slab>) -> Option<NonNull<Slab>> {
        // SAFETY: slabs on a list are live; its lock is held.
        unsafe { slab.as_ref() }.next.get()
    }

    unsafe fn prev(&self, slab: NonNull<Slab>) -> Option<NonNull<Slab>> {
        // SAFETY: as in `next`.
        unsafe { slab.as_ref() }.previous.get()
    }

    unsafe fn set_next(&mut self, slab: NonNull<Slab>, next: Option<NonNull<Slab>>) {
        // SAFETY: as in `next`.
        unsafe { slab.as_ref() }.next.set(next);
    }

    unsafe fn set_prev(&mut self, slab: NonNull<Slab>, previous: Option<NonNull<Slab>>) {
        // SAFETY: as in `next`.
        unsafe { slab.as_ref() }.previous.set(previous);
    }
}

struct SlabAdapter {
    links: SlabLinks,
    pointers: DefaultPointerOps<UnsafeRef<Slab>>,
}

// SAFETY: the links stand in the slab's head, so both conversions are the identity.
unsafe impl Adapter for SlabAdapter {
    type LinkOps = SlabLinks;
    type PointerOps = DefaultPointerOps<UnsafeRef<Slab>>;

    unsafe fn get_value(
        &self,
        link: NonNull<Slab>,
    ) -> *const <Self::PointerOps as PointerOps>::Value {
        link.as_ptr()
    }

    unsafe fn get_link(
        &self,
        value: *const <Self::PointerOps as PointerOps>::Value,
    ) -> NonNull<Slab> {
        // SAFETY: the caller's pointer is valid, hence not null.
        unsafe { NonNull::new_unchecked(value.cast_mut()) }
    }

    fn link_ops(&self) -> &SlabLinks {
        &self.links
    }

    fn link_ops_mut(&mut self) -> &mut SlabLinks {
        &mut self.links
    }

    fn pointer_ops(&self) -> &Self::PointerOps {
        &self.pointers
    }
}

/// The slabs of one class, in one lane, that have an object to spare.
pub(super) struct List(LinkedList<SlabAdapter>);

// SAFETY: a list owns its slabs; nothing in them is tied to a thread.
unsafe impl Send for List {}

impl List {
    pub(super) const fn new() -> Self {
        let adapter = SlabAdapter { links: SlabLinks, pointers: DefaultPointerOps::new() };
        Self(LinkedList::new(adapter))
    }

    #[inline]
    pub(super) fn first(&mut self) -> Option<NonNull<Slab>> {
        self.0.front_mut().get_ptr()
    }

    /// # Safety
    /// The slab is on no list, and live until it has been taken off this one.
    #[inline]
    pub(super) unsafe fn push(&mut self, slab: NonNull<Slab>) {
        // SAFETY: the caller's promise.
        self.0.push_front(unsafe { UnsafeRef::from_raw(slab.as_ptr()) });
    }

    #[inline]
    pub(super) fn pop(&mut self) {
        self.0.pop_front();
    }

    /// # Safety
    /// The slab is on this list.
    #[inline]
    pub(super) unsafe fn remove(&mut self, slab: NonNull<Slab>) {
        // SAFETY: the caller's promise.
        unsafe { self.0.cursor_mut_from_ptr(slab.as_ptr()) }.remove();
    }
}
