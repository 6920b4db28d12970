//! Blocks for when the host has none.

use core::ptr::NonNull;

use super::Stack;
use crate::{
    error::{Error, Result},
    host::{Host, Lock},
};

/// Blocks kept back for when the host has no memory.
pub(crate) struct Reserve<H: Host>(Lock<H, Stack>);

impl<H: Host> Reserve<H> {
    pub(crate) const fn new() -> Self {
        Self(Lock::new(Stack::new()))
    }

    // None of these is inlined: they are seldom called, from many places.
    #[inline(never)]
    pub(crate) fn len(&self, host: &H) -> usize {
        self.0.lock(host).len()
    }

    #[inline(never)]
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
                Ok(()) => unsafe { self.push(host, block) },
                Err(_) => unmake(block),
            }
        }
        result
    }

    /// Hands blocks to `unmake` until there are no more than are wanted.
    pub(crate) fn lower(&self, host: &H, wanted: usize, mut unmake: impl FnMut(NonNull<u8>)) {
        while let Some(block) = self.pop_above(host, wanted) {
            unmake(block);
        }
    }

    #[inline(never)]
    fn pop_above(&self, host: &H, wanted: usize) -> Option<NonNull<u8>> {
        self.0.lock(host).pop_above(wanted)
    }

    /// # Safety
    /// The block is the caller's, who hands it over, aligned to and at least a pointer in size.
    #[inline(never)]
    unsafe fn push(&self, host: &H, block: NonNull<u8>) {
        // SAFETY: the caller's promise.
        unsafe { self.0.lock(host).push(block) };
    }
}
