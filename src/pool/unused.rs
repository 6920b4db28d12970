//! Blocks that were given back, of one lane.

use core::ptr::NonNull;

use super::Stack;
use crate::{
    host::{Host, Lock},
    lanes::LANES,
    sync::{AtomicUsize, Ordering},
};

/// Blocks that one lane takes from another at once: where one processor makes what another gives back, they do not meet each
/// time, nor in lines next to each other.
const AT_ONCE: usize = 16;

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

    /// True if there seem to be some.
    pub(super) fn has_some(&self) -> bool {
        // Relaxed: a hint and no more. Who believes an old one asks elsewhere.
        self.len.load(Ordering::Relaxed) > 0
    }

    /// `ahead` is handed where the block is that comes next, or null.
    #[inline(always)]
    pub(super) fn pop(&self, host: &H, ahead: impl Fn(*const u8)) -> Option<NonNull<u8>> {
        if LANES > 1 && !self.has_some() {
            return None;
        }
        let mut stack = self.stack.lock(host);
        let block = stack.pop();
        self.note(&stack);
        ahead(stack.first());
        block
    }

    /// A block of `other`, and as many more as make it worth the meeting, which are of this lane from now on. Until they are, none
    /// of them is in a lane: the caller keeps others from looking for some meanwhile.
    #[inline(always)]
    pub(super) fn pop_from(&self, host: &H, other: &Self) -> Option<NonNull<u8>> {
        if !other.has_some() {
            return None;
        }
        let mut some = Stack::new();
        {
            let mut stack = other.stack.lock(host);
            while some.len() < AT_ONCE {
                let Some(block) = stack.pop() else { break };
                // SAFETY: popped from a stack that owned it.
                unsafe { some.push(block) };
            }
            other.note(&stack);
        }
        let first = some.pop();
        let mut stack = self.stack.lock(host);
        while let Some(block) = some.pop() {
            // SAFETY: as above.
            unsafe { stack.push(block) };
        }
        self.note(&stack);
        first
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
