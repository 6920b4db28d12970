//! `cargo xtask bench`: the tag store beside Linux's xarray, in one process.
//!
//! `benches/store` measures and prints samples; here it is built with the xarray of a
//! kernel tree, run, and its samples are made into tables, the worst row first.
//!
//! | file | holds |
//! |---|---|
//! | `count` | callgrind's counts of that program |
//! | `kernel` | the bench in UML and on arm64: `kunit/overlay/lib/mteswap/bench.c` |
//! | `table` | ratios, medians, targets, in Markdown |
//! | `plot` | the same as pictures |
//! | `gate` | committed tables that counts are held to |

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{
    deps,
    kernel::{build::Arch, cache::Cache, source::Source},
    run,
};

mod count;
mod gate;
mod kernel;
mod plot;
mod table;

#[derive(clap::Args)]
#[command(after_help = "\
Without an option: time, threads, growth to 16 Mi entries and other Rust stores, beside
Linux's xarray in one process. Tables have the ratio first and the worst row on top; where
DESIGN.md names a target, whether it holds.

  cargo xtask bench --quick           does it run?
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
    /// Fewer entries and rounds: shows that it runs, not how fast
    #[arg(long, conflicts_with = "write")]
    quick: bool,
    /// Put the tables into docs/performance.md and the samples beside it
    #[arg(long)]
    write: bool,
    /// Make the figures of --count, --memory or --arch arm64 the table that later ones are held to
    #[arg(long)]
    accept: bool,
    /// A Linux 6.12 tree in place of Debian's
    #[arg(long, value_name = "DIR")]
    kernel: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let steady = args.count || args.memory || args.arch == Some(Arch::Arm64);
    ensure!(!args.accept || steady, "--accept goes with --count, --memory or --arch arm64");
    deps::need("gcc", "gcc")?;
    let cache = Cache::open()?;
    let source = Source::find(&cache, args.kernel.as_deref())?;
    let mut report = Report::new(machine(&source.version)?);
    println!("{}\n", report.machine);
    let mut gates = Vec::new();
    match args.arch {
        Some(Arch::Um) => {
            report.show("um", kernel::um(&cache, &source, args.quick)?, table::time)?;
        }
        Some(Arch::Arm64) => {
            let samples = kernel::arm64(&cache, &source)?;
            report.show("arm64", samples.clone(), table::guest)?;
            gates.push((gate::Gate::arm64(&kernel::arm64_table(&source)?), samples));
        }
        None => in_process(&args, &source, &mut report, &mut gates)?,
    }
    if args.write {
        report.write()?;
    }
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
    let bench = Bench { program: build(&source.dir)?, quick: args.quick };
    if args.memory {
        let samples = bench.samples("memory")?;
        report.show("memory", samples.clone(), table::memory)?;
        gates.push((gate::Gate::memory(), samples));
    }
    if args.count {
        deps::need("valgrind", "valgrind")?;
        let samples = count::samples(&bench)?;
        report.show("count", samples.clone(), table::count)?;
        gates.push((gate::Gate::instructions()?, samples));
    }
    if !args.memory && !args.count {
        report.show("time", bench.samples("time")?, table::time)?;
        report.show("threads", bench.samples("threads")?, table::threads)?;
        report.show("growth", bench.samples("growth")?, table::growth)?;
        report.show("peers", bench.samples("peers")?, table::peers)?;
    }
    Ok(())
}

/// Where the program looks for tag maps in place of the committed ones.
const MAPS: &str = "MTESWAP_TAG_MAPS";

struct Bench {
    program: PathBuf,
    quick: bool,
}

impl Bench {
    /// What the program prints when it measures `what`.
    fn samples(&self, what: &str) -> Result<String> {
        eprintln!("measuring {what}");
        let mut command = Command::new(&self.program);
        command.arg(what);
        if what == "memory" {
            command.args(["--entries", "262144"]).env_remove(MAPS);
        } else if what == "growth" {
            // Up to as many as a swap device of 64 GiB has.
            command.args([
                "--entries",
                if self.quick { "65536" } else { "16777216" },
                "--rounds",
                "3",
            ]);
        } else if self.quick {
            command.args(["--entries", "65536", "--rounds", "3"]);
        }
        run::output(&mut command)
    }
}

fn build(tree: &Path) -> Result<PathBuf> {
    let folder = run::root().join("benches/store");
    let target = run::root().join("target/bench");
    run::run(
        Command::new("cargo")
            .args(["build", "--release", "--manifest-path"])
            .arg(folder.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .env("MTESWAP_KERNEL_SOURCE", tree),
    )?;
    Ok(target.join("release/store-bench"))
}

/// Shows tables as they come, and keeps them until all is measured: what is written is of
/// one run that went through.
struct Report {
    machine: String,
    sections: Vec<Section>,
}

struct Section {
    name: &'static str,
    samples: String,
    table: String,
}

impl Report {
    fn new(machine: String) -> Self {
        Self { machine, sections: Vec::new() }
    }

    fn show(
        &mut self,
        name: &'static str,
        samples: String,
        render: fn(&str) -> Result<String>,
    ) -> Result<()> {
        let table = render(&samples)?;
        println!("{table}");
        self.sections.push(Section { name, samples, table });
        Ok(())
    }

    /// Puts the tables into docs/performance.md, samples and pictures beside it. All of it is
    /// made before the first file is replaced.
    fn write(&self) -> Result<()> {
        let docs = run::root().join("docs");
        let page = docs.join("performance.md");
        let made = run::root().join("target/bench/performance");
        crate::kernel::cache::remove(&made)?;
        fs::create_dir_all(&made)?;
        let mut text = fs::read_to_string(&page)?;
        for Section { name, samples, table } in &self.sections {
            fs::write(made.join(name).with_extension("tsv"), samples)?;
            pictures(&made, name, samples)?;
            let content = format!("{}\n\n{}{table}", self.machine, links(&made, name)?);
            text = between(&text, name, &content)
                .with_context(|| format!("no place for `{name}` in {}", page.display()))?;
        }
        let beside = docs.join("performance");
        fs::create_dir_all(&beside)?;
        for file in fs::read_dir(&made)? {
            let file = file?;
            let part = beside.join(".part");
            fs::copy(file.path(), &part)?;
            fs::rename(part, beside.join(file.file_name()))?;
        }
        let part = page.with_extension("part");
        fs::write(&part, text)?;
        Ok(fs::rename(part, page)?)
    }
}

/// Links to the pictures of `name` in `folder`, as docs/performance.md has them.
fn links(folder: &Path, name: &str) -> Result<String> {
    let mut files: Vec<_> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    files.sort();
    let pictures = files.iter().filter_map(|file| {
        let stem = file.strip_suffix(".svg")?;
        let what = stem.strip_prefix(name)?;
        (what.is_empty() || what.starts_with('-'))
            .then(|| format!("![{}](performance/{file})\n", stem.replace('-', " ")))
    });
    let links: String = pictures.collect();
    Ok(if links.is_empty() { links } else { links + "\n" })
}

/// The pictures that show `samples`.
fn pictures(folder: &Path, name: &str, samples: &str) -> Result<()> {
    let deep = |key: &[String], class: &str| match key {
        [depth, of, operation] if depth == "deep" && of == class => Some(operation.clone()),
        _ => None,
    };
    let path = |file: String| folder.join(file + ".svg");
    let title = match name {
        "count" => "instructions a call, type above 0 in use",
        "memory" => "bytes a page, allocated",
        "threads" => "two threads: times what one does alone",
        "growth" => {
            for operation in ["save", "restore", "invalidate"] {
                let file = path(format!("{name}-{operation}"));
                plot::lines(
                    &file,
                    &format!("{operation}, pages of one tag, random order"),
                    samples,
                    operation,
                )?;
            }
            return Ok(());
        }
        "time" => "nanoseconds a call, type above 0 in use",
        "um" => "nanoseconds a call in UML, type above 0 in use",
        "arm64" => "instructions a call on arm64, type above 0 in use",
        _ => return Ok(()),
    };
    if matches!(name, "count" | "time" | "um" | "arm64") {
        let file = |class: &str| path(format!("{name}-{class}"));
        plot::bars(&file("one-tag"), &format!("{title}, pages of one tag"), samples, |key| {
            deep(key, "one-tag")
        })?;
        return plot::bars(&file("mixture"), &format!("{title}, mixture"), samples, |key| {
            deep(key, "mixture")
        });
    }
    plot::bars(&path(name.to_owned()), title, samples, |key| Some(key.join(", ")))
}

/// `text` with `content` between the comments that say where `name` begins and ends.
fn between(text: &str, name: &str, content: &str) -> Option<String> {
    let begin = format!("<!-- {name} -->\n");
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once("<!-- end -->")?;
    Some(format!("{before}{begin}{content}<!-- end -->{after}"))
}

/// What the figures depend on, in one line.
fn machine(kernel: &str) -> Result<String> {
    let first = |program: &str, arguments: &[&str]| -> Result<String> {
        let out = run::output(Command::new(program).args(arguments))?;
        Ok(out.lines().next().unwrap_or_default().to_owned())
    };
    let cpu = fs::read_to_string("/proc/cpuinfo")?
        .lines()
        .find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1.to_owned()))
        .unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism()?;
    let rustc = first("rustc", &["--version"])?;
    let gcc = first("gcc", &["-dumpfullversion"])?;
    let date = first("date", &["-u", "+%F"])?;
    ensure!(!rustc.is_empty(), "rustc has no version");
    Ok(format!("{date}; {cpu}, {cores} cores; {rustc}; gcc {gcc}; xarray of Linux {kernel}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_the_marks_is_replaced_alone() {
        let text = "a\n<!-- time -->\nold\n<!-- end -->\nb\n<!-- um -->\n<!-- end -->\n";
        let now = between(text, "time", "new\n").unwrap();
        assert_eq!(now, text.replace("old", "new"));
        assert!(between(text, "peers", "new\n").is_none());
    }

    #[test]
    fn docs_have_a_place_for_every_table() {
        let page = fs::read_to_string(run::root().join("docs/performance.md")).unwrap();
        for name in ["count", "memory", "time", "threads", "growth", "peers", "um", "arm64"] {
            assert!(between(&page, name, "").is_some(), "{name}");
        }
    }

    #[test]
    fn pictures_are_linked_where_they_belong() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["time-one-tag.svg", "time.tsv", "timely.svg", "memory.svg"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let link = "![time one tag](performance/time-one-tag.svg)\n\n";
        assert_eq!(links(folder.path(), "time").unwrap(), link);
        assert_eq!(links(folder.path(), "um").unwrap(), "");
    }
}
