//! A cargo that can build for a target: the one in use where it has the target, Debian's
//! with the sources of `core` where it has not.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};

use crate::{deps, run};

/// What a target needs beside cargo.
pub(crate) struct Toolchain {
    target: Option<String>,
    /// Built from source by Debian's cargo, `core` too.
    debian: bool,
    /// What the names of GNU binutils and of the C compiler begin with.
    pub(crate) prefix: &'static str,
}

/// Debian's packages with a toolchain and the sources of `core` that belong to it.
const DEBIAN: [(&str, &str); 3] = [
    ("/usr/bin/rustc", "rustc-web"),
    ("/usr/bin/cargo", "cargo-web"),
    ("/usr/lib/rustlib/src/rust/library/core/Cargo.toml", "rust-web-src"),
];

impl Toolchain {
    /// The toolchain for `target`; for this machine where it is `None`.
    pub(crate) fn new(target: Option<&str>) -> Result<Self> {
        let Some(target) = target else {
            return Ok(Self { target: None, debian: false, prefix: "" });
        };
        let prefix = match target.split('-').next() {
            Some(arch) if arch == std::env::consts::ARCH => "",
            Some("aarch64") => "aarch64-linux-gnu-",
            Some("x86_64") => "x86_64-linux-gnu-",
            _ => bail!("no binutils known for {target}"),
        };
        if !prefix.is_empty() {
            let package = format!("binutils-{}", prefix.trim_end_matches('-').replace('_', "-"));
            deps::need(&format!("{prefix}ld"), &package)?;
        }
        let installed = has_target(target);
        if !installed {
            need_debian()?;
        }
        Ok(Self { target: Some(target.to_owned()), debian: !installed, prefix })
    }

    /// Debian's toolchain for `target`, this machine's: for flags that `std` is built with too.
    pub(crate) fn from_source(target: &str) -> Result<Self> {
        need_debian()?;
        Ok(Self { target: Some(target.to_owned()), debian: true, prefix: "" })
    }

    /// `cargo build` for the target, `core` included where nobody ships it.
    pub(crate) fn cargo_build(&self) -> Command {
        self.cargo("build", "core")
    }

    /// Sees to it that there is a clippy of this toolchain's.
    pub(crate) fn need_clippy(&self) -> Result<()> {
        if self.debian {
            return deps::need_file(Path::new("/usr/bin/cargo-clippy"), "rust-web-clippy");
        }
        deps::need_components()
    }

    /// `cargo VERB` for programs that bring an allocator: `build`, `clippy` or `doc`.
    pub(crate) fn cargo_with_alloc(&self, verb: &str) -> Command {
        self.cargo(verb, "core,alloc")
    }

    /// `cargo VERB` for hosted programs, all of `std` built with them.
    pub(crate) fn cargo_with_std(&self, verb: &str) -> Command {
        self.cargo(verb, "std,panic_abort,panic_unwind,test")
    }

    fn cargo(&self, verb: &str, crates: &str) -> Command {
        let mut command = if self.debian {
            // Cargo would look for its clippy in PATH, where another's may be.
            let clippy = if verb == "clippy" { "-clippy" } else { "" };
            let mut command = Command::new(format!("/usr/bin/cargo{clippy}"));
            // Of a cargo and a rustc of different makes, neither takes the other's sources.
            command
                .env("CARGO", "/usr/bin/cargo")
                .env("RUSTC", "/usr/bin/rustc")
                .env("RUSTDOC", "/usr/bin/rustdoc")
                .env("RUSTC_BOOTSTRAP", "1")
                .env_remove("RUSTUP_TOOLCHAIN");
            command
        } else {
            Command::new("cargo")
        };
        command.arg(verb);
        if let Some(target) = &self.target {
            command.args(["--target", target]);
        }
        if self.debian {
            command.arg(format!("-Zbuild-std={crates}"));
        }
        command
    }

    /// A program of binutils.
    pub(crate) fn binutil(&self, program: &str) -> Command {
        Command::new(format!("{}{program}", self.prefix))
    }
}

/// Sees to it that Debian's toolchain is there, with the sources of `core`.
pub(crate) fn need_debian() -> Result<()> {
    DEBIAN.into_iter().try_for_each(|(path, package)| deps::need_file(Path::new(path), package))
}

/// True where nothing has to be installed to build for `target`.
pub(crate) fn is_there(target: &str) -> bool {
    let binutils = target.starts_with(std::env::consts::ARCH)
        || deps::find(&format!("{}-linux-gnu-ld", target.split('-').next().unwrap_or_default()))
            .is_some();
    binutils && (has_target(target) || DEBIAN.iter().all(|(path, _)| Path::new(path).exists()))
}

/// True where the rustc in use has a `core` for `target`.
fn has_target(target: &str) -> bool {
    let mut command = Command::new("rustc");
    command.args(["--print", "target-libdir", "--target", target]);
    run::output(&mut command).is_ok_and(|folder| Path::new(folder.trim_end()).is_dir())
}
