//! The guest: a program at EL1 that tags its memory, and checks that it stays as it was left.
//!
//! It knows nothing of swap. Whatever the hypervisor does below, each page has to hold the data
//! and the tags that were last written to it.
//!
//! | module | holds |
//! |---|---|
//! | `boot` | translation: all memory Tagged; exceptions |
//! | `mte` | STG, LDG, accesses through tagged pointers |
//! | `content` | which data and tags belong into which granule |
//! | `work` | visits: look at every granule, provoke tag check faults, write |
//! | `calls` | calls of the hypervisor |

#![no_std]
#![no_main]

mod boot;
mod calls;
mod content;
mod mte;
mod work;

aarch64_rt::entry!(main, 12);

fn main(_: u64, _: u64, _: u64, _: u64) -> ! {
    let report = work::Work::new(calls::config()).run();
    calls::done(report)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    calls::panic([0, 0, 0, info.location().map_or(0, |at| at.line().into())])
}
