//! `pin-cost`: what pin and tags cost a swap-in, on the model, with LZ4 as the device.
//!
//! The commit that brought the pin (13ddaf26be32) swapped 10 GiB in from 32 GiB of zram: without
//! it, with it, and through the swap cache. Here it is the same three, scaled, and the same with
//! tagged pages, whose tags are programs' (`tests/tags`).
//!
//! A swap-in is mostly LZ4 and takes thousands of nanoseconds: what pin and tags add to it drowns
//! in what else the machine does. So the library's calls are timed alone too (`parts`), and
//! those are what the target is compared with: on the mixture that the library's other targets for
//! speed are stated on, and on the maps, as a whole and by the runs of tags that a page has.

mod floor;
mod maps;
mod mixture;
mod parts;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use floor::Floor;
use maps::{CLASSES, Tags};
use parts::Parts;

use crate::model::{
    Machine, Size,
    device::DeviceKind,
    frame::Frame,
    variant::{self, Order},
};

/// Words of data a page.
const WORDS: usize = 512;
/// The device is this much larger than what is on it, in tenths: 32 GiB for 10.
const DEVICE_TENTHS: usize = 32;
/// What Linux's pin cost a page, and so what ours may cost with the tags.
const TARGET_NS: f64 = 85.0;

/// What the commit measured, in microseconds for 10 GiB.
const LINUX: [f64; 3] = [10_934_698.0, 11_157_121.0, 13_155_355.0];
const LINUX_PAGES: f64 = 10.0 * 262_144.0;

/// What pin and tag restore cost a swap-in, beside the figures of the commit that brought the pin.
///
/// The library's calls are timed alone too: on a mixture of pages (70 % of one tag, 20 % of 2 to
/// 12 runs of tags, 10 % of 13 to 200), and on those of the tag maps, all and by number of runs.
/// Pin and restore together have a target; the last lines say where it is reached and where missed.
#[derive(clap::Args)]
pub struct Args {
    /// Pages swapped in: 4 KiB each
    #[arg(long, default_value_t = 32_768, value_parser = clap::value_parser!(u64).range(64..=1 << 22))]
    pages: u64,
    /// Runs of each kind; the median counts
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u64).range(1..=999))]
    runs: u64,
    /// Only the library's calls, without whole swap-ins
    #[arg(long)]
    parts: bool,
    /// Folder of tag maps; the mixture is the same whatever they are
    #[arg(long, value_name = "FOLDER", default_value_os_t = default_maps())]
    maps: PathBuf,
}

fn default_maps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("tests/tags")
}

/// A kind of swap-in.
struct Kind {
    name: &'static str,
    order: &'static str,
    direct: bool,
    tagged: bool,
}

const KINDS: [Kind; 6] = [
    Kind { name: "no pin", order: "no-pin", direct: true, tagged: false },
    Kind { name: "pin", order: "today", direct: true, tagged: false },
    Kind { name: "swap cache", order: "today", direct: false, tagged: false },
    Kind { name: "no pin, tags", order: "no-pin", direct: true, tagged: true },
    Kind { name: "pin, tags", order: "today", direct: true, tagged: true },
    Kind { name: "swap cache, tags", order: "today", direct: false, tagged: true },
];

/// Pages that the library's calls are timed on, and what each round took.
struct Row<'a> {
    name: String,
    /// Of the maps' pages; `None` where they are not from maps.
    share: Option<f64>,
    pages: Vec<&'a Tags>,
    times: Vec<Parts>,
}

impl<'a> Row<'a> {
    /// The mixture, then each class that the maps have pages of.
    fn all(mixture: &'a [Tags], maps: &'a [Tags]) -> Vec<Self> {
        let row = |name, share, pages| Row { name, share, pages, times: Vec::new() };
        let mut rows = vec![row("mixture".into(), None, mixture.iter().collect())];
        rows.extend(CLASSES.iter().filter_map(|class| {
            let pages: Vec<_> = maps.iter().filter(|tags| class.holds(tags)).collect();
            let share = pages.len() as f64 / maps.len() as f64;
            (!pages.is_empty()).then(|| row(class.name(), Some(share), pages))
        }));
        rows
    }

    fn time(&mut self, pages: usize) -> Result<()> {
        let pages: Vec<_> = self.pages.iter().copied().cycle().take(pages).collect();
        self.times.push(parts::round(&pages)?);
        Ok(())
    }

    fn median(&self, part: fn(&Parts) -> f64) -> f64 {
        median(self.times.iter().map(part))
    }

    fn holds(&self) -> bool {
        self.median(|parts| parts.both) <= TARGET_NS
    }
}

/// # Errors
/// Where a machine cannot be made, or there are no tag maps.
pub fn run(args: &Args) -> Result<bool> {
    let maps = maps::read(&args.maps)?;
    let mixture = mixture::pages();
    let mut rows = Row::all(&mixture, &maps);
    let whole = if args.parts { 0 } else { KINDS.len() };
    let bar = ProgressBar::new(args.runs * (whole + rows.len()) as u64);
    bar.set_style(ProgressStyle::with_template("swap-in [{bar:40}] {pos}/{len} {eta}")?);
    let mut times = KINDS.map(|_| Vec::new());
    let mut floors = Vec::new();
    let mut bytes = 0;
    for _ in 0..args.runs {
        // In turn, so that whatever else the machine does falls on all of them.
        for (kind, times) in KINDS.iter().zip(&mut times).take(whole) {
            let (time, stored) = once(kind, args.pages as usize, &maps)?;
            times.push(time);
            bytes = stored;
            bar.inc(1);
        }
        for row in &mut rows {
            row.time(args.pages as usize)?;
            bar.inc(1);
        }
        floors.push(floor::round(args.pages as usize));
    }
    bar.finish_and_clear();
    if !args.parts {
        print_swap_ins(args, times, bytes);
    }
    print_parts(args, &rows, &floors, maps.len());
    Ok(true)
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Nanoseconds a page of one swap-in of all pages, and bytes that the device held.
fn once(kind: &Kind, pages: usize, maps: &[Tags]) -> Result<(f64, usize)> {
    let Some(variant) = variant::find(kind.order) else { bail!("no variant `{}`", kind.order) };
    let order: Order = variant.order;
    let size = Size {
        frames: pages + 8,
        slots: pages * DEVICE_TENTHS / 10,
        words: WORDS,
        device: DeviceKind { lz4: true, ..DeviceKind::default() },
        direct: kind.direct,
        tagged: kind.tagged,
    };
    let machine = Machine::new(order, size, false)
        .ok()
        .with_context(|| format!("no memory for {pages} pages: fewer --pages need less"))?;
    let mm = machine.new_mm(pages);
    let cpu = machine.cpu(0);
    let mut rng = SmallRng::seed_from_u64(1);
    for page in 0..pages {
        cpu.access(&mm, page, true, |frame, _| {
            fill(frame, page, kind.tagged.then(|| &maps[page % maps.len()]), &mut rng)
        });
    }
    (0..pages).for_each(|page| cpu.swap_out(&mm, page, true));
    let bytes = machine.device().bytes();
    let begun = cpu_time();
    let mut sum = 0_u64;
    for page in 0..pages {
        cpu.access(&mm, page, true, |frame, _| {
            sum += frame.data[0].load(std::sync::atomic::Ordering::Relaxed);
        });
    }
    let time = (cpu_time() - begun) / pages as f64;
    if sum != (pages as u64) * (pages as u64 - 1) / 2 || machine.swapped_in() != pages as u64 {
        bail!("{}: the pages that came back are not those that went", kind.name);
    }
    Ok((time, bytes))
}

/// Nanoseconds this thread has run: other load on the machine does not count.
fn cpu_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Data that shrink to about a third, as programs' do: words of few values, some of them noise.
fn fill(frame: &Frame, page: usize, tags: Option<&Tags>, rng: &mut SmallRng) {
    use std::sync::atomic::Ordering::Relaxed;
    for word in &frame.data {
        let value = match rng.random_range(0..8) {
            0..5 => 0,
            5 | 6 => 0x7fff_0000_0000 | u64::from(rng.random::<u16>()) << 4,
            _ => rng.random(),
        };
        word.store(value, Relaxed);
    }
    frame.data[0].store(page as u64, Relaxed);
    if let Some(tags) = tags {
        frame.set_tags(|index| tags[index]);
    }
}

fn print_swap_ins(args: &Args, times: [Vec<f64>; 6], bytes: usize) {
    let linux = LINUX.map(|micros| micros * 1000.0 / LINUX_PAGES);
    let ours = times.each_ref().map(|times| median(times.iter().copied()));
    println!(
        "{} pages of 4 KiB, LZ4 to {:.0} % of that, device {:.1} times as large, median of {} runs",
        args.pages,
        100.0 * bytes as f64 / (args.pages as f64 * 4096.0),
        DEVICE_TENTHS as f64 / 10.0,
        args.runs
    );
    println!(
        "\n{:<20}{:>12}{:>9}{:>18}{:>9}",
        "", "ns a page", "ratio", "Linux, ns a page", "ratio"
    );
    for (row, kind) in KINDS.iter().enumerate() {
        let base = ours[row / 3 * 3];
        print!("{:<20}{:>12.0}{:>9.3}", kind.name, ours[row], ours[row] / base);
        match linux.get(row) {
            Some(ns) => println!("{ns:>18.0}{:>9.3}", ns / linux[0]),
            None => println!("{:>18}{:>9}", "-", "-"),
        }
    }
    // Of runs that came one after the other.
    let more = |than: usize, which: usize| {
        median(times[which].iter().zip(&times[than]).map(|(which, than)| which - than))
    };
    println!(
        "\nmore than without (median of the runs' differences): pin {:+.0} ns, pin and tags \
         {:+.0} ns; through the cache with tags {:+.0} ns\n",
        more(0, 1),
        more(0, 4),
        more(0, 5)
    );
}

fn print_parts(args: &Args, rows: &[Row<'_>], floors: &[Floor], maps: usize) {
    println!(
        "the library's calls alone, ns a page: {} pages a run, median of {} runs; tags of a mixture \
         (70 % one tag, 20 % 2 to 12 runs, 10 % 13 to 200), and of the {maps} pages of {}",
        args.pages,
        args.runs,
        args.maps.file_name().unwrap_or_default().to_string_lossy()
    );
    println!(
        "{:<18}{:>9}{:>8}{:>9}{:>15}{:>12}{:>8}{:>8}",
        "", "of maps", "pin", "restore", "both together", "pin's share", "save", "free"
    );
    for row in rows {
        let share = row.share.map_or("-".into(), |share| format!("{:.1} %", 100.0 * share));
        let (pin, both) = (row.median(|p| p.pin), row.median(|p| p.both));
        println!(
            "{:<18}{share:>9}{pin:>8.1}{:>9.1}{both:>15.1}{:>10.0} %{:>8.1}{:>8.1}",
            row.name,
            row.median(|p| p.restore),
            100.0 * pin / both,
            row.median(|p| p.save),
            row.median(|p| p.free)
        );
    }
    println!(
        "the pin's floor: a word changed twice under such a lock {:.1}, by compare-and-exchange \
         {:.1}",
        median(floors.iter().map(|floor| floor.locked)),
        median(floors.iter().map(|floor| floor.exchanged))
    );
    println!("pin and restore together, target {TARGET_NS:.0} ns a page:");
    for (verdict, held) in [("missed", false), ("reached", true)] {
        let names = rows.iter().filter(|row| row.holds() == held).map(|row| row.name.as_str());
        let names = names.collect::<Vec<_>>().join(", ");
        println!("{verdict}: {}", if names.is_empty() { "none" } else { &names });
    }
}
