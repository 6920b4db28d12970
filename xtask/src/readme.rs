//! The README's C program: compiled as it says, run, and held to the output it shows.
//!
//! Its Rust program is a doc test of the crate.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{
    library::{Library, PAGE_SHIFTS, compiler},
    run,
};

/// # Errors
/// Where the program does not compile without a warning, or prints something else.
pub(crate) fn check() -> Result<()> {
    let readme = fs::read_to_string(run::root().join("README.md"))?;
    let program = block(&readme, "```c\n").context("README.md has no C program")?;
    let shown = block(&readme, "```text\n$ ./").context("README.md shows no output")?;
    let (_, shown) = shown.split_once('\n').context("README.md shows no output")?;

    let library = Library::new(None, PAGE_SHIFTS[0])?;
    library.build()?;
    let dir = run::root().join("target/mteswap/readme");
    fs::create_dir_all(&dir)?;
    let source = dir.join("example.c");
    fs::write(&source, program)?;
    let example = dir.join("example");
    run::run(
        Command::new(compiler()?)
            .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
            .arg(&source)
            .args(library.flags())
            .arg("-o")
            .arg(&example),
    )?;
    let printed = run::output(&mut Command::new(&example))?;
    ensure!(printed == shown, "README.md shows {shown:?}; its program prints {printed:?}");
    Ok(())
}

/// What stands between the line `open` and the end of its block.
fn block<'a>(page: &'a str, open: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(open)?;
    rest.split_once("```").map(|(block, _)| block)
}
