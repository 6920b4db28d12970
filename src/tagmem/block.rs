//! Words of tags out of blocks: LDGM and STGM move 2^(BS+2) bytes' tags a step, LDG and STG 16.
//!
//! The arithmetic stands here, apart from the instructions, so that every block size is tested on
//! any host.

use core::marker::PhantomData;

use crate::{
    error::{Error, Result},
    tagmem::TagMemory,
    tags::{GRANULE, PageSize, TagSink, TagSource},
};

/// Bytes of memory whose tags fill one word.
const WORD_SPAN: usize = 256;

/// How many bytes' tags one access moves.
///
/// # Invariants
/// 2 to the power of the number, 4 to 8: 16 to 256 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSize(u32);

impl BlockSize {
    /// One granule, as LDG and STG move.
    pub const GRANULE: Self = Self(GRANULE.trailing_zeros());

    /// The block size that a value of GMID_EL1 names: bits 3:0 are BS, log2 of the block's
    /// 4-byte words, 2 to 6 (Arm ARM DDI 0487, GMID_EL1). [`Error::Invalid`] for others.
    pub const fn from_gmid(gmid: u64) -> Result<Self> {
        match gmid & 0xf {
            // INVARIANT: 4 to 8.
            bs @ 2..=6 => Ok(Self((bs as u32).wrapping_add(2))),
            _ => Err(Error::Invalid),
        }
    }

    /// Bytes of memory a block covers.
    #[must_use]
    pub const fn bytes(self) -> usize {
        1 << self.0
    }
}

/// The instructions that read and write one block's tags.
///
/// The tag of the granule at address `A` is in bits `4 * A<7:4>` and up of the register, for any
/// block size (Arm ARM, C6.2, LDGM and STGM). So the steps of a word can be OR-ed together, and
/// all of them be given the same word to store.
pub trait BlockAccess: Clone {
    /// The block size, the same for all accesses.
    fn size(&self) -> BlockSize;

    /// The tags of the block at byte `offset` of the memory, at their place in the word; all
    /// other bits are 0.
    fn load(&self, offset: usize) -> u64;

    /// Writes the tags of the block at byte `offset` of the memory from their place in `word`;
    /// all other bits are ignored.
    fn store(&mut self, offset: usize, word: u64);

    /// Zeroes data and tags of the granule at byte `offset` of the memory.
    fn zero_granule(&mut self, offset: usize);
}

/// One page's tags behind a [`BlockAccess`], or those of a hugetlb folio.
///
/// # Invariants
/// `words * 256` bytes fit a `usize`.
#[derive(Debug, Clone, Copy)]
pub struct BlockPage<'a, A> {
    access: A,
    words: usize,
    lifetime: PhantomData<&'a [u64]>,
}

impl<A: BlockAccess> BlockPage<'_, A> {
    /// `pages` pages of size `P` behind `access`; [`Error::Invalid`] where their bytes do not
    /// fit an address.
    pub fn new<P: PageSize>(access: A, pages: usize) -> Result<Self> {
        let words = pages
            .checked_mul(P::WORDS)
            .filter(|words| words.checked_mul(WORD_SPAN).is_some())
            .ok_or(Error::Invalid)?;
        Ok(Self { access, words, lifetime: PhantomData })
    }

    /// Offsets of the blocks that word `index` is made of; none past the memory.
    fn blocks(&self, index: usize) -> impl Iterator<Item = usize> + use<A> {
        let BlockSize(shift) = self.access.size();
        let count = if index < self.words { WORD_SPAN.wrapping_shr(shift) } else { 0 };
        let start = index.wrapping_mul(WORD_SPAN);
        // Not by `step_by`, which has a panic for steps of 0.
        (0..count).map(move |block| start.wrapping_add(block.wrapping_shl(shift)))
    }
}

impl<A: BlockAccess> TagSource for BlockPage<'_, A> {
    fn word(&self, index: usize) -> u64 {
        self.blocks(index).fold(0, |word, at| word | self.access.load(at))
    }
}

impl<A: BlockAccess> TagSink for BlockPage<'_, A> {
    fn set_word(&mut self, index: usize, word: u64) {
        for at in self.blocks(index) {
            self.access.store(at, word);
        }
    }
}

impl<A: BlockAccess> TagMemory for BlockPage<'_, A> {
    fn words(&self) -> usize {
        self.words
    }

    fn clear_with_data(&mut self) {
        for at in (0..self.words.wrapping_mul(WORD_SPAN)).step_by(GRANULE) {
            self.access.zero_granule(at);
        }
    }
}
