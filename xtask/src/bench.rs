//! `cargo xtask bench`: the tag store beside Linux's xarray, in one process.
//!
//! `benches/store` measures and prints samples; here it is built with the xarray of a
//! kernel tree, run, and its samples are made into tables, the worst row first.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{
    deps,
    kernel::{cache::Cache, source::Source},
    run,
};

mod count;
mod gate;
mod plot;
mod table;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Instructions a call, counted by callgrind, in place of time
    #[arg(long)]
    count: bool,
    /// Allocated bytes a page in place of time
    #[arg(long)]
    memory: bool,
    /// Fewer entries and rounds: shows that it runs, not how fast
    #[arg(long, conflicts_with = "write")]
    quick: bool,
    /// Put the tables into docs/performance.md and the samples beside it
    #[arg(long)]
    write: bool,
    /// Make the figures of --count or --memory the table that later ones are held to
    #[arg(long)]
    accept: bool,
    /// A Linux 6.12 tree in place of Debian's
    #[arg(long, value_name = "DIR")]
    kernel: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    ensure!(!args.accept || args.count || args.memory, "--accept goes with --count or --memory");
    deps::need("gcc", "gcc")?;
    let source = Source::find(&Cache::open()?, args.kernel.as_deref())?;
    let (tree, version) = (source.dir, source.version);
    let bench = Bench { program: build(&tree)?, quick: args.quick };
    let mut report = Report { write: args.write, machine: machine(&version)? };
    println!("{}\n", report.machine);
    let mut gates = Vec::new();
    if args.memory {
        let samples = bench.samples("memory")?;
        report.show("memory", &samples, table::memory)?;
        gates.push((gate::Gate::memory(), samples));
    }
    if args.count {
        deps::need("valgrind", "valgrind")?;
        let samples = count::samples(&bench)?;
        report.show("count", &samples, table::count)?;
        gates.push((gate::Gate::instructions()?, samples));
    }
    if !args.memory && !args.count {
        report.show("time", &bench.samples("time")?, table::time)?;
        report.show("threads", &bench.samples("threads")?, table::threads)?;
        report.show("growth", &bench.samples("growth")?, table::growth)?;
        report.show("peers", &bench.samples("peers")?, table::peers)?;
    }
    gates.iter().try_for_each(
        |(gate, samples)| {
            if args.accept { gate.accept(samples) } else { gate.check(samples) }
        },
    )
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

/// Shows tables, and keeps them where that was asked for.
struct Report {
    write: bool,
    machine: String,
}

impl Report {
    fn show(
        &mut self,
        name: &str,
        samples: &str,
        render: fn(&str) -> Result<String>,
    ) -> Result<()> {
        let table = render(samples)?;
        println!("{table}");
        if !self.write {
            return Ok(());
        }
        let docs = run::root().join("docs");
        fs::create_dir_all(docs.join("performance"))?;
        fs::write(docs.join(format!("performance/{name}.tsv")), samples)?;
        pictures(&docs.join("performance"), name, samples)?;
        let page = docs.join("performance.md");
        let text = fs::read_to_string(&page)?;
        let text = between(&text, name, &format!("{}\n\n{table}", self.machine))
            .with_context(|| format!("no place for `{name}` in {}", page.display()))?;
        Ok(fs::write(page, text)?)
    }
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
        _ => return Ok(()),
    };
    if matches!(name, "count" | "time") {
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
