//! Type-stable memory: blocks that stay blocks of one type until no reader can be left.
//!
//! The index is read without locks, so a reader may look at a leaf that was unlinked
//! a moment ago. Such a look is harmless as long as the memory still holds a leaf,
//! this one or another: the reader finds out afterwards and tries again. So leaves
//! and nodes go back to a [`Pool`] of the store, and from there to the host only
//! through `&mut self`, when nobody else can be inside.

#[cfg(test)]
mod tests;

use core::{alloc::Layout, marker::PhantomData, ptr::NonNull};

use intrusive_collections::{
    Adapter, DefaultPointerOps, PointerOps, SinglyLinkedList, UnsafeRef,
    singly_linked_list::SinglyLinkedListOps,
};

use crate::{
    error::{Error, Result},
    host::{AllocFlags, Host, Lock},
    lanes::{LANES, Lanes, OwnLine},
    sync::{AtomicPtr, AtomicUsize, Ordering},
};

/// A block of memory while nobody uses it: its first word links it to the next one.
///
/// The word is atomic because a late reader may load it, as a slot or a child that
/// it will find invalid.
#[repr(transparent)]
pub(crate) struct FreeBlock {
    next: AtomicPtr<u8>,
}

/// Links through a [`FreeBlock`]'s first word.
///
/// `intrusive-collections`' own links remember whether they are linked and panic where
/// a block is pushed twice; here ownership of the block says so ([`Stack::push`]).
struct FreeLinks;

// SAFETY: a link belongs to whoever owns its block, and a stack owns each block that
// was pushed (`Stack::push` demands it), so every link is free to be acquired.
unsafe impl intrusive_collections::LinkOps for FreeLinks {
    type LinkPtr = NonNull<FreeBlock>;

    unsafe fn acquire_link(&mut self, _: Self::LinkPtr) -> bool {
        true
    }

    unsafe fn release_link(&mut self, _: Self::LinkPtr) {}
}

// SAFETY: `next` returns what `set_next` stored last; the stack's owner has the block.
unsafe impl SinglyLinkedListOps for FreeLinks {
    unsafe fn next(&self, link: Self::LinkPtr) -> Option<Self::LinkPtr> {
        // SAFETY: the block is on this list, which owns it: it is valid memory.
        let block = unsafe { link.as_ref() };
        // Relaxed: lists are read under their lock, which orders this.
        NonNull::new(block.next.load(Ordering::Relaxed).cast())
    }

    unsafe fn set_next(&mut self, link: Self::LinkPtr, next: Option<Self::LinkPtr>) {
        let next = next.map_or(core::ptr::null_mut(), |next| next.as_ptr().cast());
        // SAFETY: as in `next`.
        let block = unsafe { link.as_ref() };
        // Release: under their lock lists need no more than Relaxed, but a late reader may take the
        // word for a child, and follow it.
        block.next.store(next, Ordering::Release);
    }
}

struct FreeAdapter {
    links: FreeLinks,
    pointers: DefaultPointerOps<UnsafeRef<FreeBlock>>,
}

// SAFETY: the link is the block itself, so both conversions are the identity.
unsafe impl Adapter for FreeAdapter {
    type LinkOps = FreeLinks;
    type PointerOps = DefaultPointerOps<UnsafeRef<FreeBlock>>;

    unsafe fn get_value(
        &self,
        link: NonNull<FreeBlock>,
    ) -> *const <Self::PointerOps as PointerOps>::Value {
        link.as_ptr()
    }

    unsafe fn get_link(
        &self,
        value: *const <Self::PointerOps as PointerOps>::Value,
    ) -> NonNull<FreeBlock> {
        // SAFETY: the caller's pointer is valid, hence not null.
        unsafe { NonNull::new_unchecked(value.cast_mut()) }
    }

    fn link_ops(&self) -> &FreeLinks {
        &self.links
    }

    fn link_ops_mut(&mut self) -> &mut FreeLinks {
        &mut self.links
    }

    fn pointer_ops(&self) -> &Self::PointerOps {
        &self.pointers
    }
}

/// A last-in, first-out list of unused blocks.
///
/// # Invariants
/// Every block on the list is owned by it: at least a word of valid memory that
/// nobody writes to and that others read atomically at most.
pub(crate) struct Stack {
    list: SinglyLinkedList<FreeAdapter>,
    len: usize,
}

// SAFETY: a stack owns its blocks; nothing in them is tied to a thread.
unsafe impl Send for Stack {}

impl Stack {
    pub(crate) const fn new() -> Self {
        let adapter = FreeAdapter { links: FreeLinks, pointers: DefaultPointerOps::new() };
        Self { list: SinglyLinkedList::new(adapter), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Takes a block in.
    ///
    /// # Safety
    /// The caller hands over ownership of `block`, which is aligned to and at least a
    /// pointer in size.
    pub(crate) unsafe fn push(&mut self, block: NonNull<u8>) {
        // SAFETY: the caller's block has room for the link and is given to this list,
        // which keeps the invariant.
        let block = unsafe { UnsafeRef::from_raw(block.cast::<FreeBlock>().as_ptr()) };
        self.list.push_front(block);
        self.len = self.len.wrapping_add(1);
    }

    /// Gives the block that came last, its link word cleared.
    pub(crate) fn pop(&mut self) -> Option<NonNull<u8>> {
        let block = self.list.pop_front()?;
        self.len = self.len.wrapping_sub(1);
        // Release: to a late reader this is a slot without a word, or no child.
        block.next.store(core::ptr::null_mut(), Ordering::Release);
        NonNull::new(UnsafeRef::into_raw(block).cast())
    }

    fn pop_above(&mut self, wanted: usize) -> Option<NonNull<u8>> {
        if self.len > wanted { self.pop() } else { None }
    }
}

/// Blocks kept back for when the host has no memory.
pub(crate) struct Reserve<H: Host>(Lock<H, Stack>);

impl<H: Host> Reserve<H> {
    pub(crate) const fn new() -> Self {
        Self(Lock::new(Stack::new()))
    }

    pub(crate) fn len(&self, host: &H) -> usize {
        self.0.lock(host).len()
    }

    pub(crate) fn pop(&self, host: &H) -> Option<NonNull<u8>> {
        self.0.lock(host).pop()
    }

    /// Sees to it that there are as many blocks as are wanted, or more: `make` gives one more, `unmake`
    /// takes one back. On an error the reserve is as before.
    ///
    /// # Safety
    /// `make` hands over ownership of what it returns, which is aligned to and at least a
    /// pointer in size.
    pub(crate) unsafe fn raise(
        &self,
        host: &H,
        wanted: usize,
        mut make: impl FnMut() -> Option<NonNull<u8>>,
        mut unmake: impl FnMut(NonNull<u8>),
    ) -> Result<()> {
        let mut added = Stack::new();
        let mut result = Ok(());
        while result.is_ok() && self.len(host).saturating_add(added.len()) < wanted {
            match make() {
                // SAFETY: by the caller's promise.
                Some(block) => unsafe { added.push(block) },
                None => result = Err(Error::NoMemory),
            }
        }
        while let Some(block) = added.pop() {
            match result {
                // SAFETY: popped from a stack that owned it.
                Ok(()) => unsafe { self.0.lock(host).push(block) },
                Err(_) => unmake(block),
            }
        }
        result
    }

    /// Hands blocks to `unmake` until there are no more than are wanted.
    pub(crate) fn lower(&self, host: &H, wanted: usize, mut unmake: impl FnMut(NonNull<u8>)) {
        loop {
            // Bound on its own: the lock must not be held across `unmake`.
            let surplus = self.0.lock(host).pop_above(wanted);
            let Some(block) = surplus else { return };
            unmake(block);
        }
    }
}

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

/// Blocks of one lane that may be taken again.
struct Unused<H: Host> {
    stack: Lock<H, Stack>,
    /// How many there are, for a look before the lock is taken. Not kept where there is one lane.
    len: AtomicUsize,
}

impl<H: Host> Unused<H> {
    const fn new() -> Self {
        Self { stack: Lock::new(Stack::new()), len: AtomicUsize::new(0) }
    }

    #[inline(always)]
    fn pop(&self, host: &H) -> Option<NonNull<u8>> {
        // Relaxed: a hint and no more. Who believes an old one asks elsewhere.
        if LANES > 1 && self.len.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut stack = self.stack.lock(host);
        let block = stack.pop();
        self.note(&stack);
        block
    }

    /// # Safety
    /// As for [`Stack::push`].
    #[inline(always)]
    unsafe fn push(&self, host: &H, block: NonNull<u8>) {
        let mut stack = self.stack.lock(host);
        // SAFETY: the caller's promise.
        unsafe { stack.push(block) };
        self.note(&stack);
    }

    fn note(&self, stack: &Stack) {
        if LANES > 1 {
            self.len.store(stack.len(), Ordering::Relaxed);
        }
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
    reserve: Reserve<H>,
    /// Blocks that came from the host, wherever they are now.
    held: AtomicUsize,
    objects: PhantomData<T>,
}

impl<H: Host, T: Pooled> Pool<H, T> {
    pub(crate) const fn new() -> Self {
        Self {
            unused: Lanes::new([const { OwnLine(Unused::new()) }; LANES]),
            reserve: Reserve::new(),
            held: AtomicUsize::new(0),
            objects: PhantomData,
        }
    }

    /// An empty object: from those given back, from the host, or, where the host has
    /// none, from the reserve.
    pub(crate) fn take(&self, host: &H, flags: AllocFlags) -> Option<NonNull<T>> {
        match self.unused.own(host).pop(host) {
            Some(block) => Some(block.cast()),
            None => self.take_elsewhere(host, flags),
        }
    }

    /// The same, of other lanes than the caller's.
    // Not inlined: its stack is given back where it is not needed.
    #[inline(never)]
    fn take_elsewhere(&self, host: &H, flags: AllocFlags) -> Option<NonNull<T>> {
        let others =
            if LANES > 1 { self.unused.all().find_map(|lane| lane.pop(host)) } else { None };
        match others {
            Some(block) => Some(block.cast()),
            None => {
                self.new_object(host, flags).or_else(|| self.reserve.pop(host).map(NonNull::cast))
            }
        }
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
        let mut unused = Stack::new();
        for lane in self.unused.all_mut() {
            lane.len = AtomicUsize::new(0);
            while let Some(block) = lane.stack.get_mut().pop() {
                // SAFETY: popped from a stack that owned it.
                unsafe { unused.push(block) };
            }
        }
        let bytes = unused.len().saturating_mul(size_of::<T>());
        while let Some(block) = unused.pop() {
            self.return_to_host(host, block);
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
