//! Exceptions: stage-2 faults to [`fault`], calls to [`calls`].

use aarch64_cpu::registers::{
    ELR_EL1, ESR_EL1, ESR_EL2, FAR_EL1, FAR_EL2, Readable, SPSR_EL1, VBAR_EL1, Writeable,
};
use aarch64_rt::{ExceptionHandlers, RegisterState, RegisterStateRef, exception_handlers};

use crate::{
    calls,
    cpu::{self, Address},
    fault, machine, tick, timer,
};

/// Exception classes (Arm ARM DDI 0487, ESR_EL2).
const HVC: u64 = 0x16;
const INSTRUCTION_ABORT: u64 = 0x20;
const DATA_ABORT: u64 = 0x24;

/// Bits of an abort's syndrome.
const WRITE: u64 = 1 << 6;
const WALK: u64 = 1 << 7;
const STATUS: u64 = 0x3f;

struct Exceptions;

impl ExceptionHandlers for Exceptions {
    extern "C" fn sync_lower(mut registers: RegisterStateRef<'_>) {
        // SAFETY: changed as the architecture does where it takes an exception to EL1, or in
        // those registers that a call answers in.
        let registers = unsafe { registers.get_mut() };
        let syndrome = ESR_EL2.read(ESR_EL2::ISS);
        let class = ESR_EL2.read(ESR_EL2::EC);
        // An interrupt writes ELR_EL2 and SPSR_EL2 alone, which are in `registers`: what else says
        // why we are here stays (Arm ARM DDI 0487, D1.3.4).
        timer::interruptible(|| match class {
            HVC => calls::serve(registers),
            DATA_ABORT | INSTRUCTION_ABORT => abort(registers, syndrome),
            _ => panic!(
                "guest {}: exception of class {class:#x}, syndrome {syndrome:#x} at {:#x}",
                cpu::guest(),
                registers.elr
            ),
        });
    }

    extern "C" fn irq_lower(_: RegisterStateRef<'_>) {
        timer::handle(|| tick::run(machine(), false));
    }

    extern "C" fn irq_current(_: RegisterStateRef<'_>) {
        timer::handle(|| tick::run(machine(), true));
    }

    extern "C" fn sync_current(registers: RegisterStateRef<'_>) {
        panic!(
            "exception at EL2: syndrome {:#x}, address {:#x} at {:#x}",
            ESR_EL2.get(),
            FAR_EL2.get(),
            registers.elr
        );
    }
}

exception_handlers!(Exceptions);

fn abort(registers: &mut RegisterState, syndrome: u64) {
    /// Translation faults are 4 to 7, of the access flag 8 to 11, of permission 12 to 15.
    const PERMISSION: u64 = 0b11;
    let kind = (syndrome & STATUS) >> 2;
    assert!((1..=PERMISSION).contains(&kind), "abort with status {:#x}", syndrome & STATUS);
    let walk = syndrome & WALK != 0;
    let page = match cpu::faulting_page(kind == PERMISSION, walk) {
        Some(Address::Page(page)) => page,
        Some(Address::Outside(address)) => {
            panic!("guest {}: no memory at {address:#x}", cpu::guest())
        }
        // The guest's tables have changed meanwhile: it tries again.
        None => return,
    };
    // A walk that faults on permission is one that writes an access flag.
    let write = if walk { kind == PERMISSION } else { syndrome & WRITE != 0 };
    if fault::serve(machine(), cpu::guest(), page, write).is_err() {
        external_abort(registers);
    }
}

/// Takes a synchronous external abort to EL1, as memory that fails does: the guest knows what
/// the page was good for.
fn external_abort(registers: &mut RegisterState) {
    /// A data abort at the same level, 32-bit instruction, synchronous external abort.
    const SYNDROME: u64 = 0x25 << 26 | 1 << 25 | 0x10;
    /// Offset in the vector table: synchronous, same level, SP_ELx.
    const VECTOR: u64 = 0x200;
    /// EL1h, everything masked.
    const STATE: u64 = 0x3c5;
    ESR_EL1.set(SYNDROME);
    FAR_EL1.set(FAR_EL2.get());
    ELR_EL1.set(registers.elr as u64);
    SPSR_EL1.set(registers.spsr);
    registers.elr = (VBAR_EL1.get() + VECTOR) as usize;
    registers.spsr = STATE;
}
