//! Interrupts: each CPU's own timer at EL2, through a GICv3.

use core::ptr::NonNull;

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTHP_CTL_EL2, DAIF, Readable, Writeable};
use arm_gic::{
    IntId, InterruptGroup, UniqueMmioPointer,
    gicv3::{
        GicCpuInterface, GicError, GicV3,
        registers::{Gicd, GicrSgi},
    },
};
use arm_sysregs::el2::{accessors::write_cnthp_tval_el2, registers::CnthpTvalEl2};
use hypercall::GUESTS;

/// The EL2 physical timer (Arm BSA, and the board): PPI 10, interrupt 26.
const TIMER: IntId = IntId::ppi(10);
/// The lowest of priorities: every interrupt is let through.
const LOWEST: u8 = 0xff;

/// Sets the GIC up, and lets each CPU's timer interrupt it.
///
/// # Safety
/// The two are a GICv3's, for as many CPUs as there are guests, mapped as device memory, and
/// nobody else's.
pub unsafe fn init(
    distributor: NonNull<Gicd>,
    redistributors: NonNull<GicrSgi>,
) -> Result<(), GicError> {
    // SAFETY: the caller's promise.
    let distributor = unsafe { UniqueMmioPointer::new(distributor) };
    // SAFETY: the caller's promise.
    let mut gic = unsafe { GicV3::new(distributor, redistributors, GUESTS) }?;
    GicCpuInterface::enable_system_register_el2(false);
    gic.setup(0);
    for cpu in 0..GUESTS {
        // Awake already where `setup` was for this one.
        let _ = gic.redistributor_mark_core_awake(cpu);
        gic.enable_interrupt(TIMER, Some(cpu), true)?;
    }
    Ok(())
}

/// Lets this CPU's interrupts through, as far as they are not masked, and starts its timer.
pub fn start() {
    GicCpuInterface::enable_system_register_el2(false);
    GicCpuInterface::enable_system_register_el1();
    GicCpuInterface::set_priority_mask(LOWEST);
    GicCpuInterface::enable_group1(true);
    again(per_second(1000));
    CNTHP_CTL_EL2.write(CNTHP_CTL_EL2::ENABLE::SET + CNTHP_CTL_EL2::IMASK::CLEAR);
}

/// Stops this CPU's timer.
pub fn stop() {
    CNTHP_CTL_EL2.set(0);
}

/// The next interrupt comes in so many ticks.
pub fn again(ticks: u64) {
    write_cnthp_tval_el2(CnthpTvalEl2::from_bits_retain(ticks & u64::from(u32::MAX >> 1)));
}

/// The ticks between things of which there are so many in a second.
pub fn per_second(frequency: u64) -> u64 {
    CNTFRQ_EL0.get() / frequency
}

/// Runs `handler` for the interrupt that this CPU has taken.
///
/// # Panics
/// Where it is another than the timer's.
pub fn handle(handler: impl FnOnce()) {
    // None is pending where the timer was stopped meanwhile.
    GicCpuInterface::handle_interrupt(InterruptGroup::Group1, |interrupt| {
        assert_eq!(interrupt, TIMER, "an interrupt of nobody's");
        handler();
    });
}

/// Runs `work` with this CPU's interrupts let in.
pub fn interruptible<R>(work: impl FnOnce() -> R) -> R {
    let before = DAIF.get();
    DAIF.set(before & !(DAIF::I::Masked.value));
    let result = work();
    DAIF.set(before);
    result
}
