//! What a CPU has to be told before a guest can run on it, and the way into the guest.

use core::arch::asm;

use aarch64_cpu::{
    asm::barrier::{SY, isb},
    registers::{
        CNTHCTL_EL2, CPTR_EL2, CurrentEL, ELR_EL2, FAR_EL2, HCR_EL2, HPFAR_EL2, ID_AA64PFR1_EL1,
        MIDR_EL1, MPIDR_EL1, PAR_EL1, Readable, SCTLR_EL1, SPSR_EL2, TCR_EL2, TPIDR_EL2,
        VMPIDR_EL2, VTCR_EL2, VTTBR_EL2, Writeable,
    },
};
use aarch64_paging::{descriptor::El23Attributes, mair::Mair};
use aarch64_rt::{
    DEFAULT_SCTLR, DEFAULT_TCR_EL1, DEFAULT_TCR_EL2, DEFAULT_TCR_EL3, InitialPagetable,
    initial_pagetable,
};
use arm_sysregs::el2::{accessors::write_vpidr_el2, registers::VpidrEl2};
use hypercall::{PAGE, RAM};
use mteswap::tags::{TagSink, TagSource};

use crate::frames::Held;

/// Attribute 0: device memory; attribute 1: normal memory, write back, Tagged.
const MAIR: Mair = Mair(0xf0_04);
/// SCTLR_EL2: tag access (ATA). Our own accesses are not checked (TCF = 0).
const SCTLR: u64 = DEFAULT_SCTLR | 1 << 43;

const DEVICE: El23Attributes = El23Attributes::VALID
    .union(El23Attributes::ATTRIBUTE_INDEX_0)
    .union(El23Attributes::ACCESSED)
    .union(El23Attributes::XN);
const MEMORY: El23Attributes = El23Attributes::VALID
    .union(El23Attributes::ATTRIBUTE_INDEX_1)
    .union(El23Attributes::INNER_SHAREABLE)
    .union(El23Attributes::ACCESSED);
/// A gigabyte, what an entry of the first table maps.
const GIGABYTE: usize = 1 << 30;

initial_pagetable!(
    {
        let mut map = [0; 512];
        map[0] = DEVICE.bits();
        map[1] = MEMORY.bits() | GIGABYTE;
        InitialPagetable(map)
    },
    MAIR.0,
    SCTLR,
    DEFAULT_TCR_EL1,
    DEFAULT_TCR_EL2,
    DEFAULT_TCR_EL3
);

/// Prepares this CPU for the guest numbered `guest`, whose tables are at `vttbr`.
pub fn prepare(guest: usize, vttbr: u64) {
    set_number(guest);
    // The start-up code leaves the size of physical addresses where EL1 wants it, too high for
    // EL2: in bits 35:32, of which one (MTX) changes what a tag is.
    TCR_EL2.set(DEFAULT_TCR_EL2);
    // Stage 2: 39 bits of address, from level 1 on, 4 KiB, inner shareable, write back.
    VTCR_EL2.write(
        VTCR_EL2::RES1.val(1)
            + VTCR_EL2::PS.val(2)
            + VTCR_EL2::TG0.val(0)
            + VTCR_EL2::SH0.val(3)
            + VTCR_EL2::ORGN0.val(1)
            + VTCR_EL2::IRGN0.val(1)
            + VTCR_EL2::SL0.val(1)
            + VTCR_EL2::T0SZ.val(25),
    );
    VTTBR_EL2.set(vttbr);
    HCR_EL2.write(
        HCR_EL2::VM.val(1)
            + HCR_EL2::RW.val(1)
            + HCR_EL2::ATA.val(1)
            + HCR_EL2::SWIO.val(1)
            + HCR_EL2::TSC.val(1)
            + HCR_EL2::IMO.val(1)
            + HCR_EL2::FMO.val(1)
            + HCR_EL2::AMO.val(1),
    );
    CNTHCTL_EL2.set(0);
    // Nothing of floating point and vectors is trapped; we use neither.
    CPTR_EL2.set(0x33ff & !(1 << 10));
    VMPIDR_EL2.set(MPIDR_EL1.get());
    write_vpidr_el2(VpidrEl2::from_bits_retain(MIDR_EL1.get()));
    // Translation off; bits that read as one (Arm ARM DDI 0487, SCTLR_EL1).
    SCTLR_EL1.set(0x30d0_0800);
    isb(SY);
    // SAFETY: what TLBs hold of this regime from before is of no use.
    unsafe { asm!("tlbi alle1", "dsb nsh", "isb", options(nostack)) };
}

/// True at EL2, where all of this belongs.
pub fn at_el2() -> bool {
    CurrentEL.read(CurrentEL::EL) == 2
}

/// Numbers this CPU: before anything asks for [`guest`].
pub fn set_number(number: usize) {
    TPIDR_EL2.set(number as u64);
}

/// The guest that runs on this CPU, and so the CPU's number.
pub fn guest() -> usize {
    TPIDR_EL2.get() as usize
}

/// Starts the guest: at the first word of its memory, at EL1, interrupts masked.
///
/// # Safety
/// This CPU is prepared, and its exception vector set.
pub unsafe fn enter() -> ! {
    ELR_EL2.set(RAM as u64);
    SPSR_EL2.write(
        SPSR_EL2::M::EL1h
            + SPSR_EL2::D::Masked
            + SPSR_EL2::A::Masked
            + SPSR_EL2::I::Masked
            + SPSR_EL2::F::Masked,
    );
    // SAFETY: the caller's promise. The guest gets no register of ours; exceptions come back on
    // the stack as it is here.
    unsafe {
        asm!(
            "mov x0, xzr",
            "mov x1, xzr",
            "mov x2, xzr",
            "mov x3, xzr",
            "mov x4, xzr",
            "mov x5, xzr",
            "mov x6, xzr",
            "mov x7, xzr",
            "mov x8, xzr",
            "mov x9, xzr",
            "mov x10, xzr",
            "mov x11, xzr",
            "mov x12, xzr",
            "mov x13, xzr",
            "mov x14, xzr",
            "mov x15, xzr",
            "mov x16, xzr",
            "mov x17, xzr",
            "mov x18, xzr",
            "mov x19, xzr",
            "mov x20, xzr",
            "mov x21, xzr",
            "mov x22, xzr",
            "mov x23, xzr",
            "mov x24, xzr",
            "mov x25, xzr",
            "mov x26, xzr",
            "mov x27, xzr",
            "mov x28, xzr",
            "mov x29, xzr",
            "mov x30, xzr",
            "eret",
            options(noreturn)
        )
    }
}

/// The page a stage-2 abort is about, by its number in guest memory; `None` where it lies outside,
/// or where the answer has changed and the guest should try again.
pub fn faulting_page(permission: bool, walk: bool) -> Option<Address> {
    // HPFAR_EL2 is not written for permission faults outside of a walk (Arm ARM DDI 0487,
    // HPFAR_EL2): there the guest's own tables say which page it is.
    let address = if permission && !walk {
        translate(FAR_EL2.get())?
    } else {
        HPFAR_EL2.read(HPFAR_EL2::FIPA) << 12
    };
    let offset = (address as usize).checked_sub(RAM);
    Some(offset.map_or(Address::Outside(address), |offset| Address::Page(offset / PAGE)))
}

/// What an address of the guest's is.
pub enum Address {
    /// The page of this number.
    Page(usize),
    /// No memory.
    Outside(u64),
}

/// The guest's own translation of `address`, stage 1 only.
fn translate(address: u64) -> Option<u64> {
    let saved = PAR_EL1.get();
    // SAFETY: translates, and writes PAR_EL1, which is the guest's and put back.
    unsafe {
        asm!("at s1e1r, {}", "isb", in(reg) address & !(0xff << 56), options(nostack));
    }
    let result = PAR_EL1.get();
    PAR_EL1.set(saved);
    (result & 1 == 0).then_some(result & 0x000f_ffff_ffff_f000)
}

/// Checks that this machine keeps a tag for each granule.
///
/// # Errors
/// One line that says what to do.
pub fn check_mte(frame: &mut Held<'_>) -> Result<(), &'static str> {
    if ID_AA64PFR1_EL1.read(ID_AA64PFR1_EL1::MTE) < 2 {
        return Err("no MTE: start QEMU with -M virt,virtualization=on,mte=on -cpu max");
    }
    let pattern = |index: usize| 0xfedc_ba98_7654_3210_u64.rotate_left(index as u32 * 4);
    let alone = frame.page().tag_with(|tags| {
        (0..PAGE / 256).for_each(|index| tags.set_word(index, pattern(index)));
        true
    });
    let page = frame.page();
    let kept = page
        .tags()
        .is_some_and(|tags| (0..PAGE / 256).all(|index| tags.word(index) == pattern(index)));
    if alone && kept {
        Ok(())
    } else {
        Err("granules share tags: this QEMU is older than 8.0, use a newer one")
    }
}
