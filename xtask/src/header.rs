//! `cargo xtask header`: makes `include/mteswap.h` from `ffi`; with `--check`, that the
//! committed one is that, stands alone in every dialect of C it is meant for, and says to C
//! what `ffi` says to Rust.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    deps,
    library::{self, HOOKS, PAGE_SHIFTS},
    run,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail where the committed header is not the one that would be made
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let made = run::output(tool()?.arg("header").arg(run::root().join("ffi")))?;
    if !args.check {
        return fs::write(header(), made).context("cannot write include/mteswap.h");
    }
    let committed = fs::read_to_string(header()).context("cannot read include/mteswap.h")?;
    if let Some(line) = first_difference(&committed, &made) {
        bail!("include/mteswap.h:{line} is not what ffi says: run `cargo xtask header`");
    }
    println!("include/mteswap.h is what cbindgen makes of ffi");
    compile()?;
    round_trip()
}

fn header() -> PathBuf {
    run::root().join("include/mteswap.h")
}

/// The program around cbindgen and bindgen, built where it is not.
fn tool() -> Result<Command> {
    let package = ["--quiet", "--package", "mteswap-header"];
    run::run(Command::new("cargo").arg("build").args(package).current_dir(run::root()))?;
    let mut command = Command::new("cargo");
    command.arg("run").args(package).arg("--").current_dir(run::root());
    Ok(command)
}

fn first_difference(left: &str, right: &str) -> Option<usize> {
    let (mut left, mut right) = (left.split('\n'), right.split('\n'));
    for number in 1.. {
        match (left.next(), right.next()) {
            (None, None) => break,
            (one, other) if one != other => return Some(number),
            _ => {}
        }
    }
    None
}

/// Compiles the header, and the one for kernels, by themselves.
fn compile() -> Result<()> {
    deps::need("c++", "g++")?;
    let cc = library::compiler()?;
    let dialects = [
        (cc.as_str(), "c", "c99"),
        (cc.as_str(), "c", "c11"),
        (cc.as_str(), "c", "c17"),
        ("c++", "c++", "c++17"),
    ];
    for (compiler, language, dialect) in dialects {
        for shift in PAGE_SHIFTS {
            for extra in [&[][..], &["-ffreestanding"]] {
                run::run(
                    Command::new(compiler)
                        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"])
                        .arg(format!("-std={dialect}"))
                        .arg(format!("-DMTESWAP_PAGE_SHIFT={shift}"))
                        .args(extra)
                        .args(["-x", language])
                        .arg(header()),
                )?;
            }
        }
    }
    println!("it compiles alone: C99, C11, C17, C++17, each hosted and freestanding");
    Ok(())
}

/// Reads the header with bindgen and has rustc compare every function, structure and constant
/// with those of `ffi`.
fn round_trip() -> Result<()> {
    if let Err(error) = deps::need_file(&libclang(), "libclang-dev") {
        println!("skipped: the round trip through bindgen: no libclang here ({error:#})");
        return Ok(());
    }
    let dir = run::root().join("target/mteswap/bindings");
    fs::create_dir_all(&dir)?;
    for kind in ["types", "functions"] {
        let bindings = run::output(tool()?.args(["bindings", kind]).arg(header()))?;
        fs::write(dir.join(kind).with_extension("rs"), bindings)?;
    }
    let check = dir.join("check.rs");
    fs::write(&check, comparison(&fs::read_to_string(dir.join("types.rs"))?)?)?;
    run::run(
        Command::new("cargo")
            .args(["check", "--quiet", "--locked", "--manifest-path"])
            .arg(run::root().join("ffi/Cargo.toml"))
            .arg("--target-dir")
            .arg(dir.join("cargo"))
            // What bindgen writes is not ours to lint; the rest is linted where it is built.
            .env("RUSTFLAGS", "--cfg mteswap_bindings --cap-lints=allow")
            .env("MTESWAP_BINDINGS", &check)
            .env_remove("MTESWAP_PAGE_SHIFT"),
    )
    .context("bindgen reads the header otherwise than ffi means it")?;
    println!(
        "bindgen reads {} functions and {} hooks, structures and constants from it as ffi has them",
        library::exports()?.len(),
        HOOKS.len()
    );
    Ok(())
}

fn libclang() -> PathBuf {
    let set = std::env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    set.unwrap_or_else(|| {
        // Where Debian's package of whatever version links it from.
        let folder = PathBuf::from("/usr/lib/llvm-14/lib/libclang.so");
        let versions = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        versions
            .map(|entry| entry.path().join("lib/libclang.so"))
            .find(|path| path.exists())
            .unwrap_or(folder)
    })
}

/// Rust that compiles where both sides agree.
fn comparison(types: &str) -> Result<String> {
    let mut text = String::from(
        "mod types { include!(\"types.rs\"); }\n\
         mod functions { use super::ours::*; include!(\"functions.rs\"); }\n",
    );
    let names = library::exports()?.into_iter().chain(HOOKS.map(str::to_owned));
    for name in names {
        // Two functions fit one array where their types are the same.
        text += &format!("const _: () = {{ let _ = [ours::{name}, functions::{name}]; }};\n");
    }
    for (name, fields) in structures(types) {
        text += &format!(
            "const _: () = assert!(size_of::<ours::{name}>() == size_of::<types::{name}>() \
             && align_of::<ours::{name}>() == align_of::<types::{name}>());\n"
        );
        for field in fields {
            text += &format!(
                "const _: () = assert!(core::mem::offset_of!(ours::{name}, {field}) == \
                 core::mem::offset_of!(types::{name}, {field}));\n"
            );
        }
    }
    for name in constants(types) {
        text += &format!("const _: () = assert!(ours::{name} as u64 == types::{name} as u64);\n");
    }
    ensure!(
        text.contains("mteswap_stats,") && text.contains("MTESWAP_ABI"),
        "bindgen found nothing"
    );
    Ok(text)
}

/// Structures with fields that bindgen saw, and their fields.
fn structures(types: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut lines = types.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.trim().strip_prefix("pub struct ") else { continue };
        let name = name.trim_end_matches(" {").to_owned();
        let fields = lines
            .by_ref()
            .take_while(|line| line.trim() != "}")
            .filter_map(|line| {
                Some(line.trim().strip_prefix("pub ")?.split_once(':')?.0.to_owned())
            })
            .collect::<Vec<_>>();
        if !fields.is_empty() {
            found.push((name, fields));
        }
    }
    found
}

/// Constants that bindgen saw and `ffi` has. What the header derives from the page size, `ffi`
/// has too, for this.
fn constants(types: &str) -> impl Iterator<Item = &str> {
    types
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub const ")?.split_once(':'))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("MTESWAP_"))
}
