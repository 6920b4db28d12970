//! Lists of unused blocks, linked through the blocks themselves.

use core::ptr::NonNull;

use intrusive_collections::{
    Adapter, DefaultPointerOps, PointerOps, SinglyLinkedList, UnsafeRef,
    singly_linked_list::SinglyLinkedListOps,
};

use crate::sync::{AtomicPtr, Ordering};

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

    /// Where the block is that comes next, for a hint; or null.
    pub(super) fn first(&self) -> *const u8 {
        self.list.front().get().map_or(core::ptr::null(), |block| core::ptr::from_ref(block).cast())
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

    pub(super) fn pop_above(&mut self, wanted: usize) -> Option<NonNull<u8>> {
        if self.len > wanted { self.pop() } else { None }
    }
}
