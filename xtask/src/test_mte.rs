//! `cargo xtask test-mte`: the tests of `tests/mte`, on MTE instructions at EL0.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{
    deps,
    run::{self, root},
    toolchain::Toolchain,
};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const PROGRAM: &str = "mteswap-test-mte";

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args) -> Result<()> {
    build()?;
    run::run(&mut program()?)
}

/// Builds the tests, to run as [`program`].
pub(crate) fn build() -> Result<()> {
    let toolchain = Toolchain::new(Some(TARGET))?;
    if !native() {
        deps::need("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")?;
        // It only recommends this one, with the C library to link.
        deps::need_file("/usr/aarch64-linux-gnu/lib/libc.a".as_ref(), "libc6-dev-arm64-cross")?;
    }
    let mut command = toolchain.cargo_build();
    command
        .args(["--locked", "--target-dir"])
        .arg(target_dir())
        .current_dir(root().join("tests/mte"))
        // Static, so that it runs where no arm64 libraries are.
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .env_remove("RUSTFLAGS");
    if !native() {
        command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
    }
    run::run(&mut command)
}

/// The command that runs the tests, and prints as libtest does.
///
/// # Errors
/// Where there is no way to run them here.
pub(crate) fn program() -> Result<Command> {
    let program = target_dir().join(TARGET).join("debug").join(PROGRAM);
    if native() {
        return Ok(Command::new(program));
    }
    deps::need("qemu-aarch64", "qemu-user")?;
    let mut command = Command::new("qemu-aarch64");
    command.args(["-cpu", "max"]).arg(program);
    Ok(command)
}

fn native() -> bool {
    std::env::consts::ARCH == "aarch64"
}

fn target_dir() -> PathBuf {
    root().join("target/mte")
}
