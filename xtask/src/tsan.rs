//! `cargo xtask tsan`: the threaded tests under ThreadSanitizer, with a standard library that is
//! instrumented as they are.
//!
//! rustup's toolchains have neither the sources of `std` nor the right to the flags; Debian's has
//! the sources, and no runtime: that is clang's.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{
    deps, results,
    run::{self, root},
    steps::{Prints, Steps},
    toolchain::Toolchain,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only tests whose names contain this
    filter: Option<String>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let tsan = Tsan::new()?;
    let mut steps = Steps::new(results::folder())?;
    // First, as it builds what the others need too; and where it fails they show nothing.
    steps.check("tsan control", || tsan.control());
    for (name, mut tests) in tsan.tests(args.filter.as_deref())? {
        steps.command(name, Prints::Libtest, &mut tests);
        steps.check(&format!("{name}, in each program"), || in_each_program(name));
    }
    if args.filter.is_none() {
        steps.command("tsan stress", Prints::Libtest, &mut tsan.stress()?);
    }
    steps.finish();
    Ok(())
}

/// Debian's package with the runtime, and where it lies. Code made by a later LLVM calls nothing
/// that it has not.
const RUNTIME: (&str, &str) = ("libclang-rt-19-dev", "/usr/lib/llvm-19/lib/clang/19/lib/linux");
/// What the runtime ends a program with that it reported something of.
const REPORTED: i32 = 66;
/// What it says when a program begins that it is in, and before each report.
const RUNNING: &str = "Running under ThreadSanitizer";
const REPORT: &str = "WARNING: ThreadSanitizer: ";
/// Parts of the control's reports: the race of its own, and the one in the library.
const CONTROL: [&str; 2] = ["add_to_the_word", "src/swap/map.rs"];

struct Tsan {
    toolchain: Toolchain,
    target: String,
    runtime: PathBuf,
}

impl Tsan {
    fn new() -> Result<Self> {
        let arch = std::env::consts::ARCH;
        let target = format!("{arch}-unknown-linux-gnu");
        let (package, folder) = RUNTIME;
        let runtime = Path::new(folder).join(format!("libclang_rt.tsan-{arch}.a"));
        deps::need("cc", "gcc")?;
        deps::need("addr2line", "binutils")?;
        deps::need_file(&runtime, package)?;
        Ok(Self { toolchain: Toolchain::from_source(&target)?, target, runtime })
    }

    /// `cargo VERB` in `folder`, all code instrumented.
    fn cargo(&self, verb: &str, folder: &str) -> Command {
        let runtime = self.runtime.display();
        let flags = [
            "-Zsanitizer=thread".to_owned(),
            "-Zexternal-clangrt".to_owned(),
            // First of all that is linked, or its wrappers of libc's functions do not find these;
            // and visible, or shared libraries do not find the wrappers.
            "-Zpre-link-arg=-Wl,--whole-archive".to_owned(),
            format!("-Zpre-link-arg={runtime}"),
            "-Zpre-link-arg=-Wl,--no-whole-archive".to_owned(),
            format!("-Zpre-link-arg=-Wl,--dynamic-list={runtime}.syms"),
        ];
        let mut command = self.toolchain.cargo_with_std(verb);
        command
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .env("TSAN_OPTIONS", self.options())
            // One profile for all of them, so that `std` is built once: optimised, as races are
            // in use, and with lines.
            .args(["--config", r#"profile.tsan.inherits="release""#])
            .args(["--config", r#"profile.tsan.debug="line-tables-only""#])
            .args(["--config", r#"profile.tsan.lto="off""#])
            .args(["--config", "profile.tsan.codegen-units=16"])
            .args(["--config", "profile.tsan.overflow-checks=true"])
            .args(["--profile", "tsan", "--locked", "--target-dir"])
            .arg(root().join("target/tsan"))
            .current_dir(root().join(folder));
        command
    }

    /// Says that it is there; names functions and lines by what any C compiler comes with.
    fn options(&self) -> String {
        let symbolizer = deps::find("addr2line").unwrap_or_default();
        format!(
            "verbosity=1:exitcode={REPORTED}:allow_addr2line=1:external_symbolizer_path={}",
            symbolizer.display()
        )
    }

    /// A program of the laboratory's, once it is built.
    fn program(&self, path: &str, build: &[&str]) -> Result<Command> {
        run::run(self.cargo("build", "lab").arg("--quiet").args(build))?;
        let folder = root().join("target/tsan").join(&self.target).join("tsan");
        let mut command = Command::new(folder.join(path));
        command.env("TSAN_OPTIONS", self.options());
        Ok(command)
    }

    /// Programs with tests on several threads, the shortest first; with a filter, those that
    /// have one of that name.
    fn tests(&self, filter: Option<&str>) -> Result<Vec<(&'static str, Command)>> {
        let programs: [(_, &[&str], _); 2] = [
            ("tsan lab", &["--package", "mteswap-lab", "--bins", "--tests"], "lab"),
            ("tsan library", &["--package", "mteswap", "--lib", "--tests"], "."),
        ];
        let mut wanted = Vec::new();
        for (name, which, folder) in programs {
            let tests = || {
                let mut tests = self.cargo("test", folder);
                tests.args(which).args(["--no-fail-fast", "--"]).args(filter);
                tests
            };
            if filter.is_none() || run::tests(tests().env("TSAN_OPTIONS", ""))? > 0 {
                wanted.push((name, tests()));
            }
        }
        ensure!(!wanted.is_empty(), "no test's name contains `{}`", filter.unwrap_or_default());
        Ok(wanted)
    }

    /// Fewer pages and workers: it is slower by an order of magnitude.
    fn stress(&self) -> Result<Command> {
        let mut command = self.program("mteswap-lab", &["--bin", "mteswap-lab"])?;
        command.args(["stress", "--quiet", "--variant", "today"]);
        command.args(["--rounds", "5", "--pages", "1024", "--workers", "4", "--discard"]);
        Ok(command)
    }

    /// Both races of `lab/examples/data_race.rs` are reported.
    fn control(&self) -> Result<()> {
        let mut program = self.program("examples/data_race", &["--example", "data_race"])?;
        let output = program.output().context("cannot start the control")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let reports = said.matches(REPORT).count();
        ensure!(output.status.code() == Some(REPORTED), "no race was reported: {said}");
        for race in CONTROL {
            ensure!(said.contains(race), "{reports} reports, none with {race}: {said}");
        }
        Ok(())
    }
}

/// The runtime was in each program that cargo ran.
fn in_each_program(name: &str) -> Result<()> {
    let log = results::folder().join(name.replace(' ', "-")).with_extension("log");
    let log = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let begun = log.lines().filter(|line| line.trim_start().starts_with("Running ")).count();
    let there = log.lines().filter(|line| line.contains(RUNNING)).count();
    ensure!(begun > 0 && there >= begun, "{begun} programs ran, {there} of them under it");
    Ok(())
}
