//! The MTE instructions (FEAT_MTE at EL0, FEAT_MTE2 at EL1 and above).
//!
//! None of them checks the tag of the address it is given (Arm ARM DDI 0487, C6.2: LDGM and STGM
//! "generate an Unchecked access"; LDG, STG and STZG likewise), and the tag that STG and STZG
//! store comes from another register. So what tag the caller's pointer had does not matter. It
//! is reset all the same (HOOK-12): whether translation ignores the top byte is configuration,
//! and an address without a tag is right under any.

use core::{arch::asm, ptr::NonNull};

use crate::{
    error::{Error, Result},
    tagmem::{BlockAccess, BlockPage, BlockSize},
    tags::{GRANULE, PageSize},
};

/// Where logical tags stand in a pointer, and LDG puts what it read.
const TAG_SHIFT: u32 = 56;

/// An address with its top byte as bit 55 has it: tag 0 in the lower half, 0xf, which the kernel's
/// own accesses match with any tag (TCR_EL1.TCMA1), in the upper.
fn reset_tag(addr: usize) -> usize {
    (((addr << 8) as isize) >> 8) as usize
}

/// Checks that `addr` is the aligned start of a page; returns it without its tag.
fn page_start<P: PageSize>(addr: *mut u8) -> Result<usize> {
    let start = NonNull::new(addr).ok_or(Error::Invalid)?.as_ptr().expose_provenance();
    let within = (1_usize << P::SHIFT).wrapping_sub(1);
    if start & within == 0 { Ok(reset_tag(start)) } else { Err(Error::Invalid) }
}

/// LDG and STG: one granule a step, allowed at EL0.
///
/// # Invariants
/// Made by [`El0::page`] only, so `start` is the start of pages of its contract; held by a
/// [`BlockPage`] only, which asks for offsets inside of them.
#[derive(Debug, Clone, Copy)]
pub struct El0 {
    start: usize,
}

/// LDGM and STGM: a block of the processor's own size a step, undefined at EL0.
///
/// # Invariants
/// As [`El0`]'s, with [`El1::page`]; `size` is what GMID_EL1 says.
#[derive(Debug, Clone, Copy)]
pub struct El1 {
    start: usize,
    size: BlockSize,
}

impl El0 {
    /// The tags of `pages` pages from `addr` on, by LDG and STG. [`Error::Invalid`] where `addr`
    /// is null or not aligned to a page.
    ///
    /// # Safety
    /// The pages stay mapped, writable, and with the Tagged attribute (`PROT_MTE`) during `'a`;
    /// the processor has FEAT_MTE2, and tag access is enabled (`SCTLR_EL1.ATA0`). Nobody relies
    /// on their tags, or, where [`clear_with_data`](crate::tagmem::TagMemory::clear_with_data)
    /// is called, on their data, to stay as they are.
    pub unsafe fn page<'a, P: PageSize>(
        addr: *mut u8,
        pages: usize,
    ) -> Result<BlockPage<'a, Self>> {
        BlockPage::new::<P>(Self { start: page_start::<P>(addr)? }, pages)
    }
}

impl El1 {
    /// The tags of `pages` pages from `addr` on, by LDGM and STGM. [`Error::Invalid`] where
    /// `addr` is null or not aligned to a page, or GMID_EL1 names no block size.
    ///
    /// # Safety
    /// As [`El0::page`], with `SCTLR_ELx.ATA` of the level this runs at, which is EL1 or above.
    pub unsafe fn page<'a, P: PageSize>(
        addr: *mut u8,
        pages: usize,
    ) -> Result<BlockPage<'a, Self>> {
        let gmid: u64;
        // SAFETY: GMID_EL1 (S3_1_C0_C0_4) reads without side effects at EL1 and above on a
        // processor with FEAT_MTE2, which the caller promises.
        unsafe {
            asm!(
                "mrs {gmid}, S3_1_C0_C0_4",
                gmid = out(reg) gmid,
                options(nomem, nostack, preserves_flags, pure),
            );
        }
        let size = BlockSize::from_gmid(gmid)?;
        BlockPage::new::<P>(Self { start: page_start::<P>(addr)?, size }, pages)
    }
}

impl BlockAccess for El0 {
    fn size(&self) -> BlockSize {
        BlockSize::GRANULE
    }

    fn load(&self, offset: usize) -> u64 {
        let at = self.start.wrapping_add(offset);
        let mut tagged = at;
        // SAFETY: LDG reads the allocation tag of the granule at `at`, which lies in the pages of
        // `El0::page`'s contract (`BlockPage` asks for offsets inside them only); it writes
        // bits 59:56 of `tagged` and nothing else.
        unsafe {
            asm!(
                ".arch_extension memtag",
                "ldg {tagged}, [{at}]",
                tagged = inout(reg) tagged,
                at = in(reg) at,
                options(readonly, nostack, preserves_flags),
            );
        }
        ((tagged >> TAG_SHIFT & 0xf) as u64) << place(offset)
    }

    fn store(&mut self, offset: usize, word: u64) {
        let at = self.start.wrapping_add(offset);
        let tag = (word >> place(offset) & 0xf) << TAG_SHIFT;
        // SAFETY: STG writes the allocation tag in bits 59:56 of `tag` to the granule at `at`,
        // inside of the pages of `El0::page`'s contract, and touches no data.
        unsafe {
            asm!(
                ".arch_extension memtag",
                "stg {tag}, [{at}]",
                tag = in(reg) tag,
                at = in(reg) at,
                options(nostack, preserves_flags),
            );
        }
    }

    fn zero_granule(&mut self, offset: usize) {
        zero_granule(self.start.wrapping_add(offset));
    }
}

impl BlockAccess for El1 {
    fn size(&self) -> BlockSize {
        self.size
    }

    fn load(&self, offset: usize) -> u64 {
        let at = self.start.wrapping_add(offset);
        let tags: u64;
        // SAFETY: LDGM reads the allocation tags of the block at `at`, which is aligned to the
        // block size (pages are, and offsets are its multiples) and lies in the pages of
        // `El1::page`'s contract.
        unsafe {
            asm!(
                ".arch_extension memtag",
                "ldgm {tags}, [{at}]",
                tags = out(reg) tags,
                at = in(reg) at,
                options(readonly, nostack, preserves_flags),
            );
        }
        tags
    }

    fn store(&mut self, offset: usize, word: u64) {
        let at = self.start.wrapping_add(offset);
        // SAFETY: STGM writes the allocation tags of the block at `at`, aligned and inside of
        // the pages as for `load`, and touches no data.
        unsafe {
            asm!(
                ".arch_extension memtag",
                "stgm {word}, [{at}]",
                word = in(reg) word,
                at = in(reg) at,
                options(nostack, preserves_flags),
            );
        }
    }

    fn zero_granule(&mut self, offset: usize) {
        zero_granule(self.start.wrapping_add(offset));
    }
}

/// The place of the tag of the granule at `offset`, in bits: pages are aligned to more than the
/// 256 bytes of a word, so an offset's bits 7:4 are the address's.
fn place(offset: usize) -> u32 {
    ((offset / GRANULE & 0xf) as u32).wrapping_mul(4)
}

fn zero_granule(at: usize) {
    // SAFETY: STZG writes tag 0 (bits 59:56 of XZR) and sixteen zero bytes to the granule at
    // `at`, inside of the pages of `page`'s contract, whose data the caller gave up.
    unsafe {
        asm!(
            ".arch_extension memtag",
            "stzg {zero}, [{at}]",
            zero = in(reg) 0_u64,
            at = in(reg) at,
            options(nostack, preserves_flags),
        );
    }
}
