//! Where kernels, their sources and QEMU are kept: `MTESWAP_CACHE`, or `mteswap` in the
//! user's cache home.
//!
//! A thing that is fetched gets its name once it is whole, so that nobody finds half of it.

use std::{
    env,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use fs4::fs_std::FileExt as _;

pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// # Errors
    /// Where there is no place for it, or it cannot be written to.
    pub(crate) fn open() -> Result<Self> {
        Self::at(home()?)
    }

    /// The one in the folder `root`, which is made if need be.
    pub(crate) fn at(root: PathBuf) -> Result<Self> {
        let refused = || {
            let root = root.display();
            format!("cannot write to the cache {root}: name another folder in MTESWAP_CACHE")
        };
        fs::create_dir_all(&root).with_context(refused)?;
        // A folder may well be there and the file system be read-only.
        let probe = root.join(format!(".probe-{}", std::process::id()));
        File::create(&probe).with_context(refused)?;
        fs::remove_file(&probe).with_context(refused)?;
        Ok(Self { root })
    }

    /// A folder of the cache, which is made if need be.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.root.join(name);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot write to {}", folder.display()))?;
        Ok(folder)
    }

    /// The folder `kind/name`, filled by `fill` where it is not there yet: whole or not at
    /// all.
    pub(crate) fn entry(
        &self,
        kind: &str,
        name: &str,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let folder = self.folder(kind)?;
        let entry = folder.join(name);
        let _lock = self.lock(&format!("{kind}-{name}"))?;
        if entry.exists() {
            return Ok(entry);
        }
        let part = folder.join(format!("{name}.part"));
        remove(&part)?;
        fs::create_dir(&part).with_context(|| format!("cannot write to {}", folder.display()))?;
        fill(&part)?;
        fs::rename(&part, &entry).with_context(|| format!("cannot rename {}", part.display()))?;
        Ok(entry)
    }

    /// Waits until nobody else works on `name`; until the lock is dropped nobody will.
    pub(crate) fn lock(&self, name: &str) -> Result<Lock> {
        let path = self.folder("locks")?.join(name);
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        if !file.try_lock_exclusive()? {
            eprintln!("waiting for another run to be done with {name}");
            file.lock_exclusive()?;
        }
        Ok(Lock(file))
    }
}

/// Held as long as it lives; the system lets go of it with the file.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "kept open")] File);

/// Where the cache is, whether or not it is there.
pub(crate) fn home() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("MTESWAP_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("mteswap")))
        .or_else(|| Some(set("HOME")?.join(".cache/mteswap")))
        .context("nowhere to cache kernels: set MTESWAP_CACHE to a folder")?;
    std::path::absolute(&home).with_context(|| format!("no such place: {}", home.display()))
}

/// Writes the file where it does not say so already: what was made of it stays good.
pub(crate) fn write_if_other(path: &Path, content: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|there| there == content) {
        return Ok(false);
    }
    let context = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(context)?;
    }
    // Beside it and then in its place: it may be one file with one of another tree.
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut file = File::create(&part).with_context(context)?;
    file.write_all(content).with_context(context)?;
    fs::rename(&part, path).with_context(context)?;
    Ok(true)
}

/// Removes a file or a folder with all that is in it, if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let gone = if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match gone {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_place_that_cannot_be_written_to_is_told_of() {
        // No folder can be made in /proc, whoever asks.
        let error = Cache::at("/proc/mteswap".into()).err().unwrap();
        let line = "cannot write to the cache /proc/mteswap: name another folder in MTESWAP_CACHE";
        assert_eq!(error.to_string(), line);
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Cache::at(file.path().join("cache")).is_err());
    }

    #[test]
    fn what_was_not_filled_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache")).unwrap();
        let half = |part: &Path| {
            fs::write(part.join("half"), "")?;
            bail!("no network")
        };
        let error = cache.entry("kind", "name", half).unwrap_err();
        assert_eq!(error.to_string(), "no network");
        assert!(!cache.folder("kind").unwrap().join("name").exists());

        // The next one finds nothing of the half.
        let whole = |part: &Path| Ok(fs::write(part.join("whole"), "")?);
        let entry = cache.entry("kind", "name", whole).unwrap();
        let names: Vec<_> = fs::read_dir(&entry).unwrap().flatten().collect();
        assert_eq!(names.len(), 1);
        let again = cache.entry("kind", "name", |_| bail!("is there already")).unwrap();
        assert_eq!(again, entry);
    }
}
