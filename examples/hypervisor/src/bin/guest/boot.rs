//! Translation and exceptions of the guest: all of its memory is Tagged, tag checks are
//! synchronous, and what they refuse is counted and stepped over.

use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_cpu::registers::{ESR_EL1, FAR_EL1, Readable};
use aarch64_rt::{
    DEFAULT_SCTLR, DEFAULT_TCR_EL1, DEFAULT_TCR_EL2, DEFAULT_TCR_EL3, ExceptionHandlers,
    InitialPagetable, RegisterStateRef, exception_handlers, initial_pagetable,
};

use crate::calls;

/// Normal memory, write back, Tagged (Arm ARM DDI 0487, MAIR_EL1).
const MAIR: u64 = 0xf0;
/// SCTLR_EL1: tag access (ATA), tag check faults synchronous (TCF = 1).
const SCTLR: u64 = DEFAULT_SCTLR | 1 << 43 | 1 << 40;
/// TCR_EL1: the top byte of an address is not translated (TBI0).
const TCR: u64 = DEFAULT_TCR_EL1 | 1 << 37;

/// A block: valid, attribute 0, inner shareable, accessed (Arm ARM DDI 0487, D8.3.1).
const MEMORY: usize = 1 | 3 << 8 | 1 << 10;

initial_pagetable!(
    {
        let mut map = [0; 512];
        // The gigabyte that hypercall::RAM begins.
        map[1] = MEMORY | hypercall::RAM;
        InitialPagetable(map)
    },
    MAIR,
    SCTLR,
    TCR,
    DEFAULT_TCR_EL2,
    DEFAULT_TCR_EL3
);

/// Tag check faults taken so far.
static FAULTS: AtomicU64 = AtomicU64::new(0);
/// Accesses so far that the hypervisor refused.
static ABORTS: AtomicU64 = AtomicU64::new(0);

/// Tag check faults taken so far.
pub fn faults() -> u64 {
    FAULTS.load(Ordering::Relaxed)
}

/// External aborts taken so far.
pub fn aborts() -> u64 {
    ABORTS.load(Ordering::Relaxed)
}

struct Exceptions;

impl ExceptionHandlers for Exceptions {
    extern "C" fn sync_current(mut registers: RegisterStateRef<'_>) {
        /// A data abort at the level it is taken to.
        const DATA_ABORT: u64 = 0x25;
        const STATUS: u64 = 0x3f;
        let class = ESR_EL1.read(ESR_EL1::EC);
        let counter = match (class, ESR_EL1.read(ESR_EL1::ISS) & STATUS) {
            (DATA_ABORT, 0x11) => &FAULTS,
            (DATA_ABORT, 0x10) => &ABORTS,
            _ => calls::panic([ESR_EL1.get(), FAR_EL1.get(), registers.elr as u64, 0]),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        // SAFETY: accesses to pages that can fault stand in `mte`, one instruction each, after
        // which the program may go on as if it had read its register's old value.
        let registers = unsafe { registers.get_mut() };
        registers.elr += 4;
    }
}

exception_handlers!(Exceptions);
