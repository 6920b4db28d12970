//! Tag maps of real programs: those under `tests/tags`, or those of the folder that
//! `MTESWAP_TAG_MAPS` names.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Bytes of one record: the tags of 4 KiB.
const RECORD: usize = 128;

/// The tags of one program's pages.
pub struct TagMap {
    /// Allocator and program.
    pub name: String,
    bytes: Vec<u8>,
}

impl TagMap {
    /// The tags of its pages, each `tag_bytes` long: consecutive records joined where
    /// pages are larger than 4 KiB, and what does not fill the last one left out.
    pub fn pages(&self, tag_bytes: usize) -> impl ExactSizeIterator<Item = &[u8]> {
        assert_eq!(tag_bytes % RECORD, 0);
        self.bytes.chunks_exact(tag_bytes)
    }
}

/// The folder the maps are read from.
pub fn folder() -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find_map(|folder| {
        let folder = folder.join("tests/tags");
        folder.is_dir().then_some(folder)
    });
    env::var_os("MTESWAP_TAG_MAPS").map(PathBuf::from).or(shipped).expect("a folder of tag maps")
}

/// Every map of [`folder`], by name.
pub fn load() -> Vec<TagMap> {
    let folder = folder();
    let entries = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
    let mut maps: Vec<TagMap> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "tags"))
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.is_empty() && bytes.len() % RECORD == 0, "{name}: not whole records");
            TagMap { name, bytes }
        })
        .collect();
    assert!(!maps.is_empty(), "no tag maps in {}", folder.display());
    maps.sort_by(|a, b| a.name.cmp(&b.name));
    maps
}
