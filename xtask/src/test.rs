//! `cargo xtask test`: everything that must hold, a line each.

use std::process::Command;

use anyhow::Result;

use crate::{
    deps,
    hypervisor::TARGET,
    install, lab, lint, maps, readme, results,
    run::root,
    semantics,
    steps::{Prints, Steps},
    toolchain::Toolchain,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Formats, clippy and the tests of the debug build alone: for the inner loop
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    deps::need("cc", "gcc")?;
    results::begin()?;
    let mut steps = Steps::new(results::folder())?;
    lint::all(&mut steps)?;
    suites(&mut steps, args.quick)?;
    if !args.quick {
        library(&mut steps)?;
        steps.check("semantics", semantics::check);
    }
    steps.finish();
    Ok(())
}

/// What the C library has to be, as checks of `steps`.
fn library(steps: &mut Steps) -> Result<()> {
    let xtask = std::env::current_exe()?;
    let verb = |arguments: &[&str]| {
        let mut command = Command::new(&xtask);
        command.args(arguments);
        command
    };
    steps.command("header", Prints::Words, &mut verb(&["header", "--check"]));
    steps.command("symbols", Prints::Words, &mut verb(&["symbols"]));
    steps.command("stack", Prints::Words, &mut verb(&["stack"]));
    steps.command(
        "symbols, bare metal",
        Prints::Words,
        &mut verb(&["symbols", "--target", TARGET]),
    );
    steps.command("memory", Prints::Words, &mut verb(&["memory"]));
    steps.check("pkg-config", install::check);
    steps.check("README", readme::check);
    steps.check("tag maps", maps::check);
    Ok(())
}

/// The suites whose tests have names, as checks of `steps`.
pub(crate) fn suites(steps: &mut Steps, quick: bool) -> Result<()> {
    steps.command("tests", Prints::Libtest, &mut cargo(&["test", "--workspace", "--no-fail-fast"]));
    if quick {
        return Ok(());
    }
    // Stands apart, as a copy of it would.
    steps.command(
        "template",
        Prints::Libtest,
        cargo(&["test", "--manifest-path", "examples/template/Cargo.toml"])
            .args(["--target-dir", "target/template"]),
    );
    // What it is for: a kernel.
    steps.command(
        "template, bare metal",
        Prints::Words,
        Toolchain::new(Some(TARGET))?
            .cargo_with_alloc("build")
            .args(["--quiet", "--manifest-path", "examples/template/Cargo.toml"])
            .args(["--target-dir", "target/bare"])
            .current_dir(root()),
    );
    // Optimised code frees and zeroes differently (TAG-12), and races differently.
    steps.command(
        "tests release",
        Prints::Libtest,
        cargo(&["test", "--release", "--tests", "--no-fail-fast"]).args(["--package", "mteswap"]),
    );
    lab::short(steps)?;
    let xtask = std::env::current_exe()?;
    steps.command("mte", Prints::Libtest, Command::new(&xtask).arg("test-mte"));
    steps.command("kunit", Prints::Ktap, Command::new(&xtask).arg("kunit"));
    steps.command("kunit asan", Prints::Ktap, Command::new(&xtask).args(["kunit", "--asan"]));
    steps.command(
        "kunit, with faults",
        Prints::Words,
        Command::new(&xtask).args(["kunit", "--negative"]),
    );
    Ok(())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root());
    command
}
