//! `cargo xtask races`, `stress`, `pin-cost` and `loom`: the race laboratory, built as each needs
//! it. What follows the verb goes to the laboratory as it is, `--help` too.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{
    deps, results,
    run::{self, root},
    steps::{Prints, Steps},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

/// Races on the model: schedules are shuttle's.
pub(crate) fn races(args: Args) -> Result<()> {
    program("races", &["--features", "shuttle"], args)
}

/// Real threads.
pub(crate) fn stress(args: Args) -> Result<()> {
    program("stress", &[], args)
}

/// Pin and tags, in nanoseconds.
pub(crate) fn pin_cost(args: Args) -> Result<()> {
    program("pin-cost", &[], args)
}

/// Builds the laboratory and becomes its command: progress, output and exit status are its own.
fn program(verb: &str, features: &[&str], args: Args) -> Result<()> {
    use std::os::unix::process::CommandExt;
    deps::need("cc", "gcc")?;
    run::run(cargo(&["build", "--quiet"]).args(["--package", "mteswap-lab"]).args(features))?;
    let program = target().join("release/mteswap-lab");
    Err(Command::new(program).arg(verb).args(args.rest).exec().into())
}

#[derive(clap::Args)]
pub(crate) struct LoomArgs {
    /// Only tests whose names contain this
    filter: Option<String>,
}

/// Exhaustive models of the library's own code.
pub(crate) fn loom(args: LoomArgs) -> Result<()> {
    deps::need("cc", "gcc")?;
    let mut steps = Steps::new(results::folder())?;
    for test in ["flags", "index", "pin", "reserve"] {
        let mut command = cargo(&["test", "--package", "mteswap-loom", "--features", "loom"]);
        command.args(["--test", test, "--"]);
        // Where a control panics, as it has to, its backtrace says nothing.
        command.args(args.filter.as_slice()).env("RUST_BACKTRACE", "0");
        if args.filter.is_some() {
            run::run(&mut command)?;
        } else {
            steps.command(&format!("loom {test}"), Prints::Libtest, &mut command);
        }
    }
    if args.filter.is_none() {
        steps.finish();
    }
    Ok(())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).args(["--release", "--locked", "--target-dir"]).arg(target());
    command.current_dir(root().join("lab"));
    command
}

fn target() -> PathBuf {
    root().join("target/lab")
}
