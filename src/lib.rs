//! Keeps the Arm MTE tags of pages that are swapped out.

#![no_std]
#![deny(missing_docs)]
#![deny(
    clippy::multiple_unsafe_ops_per_block,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[cfg(test)]
extern crate std;

mod codec;
pub mod entry;
pub mod error;
pub mod host;
mod index;
mod pool;
mod record;
mod slab;
pub mod store;
mod sync;
pub mod tags;
#[cfg(test)]
mod testing;
