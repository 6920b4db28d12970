//! Tests of `tagmem` on real MTE instructions, at EL0: on an arm64 machine, or under
//! `qemu-aarch64`. Prints what libtest prints. Run by `cargo xtask test-mte`.

#![cfg_attr(target_arch = "aarch64", no_std, no_main)]

#[cfg(target_arch = "aarch64")]
mod libc;
#[cfg(target_arch = "aarch64")]
mod tests;

#[cfg(not(target_arch = "aarch64"))]
fn main() {
    eprintln!("there is no MTE on this architecture: run `cargo xtask test-mte`");
    std::process::exit(1);
}
