//! The heap: talc, over a piece of the image's own memory.

use talc::{TalcLock, source::Claim};

use crate::lock::IrqLock;

/// Frames, page tables, books, and all that the library asks for.
const HEAP: usize = 16 << 20;
static mut MEMORY: [u8; HEAP] = [0; HEAP];

#[global_allocator]
static ALLOCATOR: TalcLock<IrqLock, Claim> = {
    let memory = &raw mut MEMORY;
    // SAFETY: named here alone.
    TalcLock::new(unsafe { Claim::array(memory) })
};
