//! `cargo xtask tags FILE...`: what tag maps look like, and what they cost.
//!
//! A row is a page, its granules from left to right, a colour a tag: runs are what is seen.
//! Where there is no colour (NO_COLOR, no terminal), a granule is the tag's hexadecimal digit.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use mteswap::codec::inspect::{FORMATS, inspect};

use crate::maps;

mod draw;
mod svg;

/// The tags of a 4 KiB page.
type Page = [u64; 16];
/// Granules of a page.
const GRANULES: usize = 256;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Tag maps: 128 bytes a page of 4 KiB, a nibble a granule
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Rows to draw of each map, pages evenly spread over it; 0 draws none
    #[arg(long, default_value_t = 24, conflicts_with = "all")]
    rows: usize,
    /// Draw every page
    #[arg(long)]
    all: bool,
    /// Draw every page of every map as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    // All of them are read before anything is drawn.
    let maps = args.files.iter().map(|file| Map::read(file)).collect::<Result<Vec<_>>>()?;
    let mut out = anstream::stdout().lock();
    let shown = maps.iter().try_for_each(|map| {
        let rows = if args.all { map.pages.len() } else { args.rows };
        draw::rows(&mut out, map, rows)?;
        Statistics::of(&map.pages).print(&mut out)
    });
    let shown = shown.and_then(|()| match maps.len() {
        1 => Ok(()),
        many => {
            writeln!(out, "{many} maps together:")?;
            Statistics::of(maps.iter().flat_map(|map| &map.pages)).print(&mut out)
        }
    });
    match shown.and_then(|()| out.flush()) {
        // `| head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        shown => shown?,
    }
    args.svg.map_or(Ok(()), |file| svg::write(&maps, &file))
}

/// One program's page tags.
struct Map {
    name: String,
    pages: Vec<Page>,
}

impl Map {
    /// # Errors
    /// Where the file cannot be read, is empty, or ends within a page.
    fn read(file: &Path) -> Result<Self> {
        let name = file.display();
        let bytes = fs::read(file).with_context(|| format!("cannot read {name}"))?;
        ensure!(!bytes.is_empty(), "{name} is empty");
        let rest = bytes.len() % maps::RECORD;
        ensure!(
            rest == 0,
            "{name} is cut off or no tag map: {rest} bytes are left over after {} pages of {}",
            bytes.len() / maps::RECORD,
            maps::RECORD
        );
        let pages = bytes.chunks_exact(maps::RECORD).map(page).collect();
        Ok(Self { name: name.to_string(), pages })
    }
}

fn page(bytes: &[u8]) -> Page {
    let mut page = Page::default();
    for (word, bytes) in page.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    page
}

/// The tag of one granule.
fn tag(page: &Page, granule: usize) -> u8 {
    (page[granule / 16] >> (granule % 16 * 4)) as u8 & 15
}

/// The page's runs: where they begin, how long they are, of which tag.
fn runs(page: &Page) -> impl Iterator<Item = (usize, usize, u8)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let first = at;
        let tag_here = (first < GRANULES).then(|| tag(page, first))?;
        at = (first..GRANULES).find(|next| tag(page, *next) != tag_here).unwrap_or(GRANULES);
        Some((first, at - first, tag_here))
    })
}

/// What one map comes to.
#[derive(Default)]
struct Statistics {
    pages: usize,
    /// Runs of each page, ascending.
    runs: Vec<usize>,
    tags: [usize; 16],
    chosen: [Format; FORMATS.len()],
}

/// What one format is to a map.
#[derive(Default, Clone, Copy)]
struct Format {
    /// Pages it could hold, and the bytes they would take.
    fits: usize,
    bytes: usize,
    /// Pages it was chosen for, and the bytes they take.
    chosen: usize,
    chosen_bytes: usize,
}

impl Statistics {
    fn of<'a>(pages: impl IntoIterator<Item = &'a Page>) -> Self {
        let mut statistics = Self::default();
        for page in pages {
            statistics.pages += 1;
            statistics.runs.push(runs(page).count());
            for (_, len, tag) in runs(page) {
                statistics.tags[usize::from(tag)] += len;
            }
            let choice = inspect(page);
            for (format, bytes) in statistics.chosen.iter_mut().zip(choice.bytes) {
                format.fits += usize::from(bytes.is_some());
                format.bytes += bytes.unwrap_or(0);
            }
            let format = &mut statistics.chosen[choice.chosen];
            format.chosen += 1;
            format.chosen_bytes += choice.bytes[choice.chosen].unwrap_or(0);
        }
        statistics.runs.sort_unstable();
        statistics
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let runs = |percent: usize| self.runs[(self.runs.len() - 1) * percent / 100];
        let mean = self.runs.iter().sum::<usize>() as f64 / self.pages as f64;
        writeln!(
            out,
            "{} pages; runs a page: {} least, {} median, {mean:.1} mean, {} at 90 %, {} most",
            self.pages,
            runs(0),
            runs(50),
            runs(90),
            runs(100)
        )?;
        write!(out, "granules by tag, %:")?;
        for (tag, count) in self.tags.iter().enumerate() {
            let percent = *count as f64 * 100.0 / (self.pages * GRANULES) as f64;
            write!(out, " {}{tag:x}{} {percent:.1}", draw::style(tag as u8), draw::RESET)?;
        }
        writeln!(
            out,
            "\n{:>8} {:>8} {:>10} {:>8} {:>10}",
            "format", "fits", "B/page", "chosen", "B/page"
        )?;
        for (name, format) in FORMATS.iter().zip(self.chosen) {
            let mean = |bytes: usize, pages: usize| match pages {
                0 => "-".to_owned(),
                pages => format!("{:.1}", bytes as f64 / pages as f64),
            };
            writeln!(
                out,
                "{name:>8} {:>8} {:>10} {:>8} {:>10}",
                format.fits,
                mean(format.bytes, format.fits),
                format.chosen,
                mean(format.chosen_bytes, format.chosen)
            )?;
        }
        let payload: usize = self.chosen.iter().map(|format| format.chosen_bytes).sum();
        writeln!(
            out,
            "{:.1} bytes a page beside the slot word, {} raw\n",
            payload as f64 / self.pages as f64,
            maps::RECORD
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Map> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("map.tags");
        fs::write(&file, bytes).unwrap();
        Map::read(&file)
    }

    /// Two runs of 7 and 2 with zeroes between, then a page of 5.
    fn two_pages() -> Vec<u8> {
        let mut bytes = vec![0; 128];
        bytes[..4].fill(0x77);
        bytes[127] = 0x20;
        bytes.extend([0x55; 128]);
        bytes
    }

    #[test]
    fn tags_maps_that_are_none_are_refused_by_name() {
        for (bytes, reason) in
            [(&[][..], "is empty"), (&[0; 127], "127 bytes"), (&[0; 129], "1 bytes")]
        {
            let said = read(bytes).err().unwrap().to_string();
            assert!(said.contains(reason) && said.contains("map.tags"), "{said}");
        }
        let said = Map::read(Path::new("/nowhere/x.tags")).err().unwrap().to_string();
        assert!(said.contains("cannot read /nowhere/x.tags"), "{said}");
    }

    #[test]
    fn tags_runs_are_those_of_the_page() {
        let map = read(&two_pages()).unwrap();
        let found: Vec<_> = runs(&map.pages[0]).collect();
        assert_eq!(found, [(0, 8, 7), (8, 247, 0), (255, 1, 2)]);
        assert_eq!(runs(&map.pages[1]).collect::<Vec<_>>(), [(0, 256, 5)]);
    }

    #[test]
    fn tags_statistics_count_runs_tags_and_formats() {
        let statistics = Statistics::of(&read(&two_pages()).unwrap().pages);
        assert_eq!(statistics.runs, [1, 3]);
        assert_eq!(statistics.tags.iter().sum::<usize>(), 512);
        assert_eq!((statistics.tags[0], statistics.tags[2], statistics.tags[5]), (247, 1, 256));
        let chosen: Vec<_> = statistics.chosen.iter().map(|format| format.chosen).collect();
        assert_eq!(chosen, [1, 1, 0, 0, 0, 0]);
        assert_eq!((statistics.chosen[5].fits, statistics.chosen[5].bytes), (2, 256));
        let mut out = Vec::new();
        statistics.print(&mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("0.0 bytes a page beside"));
    }

    #[test]
    fn tags_rows_without_colour_are_digits() {
        let map = read(&two_pages()).unwrap();
        let mut out = anstream::StripStream::new(Vec::new());
        draw::digits(&mut out, &map, 2).unwrap();
        let drawn = String::from_utf8(out.into_inner()).unwrap();
        let rows: Vec<_> = drawn.lines().skip(1).collect();
        assert_eq!(rows.len(), 2);
        assert!(rows[0].ends_with(&format!("77777777{}2", "0".repeat(247))));
        assert!(rows[1].ends_with(&"5".repeat(256)));
    }

    #[test]
    fn tags_svg_has_a_box_for_each_run() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("map.svg");
        svg::write(&[read(&two_pages()).unwrap()], &file).unwrap();
        let picture = fs::read_to_string(file).unwrap();
        // Zeroes are the background.
        assert_eq!(picture.matches("<path").count(), 3);
        // In the shapes: a file's name may have an M, too.
        let shapes = picture.split(" d=\"").skip(1).filter_map(|rest| rest.split('"').next());
        assert_eq!(shapes.map(|shape| shape.matches('M').count()).sum::<usize>(), 3);
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
    }
}
