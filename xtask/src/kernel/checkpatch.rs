//! `cargo xtask checkpatch`: the kernel's own checkpatch.pl over all C of ours, every
//! complaint a failure.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};

use super::{cache::Cache, source::Source};
use crate::{deps, run};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A Linux 6.12 tree to take checkpatch.pl of instead of Debian's
    #[arg(long, value_name = "DIR")]
    kernel: Option<PathBuf>,
}

/// Complaints that do not hold for files whose paths begin so; docs/kernel.md says why.
const EXCEPTIONS: [(&str, &[&str]); 6] = [
    ("kunit/overlay/lib/mteswap/exports.c", &["EXPORT_SYMBOL"]),
    (
        "include/mteswap.h",
        &["AVOID_EXTERNS", "PREFER_DEFINED_ATTRIBUTE_MACRO", "PREFER_KERNEL_TYPES", "SPACING"],
    ),
    ("ffi/hosted/", USER_SPACE),
    ("kunit/guest/", USER_SPACE),
    ("kunit/pager/", USER_SPACE),
    ("kunit/shim/", USER_SPACE),
];
/// Where the kernel's names are not there, or are made.
const USER_SPACE: &[&str] = &[
    "ARRAY_SIZE",
    "AVOID_EXTERNS",
    "BIT_MACRO",
    "EMBEDDED_FUNCTION_NAME",
    "FUNCTION_ARGUMENTS",
    "LINE_SPACING",
    "MACRO_ARG_PRECEDENCE",
    "MACRO_ARG_REUSE",
    "NEW_TYPEDEFS",
    "OPEN_BRACE",
    "PREFER_DEFINED_ATTRIBUTE_MACRO",
    "PREFER_KERNEL_TYPES",
    "SPACING",
];
/// A macro that begins a function's definition, as SYSCALL_DEFINE does.
const DEFINES: (&str, &[&str]) = (
    "kunit/faults/broken.c",
    &["AVOID_EXTERNS", "FUNCTION_ARGUMENTS", "LEADING_SPACE", "MULTISTATEMENT_MACRO_USE_DO_WHILE"],
);

pub(crate) fn run(args: Args) -> Result<()> {
    deps::need("perl", "perl")?;
    let cache = Cache::open()?;
    let source = Source::find(&cache, args.kernel.as_deref())?;
    let script = source.dir.join("scripts/checkpatch.pl");
    let files = files()?;
    let mut failed = 0;
    for file in &files {
        let said = complaints(&script, file)?;
        said.lines().for_each(|line| eprintln!("{line}"));
        failed += usize::from(!said.trim().is_empty());
    }
    println!("{} passed, {failed} failed, 0 skipped", files.len() - failed);
    ensure!(failed == 0, "checkpatch.pl of Linux {} complains of {failed} files", source.version);
    Ok(())
}

fn complaints(script: &std::path::Path, file: &str) -> Result<String> {
    let mut command = Command::new("perl");
    command
        .arg(script)
        .args(["--strict", "--no-tree", "--no-summary", "--terse", "--quiet", "--show-types"])
        .current_dir(run::root());
    let ignored = ignored(file);
    if !ignored.is_empty() {
        command.arg("--ignore").arg(ignored.join(","));
    }
    let out = command.arg("-f").arg(file).output().context("cannot start perl")?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    // It ends with 1 where it complains; anything else is a fault of its own.
    let complained = !said.trim().is_empty();
    ensure!(
        out.status.success() || (complained && out.status.code() == Some(1)),
        "checkpatch.pl failed on {file}: {}",
        String::from_utf8_lossy(&out.stderr).trim()
    );
    Ok(said)
}

fn ignored(file: &str) -> Vec<&'static str> {
    let all = EXCEPTIONS.iter().chain([&DEFINES]);
    all.filter(|(path, _)| file.starts_with(path))
        .flat_map(|(_, kinds)| kinds.iter().copied())
        .collect()
}

/// All C of ours that is written for, or like, a kernel; tests of the header are plain C.
fn files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "kunit/*.[ch]", "include/*.h", "ffi/*.[ch]"]).current_dir(run::root());
    let listed = run::output(&mut git)?;
    let files: Vec<_> = listed.lines().map(str::to_owned).collect();
    ensure!(files.len() > 40, "git lists {} C files: is this a checkout?", files.len());
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_for_files_that_there_are() {
        let files = files().unwrap();
        for (path, _) in EXCEPTIONS.iter().chain([&DEFINES]) {
            assert!(files.iter().any(|file| file.starts_with(path)), "{path}");
        }
        assert!(ignored("kunit/mteswap_tags_kunit.c").is_empty());
        assert!(ignored("kunit/overlay/lib/mteswap/host.c").is_empty());
    }
}
