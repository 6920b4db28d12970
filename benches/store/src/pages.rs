//! Page tags to store: four classes of pages, each a fixed set in a fixed order.

use std::{env, fmt, fs, path::Path};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

/// The tags of a 4 KiB page.
pub(crate) type Tags = [u64; 16];

/// Small enough that reading a page's tags costs no cache miss, large enough that few
/// branch predictors learn their order: an AMD EPYC's does.
const PAGES: usize = 4096;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Class {
    /// One tag from 1 to 15.
    OneTag,
    /// 70 % one tag, 20 % of 2 to 12 runs, 10 % of 13 to 200 runs.
    Mixture,
    /// Each granule its own tag.
    Random,
    /// Tag maps of real programs.
    Real,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::name(self))
    }
}

impl Class {
    /// Entries to time, of those asked for: where the codec works hardest fewer say as much.
    pub(crate) fn share(self, entries: u32) -> u32 {
        match self {
            Self::OneTag | Self::Mixture => entries,
            Self::Random | Self::Real => entries / 4,
        }
    }

    pub(crate) fn pages(self) -> Result<Vec<Tags>> {
        let mut random = Random(1);
        let mut pages = match self {
            Self::OneTag => (0..PAGES).map(|_| random.runs(1)).collect(),
            Self::Mixture => (0..PAGES).map(|i| random.mixture(i)).collect(),
            Self::Random => (0..PAGES).map(|_| [(); 16].map(|()| random.next())).collect(),
            Self::Real => real()?,
        };
        random.shuffle(&mut pages);
        Ok(pages)
    }
}

/// Every map in `MTESWAP_TAG_MAPS`, or those of the tests.
fn real() -> Result<Vec<Tags>> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tags");
    let folder = env::var_os("MTESWAP_TAG_MAPS").map_or(own, Into::into);
    let mut pages = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|end| end != "tags") {
            continue;
        }
        let bytes = fs::read(&path)?;
        ensure!(bytes.len() % 128 == 0, "{} is no tag map", path.display());
        pages.extend(bytes.chunks_exact(128).map(|page| {
            std::array::from_fn(|i| u64::from_le_bytes(page[8 * i..][..8].try_into().unwrap()))
        }));
    }
    ensure!(!pages.is_empty(), "no tag maps in {}", folder.display());
    // The order of a folder is no order.
    pages.sort_unstable();
    Ok(pages)
}

/// splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    fn mixture(&mut self, page: usize) -> Tags {
        let runs = match page % 10 {
            0..7 => 1,
            7 | 8 => 2 + self.below(11),
            _ => 13 + self.below(188),
        };
        self.runs(runs)
    }

    /// A page of exactly `runs` runs at random places; one run is never of tag 0.
    fn runs(&mut self, runs: usize) -> Tags {
        let mut places: Vec<usize> = (1..256).collect();
        self.shuffle(&mut places);
        let starts = &places[..runs - 1];
        let mut tag = 1 + self.below(15);
        let mut tags = [0; 16];
        for granule in 0..256 {
            if starts.contains(&granule) {
                tag = (tag + 1 + self.below(15)) % 16;
            }
            tags[granule / 16] |= (tag as u64) << (granule % 16 * 4);
        }
        tags
    }
}
