//! What the integration tests share.
// Each test is a crate of its own and uses its part.
#![allow(dead_code)]

pub mod host;
pub mod maps;
pub mod pages;

use mteswap::{
    entry::{SwapEntry, SwapType},
    host::AllocFlags,
};

pub const SLEEP: AllocFlags = AllocFlags::MAY_SLEEP;

pub fn swap_type(number: u32) -> SwapType {
    SwapType::new(number).unwrap()
}

pub fn entry(ty: u32, offset: u64) -> SwapEntry {
    SwapEntry::new(swap_type(ty), offset).unwrap()
}

/// Makes a test of a generic function: it runs with each page size.
#[macro_export]
macro_rules! test_at_every_page_size {
    ($($test:ident = $body:ident;)+) => {$(
        #[test]
        fn $test() {
            $body::<mteswap::tags::Page4K>();
            $body::<mteswap::tags::Page16K>();
            $body::<mteswap::tags::Page64K>();
        }
    )+};
}
