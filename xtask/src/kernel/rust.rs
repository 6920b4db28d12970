//! What a kernel with CONFIG_RUST=y is made with: a rustc with the sources of `core` that
//! belong to it, bindgen, and the libclang that bindgen loads.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{
    build::{Kernel, logged},
    cache::Cache,
};
use crate::{deps, toolchain};

/// Debian 12's own is too old for Linux 6.12.
const BINDGEN: &str = "0.73.0";
/// Of Debian 12; a newer one that is there does as well.
const CLANG: &str = "14";

pub(crate) struct Tools {
    bindgen: PathBuf,
    libclang: PathBuf,
}

impl Tools {
    pub(crate) fn find(cache: &Cache) -> Result<Self> {
        toolchain::need_debian()?;
        let libclang = libclang()?;
        let name = format!("bindgen-{BINDGEN}");
        let folder = cache.entry("rust", &name, |part| {
            let mut install = Command::new("cargo");
            install
                .args(["install", "bindgen-cli", "--version", BINDGEN, "--locked", "--root"])
                .arg(part)
                .arg("--target-dir")
                .arg(part.join("target"));
            let log = cache.folder("rust")?.join(format!("{name}.log"));
            logged("building bindgen", &mut install, &log)?;
            super::cache::remove(&part.join("target"))
        })?;
        Ok(Self { bindgen: folder.join("bin/bindgen"), libclang })
    }

    /// Tells every make of `kernel` about them.
    pub(crate) fn hand_to(&self, kernel: &mut Kernel<'_>) {
        for (name, program) in [("RUSTC", "rustc"), ("HOSTRUSTC", "rustc"), ("RUSTDOC", "rustdoc")]
        {
            kernel.variable(name, &Path::new("/usr/bin").join(program));
        }
        kernel.variable("BINDGEN", &self.bindgen);
        // 6.12 knows no name for UML's.
        let target = format!("{}-linux-gnu", std::env::consts::ARCH);
        kernel.variable("BINDGEN_TARGET_um", Path::new(&target));
        kernel.environment("LIBCLANG_PATH", &self.libclang);
    }
}

/// The folder of the newest libclang here.
fn libclang() -> Result<PathBuf> {
    let needed: u32 = CLANG.parse()?;
    let newest = || -> Option<PathBuf> {
        let folders = fs::read_dir("/usr/lib").ok()?.flatten().filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let version: u32 = name.strip_prefix("llvm-")?.parse().ok()?;
            let lib = entry.path().join("lib");
            // With headers of its own, such as stdint.h.
            let whole = lib.join("libclang.so.1").exists() && lib.join("clang").is_dir();
            (whole && version >= needed).then_some((version, lib))
        });
        Some(folders.max()?.1)
    };
    if newest().is_none() {
        let lib = Path::new("/usr/lib").join(format!("llvm-{CLANG}")).join("lib");
        deps::need_file(&lib.join("libclang.so.1"), &format!("libclang1-{CLANG}"))?;
        deps::need_file(&lib.join("clang"), &format!("libclang-common-{CLANG}-dev"))?;
    }
    newest().context("no libclang for bindgen: apt-get install libclang1-14 libclang-common-14-dev")
}
