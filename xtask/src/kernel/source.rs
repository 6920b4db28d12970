//! A Linux 6.12 tree: one of the user's, or Debian's package unpacked into the cache.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use super::{cache::Cache, step::Step};
use crate::{deps, run};

/// Debian's package.
pub(crate) const PACKAGE: &str = "linux-source-6.12";
/// What all of this was made for.
const SERIES: &str = "6.12.";

/// # Invariants
/// `dir` is a kernel tree of the version `version`. Nobody writes to it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) dir: PathBuf,
    /// As 6.12.117.
    pub(crate) version: String,
    /// Tells it from others in names of the cache.
    pub(crate) key: String,
    /// Whether it is the user's, and may change.
    pub(crate) own: bool,
}

impl Source {
    /// The user's tree, or else Debian's.
    ///
    /// # Errors
    /// Of another version than 6.12; no tree given and none to be had.
    pub(crate) fn find(cache: &Cache, own: Option<&Path>) -> Result<Self> {
        let dir = match own {
            Some(dir) => fs::canonicalize(dir)
                .with_context(|| format!("no kernel tree at {}", dir.display()))?,
            None => debian(cache)?,
        };
        let version = version(&dir)?;
        ensure!(
            version.starts_with(SERIES),
            "{} is Linux {version}, and this is made for {SERIES}x: give such a tree by --kernel",
            dir.display()
        );
        let key = if own.is_some() {
            let mut hasher = DefaultHasher::new();
            dir.hash(&mut hasher);
            format!("{version}-{:08x}", hasher.finish() as u32)
        } else {
            version.clone()
        };
        Ok(Self { dir, version, key, own: own.is_some() })
    }
}

/// What the tree's Makefile says: 6.12.117.
pub(crate) fn version(tree: &Path) -> Result<String> {
    let makefile = fs::read_to_string(tree.join("Makefile"))
        .with_context(|| format!("{} is no kernel tree", tree.display()))?;
    let part = |name: &str| {
        makefile.lines().find_map(|line| {
            Some(line.strip_prefix(name)?.trim_start().strip_prefix('=')?.trim().to_owned())
        })
    };
    let parts: Option<Vec<_>> =
        ["VERSION", "PATCHLEVEL", "SUBLEVEL"].map(part).into_iter().collect();
    Ok(parts.with_context(|| format!("{} is no kernel tree", tree.display()))?.join("."))
}

/// Debian's tree: the newest in the cache, else that of the package installed here, else
/// the package that apt has.
fn debian(cache: &Cache) -> Result<PathBuf> {
    let folder = cache.folder("source")?;
    let mut cached: Vec<_> = fs::read_dir(&folder)?
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with(&format!("{PACKAGE}_")) && !name.ends_with(".part")
        })
        .map(|entry| (entry.metadata().and_then(|meta| meta.modified()).ok(), entry.path()))
        .collect();
    cached.sort();
    if let Some((_, newest)) = cached.pop() {
        return Ok(newest);
    }
    let archive = Path::new("/usr/src").join(format!("{PACKAGE}.tar.xz"));
    if archive.exists() {
        let mut query = Command::new("dpkg-query");
        let version = run::output(query.args(["-W", "-f", "${Version}", PACKAGE]))?;
        return cache.entry("source", &format!("{PACKAGE}_{version}_all"), |part| {
            let step = Step::begin(&format!("unpacking {PACKAGE}"));
            untar(Stdio::from(fs::File::open(&archive)?), part)?;
            step.done();
            Ok(())
        });
    }
    let fetched = folder.join(format!("{PACKAGE}.deb.part"));
    super::cache::remove(&fetched)?;
    fs::create_dir(&fetched)?;
    let step = Step::begin(&format!("fetching {PACKAGE}"));
    deps::update();
    run::run(Command::new("apt-get").args(["download", "-qq", PACKAGE]).current_dir(&fetched))
        .context("no kernel source to be had: give a Linux 6.12 tree by --kernel DIR")?;
    step.done();
    let deb = fs::read_dir(&fetched)?.next().context("apt-get downloaded nothing")??.path();
    let name = deb.file_stem().context("a package without a name")?.to_string_lossy().into_owned();
    let tree = cache.entry("source", &name.replace("%3a", ":"), |part| {
        let step = Step::begin(&format!("unpacking {PACKAGE}"));
        unpack(&deb, part)?;
        step.done();
        Ok(())
    })?;
    super::cache::remove(&fetched)?;
    Ok(tree)
}

/// Unpacks the archive in the package `deb`.
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
    untar(archive.stdout.take().context("tar has no stdout")?.into(), to)?;
    // dpkg-deb goes on past the member tar wanted: its status says nothing.
    files.wait()?;
    ensure!(archive.wait()?.success(), "cannot unpack {}", deb.display());
    Ok(())
}

fn untar(archive: Stdio, to: &Path) -> Result<()> {
    let status = Command::new("tar")
        .args(["-xJ", "--strip-components=1", "-C"])
        .arg(to)
        .stdin(archive)
        .status()
        .context("cannot start tar")?;
    if !status.success() {
        bail!("cannot unpack the kernel's source into {}: {status}", to.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tree_of_the_series_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache")).unwrap();
        let tree = folder.path().join("linux");
        let find = || Source::find(&cache, Some(&tree)).map_err(|error| error.to_string());
        let makefile = |text: &str| fs::write(tree.join("Makefile"), text).unwrap();

        assert_eq!(find().unwrap_err(), format!("no kernel tree at {}", tree.display()));
        fs::create_dir(&tree).unwrap();
        let tree_at = fs::canonicalize(&tree).unwrap().display().to_string();
        assert_eq!(find().unwrap_err(), format!("{tree_at} is no kernel tree"));
        makefile("all:\n\tcc -o hello hello.c\n");
        assert_eq!(find().unwrap_err(), format!("{tree_at} is no kernel tree"));
        makefile("VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 12\n");
        let told = find().unwrap_err();
        assert!(told.starts_with(&format!("{tree_at} is Linux 6.1.12, and this is")), "{told}");
        makefile("VERSION = 6\nPATCHLEVEL = 120\nSUBLEVEL = 1\n");
        assert!(find().unwrap_err().contains("Linux 6.120.1"));

        makefile("# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 0\nEXTRAVERSION = -rc1\n");
        let source = find().unwrap();
        assert_eq!(source.version, "6.12.0");
        assert!(source.own && source.key.starts_with("6.12.0-"), "{source:?}");
    }
}
