//! `cargo xtask kunit`: the KUnit suites as a program, over the shim in `kunit/shim`.
//!
//! KTAP and nothing else goes to stdout; progress and totals go to stderr.

use std::{
    collections::BTreeSet,
    env, fmt, fs,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    kernel,
    ktap::{Counts, Reader, Report},
    library::{Library, PAGE_SHIFTS, compiler},
    maps,
    results::Outcome,
    run,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only the suites that match GLOB or, as SUITE.CASE, only those cases
    #[arg(long, value_name = "GLOB")]
    filter: Option<String>,
    /// Print the names of the cases and run none
    #[arg(long, conflicts_with = "negative")]
    list: bool,
    /// Run for this page size only: 12 (4 KiB), 14 (16 KiB) or 16 (64 KiB)
    #[arg(long, value_name = "SHIFT", value_parser = clap::value_parser!(u32).range(12..=16))]
    page_shift: Option<u32>,
    /// Run the C side under the address and undefined-behaviour sanitizers
    #[arg(long)]
    asan: bool,
    /// Put faults into the library, one after the other, and expect the suites to fail
    #[arg(long)]
    negative: bool,
    #[command(flatten)]
    kernel: kernel::kunit::InKernel,
}

pub(crate) fn run(args: Args) -> Result<()> {
    if let Some(arch) = args.kernel.arch {
        let filter = args.filter.as_deref();
        if args.negative {
            return kernel::faults::run(&args.kernel, arch, filter);
        }
        return kernel::kunit::run(&args.kernel, arch, filter);
    }
    let shifts = match args.page_shift {
        Some(shift) if PAGE_SHIFTS.contains(&shift) => vec![shift],
        Some(shift) => bail!("no page size has a shift of {shift}: 12, 14 or 16"),
        None if args.list || args.negative => vec![PAGE_SHIFTS[0]],
        None => PAGE_SHIFTS.to_vec(),
    };
    if args.negative {
        return run_negative(
            &Suites::build(shifts[0], Build { faults: true, ..args.build() })?,
            &args,
        );
    }
    let suites = shifts
        .into_iter()
        .map(|shift| Suites::build(shift, args.build()))
        .collect::<Result<Vec<_>>>()?;
    if args.list {
        for case in suites[0].list(args.filter.as_deref())? {
            say(&case);
        }
        return Ok(());
    }
    run_all(&suites, args.filter.as_deref())
}

impl Args {
    fn build(&self) -> Build {
        Build { asan: self.asan, faults: false }
    }
}

/// Runs the suites of each page size and holds them to what they list.
///
/// With several page sizes each is one test of the document, a level further out
/// than the suites.
fn run_all(suites: &[Suites], filter: Option<&str>) -> Result<()> {
    let begun = Instant::now();
    let nested = suites.len() > 1;
    let mut sum = Counts::default();
    let mut faults = Vec::new();
    if nested {
        say("KTAP version 1");
        say(&format!("1..{}", suites.len()));
    }
    for (number, one) in (1..).zip(suites) {
        if nested {
            say("    KTAP version 1");
            say(&format!("    # Subtest: {}", one.pages()));
        }
        let (report, ok) = one.run(filter, None, |line| {
            // The header of this level is out already.
            if nested && line != "KTAP version 1" {
                say(&format!("    {line}"));
            } else if !nested {
                say(line);
            }
        })?;
        faults.extend(one.faults(&report, filter)?);
        let counts = Counts::of(report.cases());
        if nested {
            say(&format!("{} {number} {}", if ok { "ok" } else { "not ok" }, one.pages()));
        }
        eprintln!("{}: {counts}, {} with parameters", one.pages(), report.leaves().count());
        sum += counts;
    }
    for fault in &faults {
        eprintln!("{fault}");
    }
    eprintln!("kunit: {} cases: {sum} in {:.1} s", sum.total(), begun.elapsed().as_secs_f32());
    ensure!(faults.is_empty(), "not every case reported a result");
    ensure!(sum.total() > 0, "no case matches {:?}", filter.unwrap_or("*"));
    ensure!(sum.failed == 0, "{} cases failed", sum.failed);
    Ok(())
}

/// A suite of the kernel's own names, which a kernel has and a suite there cannot define.
const OF_THE_SHIM: &str = "mteswap_linux";

/// What the suites report here for pages of 2^`shift` bytes: what they have to report
/// elsewhere, too.
pub(crate) fn in_user_space(shift: u32, filter: Option<&str>) -> Result<Report> {
    let suites = Suites::build(shift, Build { asan: false, faults: false })?;
    let (mut report, ok) = suites.run(filter, None, |_| {})?;
    let faults = suites.faults(&report, filter)?;
    report.tests.retain(|test| test.path[0] != OF_THE_SHIM);
    ensure!(report.cases().count() > 0, "no case matches {:?}", filter.unwrap_or("*"));
    ensure!(ok && faults.is_empty(), "the suites fail in user space: run `cargo xtask kunit`");
    Ok(report)
}

/// Runs the suites once for each fault; every one of them has to be noticed.
fn run_negative(suites: &Suites, args: &Args) -> Result<()> {
    let mut unnoticed = Vec::new();
    for one in suites.noticed(args.filter.as_deref())? {
        eprintln!("{one}");
        if one.by.is_empty() {
            unnoticed.push(one.fault);
        }
    }
    ensure!(unnoticed.is_empty(), "no case notices: {}", unnoticed.join(", "));
    eprintln!("kunit: every fault makes cases fail, as it must");
    Ok(())
}

/// A fault of the library, and the cases that fail with it.
pub(crate) struct Noticed {
    pub(crate) fault: String,
    pub(crate) cases: usize,
    pub(crate) by: BTreeSet<Vec<String>>,
}

impl Noticed {
    pub(crate) fn new(fault: &str, report: &Report) -> Self {
        let failed = report.cases().filter(|case| case.outcome == Outcome::Failed);
        let by = failed.map(|case| case.path.clone()).collect();
        Self { fault: fault.to_owned(), cases: report.cases().count(), by }
    }
}

impl fmt::Display for Noticed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suites: BTreeSet<_> = self.by.iter().map(|path| path[0].as_str()).collect();
        let suites = suites.into_iter().collect::<Vec<_>>().join(", ");
        write!(f, "{}: {} of {} cases fail ({suites})", self.fault, self.by.len(), self.cases)
    }
}

/// What notices each fault here, for pages of 2^`shift` bytes.
pub(crate) fn noticed_in_user_space(shift: u32, filter: Option<&str>) -> Result<Vec<Noticed>> {
    Suites::build(shift, Build { asan: false, faults: true })?.noticed(filter)
}

/// Where the headers are that the suites include.
const HEADERS: [&str; 7] = [
    "kunit",
    "kunit/faults",
    "kunit/shim",
    "kunit/shim/asm",
    "kunit/shim/kunit",
    "kunit/shim/linux",
    "include",
];

/// How the suites are built.
#[derive(Clone, Copy)]
struct Build {
    asan: bool,
    /// With `faults/broken.c` between the suites and the library.
    faults: bool,
}

/// The suites as a program, for one page size.
struct Suites {
    program: PathBuf,
    shift: u32,
}

impl Suites {
    fn build(shift: u32, build: Build) -> Result<Self> {
        let name = match (build.asan, build.faults) {
            (false, false) => format!("suites-{shift}"),
            (true, false) => format!("suites-{shift}-asan"),
            (_, true) => format!("suites-{shift}-broken"),
        };
        let dir = run::root().join("target/mteswap/kunit");
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let suites = Self { program: dir.join(name), shift };
        let cc = compiler()?;

        eprintln!("building the library for {}", suites.pages());
        let library = Library::new(None, shift)?;
        library.build()?;
        let library = library.flags();

        let tags = maps::dir();
        let maps_c = dir.join("mteswap_kunit_maps.c");
        maps::write_c(&tags, &maps_c)?;

        let kunit = run::root().join("kunit");
        let mut sources = files(&kunit, "c")?;
        sources.extend(files(&kunit.join("shim"), "c")?);
        if build.faults {
            sources.extend(files(&kunit.join("faults"), "c")?);
        } else {
            sources.retain(|file| !file.ends_with("shim/broken.c"));
        }
        sources.push(maps_c);
        if suites.is_fresh(&sources, &library)? {
            return Ok(suites);
        }

        eprintln!("compiling {} C files for {}", sources.len(), suites.pages());
        let mut command = Command::new(&cc);
        command
            .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-g", "-pthread"])
            .arg("-D_GNU_SOURCE")
            // As system headers: what a macro of KUnit's does is not the suite's fault.
            .args(["-isystem", "kunit/shim", "-Ikunit"])
            // By names that are the same on every machine: failures quote them.
            .args(sources.iter().map(|file| file.strip_prefix(run::root()).unwrap_or(file)))
            .current_dir(run::root());
        if build.asan {
            command.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
        }
        if build.faults {
            for function in Faults::read()?.functions {
                command.arg(format!("-Wl,--wrap={function}"));
            }
        }
        // Last: the archive's hooks are left where they are, those of shim/host.c come first.
        command.args(&library).arg("-o").arg(&suites.program);
        run::run(&mut command)?;
        Ok(suites)
    }

    /// Whether the program is newer than all that it is made of.
    fn is_fresh(&self, sources: &[PathBuf], library: &[String]) -> Result<bool> {
        let mut parts = sources.to_vec();
        for headers in HEADERS {
            parts.extend(files(&run::root().join(headers), "h")?);
        }
        parts.extend(maps::files(&maps::dir())?);
        parts.extend(library.iter().map(PathBuf::from).filter(|flag| flag.is_file()));
        parts.push(env::current_exe().context("no path of xtask")?);
        let modified = |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).ok();
        let built = modified(&self.program);
        Ok(built.is_some() && parts.iter().all(|part| modified(part) <= built))
    }

    fn pages(&self) -> String {
        format!("{} KiB pages", 1 << (self.shift - 10))
    }

    fn command(&self, filter: Option<&str>) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(filter) = filter {
            command.args(["--filter", filter]);
        }
        command
    }

    /// The names of the cases, as `suite.case`.
    fn list(&self, filter: Option<&str>) -> Result<Vec<String>> {
        let out = self.command(filter).arg("--list").stderr(Stdio::inherit()).output()?;
        Ok(String::from_utf8(out.stdout)?.lines().map(str::to_owned).collect())
    }

    /// Runs the cases and shows each line to `see`; true where the program was content.
    fn run(
        &self,
        filter: Option<&str>,
        fault: Option<&str>,
        mut see: impl FnMut(&str),
    ) -> Result<(Report, bool)> {
        let mut command = self.command(filter);
        command.stdout(Stdio::piped()).env_remove("MTESWAP_BREAK");
        if let Some(fault) = fault {
            command.env("MTESWAP_BREAK", fault);
        }
        let mut child = command.spawn().context("cannot start the suites")?;
        let mut reader = Reader::default();
        let out = child.stdout.take().context("the suites have no stdout")?;
        for line in BufReader::new(out).lines() {
            let line = line?;
            reader.line(&line);
            see(&line);
        }
        let status = child.wait()?;
        let mut report = reader.finish();
        if status.code().is_none() {
            report.faults.push(format!("the suites ended by {status}"));
        }
        Ok((report, status.success()))
    }

    /// Runs the cases once for each fault.
    fn noticed(&self, filter: Option<&str>) -> Result<Vec<Noticed>> {
        let sound = self.run(filter, None, |_| {})?;
        ensure!(sound.1, "the suites fail without any fault: nothing can be said about them");
        let names = Faults::read()?.names;
        let noticed = names.iter().map(|fault| {
            let (mut report, _) = self.run(filter, Some(fault), |_| {})?;
            report.tests.retain(|test| test.path[0] != OF_THE_SHIM);
            Ok(Noticed::new(fault, &report))
        });
        noticed.collect()
    }

    /// Where a run fell short of what the suites list.
    fn faults(&self, report: &Report, filter: Option<&str>) -> Result<Vec<String>> {
        let ran: BTreeSet<_> = report.cases().map(|case| case.path.join(".")).collect();
        let mut faults = report.faults.clone();
        for case in self.list(filter)? {
            if !ran.contains(&case) {
                faults.push(format!("{case} reported no result"));
            }
        }
        Ok(faults.into_iter().map(|fault| format!("{}: {fault}", self.pages())).collect())
    }
}

/// The faults of `faults/broken.c`, and the functions it stands in front of.
struct Faults {
    names: Vec<String>,
    functions: Vec<String>,
}

impl Faults {
    fn read() -> Result<Self> {
        let path = run::root().join("kunit/faults/broken.c");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let names = between(&text, "broken(\"", "\"");
        let functions = between(&text, "\nWRAP(", ")")
            .iter()
            .filter_map(|args| Some(args.split(", ").nth(1)?.to_owned()))
            .collect();
        Ok(Self { names, functions })
    }
}

/// Every part of `text` that stands between `open` and the next `close`.
fn between(text: &str, open: &str, close: &str) -> Vec<String> {
    text.split(open).skip(1).filter_map(|rest| Some(rest.split_once(close)?.0.to_owned())).collect()
}

/// The files right in `dir` with this extension, by name.
fn files(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A line on stdout. A reader that has seen enough is no reason to fail.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shim itself: `kunit/shim/selftest` fails, skips and aborts in every way it can,
    /// and says so as its `.ktap` has it.
    #[test]
    fn the_shim_prints_what_kunit_prints() {
        let dir = run::root().join("kunit/shim/selftest");
        let program = env::temp_dir().join(format!("mteswap-selftest-{}", std::process::id()));
        let built = Command::new(compiler().unwrap())
            .args(["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-pthread"])
            .args(["-isystem", "..", "-I../../../include", "selftest.c"])
            .args(["../run.c", "../assert.c", "../resource.c", "../linux.c", "-o"])
            .arg(&program)
            .current_dir(&dir)
            .status()
            .unwrap();
        assert!(built.success());
        let call = |arguments: &[&str]| {
            let out = Command::new(&program).args(arguments).output().unwrap();
            (String::from_utf8(out.stdout).unwrap(), out.status.code())
        };

        let (all, code) = call(&[]);
        assert_eq!(all, fs::read_to_string(dir.join("selftest.ktap")).unwrap());
        assert_eq!(code, Some(1));
        let report = crate::ktap::read(&all);
        assert_eq!(report.faults, Vec::<String>::new());
        assert_eq!(Counts::of(report.leaves()), Counts { passed: 2, failed: 7, skipped: 3 });

        let (some, code) = call(&["--filter", "self*.pass*"]);
        assert_eq!((crate::ktap::read(&some).cases().count(), code), (1, Some(0)));
        assert_eq!(call(&["--filter", "nothing"]).1, Some(1));
        assert_eq!(call(&["--filter", "no_*", "--list"]).0, "no_init.passes\nno_suite.passes\n");
        assert_eq!(call(&["--unknown"]).1, Some(2));
        fs::remove_file(program).unwrap();
    }
}
