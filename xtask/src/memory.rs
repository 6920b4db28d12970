//! `cargo xtask memory`: what the tags of real programs cost in the store, a map a line.
//!
//! Each map goes into a store of its own, all of its pages, at the slots that swap-out hands
//! out: one after another. What counts is what the host gave: the index and the payloads with
//! all that is unused in them. The store's own statistics must say the same.
//!
//! A map is about a thousand pages: in a store of its own, one slab of each size that is not
//! full yet is a third of its payload. A machine's store holds many programs, so the figure
//! held to the target is that of all maps in one store; the mean of the others stands beside it.

use std::{
    alloc::{self, Layout},
    fs,
    path::Path,
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
};

use anyhow::{Context, Result, bail, ensure};
use mteswap::{
    entry::{SwapEntry, SwapType},
    host::{AllocFlags, Host, SpinLock, Warning},
    store::TagStore,
    tags::{Page4K, Page16K, Page64K, PageSize},
};

use crate::maps;

/// Bytes that Linux 6.12 holds for one record, where slots lie densely: `kmalloc(128)`, and
/// an xarray's node of 576 bytes for 64 of them, with 1/64 of the levels above.
const LINUX: f64 = 128.0 + 576.0 / 63.0;
/// The most that a 4 KiB page may cost, all maps in one store.
const TARGET: f64 = 32.0;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Page size: 12 (4 KiB), 14 (16 KiB) or 16 (64 KiB); the target is one of 4 KiB pages
    #[arg(long, value_name = "SHIFT", default_value_t = 12)]
    page_shift: u32,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let folder = maps::dir();
    match args.page_shift {
        12 => {
            let mean = show::<Page4K>(&folder)?;
            ensure!(mean <= TARGET, "{mean:.1} bytes a page, above the target of {TARGET:.1}");
        }
        14 => drop(show::<Page16K>(&folder)?),
        16 => drop(show::<Page64K>(&folder)?),
        shift => bail!("no page size has a shift of {shift}: 12, 14 or 16"),
    }
    Ok(())
}

/// Prints a line for each map and one for all; returns the bytes a page of all in one store.
fn show<P: PageSize>(folder: &Path) -> Result<f64> {
    println!("bytes a page   index  payload      sum   inline    pages  map");
    let mut all = Cost::default();
    let mut together = Vec::new();
    for file in maps::files(folder)? {
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        ensure!(
            !bytes.is_empty() && bytes.len() % maps::RECORD == 0,
            "{} is no run of {}-byte records",
            file.display(),
            maps::RECORD
        );
        let cost = measure::<P>(&bytes).with_context(|| file.display().to_string())?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        cost.print(&name);
        all.add(cost);
        together.extend_from_slice(&bytes[..bytes.len() - bytes.len() % P::TAG_BYTES]);
    }
    ensure!(all.pages > 0, "no map in {} holds a page of this size", folder.display());
    all.print("mean of the maps, each in its own store");
    let one = measure::<P>(&together).context("all maps")?;
    one.print("all maps in one store");
    let linux = if P::SHIFT == 12 { LINUX } else { LINUX - 128.0 + P::TAG_BYTES as f64 };
    println!("{:>31.1}{:19}Linux 6.12, mteswap.c", linux, "");
    let mean = one.sum() / one.pages as f64;
    println!("{mean:.1} bytes a page in one store, {:.1} times less than Linux", linux / mean);
    Ok(mean)
}

/// What the host was asked for, for some pages.
#[derive(Default, Clone, Copy)]
struct Cost {
    pages: usize,
    inline: u64,
    index: u64,
    payload: u64,
}

impl Cost {
    fn sum(&self) -> f64 {
        (self.index + self.payload) as f64
    }

    fn add(&mut self, other: Self) {
        self.pages += other.pages;
        self.inline += other.inline;
        self.index += other.index;
        self.payload += other.payload;
    }

    fn print(&self, name: &str) {
        // A map may be too short for one page of 64 KiB.
        let pages = self.pages.max(1) as f64;
        println!(
            "{:>20.1} {:>8.1} {:>8.1} {:>7.1}% {:>8}  {name}",
            self.index as f64 / pages,
            self.payload as f64 / pages,
            self.sum() / pages,
            self.inline as f64 * 100.0 / pages,
            self.pages,
        );
    }
}

/// Stores every page of a map and asks the host what it gave.
fn measure<P: PageSize>(map: &[u8]) -> Result<Cost> {
    let held = AtomicUsize::new(0);
    let host = Counting(&held);
    let store = TagStore::<_, P>::new(host);
    // Not type 0: Linux keeps that in shallower trees than the rest.
    let area = SwapType::new(1)?;
    let mut pages = 0;
    for tags in map.chunks_exact(P::TAG_BYTES) {
        let entry = SwapEntry::new(area, pages as u64)?;
        store.save(entry, tags, AllocFlags::MAY_SLEEP)?;
        pages += 1;
    }
    let stats = store.stats();
    let counted = held.load(Relaxed) as u64;
    ensure!(stats.entries == pages as u64, "{} records of {pages} pages", stats.entries);
    ensure!(
        stats.index_bytes + stats.payload_bytes == counted,
        "the store says {} + {} bytes, its host gave {counted}",
        stats.index_bytes,
        stats.payload_bytes
    );
    drop(store);
    let left = held.load(Relaxed);
    ensure!(left == 0, "{left} bytes never went back to the host");
    Ok(Cost {
        pages,
        inline: stats.inline_entries,
        index: stats.index_bytes,
        payload: stats.payload_bytes,
    })
}

/// A host that counts the bytes it gives.
#[derive(Clone, Copy)]
struct Counting<'a>(&'a AtomicUsize);

// SAFETY: std's allocator, the same for each clone; nothing interrupts this program to call
// into the library; the lock is spin's.
unsafe impl Host for Counting<'_> {
    type Lock = SpinLock;
    type Cookie = ();

    fn alloc(&self, layout: Layout, _: AllocFlags) -> Option<NonNull<u8>> {
        // SAFETY: sizes are above zero, as `Host::alloc` promises.
        let block = NonNull::new(unsafe { alloc::alloc(layout) })?;
        self.0.fetch_add(layout.size(), Relaxed);
        Some(block)
    }

    unsafe fn free(&self, ptr: NonNull<u8>, layout: Layout) {
        self.0.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise: from `alloc`, with this layout.
        unsafe { alloc::dealloc(ptr.as_ptr(), layout) }
    }

    fn enter(&self) {}
    fn exit(&self, (): ()) {}
    // One thread: there is no one to wait for.
    fn wait(&self, _: &AtomicU32, _: u32) {}
    fn wake(&self, _: &AtomicU32) {}

    fn warn(&self, warning: Warning) {
        eprintln!("warning: {warning:?}");
    }
}
