//! A copy of a kernel tree with files of ours in it, and a few lines of its own changed.
//! The tree it was copied from stays as it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    cache::{Cache, Lock, remove, write_if_other},
    source::Source,
    step::Step,
};
use crate::{deps, library, maps, run};

/// What a user's tree may have in it that is no source.
const MADE: [&str; 16] = [
    "/.git",
    "/.config",
    "/include/config",
    "/include/generated",
    "/arch/*/include/generated",
    "/vmlinux*",
    "/System.map",
    "/Module.symvers",
    "/.kunit",
    "/.tmp*",
    "*.o",
    "*.ko",
    "*.a",
    ".*.cmd",
    ".*.d",
    "*.order",
];
/// Keeps the paths of what was laid in, one a line.
const MANIFEST: &str = ".mteswap-overlay";

/// Files to lay into a tree, and changes to its own.
pub(crate) struct Overlay {
    name: &'static str,
    files: BTreeMap<PathBuf, Vec<u8>>,
    edits: Vec<Edit>,
}

/// Changes one file of the tree's own.
struct Edit {
    file: PathBuf,
    /// Line after which `text` goes; at the end of the file where it is none.
    after: Option<String>,
    text: String,
}

/// A tree with an overlay in it. Nobody else changes it while this lives.
pub(crate) struct Tree {
    pub(crate) dir: PathBuf,
    /// Tells it from others in names of the cache.
    pub(crate) key: String,
    /// Of everything laid in; of a user's tree, of nothing that could tell.
    pub(crate) hash: Option<u64>,
    _lock: Lock,
}

impl Overlay {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, files: BTreeMap::new(), edits: Vec::new() }
    }

    /// `lib/mteswap`: the glue of `kunit/overlay`, the header, the suites, the tag maps.
    /// The library's object is no part of it: `make MTESWAP_OBJECT=…` names it.
    pub(crate) fn library(name: &'static str) -> Result<Self> {
        let root = run::root();
        let mut overlay = Self::new(name);
        overlay.folder(&root.join("kunit/overlay"), Path::new(""))?;
        check_exports(&root.join("kunit/overlay/lib/mteswap/exports.c"))?;
        let lib = Path::new("lib/mteswap");
        for file in files_in(&root.join("include"), &["h"])? {
            overlay.file(&lib.join("include"), &file)?;
        }
        for file in files_in(&root.join("kunit"), &["c", "h"])? {
            overlay.file(&lib.join("suites"), &file)?;
        }
        for file in files_in(&root.join("kunit/faults"), &["c", "h"])? {
            overlay.file(&lib.join("faults"), &file)?;
        }
        let tags = maps::dir();
        overlay.text(lib.join("suites/mteswap_kunit_maps.c"), maps::c_file(&tags)?);
        overlay.after("lib/Makefile", "obj-y += kunit/", "obj-$(CONFIG_MTESWAP) += mteswap/\n");
        overlay.append("lib/Kconfig.debug", "\nsource \"lib/mteswap/Kconfig\"\n");
        Ok(overlay)
    }

    /// All files below `from`, to the same places below `to` of the tree.
    pub(crate) fn folder(&mut self, from: &Path, to: &Path) -> Result<()> {
        for entry in fs::read_dir(from).with_context(|| format!("no {}", from.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                self.folder(&path, &to.join(path.file_name().unwrap_or_default()))?;
            } else {
                self.file(to, &path)?;
            }
        }
        Ok(())
    }

    /// The file `from`, into the folder `to` of the tree.
    pub(crate) fn file(&mut self, to: &Path, from: &Path) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.files.insert(to.join(from.file_name().unwrap_or_default()), content);
        Ok(())
    }

    /// A file that says `text`.
    pub(crate) fn text(&mut self, to: impl Into<PathBuf>, text: impl Into<Vec<u8>>) {
        self.files.insert(to.into(), text.into());
    }

    /// Puts `text` behind the line `line` of the tree's `file`.
    pub(crate) fn after(&mut self, file: &str, line: &str, text: &str) {
        let after = Some(line.to_owned());
        self.edits.push(Edit { file: file.into(), after, text: text.to_owned() });
    }

    /// Puts `text` at the end of the tree's `file`.
    pub(crate) fn append(&mut self, file: &str, text: &str) {
        self.edits.push(Edit { file: file.into(), after: None, text: text.to_owned() });
    }

    /// Copies `source` into the cache where it is not there, and lays the files in.
    pub(crate) fn lay(mut self, cache: &Cache, source: &Source) -> Result<Tree> {
        self.edit(source)?;
        let key = format!("{}-{}", self.name, source.key);
        let dir = cache.folder("trees")?.join(&key);
        let lock = cache.lock(&format!("tree-{key}"))?;
        if source.own || !dir.join(MANIFEST).exists() {
            self.copy(source, &dir)?;
        }
        let laid: BTreeSet<String> =
            self.files.keys().map(|file| file.display().to_string()).collect();
        let manifest = fs::read_to_string(dir.join(MANIFEST)).unwrap_or_default();
        for stale in manifest.lines().filter(|line| !laid.contains(*line)) {
            remove(&dir.join(stale))?;
            if source.dir.join(stale).exists() {
                let original = source.dir.join(stale);
                write_if_other(&dir.join(stale), &fs::read(original)?)?;
            }
        }
        // First of all the list, so that nothing is laid in and forgotten.
        let list: Vec<_> = laid.into_iter().collect();
        write_if_other(&dir.join(MANIFEST), list.join("\n").as_bytes())?;
        let mut hasher = DefaultHasher::new();
        for (file, content) in &self.files {
            write_if_other(&dir.join(file), content)?;
            (file, content).hash(&mut hasher);
        }
        let hash = (!source.own).then(|| hasher.finish());
        Ok(Tree { dir, key, hash, _lock: lock })
    }

    /// Writes the files below `folder`, and no tree around them.
    pub(crate) fn lay_out(self, folder: &Path) -> Result<()> {
        for (file, content) in &self.files {
            write_if_other(&folder.join(file), content)?;
        }
        Ok(())
    }

    /// Makes files of the edits.
    fn edit(&mut self, source: &Source) -> Result<()> {
        for Edit { file, after, text } in std::mem::take(&mut self.edits) {
            let old = match self.files.get(&file) {
                Some(content) => String::from_utf8_lossy(content).into_owned(),
                None => fs::read_to_string(source.dir.join(&file)).with_context(|| {
                    format!("{} has no {}", source.dir.display(), file.display())
                })?,
            };
            let at = match &after {
                None => old.len(),
                Some(line) => {
                    let line = format!("{line}\n");
                    let found = old.find(&line).with_context(|| {
                        let (file, line) = (file.display(), line.trim_end());
                        format!("{file} of Linux {} has no line `{line}`", source.version)
                    })?;
                    found + line.len()
                }
            };
            let edited = format!("{}{text}{}", &old[..at], &old[at..]);
            self.files.insert(file, edited.into_bytes());
        }
        Ok(())
    }

    fn copy(&self, source: &Source, dir: &Path) -> Result<()> {
        deps::need("rsync", "rsync")?;
        let mut rsync = Command::new("rsync");
        rsync.args(["-a", "--delete", "--quiet"]);
        if source.own {
            rsync.args(MADE.map(|pattern| format!("--exclude={pattern}")));
        } else {
            // One file with that of the source: ours are put in place of it, never into it.
            rsync.arg(format!("--link-dest={}", source.dir.display()));
        }
        // What is ours is left alone, and keeps its age.
        for file in
            self.files.keys().map(|file| file.display().to_string()).chain([MANIFEST.into()])
        {
            rsync.arg(format!("--exclude=/{file}"));
        }
        let step = Step::begin(&format!("copying Linux {}", source.version));
        run::run(rsync.arg(format!("{}/", source.dir.display())).arg(dir))?;
        step.done();
        Ok(())
    }
}

/// Holds the list of what modules may call to that of what there is.
fn check_exports(file: &Path) -> Result<()> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let listed: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("EXPORT_SYMBOL_NS_GPL(")?.split_once(','))
        .map(|(name, _)| name.to_owned())
        .collect();
    if listed != library::exports()? {
        bail!("{} and ffi/symbols.txt list different functions", file.display());
    }
    Ok(())
}

fn files_in(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))? {
        let path = entry?.path();
        let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && extensions.contains(&extension.as_str()) {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "nothing in {}", folder.display());
    Ok(files)
}
