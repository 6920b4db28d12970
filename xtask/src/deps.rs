//! Programs that a verb needs and the machine may lack: installed where that is possible
//! without asking, named with the command that installs them where it is not.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Once,
};

use anyhow::{Result, bail};

use crate::run;

/// Sees to it that `program` can be called; Debian's `package` has it.
///
/// # Errors
/// One line with the command to run, where this process may not install it.
pub(crate) fn need(program: &str, package: &str) -> Result<()> {
    if find(program).is_some() {
        return Ok(());
    }
    install(package)?;
    if find(program).is_none() {
        bail!("`{program}` is missing though the package `{package}` is installed");
    }
    Ok(())
}

/// Sees to it that the file `path` is there; Debian's `package` has it.
///
/// # Errors
/// As [`need`].
pub(crate) fn need_file(path: &Path, package: &str) -> Result<()> {
    if !path.exists() {
        install(package)?;
    }
    if !path.exists() {
        bail!("{} is missing though the package `{package}` is installed", path.display());
    }
    Ok(())
}

/// Sees to it that the toolchain in use has rustfmt and clippy.
pub(crate) fn need_components() -> Result<()> {
    for (program, component) in [("cargo-fmt", "rustfmt"), ("cargo-clippy", "clippy")] {
        let works = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if works {
            continue;
        }
        if find("rustup").is_none() {
            bail!("`{program}` is missing: install the component `{component}` of your Rust");
        }
        run::run(Command::new("rustup").args(["component", "add", component]))?;
    }
    Ok(())
}

/// Where in PATH `program` lies.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

fn install(package: &str) -> Result<()> {
    if !may_install() {
        bail!("{package} is missing: run `sudo apt-get install {package}`");
    }
    update();
    eprintln!("installing {package}");
    apt(&["install", "-qq", "-y", "--no-install-recommends", package])
}

/// Renews apt's lists, once: a fresh machine has none.
pub(crate) fn update() {
    static UPDATE: Once = Once::new();
    UPDATE.call_once(|| {
        if may_install() {
            // Lists that cannot be renewed may still do.
            let _ = apt(&["update", "-qq"]);
        }
    });
}

fn may_install() -> bool {
    // The owner of a process is the owner of its folder in /proc.
    use std::os::unix::fs::MetadataExt;
    find("apt-get").is_some() && std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

fn apt(arguments: &[&str]) -> Result<()> {
    run::run(
        Command::new("apt-get")
            // Another that installs something is waited for.
            .args(["-o", "DPkg::Lock::Timeout=600"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null()),
    )
}
