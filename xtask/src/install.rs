//! The C library where programs look for it: `cargo xtask lib --prefix DIR`, and the check that
//! pkg-config finds it there.
//!
//! Not through cargo-c, which installs what cargo makes of a crate. Of `ffi` that would be a shared
//! library with the exports and no more (tried: `cargo rustc --crate-type cdylib`), but without
//! the hosted hooks, which are C; and an archive of 301 members with 440 global symbols, of `core`
//! and of the compiler's helpers, where ours is linked to one object whose exports and hooks alone
//! are global. There would be two libraries by one name.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{
    deps,
    library::{Library, PAGE_SHIFTS, compiler},
    maps, run,
};

/// The library's name for the loader: it changes with `MTESWAP_ABI`.
///
/// # Errors
/// Where the header does not say what that is.
pub(crate) fn soname() -> Result<String> {
    let header = fs::read_to_string(run::root().join("include/mteswap.h"))?;
    let abi = header.lines().find_map(|line| line.strip_prefix("#define MTESWAP_ABI "));
    Ok(format!("libmteswap.so.{}", abi.context("include/mteswap.h has no MTESWAP_ABI")?))
}

/// A pkg-config file: variables, and what a compiler and a linker need.
pub(crate) fn pkg_config(variables: &str, cflags: &str, libs: &str) -> String {
    format!(
        "{variables}\n\n\
         Name: mteswap\n\
         Description: Keeps the Arm MTE tags of swapped-out pages\n\
         Version: {}\n\
         Cflags: {cflags}\n\
         Libs: {libs}\n",
        env!("CARGO_PKG_VERSION"),
    )
}

/// Copies header, libraries and pkg-config file below `prefix`.
///
/// # Errors
/// Where that cannot be written to.
pub(crate) fn install(library: &Library, prefix: &Path) -> Result<()> {
    let prefix = std::path::absolute(prefix)?;
    let folder = |name: &str| -> Result<PathBuf> {
        let folder = prefix.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    };
    let (include, lib, pc) = (folder("include")?, folder("lib")?, folder("lib/pkgconfig")?);
    fs::copy(run::root().join("include/mteswap.h"), include.join("mteswap.h"))?;
    fs::copy(library.archive(), lib.join("libmteswap.a"))?;
    let name = soname()?;
    fs::copy(library.dir().join("libmteswap.so"), lib.join(&name))?;
    link(&name, &lib.join("libmteswap.so"))?;
    let variables = format!(
        "prefix={}\nincludedir=${{prefix}}/include\nlibdir=${{prefix}}/lib",
        prefix.display()
    );
    let cflags = format!("-I${{includedir}} {}", library.page_size_flag());
    fs::write(pc.join("mteswap.pc"), pkg_config(&variables, &cflags, "-L${libdir} -lmteswap"))?;
    Ok(())
}

/// Makes `at` a symbolic link to `name` beside it.
pub(crate) fn link(name: &str, at: &Path) -> Result<()> {
    if fs::symlink_metadata(at).is_ok() {
        fs::remove_file(at)?;
    }
    std::os::unix::fs::symlink(name, at).with_context(|| format!("cannot make {}", at.display()))
}

/// For every page size: installs, builds `tests/c/wire.c` by what pkg-config says, against the
/// shared library and the static one, and runs it on a real map. With the header told another
/// page size than the library's, the program must refuse.
///
/// # Errors
/// What failed first.
pub(crate) fn check() -> Result<()> {
    deps::need("pkg-config", "pkg-config")?;
    let map = maps::files(&maps::dir())?.swap_remove(0);
    for shift in PAGE_SHIFTS {
        let library = Library::new(None, shift)?;
        library.build()?;
        let prefix = library.dir().join("prefix");
        install(&library, &prefix)?;
        let program = Program { prefix: &prefix, name: prefix.join("wire") };
        let mut printed = Vec::new();
        for linkage in ["--shared", "--static"] {
            program.build(linkage, &[])?;
            printed.push(run::output(program.command().arg(&map))?);
        }
        let [shared, fixed] = printed.as_slice() else { continue };
        ensure!(shared == fixed, "shared: {shared:?}, static: {fixed:?}");
        let pages = fs::metadata(&map)?.len() >> (shift - 5);
        ensure!(shared.starts_with(&format!("{pages} pages: ")), "{pages} pages, but {shared:?}");
        print!("pages of {} KiB: {shared}", 1 << (shift - 10));
        let other = if shift == PAGE_SHIFTS[0] { PAGE_SHIFTS[1] } else { PAGE_SHIFTS[0] };
        let other = format!("-DMTESWAP_PAGE_SHIFT={other}");
        program.build("--shared", &["-UMTESWAP_PAGE_SHIFT", &other])?;
        let refused = program.command().arg(&map).output()?;
        let said = String::from_utf8_lossy(&refused.stderr);
        ensure!(
            refused.status.code() == Some(1) && said.contains("not that of the library"),
            "a header of another page size went unnoticed: {}, {said:?}",
            refused.status
        );
    }
    Ok(())
}

/// The C program of the check.
struct Program<'a> {
    prefix: &'a Path,
    name: PathBuf,
}

impl Program<'_> {
    /// Compiles and links it with pkg-config's flags and, behind those, `more`.
    fn build(&self, linkage: &str, more: &[&str]) -> Result<()> {
        let mut query = Command::new("pkg-config");
        query
            .args(["--cflags", "--libs", "mteswap"])
            .env("PKG_CONFIG_PATH", self.prefix.join("lib/pkgconfig"));
        let fixed = linkage == "--static";
        if fixed {
            query.arg(linkage);
        }
        let flags = run::output(&mut query)?;
        let mut cc = Command::new(compiler()?);
        cc.args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1"])
            .arg("-o")
            .arg(&self.name)
            .arg(run::root().join("tests/c/wire.c"))
            .args(flags.split_whitespace())
            .args(more)
            .args(fixed.then_some("-static"));
        run::run(&mut cc)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.name);
        command.env("LD_LIBRARY_PATH", self.prefix.join("lib"));
        command
    }
}
