//! Running other programs: the command is shown where it fails, with what to do about it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// The repository's root: the folder above this crate.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Runs to the end; an error names the command and its exit status.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", show(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", show(command));
    }
    Ok(())
}

/// Runs to the end and returns what it printed on stdout; stderr passes through.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let out = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", show(command)))?;
    if !out.status.success() {
        bail!("{} failed: {}", show(command), out.status);
    }
    String::from_utf8(out.stdout)
        .with_context(|| format!("{} printed bytes that are no UTF-8", show(command)))
}

/// How many tests a `cargo test`, whose last words are for the tests, would run.
pub(crate) fn tests(command: &mut Command) -> Result<usize> {
    let listed = output(command.args(["--list", "--format", "terse"]))?;
    Ok(listed.lines().filter(|line| line.ends_with(": test")).count())
}

pub(crate) fn show(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
