//! A VMM's snapshot of a guest's tags: written and read in the wire format, and gone on with
//! after an interruption.
//!
//! ```text
//! vmm_snapshot                          every tag map of tests/tags (or MTESWAP_TAG_MAPS):
//!                                       saved, interrupted, saved on, restored likewise, compared
//! vmm_snapshot save MAP SNAPSHOT        a guest with the tags of MAP is saved
//! vmm_snapshot restore SNAPSHOT MAP     and comes back
//! ```
//!
//! The guest here is a file of page tags; of a running one, `KVM_ARM_MTE_COPY_TAGS` gives and
//! takes the same bytes, one a granule. Results appear under their name when they are whole:
//! until then they are NAME.partial, and the same command goes on with that.

use std::{
    alloc::{self, Layout},
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{BufWriter, ErrorKind, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    ptr::NonNull,
    sync::atomic::AtomicU32,
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use mteswap::{
    entry::{SwapEntry, SwapType},
    host::{AllocFlags, Host, SpinLock, Warning},
    kvm::GranuleBytes,
    store::TagStore,
    stream::{Item, Keys, Reader, Refused, Writer, room},
    tags::{Page4K, PageSize, TagSource},
};

const GRANULES: usize = Page4K::GRANULES;
const TAG_BYTES: usize = Page4K::TAG_BYTES;
/// Pages of a guest's memory, unless it is said: 64 GiB.
const MEMORY: u64 = 1 << 24;
type Tags = <Page4K as PageSize>::Words;

#[derive(Parser)]
#[command(
    about = "A VMM's snapshot of a guest's tags",
    after_help = "Without a command, every tag map of tests/tags (or MTESWAP_TAG_MAPS) is saved and restored, \
                  interrupted half way, and compared.\n\
                  Until a result is whole it is NAME.partial; the same command goes on with that."
)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Write the tags of a guest to a snapshot
    Save {
        map: PathBuf,
        snapshot: PathBuf,
        /// Be interrupted after this many pages
        #[arg(long)]
        stop_after: Option<usize>,
    },
    /// Read them back
    Restore {
        snapshot: PathBuf,
        map: PathBuf,
        /// Pages of the guest's memory: a snapshot with others is not this guest's
        #[arg(long, default_value_t = MEMORY)]
        pages: u64,
        /// Be interrupted after this many pages
        #[arg(long)]
        stop_after: Option<usize>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        None => every_map(),
        Some(Verb::Save { map, snapshot, stop_after }) => Guest::read(&map)
            .and_then(|guest| save(&guest, &snapshot, stop_after))
            .and_then(|pages| sizes(&map, &snapshot, pages, "saved")),
        Some(Verb::Restore { snapshot, map, pages, stop_after }) => {
            restore(&snapshot, &map, pages, stop_after)
                .and_then(|pages| sizes(&map, &snapshot, pages, "restored"))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What was done, and what it takes.
fn sizes(map: &Path, snapshot: &Path, pages: usize, done: &str) -> Result<()> {
    let (raw, packed) = (fs::metadata(map)?.len(), fs::metadata(snapshot)?.len());
    let percent = packed as f64 * 100.0 / raw as f64;
    println!("{pages} pages {done}; the snapshot has {packed} bytes, {percent:.1} % of {raw} raw");
    Ok(())
}

/// What an interrupted run left behind; nothing where none was.
fn left_behind(partial: &Path) -> Result<Vec<u8>> {
    match fs::read(partial) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read.with_context(|| format!("cannot read {}", partial.display())),
    }
}

/// A guest's memory, as far as tags go: a byte a granule.
struct Guest {
    granules: Vec<u8>,
}

impl Guest {
    /// One whose pages have the tags of a map.
    fn read(map: &Path) -> Result<Self> {
        let bytes = fs::read(map).with_context(|| format!("cannot read {}", map.display()))?;
        ensure!(
            !bytes.is_empty() && bytes.len() % TAG_BYTES == 0,
            "{} is no tag map: {} bytes are no number of {TAG_BYTES}-byte pages",
            map.display(),
            bytes.len()
        );
        let granules = bytes.iter().flat_map(|byte| [byte & 15, byte >> 4]).collect();
        Ok(Self { granules })
    }

    /// What `KVM_ARM_MTE_COPY_TAGS` copies for each of its pages.
    fn pages(&self) -> impl ExactSizeIterator<Item = GranuleBytes<&[u8]>> {
        self.granules.chunks_exact(GRANULES).map(GranuleBytes)
    }
}

/// Saves a guest to `snapshot`, after what a `.partial` of it holds already. Returns the pages
/// saved by this call.
fn save(guest: &Guest, snapshot: &Path, stop_after: Option<usize>) -> Result<usize> {
    let partial = partial(snapshot);
    let before = left_behind(&partial)?;
    let mut buffer = [0; room::<Page4K>()];
    let (mut writer, good) = match resume(guest, &before) {
        Err(Refused::Truncated) => (None, 0),
        Err(refused) => bail!("{}: {refused}; remove it to begin anew", partial.display()),
        Ok((writer, good)) => (Some(writer), good),
    };
    let file = OpenOptions::new().create(true).append(true).open(&partial);
    let file = file.with_context(|| format!("cannot write {}", partial.display()))?;
    // What was cut off in the middle goes, what is whole stays.
    file.set_len(good as u64)?;
    let mut out = BufWriter::new(&file);
    let mut writer = match writer.take() {
        Some(writer) => writer,
        None => {
            let (writer, len) = Writer::<Page4K>::begin(Keys::GuestFrames, &mut buffer)?;
            out.write_all(&buffer[..len])?;
            writer
        }
    };
    let mut saved = 0;
    for (frame, page) in (0..).zip(guest.pages()).skip(writer.next_key().unwrap_or(0) as usize) {
        if stop_after == Some(saved) {
            out.flush()?;
            bail!("interrupted; the same command goes on");
        }
        let len = writer.record(frame, &page, &mut buffer)?;
        out.write_all(&buffer[..len])?;
        saved += 1;
    }
    let len = writer.end(&mut buffer)?;
    out.write_all(&buffer[..len])?;
    out.flush()?;
    drop(out);
    finish(&file, &partial, snapshot)?;
    Ok(saved)
}

/// The writer that goes on behind the records of `bytes`, and where that is. They must be this
/// guest's.
fn resume(guest: &Guest, bytes: &[u8]) -> Result<(Writer<Page4K>, usize), Refused> {
    let (mut reader, mut at) = Reader::<Page4K>::begin(Keys::GuestFrames, bytes)?;
    let mut pages = guest.pages();
    loop {
        let mut tags = Page4K::ZERO;
        match reader.next(&bytes[at..], &mut tags) {
            Ok(Item::Record { used, .. }) => {
                if pages.next().is_none_or(|page| tags_of(&page) != tags) {
                    return Err(Refused::Alien);
                }
                at += used;
            }
            // All of it was written, but not renamed: the end is written again.
            Ok(Item::End { .. }) => return Ok((reader.into_writer(), at)),
            // The file's end may hold what never got to the disk.
            Err(Refused::Truncated | Refused::Corrupt) => return Ok((reader.into_writer(), at)),
            Err(refused) => return Err(refused),
        }
    }
}

/// Restores the guest of `snapshot` to the map `to`, after what a `.partial` of it holds
/// already. Nothing is written before all of the snapshot was seen to be right. Returns the
/// pages restored by this call.
///
/// The records go into a store and the pages are filled from there, in order; a VMM would run
/// the guest meanwhile and restore a page at its first fault.
fn restore(snapshot: &Path, to: &Path, pages: u64, stop_after: Option<usize>) -> Result<usize> {
    let store = load(snapshot, pages).with_context(|| snapshot.display().to_string())?;
    let partial = partial(to);
    let before = left_behind(&partial)?;
    let good = before.len() - before.len() % TAG_BYTES;
    for (frame, tags) in before.chunks_exact(TAG_BYTES).enumerate() {
        let mut wanted = Page4K::ZERO;
        ensure!(
            store.restore(entry(frame as u64)?, &mut wanted) && tags_of(tags) == wanted,
            "{} is not of this snapshot; remove it to begin anew",
            partial.display()
        );
    }
    let file = OpenOptions::new().create(true).append(true).open(&partial);
    let file = file.with_context(|| format!("cannot write {}", partial.display()))?;
    file.set_len(good as u64)?;
    let mut out = BufWriter::new(&file);
    let (mut next, mut restored) = (entry((good / TAG_BYTES) as u64)?, 0);
    let mut tags = [0; TAG_BYTES];
    while let Some(found) = store.next(next, &mut tags) {
        if stop_after == Some(restored) {
            out.flush()?;
            bail!("interrupted; the same command goes on");
        }
        // Pages that the snapshot does not have are of tag 0.
        for _ in next.offset()..found.offset() {
            out.write_all(&[0; TAG_BYTES])?;
        }
        out.write_all(&tags)?;
        next = entry(found.offset() + 1)?;
        restored += 1;
    }
    out.flush()?;
    drop(out);
    finish(&file, &partial, to)?;
    Ok(restored)
}

/// The records of a whole snapshot, by guest frame, of a guest of so many pages.
fn load(snapshot: &Path, pages: u64) -> Result<TagStore<StdHost, Page4K>> {
    let bytes = fs::read(snapshot).context("cannot read it")?;
    let (mut reader, mut at) = Reader::<Page4K>::begin(Keys::GuestFrames, &bytes)?;
    let store = TagStore::new(StdHost);
    let mut tags = Page4K::ZERO;
    loop {
        let item = reader.next(&bytes[at..], &mut tags);
        match item.with_context(|| format!("after byte {at}; nothing was restored"))? {
            Item::Record { key, used } => {
                ensure!(
                    key < pages,
                    "frame {key} is not of a guest of {pages} pages (--pages); nothing was restored"
                );
                store.save(entry(key)?, &tags, AllocFlags::MAY_SLEEP)?;
                at += used;
            }
            Item::End { used, .. } => {
                let behind = bytes.len() - at - used;
                ensure!(behind == 0, "{behind} bytes behind its end; nothing was restored");
                return Ok(store);
            }
        }
    }
}

/// A guest frame's place in the store.
fn entry(frame: u64) -> Result<SwapEntry, mteswap::error::Error> {
    SwapEntry::new(SwapType::new(0)?, frame)
}

fn tags_of(source: &(impl TagSource + ?Sized)) -> Tags {
    std::array::from_fn(|index| source.word(index))
}

fn partial(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".partial");
    name.into()
}

/// Gives what is whole, and on the disk, its name.
fn finish(file: &File, partial: &Path, name: &Path) -> Result<()> {
    file.sync_all()?;
    fs::rename(partial, name).with_context(|| format!("cannot write {}", name.display()))
}

/// Every map there and back, with interruptions; and what must be refused.
fn every_map() -> Result<()> {
    let folder = std::env::var_os("MTESWAP_TAG_MAPS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tags"), PathBuf::from);
    let mut maps: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("cannot read tag maps from {}", folder.display()))?
        .map(|file| Ok(file?.path()))
        .collect::<Result<_>>()?;
    maps.retain(|map| map.extension().is_some_and(|extension| extension == "tags"));
    ensure!(!maps.is_empty(), "no tag map (*.tags) in {}", folder.display());
    maps.sort();
    let work = tempfile::tempdir()?;
    let snapshot = work.path().join("guest.snapshot");
    let back = work.path().join("guest.tags");
    println!("{:>8} {:>10} {:>10} {:>7}  guest", "pages", "raw", "snapshot", "");
    let (mut pages, mut raw, mut packed) = (0, 0, 0);
    for map in &maps {
        let size = there_and_back(map, &snapshot, &back)?;
        let bytes = fs::metadata(map)?.len();
        let name = map.file_stem().unwrap_or_default().to_string_lossy();
        row(bytes / TAG_BYTES as u64, bytes, size, &name);
        pages += bytes / TAG_BYTES as u64;
        raw += bytes;
        packed += size;
    }
    refused(&snapshot, work.path())?;
    row(pages, raw, packed, "all");
    Ok(())
}

fn row(pages: u64, raw: u64, packed: u64, name: &str) {
    let percent = packed as f64 * 100.0 / raw as f64;
    println!("{pages:>8} {raw:>10} {packed:>10} {percent:>6.1}%  {name}");
}

/// A guest saved and restored, both interrupted half way. Returns the snapshot's size.
fn there_and_back(map: &Path, snapshot: &Path, back: &Path) -> Result<u64> {
    let guest = Guest::read(map)?;
    let half = guest.pages().len() / 2;
    ensure!(save(&guest, snapshot, Some(half)).is_err(), "it was not interrupted");
    // As if in the middle of a write.
    let file = OpenOptions::new().write(true).open(partial(snapshot))?;
    file.set_len(file.metadata()?.len() - 1)?;
    let rest = save(&guest, snapshot, None)?;
    ensure!(rest <= guest.pages().len() - half + 1, "{rest} pages saved: it began anew");
    ensure!(restore(snapshot, back, MEMORY, Some(half)).is_err(), "it was not interrupted");
    restore(snapshot, back, MEMORY, None)?;
    ensure!(fs::read(back)? == fs::read(map)?, "{} came back otherwise", map.display());
    Ok(fs::metadata(snapshot)?.len())
}

/// Snapshots that are none, or not whole: each must be refused, and what is there stay.
fn refused(snapshot: &Path, work: &Path) -> Result<()> {
    let whole = fs::read(snapshot)?;
    let there = work.join("there.tags");
    fs::write(&there, "of before")?;
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    let bad = work.join("bad.snapshot");
    for bytes in [&whole[..whole.len() / 2], &altered, b"\x7fELF", &[]] {
        fs::write(&bad, bytes)?;
        match restore(&bad, &there, MEMORY, None) {
            Ok(pages) => bail!("a bad snapshot gave {pages} pages"),
            Err(error) => println!("refused: {:#}", error.root_cause()),
        }
        ensure!(fs::read(&there)? == b"of before", "a bad snapshot left something behind");
        ensure!(!partial(&there).exists(), "a bad snapshot left something behind");
    }
    Ok(())
}

/// std's allocator; one thread, so nobody is waited for.
#[derive(Clone, Copy)]
struct StdHost;

// SAFETY: memory of the layout asked for, from one allocator; nothing interrupts this program
// to call into the library; the lock is spin's.
unsafe impl Host for StdHost {
    type Lock = SpinLock;
    type Cookie = ();

    fn alloc(&self, layout: Layout, _: AllocFlags) -> Option<NonNull<u8>> {
        // SAFETY: sizes are above zero, as `Host::alloc` promises.
        NonNull::new(unsafe { alloc::alloc(layout) })
    }

    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise: from `alloc`, with this layout.
        unsafe { alloc::dealloc(ptr.as_ptr(), layout) }
    }

    fn enter(&self) {}
    fn exit(&self, (): ()) {}
    fn wait(&self, _: &AtomicU32, _: u32) {}
    fn wake(&self, _: &AtomicU32) {}

    fn warn(&self, warning: Warning) {
        eprintln!("warning: {warning:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        _work: tempfile::TempDir,
        map: PathBuf,
        snapshot: PathBuf,
        back: PathBuf,
    }

    /// A map of thirty pages, of no program.
    fn case(seed: u8) -> Case {
        let work = tempfile::tempdir().unwrap();
        let path = |name| work.path().join(name);
        let (map, snapshot, back) = (path("map"), path("snapshot"), path("back"));
        let tags: Vec<u8> = (0..30 * TAG_BYTES)
            .map(|i| if i % 9 == 0 { 0 } else { (i / TAG_BYTES * 7) as u8 ^ seed })
            .collect();
        fs::write(&map, tags).unwrap();
        Case { _work: work, map, snapshot, back }
    }

    #[test]
    fn snapshot_interrupted_after_any_page_is_the_same_in_the_end() {
        let case = case(1);
        let guest = Guest::read(&case.map).unwrap();
        assert_eq!(save(&guest, &case.snapshot, None).unwrap(), 30);
        let wanted = fs::read(&case.snapshot).unwrap();
        for stop in 0..30 {
            assert!(save(&guest, &case.snapshot, Some(stop)).is_err());
            assert_eq!(save(&guest, &case.snapshot, None).unwrap(), 30 - stop);
            assert_eq!(fs::read(&case.snapshot).unwrap(), wanted);
            assert!(restore(&case.snapshot, &case.back, MEMORY, Some(stop)).is_err());
            assert_eq!(restore(&case.snapshot, &case.back, MEMORY, None).unwrap(), 30 - stop);
            assert_eq!(fs::read(&case.back).unwrap(), fs::read(&case.map).unwrap());
        }
    }

    #[test]
    fn snapshot_cut_off_anywhere_goes_on_and_is_not_restored_before() {
        let case = case(2);
        let guest = Guest::read(&case.map).unwrap();
        save(&guest, &case.snapshot, None).unwrap();
        let wanted = fs::read(&case.snapshot).unwrap();
        for len in (0..wanted.len()).step_by(17) {
            fs::write(&case.snapshot, &wanted[..len]).unwrap();
            assert!(restore(&case.snapshot, &case.back, MEMORY, None).is_err());
            assert!(!case.back.exists() && !partial(&case.back).exists());
            fs::rename(&case.snapshot, partial(&case.snapshot)).unwrap();
            save(&guest, &case.snapshot, None).unwrap();
            assert_eq!(fs::read(&case.snapshot).unwrap(), wanted);
        }
    }

    #[test]
    fn snapshot_of_another_guest_is_not_gone_on_with() {
        let (one, other) = (case(3), case(4));
        let (first, second) = (Guest::read(&one.map).unwrap(), Guest::read(&other.map).unwrap());
        assert!(save(&first, &one.snapshot, Some(12)).is_err());
        let before = fs::read(partial(&one.snapshot)).unwrap();
        assert!(save(&second, &one.snapshot, None).unwrap_err().to_string().contains("remove"));
        assert_eq!(fs::read(partial(&one.snapshot)).unwrap(), before);
        save(&first, &one.snapshot, None).unwrap();
        save(&second, &other.snapshot, None).unwrap();
        assert!(restore(&one.snapshot, &one.back, MEMORY, Some(12)).is_err());
        let refused = restore(&other.snapshot, &one.back, MEMORY, None).unwrap_err().to_string();
        assert!(refused.contains("not of this snapshot"), "{refused}");
        assert_eq!(fs::metadata(partial(&one.back)).unwrap().len(), 12 * TAG_BYTES as u64);
    }

    /// A key far outside of the guest's memory would make a map of any size.
    #[test]
    fn snapshot_of_a_larger_guest_is_refused_before_anything_is_written() {
        let case = case(6);
        let guest = Guest::read(&case.map).unwrap();
        save(&guest, &case.snapshot, None).unwrap();
        let refused = restore(&case.snapshot, &case.back, 29, None).unwrap_err();
        assert!(format!("{refused:#}").contains("frame 29 is not of a guest of 29 pages"));
        assert!(!case.back.exists() && !partial(&case.back).exists());
        assert_eq!(restore(&case.snapshot, &case.back, 30, None).unwrap(), 30);
    }

    /// What cannot be read may be what an hour's work left: it is not begun anew over it.
    #[test]
    fn snapshot_whose_partial_cannot_be_read_is_left_alone() {
        let case = case(7);
        fs::create_dir(partial(&case.snapshot)).unwrap();
        let guest = Guest::read(&case.map).unwrap();
        let refused = save(&guest, &case.snapshot, None).unwrap_err().to_string();
        assert!(refused.contains("cannot read"), "{refused}");
    }

    #[test]
    fn snapshot_of_the_real_maps_comes_back_and_bad_ones_are_refused() {
        every_map().unwrap();
    }

    #[test]
    fn map_that_is_cut_off_or_empty_is_refused() {
        let case = case(5);
        for bytes in [&[][..], &[0; 127], &[0; 129]] {
            fs::write(&case.map, bytes).unwrap();
            assert!(Guest::read(&case.map).err().unwrap().to_string().contains("no tag map"));
        }
    }
}
