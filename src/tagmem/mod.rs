//! Reads and writes a page's tags where they live.
//!
//! | backend | tags live in | for |
//! |---|---|---|
//! | [`ShadowPage`] | an array in ordinary memory | any machine; tests; a VMM's copy of a guest's tags |
//! | [`BlockPage`] over `arm::El0` | the page's own granules, by LDG and STG | user space on arm64 |
//! | [`BlockPage`] over `arm::El1` | the same, by LDGM and STGM | kernels and hypervisors on arm64 |
//!
//! What Linux has in `arch/arm64/lib/mte.S`. [`NativePage`] is the one this build was made for.

use crate::{
    error::Result,
    tags::{PageSize, TagSink, TagSource},
};

#[cfg(mteswap_mte)]
pub mod arm;
mod block;
mod shadow;

pub use block::{BlockAccess, BlockPage, BlockSize};
pub use shadow::ShadowPage;

/// The backend of this build: see `build.rs`.
#[cfg(mteswap_tagmem = "shadow")]
pub type NativePage<'a> = ShadowPage<'a>;
/// The backend of this build: see `build.rs`.
#[cfg(mteswap_tagmem = "el0")]
pub type NativePage<'a> = BlockPage<'a, arm::El0>;
/// The backend of this build: see `build.rs`.
#[cfg(mteswap_tagmem = "el1")]
pub type NativePage<'a> = BlockPage<'a, arm::El1>;

/// The tags of the page at `addr`, as this build keeps them. For [`ShadowPage`], `addr` is their
/// array. [`Error::Invalid`](crate::error::Error::Invalid) where `addr` is null or not aligned as
/// the backend asks.
///
/// # Safety
/// That of [`ShadowPage::from_ptr`], `arm::El0::page` or `arm::El1::page`, for one page.
pub unsafe fn native_page<'a, P: PageSize>(addr: *mut u8) -> Result<NativePage<'a>> {
    #[cfg(mteswap_tagmem = "shadow")]
    // SAFETY: the caller's promise is the backend's.
    return unsafe { ShadowPage::from_ptr::<P>(addr) };
    #[cfg(mteswap_tagmem = "el0")]
    // SAFETY: the caller's promise is the backend's.
    return unsafe { arm::El0::page::<P>(addr, 1) };
    #[cfg(mteswap_tagmem = "el1")]
    // SAFETY: the caller's promise is the backend's.
    return unsafe { arm::El1::page::<P>(addr, 1) };
}

/// A handle to the tags of one page, or of a hugetlb folio that is flagged as one (FLAG-7).
///
/// Clones are handles to the same tags. Reading while another thread writes gives some mix of
/// old and new words, which the flag protocol ([`crate::page`]) keeps callers from; it is never
/// undefined behaviour.
///
/// # Contexts
/// Any; nothing here sleeps, allocates or takes a lock.
pub trait TagMemory: TagSource + TagSink + Clone {
    /// Words of sixteen granules in this memory.
    fn words(&self) -> usize;

    /// Makes the kernel's own pointer to this page match any tag. Called once before user tags
    /// are first written, so that under hardware tag-based KASAN the kernel's later accesses do
    /// not fault on them (HOOK-12, `page_kasan_tag_reset`). Nothing where there is no such KASAN.
    fn reset_kernel_tag(&mut self) {}

    /// Tags every granule 0.
    fn clear(&mut self) {
        self.fill_words(self.words(), 0);
    }

    /// Zeroes data and tags together, as a fresh page wants it (FLAG-13). A memory that holds
    /// tags only zeroes those.
    fn clear_with_data(&mut self) {
        self.clear();
    }

    /// Takes over the tags of `source`, word by word.
    fn copy_from(&mut self, source: &(impl TagSource + ?Sized)) {
        for index in 0..self.words() {
            self.set_word(index, source.word(index));
        }
    }
}
