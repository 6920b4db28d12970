//! This crate beside what bindgen reads from its header: compiles where the two agree.
//!
//! Part of `cargo xtask header --check` only, which writes the comparison.

/// This crate's side, with what the header derives from the page size.
mod ours {
    pub(super) use crate::{hooks::*, host::*, page::*, range::*, store::*, swap::*, wire::*, *};

    pub(super) const MTESWAP_PAGE_SHIFT: u32 = <Page as mteswap::tags::PageSize>::SHIFT;
    pub(super) const MTESWAP_TAGS_BYTES: usize = <Page as mteswap::tags::PageSize>::TAG_BYTES;
    pub(super) const MTESWAP_ENCODED_MAX: usize = wire::ENCODED_MAX;
}

include!(env!("MTESWAP_BINDINGS"));
