//! `cargo xtask bench`: the tag store beside Linux's xarray, in one process.
//!
//! `benches/store` measures and prints samples; here it is built with the xarray of a
//! kernel tree, run, and its samples are made into tables, the worst row first.
//!
//! | file | holds |
//! |---|---|
//! | `progress` | how far a measurement has come |
//! | `count` | callgrind's counts of that program |
//! | `kernel` | the bench in UML and on arm64: `kunit/overlay/lib/mteswap/bench.c` |
//! | `samples` | what all of them print, read |
//! | `targets` | the figures that DESIGN.md names |
//! | `table` | ratios, medians, targets, in Markdown |
//! | `plot`, `pictures` | the same as pictures, and which there are |
//! | `slower` | what K does better |
//! | `report` | docs/performance.md, made of all this |
//! | `gate` | committed tables that counts are held to |

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

use crate::{
    deps,
    kernel::{build::Arch, cache::Cache, qemu::Qemu, source::Source, step::Step},
    run,
};

mod count;
mod gate;
mod kernel;
mod pictures;
mod plot;
mod progress;
mod report;
mod samples;
mod slower;
mod table;
mod targets;

use progress::Progress;
use report::Report;

/// Each has its samples and its place in docs/performance.md.
const SECTIONS: [&str; 10] =
    ["count", "arm64", "memory", "time", "um", "codec", "growth", "threads", "peers", "bounds"];

#[derive(clap::Args)]
#[command(after_help = "\
Without an option: the codec, other Rust stores, growth to 16 Mi entries, threads and time, beside Linux's
xarray in one process; about ten minutes. Tables have the ratio first, the rows that DESIGN.md's
targets name above the others, and in both the worst on top. The last lines name the targets that
do not hold; that is told, and is no failure.

  cargo xtask bench --quick           does it run?
  cargo xtask bench --only time --pages real
  cargo xtask bench --count           did an instruction count rise? (CI)
  cargo xtask bench --memory          did a page get larger? (CI)
  cargo xtask bench --write           the figures and pictures of docs/performance.md
  cargo xtask bench --arch um --write
  cargo xtask bench --arch arm64 --accept")]
pub(crate) struct Args {
    /// Instructions a call, counted by callgrind, in place of time
    #[arg(long)]
    count: bool,
    /// Allocated bytes a page in place of time
    #[arg(long)]
    memory: bool,
    /// In a kernel, beside its own xarray and kmalloc: time in UML, or instructions on arm64
    /// in QEMU
    #[arg(long, conflicts_with_all = ["count", "memory"])]
    arch: Option<Arch>,
    /// Of what is timed, this alone
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["count", "memory", "arch"])]
    only: Vec<Timed>,
    /// Of the time of one thread, these pages alone: one-tag, mixture, random, real
    #[arg(long, value_delimiter = ',', value_parser = kernel::CLASSES,
          conflicts_with_all = ["count", "memory", "arch", "write"])]
    pages: Vec<String>,
    /// Fewer entries and rounds: shows that it runs, not how fast
    #[arg(long, conflicts_with_all = ["write", "count", "memory"])]
    quick: bool,
    /// Memory in pages of 2 MiB, as a kernel's on x86-64; without, of 4 KiB, as on arm64
    #[arg(long, conflicts_with_all = ["arch", "write"])]
    large_pages: bool,
    /// Put the tables into docs/performance.md, samples and pictures beside it
    #[arg(long)]
    write: bool,
    /// Make the figures of --count, --memory or --arch arm64 the table that later ones are held to
    #[arg(long)]
    accept: bool,
    /// A Linux 6.12 tree in place of Debian's
    #[arg(long, value_name = "DIR")]
    kernel: Option<PathBuf>,
}

/// What is timed in one process, in this order.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Timed {
    Bounds,
    Codec,
    Peers,
    Growth,
    Threads,
    Time,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let steady = args.count || args.memory || args.arch == Some(Arch::Arm64);
    ensure!(!args.accept || steady, "--accept goes with --count, --memory or --arch arm64");
    ensure!(
        !args.quick || args.arch != Some(Arch::Arm64),
        "--quick is not for --arch arm64: its table is of one load"
    );
    if args.write {
        report::can_write()?;
    }
    deps::need("gcc", "gcc")?;
    let cache = Cache::open()?;
    let source = Source::find(&cache, args.kernel.as_deref())?;
    let mut gates = Vec::new();
    let report = match args.arch {
        Some(Arch::Um) => {
            let mut report = Report::new(machine(&source.version)?);
            report.show("um", kernel::um(&cache, &source, args.quick)?, table::time)?;
            report
        }
        Some(Arch::Arm64) => {
            let qemu = Qemu::find(&cache)?;
            let samples = kernel::arm64(&cache, &source, &qemu)?;
            let mut report = Report::new(kernel::machine(&qemu, &source)?);
            report.show("arm64", samples.clone(), table::guest)?;
            gates.push((gate::Gate::arm64(&kernel::arm64_table(&source)?), samples));
            report
        }
        None => {
            let line = machine(&source.version)?;
            ensure!(
                !args.large_pages || has_large_pages(),
                "--large-pages: there are none while {LARGE_PAGES} says never"
            );
            let memory = if args.large_pages { " Memory in pages of 2 MiB." } else { "" };
            let mut report = Report::new(line + memory);
            in_process(&args, &source, &mut report, &mut gates)?;
            report
        }
    };
    if args.write {
        report.write()?;
    }
    report.totals();
    gates.iter().try_for_each(
        |(gate, samples)| {
            if args.accept { gate.accept(samples) } else { gate.check(samples) }
        },
    )
}

/// The program of `benches/store`: everything but the kernels.
fn in_process(
    args: &Args,
    source: &Source,
    report: &mut Report,
    gates: &mut Vec<(gate::Gate, String)>,
) -> Result<()> {
    let bench =
        Bench { program: build(&source.dir)?, quick: args.quick, large_pages: args.large_pages };
    if args.memory {
        let samples = bench.samples("memory", &[])?;
        report.show("memory", samples.clone(), table::memory)?;
        gates.push((gate::Gate::memory(), samples));
    }
    if args.count {
        deps::need("valgrind", "valgrind")?;
        let samples = count::samples(&bench)?;
        report.show("count", samples.clone(), table::count)?;
        gates.push((gate::Gate::instructions()?, samples));
    }
    if args.memory || args.count {
        return Ok(());
    }
    let wanted = |what| args.only.is_empty() && args.pages.is_empty() || args.only.contains(&what);
    if wanted(Timed::Bounds) {
        report.show("bounds", bench.samples("bounds", &[])?, table::bounds)?;
    }
    if wanted(Timed::Codec) {
        report.show("codec", bench.samples("codec", &[])?, table::codec)?;
    }
    if wanted(Timed::Peers) {
        report.show("peers", bench.samples("peers", &[])?, table::peers)?;
    }
    if wanted(Timed::Growth) {
        report.show("growth", bench.samples("growth", &[])?, table::growth)?;
    }
    if wanted(Timed::Threads) {
        report.show("threads", bench.samples("threads", &[])?, table::threads)?;
    }
    if wanted(Timed::Time) || !args.pages.is_empty() {
        report.show("time", bench.samples("time", &args.pages)?, table::time)?;
    }
    Ok(())
}

/// Where the program looks for tag maps in place of the committed ones.
const MAPS: &str = "MTESWAP_TAG_MAPS";

struct Bench {
    program: PathBuf,
    quick: bool,
    large_pages: bool,
}

impl Bench {
    /// What the program prints when it measures `what`, of these pages or of all.
    fn samples(&self, what: &str, pages: &[String]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.arg(what);
        match what {
            "memory" => {
                command.args(["--entries", "262144"]).env_remove(MAPS);
            }
            _ if self.quick => {
                command.args(["--entries", "65536", "--rounds", "3"]);
            }
            // Up to as many as a swap device of 64 GiB has.
            "growth" => {
                command.args(["--entries", "16777216"]);
            }
            _ => {}
        }
        if self.large_pages {
            // What other stores have from glibc, too.
            command.arg("--large-pages").env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
        }
        if !pages.is_empty() {
            command.arg("--pages").arg(pages.join(","));
        }
        Progress::follow(&format!("measuring {what}"), &mut command)
    }
}

fn build(tree: &Path) -> Result<PathBuf> {
    let step = Step::begin("building the bench and Linux's xarray");
    let folder = run::root().join("benches/store");
    let target = run::root().join("target/bench");
    run::run(
        Command::new("cargo")
            .args(["build", "--release", "--quiet", "--locked", "--manifest-path"])
            .arg(folder.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .env("MTESWAP_KERNEL_SOURCE", tree),
    )?;
    step.done();
    Ok(target.join("release/store-bench"))
}

/// Says to whom Linux gives large pages.
const LARGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// True if Linux gives large pages to who asks for some.
fn has_large_pages() -> bool {
    let enabled = fs::read_to_string(LARGE_PAGES);
    enabled.is_ok_and(|modes| !modes.contains("[never]"))
}

/// What the figures depend on, in one line.
fn machine(kernel: &str) -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?
        .lines()
        .find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1.to_owned()))
        .unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism()?;
    let rustc = first_line("rustc", "--version")?;
    let gcc = first_line("gcc", "-dumpfullversion")?;
    let date = date()?;
    Ok(format!("{date}; {cpu}, {cores} cores; {rustc}; gcc {gcc}; xarray of Linux {kernel}."))
}

fn date() -> Result<String> {
    first_line("date", "+%F")
}

/// What `program` says of itself.
fn first_line(program: &str, argument: &str) -> Result<String> {
    let out = run::output(Command::new(program).arg(argument))?;
    let line = out.lines().next().unwrap_or_default().to_owned();
    ensure!(!line.is_empty(), "{program} {argument} says nothing");
    Ok(line)
}
