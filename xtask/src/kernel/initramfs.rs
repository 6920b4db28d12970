//! What a guest finds when it starts: busybox, a script, and files of ours.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use cpio::newc::{Builder, ModeFileType, trailer};

use super::{
    apt::{self, Apt},
    cache::{Cache, remove},
    step::Step,
};

/// A file system, filled by name.
#[derive(Default)]
pub(crate) struct Initramfs {
    files: Vec<(String, File)>,
}

enum File {
    Folder,
    Regular(Vec<u8>, u32),
    Symlink(String),
    /// Major and minor number of a character device.
    Device(u32, u32),
}

impl Initramfs {
    /// One with busybox for `architecture` (Debian's name of it) and an empty `/dev`,
    /// `/proc`, `/sys`, `/tmp`. `init` is a script for busybox's shell.
    pub(crate) fn new(cache: &Cache, architecture: &str, init: &str) -> Result<Self> {
        let mut files = Self::default();
        let busybox = busybox(cache, architecture)?;
        files.add("bin/busybox", &busybox)?;
        files.symlink("bin/sh", "busybox");
        for folder in ["dev", "proc", "sys", "tmp", "root"] {
            files.folder(folder);
        }
        // Before devtmpfs is there, init wants somewhere to write to.
        files.insert("dev/console", File::Device(5, 1));
        files.text("init", init, 0o755);
        Ok(files)
    }

    pub(crate) fn folder(&mut self, name: &str) {
        self.insert(name, File::Folder);
    }

    /// The file `from`, with its mode.
    pub(crate) fn add(&mut self, name: &str, from: &Path) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        let mode = fs::metadata(from)?.permissions().mode() & 0o7777;
        self.insert(name, File::Regular(content, mode));
        Ok(())
    }

    /// The file `from`, to be run.
    pub(crate) fn add_program(&mut self, name: &str, from: &Path) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.insert(name, File::Regular(content, 0o755));
        Ok(())
    }

    pub(crate) fn text(&mut self, name: &str, text: &str, mode: u32) {
        self.insert(name, File::Regular(text.as_bytes().to_vec(), mode));
    }

    pub(crate) fn symlink(&mut self, name: &str, to: &str) {
        self.insert(name, File::Symlink(to.to_owned()));
    }

    fn insert(&mut self, name: &str, file: File) {
        self.files.push((name.trim_matches('/').to_owned(), file));
    }

    /// Writes it as the kernel unpacks it.
    pub(crate) fn write(&self, to: &Path) -> Result<()> {
        let context = || format!("cannot write {}", to.display());
        let mut out = std::io::BufWriter::new(fs::File::create(to).with_context(context)?);
        // A folder comes before what is in it, once.
        let mut folders = BTreeSet::new();
        for (number, (name, file)) in (1..).zip(&self.files) {
            for (end, _) in name.match_indices('/') {
                if folders.insert(name[..end].to_owned()) {
                    let builder = Builder::new(&name[..end])
                        .ino(0x10000 + folders.len() as u32)
                        .mode(0o755)
                        .set_mode_file_type(ModeFileType::Directory);
                    builder.write(&mut out, 0).finish()?;
                }
            }
            let builder = Builder::new(name).ino(number).nlink(1);
            match file {
                File::Folder => {
                    if folders.insert(name.clone()) {
                        let builder =
                            builder.mode(0o755).set_mode_file_type(ModeFileType::Directory);
                        builder.write(&mut out, 0).finish()?;
                    }
                }
                File::Regular(content, mode) => {
                    let builder = builder.mode(*mode).set_mode_file_type(ModeFileType::Regular);
                    put(builder, content, &mut out)?;
                }
                File::Symlink(target) => {
                    let builder = builder.mode(0o777).set_mode_file_type(ModeFileType::Symlink);
                    put(builder, target.as_bytes(), &mut out)?;
                }
                File::Device(major, minor) => {
                    let builder = builder
                        .mode(0o600)
                        .set_mode_file_type(ModeFileType::Char)
                        .rdev_major(*major)
                        .rdev_minor(*minor);
                    builder.write(&mut out, 0).finish()?;
                }
            }
        }
        trailer(out).with_context(context)?.flush().with_context(context)
    }
}

fn put(builder: Builder, content: &[u8], out: &mut impl std::io::Write) -> Result<()> {
    let size = u32::try_from(content.len()).context("too large a file for an initramfs")?;
    let mut writer = builder.write(out, size);
    writer.write_all(content)?;
    writer.finish()?;
    Ok(())
}

/// Debian's busybox for `architecture`, linked statically.
fn busybox(cache: &Cache, architecture: &str) -> Result<PathBuf> {
    let folder = cache.entry("busybox", architecture, |part| {
        let step = Step::begin(&format!("fetching busybox for {architecture}"));
        let lists = part.join("apt");
        Apt::new(&lists, &[&apt::release()?], architecture)?
            .unpack("busybox-static", part)
            .context("no busybox for the guest to be had")?;
        remove(&lists)?;
        step.done();
        Ok(())
    })?;
    let found = ["bin/busybox", "usr/bin/busybox"].map(|name| folder.join(name));
    found.into_iter().find(|path| path.exists()).context("Debian's busybox-static has no busybox")
}
