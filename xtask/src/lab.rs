//! `cargo xtask races`, `stress`, `pin-cost` and `loom`: the race laboratory, built as each needs
//! it. What follows the verb goes to the laboratory as it is, `--help` too.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    deps, results,
    run::{self, root},
    steps::{Prints, Steps},
};

mod faults;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

/// How the laboratory is built: with optimisations only where nanoseconds count.
#[derive(Clone, Copy)]
enum Build {
    /// Threads are shuttle's.
    Shuttle,
    /// Threads are the machine's.
    Threads,
    /// The same, and it is timed.
    Timed,
}

/// Races on the model: schedules are shuttle's.
pub(crate) fn races(args: Args) -> Result<()> {
    program("races", Build::Shuttle, args)
}

/// Real threads.
pub(crate) fn stress(args: Args) -> Result<()> {
    program("stress", Build::Threads, args)
}

/// Pin and tags, in nanoseconds.
pub(crate) fn pin_cost(args: Args) -> Result<()> {
    program("pin-cost", Build::Timed, args)
}

/// Runs the laboratory's command; progress, output and exit status are its own. Verdicts on all
/// variants are kept for `cargo xtask semantics`.
fn program(verb: &str, build: Build, args: Args) -> Result<()> {
    let mut child = build.program()?.arg(verb).args(&args.rest).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().context("the laboratory has no stdout")?;
    let mut verdicts = String::new();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        // Nobody may be reading any more; the verdict counts all the same.
        let _ = writeln!(std::io::stdout(), "{line}");
        if !results::parse_libtest(&line).is_empty() {
            verdicts += &format!("{line}\n");
        }
    }
    let status = child.wait()?;
    let all = !args.rest.iter().any(|word| word.starts_with("--variant"));
    if all && !verdicts.is_empty() {
        fs::create_dir_all(results::folder())?;
        fs::write(results::folder().join(verb).with_extension("txt"), verdicts)?;
    }
    if !status.success() {
        std::process::exit(status.code().unwrap_or(1));
    }
    Ok(())
}

impl Build {
    fn features(self) -> &'static [&'static str] {
        match self {
            Self::Shuttle => &["--features", "shuttle"],
            Self::Threads | Self::Timed => &[],
        }
    }

    fn profile(self) -> &'static str {
        if matches!(self, Self::Timed) { "release" } else { "checks" }
    }

    /// Builds the laboratory; its command.
    fn program(self) -> Result<Command> {
        deps::need("cc", "gcc")?;
        let build = ["build", "--quiet", "--package", "mteswap-lab"];
        run::run(cargo(self.profile(), &build).args(self.features()))?;
        Ok(Command::new(target().join(self.profile()).join("mteswap-lab")))
    }
}

#[derive(clap::Args)]
pub(crate) struct LoomArgs {
    /// Only tests whose names contain this
    filter: Option<String>,
    /// Put faults into the library, one after the other, and expect a model to fail; FILTER
    /// says which
    #[arg(long)]
    negative: bool,
}

/// Files of loom's models.
const MODELS: [&str; 4] = ["flags", "index", "pin", "reserve"];

/// Exhaustive models of the library's own code.
pub(crate) fn loom(args: LoomArgs) -> Result<()> {
    deps::need("cc", "gcc")?;
    if args.negative {
        return faults::run(args.filter.as_deref().unwrap_or_default());
    }
    if let Some(filter) = args.filter {
        return filtered(&filter);
    }
    let mut steps = Steps::new(results::folder())?;
    models(&mut steps);
    steps.finish();
    Ok(())
}

/// Models whose names contain `filter`, with what they print.
fn filtered(filter: &str) -> Result<()> {
    let mut passed = 0;
    for test in MODELS {
        let named = run::tests(model(test).arg(filter))?;
        if named > 0 {
            run::run(model(test).args([filter, "--show-output"]))?;
        }
        passed += named;
    }
    ensure!(passed > 0, "no model's name contains `{filter}`: they are in lab/loom/tests");
    println!("{passed} passed, 0 failed, 0 skipped");
    Ok(())
}

fn models(steps: &mut Steps) {
    for test in MODELS {
        steps.command(&format!("loom {test}"), Prints::Libtest, &mut model(test));
    }
}

fn model(test: &str) -> Command {
    let mut command = cargo("checks", &["test", "--package", "mteswap-loom", "--features", "loom"]);
    // Where a control panics, as it has to, its backtrace says nothing.
    command.args(["--test", test, "--"]).env("RUST_BACKTRACE", "0");
    command
}

/// The laboratory in short, as checks of `steps`: its own tests, loom's models, each race of
/// history and some thousand schedules of today's order, and a few rounds of stress.
pub(crate) fn short(steps: &mut Steps) -> Result<()> {
    for (name, build) in [("lab shuttle", Build::Shuttle), ("lab", Build::Threads)] {
        let mut command = cargo("checks", &["test", "--package", "mteswap-lab"]);
        steps.command(name, Prints::Libtest, command.args(build.features()));
    }
    models(steps);
    // Each is built where the last one was.
    let races = ["races", "--quiet", "--seed", "1", "--schedules", "2000"];
    steps.command("races", Prints::Libtest, Build::Shuttle.program()?.args(races));
    let stress = ["stress", "--quiet", "--rounds", "4"];
    steps.command("stress", Prints::Libtest, Build::Threads.program()?.args(stress));
    Ok(())
}

/// Lints what only a checker's build sees, as checks of `steps`.
pub(crate) fn clippy(steps: &mut Steps) {
    for (package, checker) in [("mteswap-lab", "shuttle"), ("mteswap-loom", "loom")] {
        let mut command = cargo("checks", &["clippy", "--all-targets", "--package", package]);
        command.args(["--features", checker, "--", "-D", "warnings"]);
        steps.command(&format!("clippy {package}, {checker}"), Prints::Words, &mut command);
    }
}

fn cargo(profile: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).args(["--profile", profile, "--locked", "--target-dir"]).arg(target());
    command.current_dir(root().join("lab"));
    command
}

fn target() -> PathBuf {
    root().join("target/lab")
}
