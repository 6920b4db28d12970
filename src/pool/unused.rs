//! Blocks that were given back, of one lane.

use core::ptr::NonNull;

use super::Stack;
use crate::{
    host::{Host, Lock},
    lanes::LANES,
    sync::{AtomicUsize, Ordering},
};

/// Blocks of one lane that may be taken again.
pub(super) struct Unused<H: Host> {
    stack: Lock<H, Stack>,
    /// How many there are, for a look before the lock is taken. Not kept where there is one lane.
    len: AtomicUsize,
}

impl<H: Host> Unused<H> {
    pub(super) const fn new() -> Self {
        Self { stack: Lock::new(Stack::new()), len: AtomicUsize::new(0) }
    }

    #[inline(always)]
    pub(super) fn pop(&self, host: &H) -> Option<NonNull<u8>> {
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
    pub(super) unsafe fn push(&self, host: &H, block: NonNull<u8>) {
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
