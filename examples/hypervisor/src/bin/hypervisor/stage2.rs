//! One guest's stage-2 tables, and the invalidation of what CPUs remember of them.

use core::arch::asm;

use aarch64_cpu::{
    asm::barrier::{ISH, ISHST, SY, dsb, isb},
    registers::{Readable, VTTBR_EL2, Writeable},
};
use aarch64_paging::{
    descriptor::{PhysicalAddress, Stage2Attributes, VirtualAddress},
    idmap::IdTranslation,
    paging::{Constraints, MemoryRegion, RootTable, Stage2 as Regime, TranslationRegime},
};
use hypercall::PAGE;

/// Levels 1 to 3: 39 bits of address.
const ROOT_LEVEL: usize = 1;

/// Normal memory, write back, readable. Whether it is Tagged is for the guest's own tables to say.
const READ: Stage2Attributes = Stage2Attributes::VALID
    .union(Stage2Attributes::MEMATTR_NORMAL_INNER_WB)
    .union(Stage2Attributes::MEMATTR_NORMAL_OUTER_WB)
    .union(Stage2Attributes::S2AP_ACCESS_RO)
    .union(Stage2Attributes::SH_INNER)
    .union(Stage2Attributes::ACCESS_FLAG);

/// The tables of one guest, in memory of the heap, which is mapped where it lies.
pub struct Stage2 {
    root: RootTable<Regime, IdTranslation<Stage2Attributes>>,
    vmid: u64,
}

impl Stage2 {
    /// Tables that map nothing.
    pub fn new(vmid: u64) -> Self {
        Self { root: RootTable::new(IdTranslation::default(), ROOT_LEVEL, Regime), vmid }
    }

    /// What VTTBR_EL2 has to hold for this guest to run.
    pub fn vttbr(&self) -> u64 {
        self.vmid << 48 | self.root.to_physical().0 as u64
    }

    /// Maps the page at `ipa` to the frame at `pa`; what was there before is unmapped first
    /// (break before make).
    pub fn map(&mut self, ipa: usize, pa: usize, write: bool) {
        self.unmap(ipa);
        let access = if write { Stage2Attributes::S2AP_ACCESS_RW } else { READ };
        self.set(ipa, pa, READ | access);
        // The walk that follows our return finds it.
        dsb(ISHST);
    }

    /// Unmaps the page at `ipa`, on all CPUs: on return no access by the guest is under way.
    pub fn unmap(&mut self, ipa: usize) {
        self.set(ipa, 0, Stage2Attributes::empty());
        self.invalidate(ipa);
    }

    fn set(&mut self, ipa: usize, pa: usize, attributes: Stage2Attributes) {
        let page = MemoryRegion::new(ipa, ipa + PAGE);
        let constraints = Constraints::NO_BLOCK_MAPPINGS | Constraints::NO_CONTIGUOUS_HINT;
        self.root
            .map_range(&page, PhysicalAddress(pa), attributes, constraints)
            .expect("a page of the guest's memory is inside of its tables");
    }

    /// TLBI by IPA works on the VMID in VTTBR_EL2, and this may be the other guest's CPU.
    fn invalidate(&self, ipa: usize) {
        let running = VTTBR_EL2.get();
        VTTBR_EL2.set(self.vttbr());
        isb(SY);
        dsb(ISHST);
        Regime::invalidate_va(VirtualAddress(ipa));
        // Entries that combine both stages are not found by IPA: all of this guest's go, once
        // the stage-2 ones have gone (Arm ARM DDI 0487, D8.17).
        dsb(ISH);
        // SAFETY: invalidating TLBs changes no memory.
        unsafe { asm!("tlbi vmalle1is", options(nostack, preserves_flags)) };
        dsb(ISH);
        VTTBR_EL2.set(running);
        isb(SY);
    }
}
