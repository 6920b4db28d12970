//! The kernel's files that the bench compiles: from a tree of the user's, from one in the
//! cache, or out of Debian's package.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::run;

const PACKAGE: &str = "linux-source-6.12";
/// What the xarray takes in.
const FOLDERS: [&str; 4] = ["include", "lib", "tools/include", "tools/lib"];

/// A tree with the xarray in it, and its version: 6.12.117.
pub(super) fn find(own: Option<&Path>) -> Result<(PathBuf, String)> {
    let tree = match own {
        Some(tree) => fs::canonicalize(tree)
            .with_context(|| format!("no kernel tree at {}", tree.display()))?,
        None => {
            let cache = cache()?;
            let whole = newest(&cache.join("source"))?;
            let cached = if whole.is_some() { whole } else { newest(&cache.join("xarray"))? };
            cached.map_or_else(|| fetch(&cache.join("xarray")), Ok)?
        }
    };
    let makefile = fs::read_to_string(tree.join("Makefile"))
        .with_context(|| format!("{} is no kernel tree", tree.display()))?;
    let part = |name: &str| {
        makefile.lines().find_map(|line| {
            Some(line.strip_prefix(name)?.trim_start().strip_prefix('=')?.trim().to_owned())
        })
    };
    let parts: Option<Vec<_>> =
        ["VERSION", "PATCHLEVEL", "SUBLEVEL"].map(part).into_iter().collect();
    let version = parts.context("the kernel's Makefile has no version")?.join(".");
    ensure!(version.starts_with("6.12."), "{} is Linux {version}, not 6.12", tree.display());
    Ok((tree, version))
}

/// `MTESWAP_CACHE`, or `mteswap` in the user's cache home.
fn cache() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("MTESWAP_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("mteswap")))
        .or_else(|| Some(set("HOME")?.join(".cache/mteswap")))
        .context("nowhere to cache the kernel's source: set MTESWAP_CACHE to a folder")
}

/// The newest whole tree in `folder`; one being filled has a name that ends in `.part`.
fn newest(folder: &Path) -> Result<Option<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(None) };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&format!("{PACKAGE}_")) && !name.ends_with(".part") {
            found.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    Ok(found.into_iter().max().map(|(_, path)| path))
}

fn fetch(folder: &Path) -> Result<PathBuf> {
    let part = folder.join(format!("{PACKAGE}_{}.part", std::process::id()));
    fs::create_dir_all(&part).with_context(|| format!("cannot write to {}", folder.display()))?;
    eprintln!("fetching {PACKAGE}");
    run::run(Command::new("apt-get").args(["download", "-qq", PACKAGE]).current_dir(&part))
        .context("no kernel source: give a Linux 6.12 tree by --kernel")?;
    let deb = fs::read_dir(&part)?.next().context("apt-get downloaded nothing")??.path();
    unpack(&deb, &part)?;
    fs::remove_file(&deb)?;
    let tree = folder.join(deb.file_stem().context("a package without a name")?);
    if !tree.exists() {
        fs::rename(&part, &tree)?;
    }
    Ok(tree)
}

/// Takes [`FOLDERS`] and the Makefile out of the package's archive.
fn unpack(deb: &Path, to: &Path) -> Result<()> {
    let mut files = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start dpkg-deb")?;
    let mut archive = Command::new("tar")
        .args(["-xO", &format!("./usr/src/{PACKAGE}.tar.xz")])
        .stdin(files.stdout.take().context("dpkg-deb has no stdout")?)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start tar")?;
    let taken = Command::new("tar")
        .args(["-xJ", "--strip-components=1", "-C"])
        .arg(to)
        .arg(format!("{PACKAGE}/Makefile"))
        .args(FOLDERS.map(|folder| format!("{PACKAGE}/{folder}")))
        .stdin(archive.stdout.take().context("tar has no stdout")?)
        .status()
        .context("cannot start tar")?;
    // dpkg-deb goes on past the member tar wanted: its status says nothing.
    files.wait()?;
    if !archive.wait()?.success() || !taken.success() {
        bail!("cannot unpack {}", deb.display());
    }
    Ok(())
}
