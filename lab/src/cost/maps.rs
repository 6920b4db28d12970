//! Tags that programs had: the maps of `tests/tags`, page by page.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::model::frame::TAG_WORDS;

/// The tags of one page.
pub type Tags = [u64; TAG_WORDS];
/// Granules of one page.
pub const GRANULES: usize = TAG_WORDS * 16;
/// Most runs of one tag that still make few.
const FEW: usize = 8;

/// Which pages of the maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    All,
    OneTag,
    FewRuns,
    ManyRuns,
}

pub const CLASSES: [Class; 4] = [Class::All, Class::OneTag, Class::FewRuns, Class::ManyRuns];

impl Class {
    pub fn name(self) -> String {
        match self {
            Self::All => "all of the maps".into(),
            Self::OneTag => "one tag".into(),
            Self::FewRuns => format!("2 to {FEW} runs"),
            Self::ManyRuns => format!("{} runs or more", FEW + 1),
        }
    }

    pub fn holds(self, tags: &Tags) -> bool {
        match runs(tags) {
            _ if self == Self::All => true,
            1 => self == Self::OneTag,
            2..=FEW => self == Self::FewRuns,
            _ => self == Self::ManyRuns,
        }
    }
}

/// Runs of neighbouring granules with the same tag.
pub fn runs(tags: &Tags) -> usize {
    let tag = |granule: usize| tags[granule / 16] >> (granule % 16 * 4) & 15;
    1 + (1..GRANULES).filter(|&granule| tag(granule) != tag(granule - 1)).count()
}

/// Every page of every map in `folder`, in the maps' order: neighbours stay neighbours, as in
/// swap.
pub fn read(folder: &Path) -> Result<Vec<Tags>> {
    let entries = folder
        .read_dir()
        .with_context(|| format!("cannot read tag maps from {}", folder.display()))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "tags"));
    files.sort();
    let mut pages = Vec::new();
    for file in files {
        let bytes =
            std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        pages.extend(bytes.chunks_exact(TAG_WORDS * 8).map(|record| {
            let mut words = record.chunks_exact(8);
            std::array::from_fn(|_| {
                words.next().map_or(0, |word| u64::from_le_bytes(word.try_into().unwrap_or([0; 8])))
            })
        }));
    }
    ensure!(!pages.is_empty(), "no tag map (*.tags) in {}", folder.display());
    Ok(pages)
}
