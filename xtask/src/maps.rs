//! The tag maps, and how they get into a kernel or a program: as a C file.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::run;

/// Bytes of the record of one 4 KiB page.
pub(crate) const RECORD: usize = 128;

/// Where the maps are: the folder named by `MTESWAP_TAG_MAPS`, else `tests/tags`.
pub(crate) fn dir() -> PathBuf {
    env::var_os("MTESWAP_TAG_MAPS")
        .map_or_else(|| run::root().join("tests/tags"), |dir| run::root().join(dir))
}

/// Every map in `dir`, by name.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in
        fs::read_dir(dir).with_context(|| format!("cannot read tag maps from {}", dir.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tags") {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "no tag map (*.tags) in {}", dir.display());
    files.sort();
    Ok(files)
}

/// Sees to it that the maps that come with the crate are those of their manifest: each is
/// there, of as many pages, and of the same sum.
pub(crate) fn check() -> Result<()> {
    let dir = run::root().join("tests/tags");
    let manifest = fs::read_to_string(dir.join("MANIFEST.tsv"))?;
    let mut sums = String::new();
    let mut named = Vec::new();
    for line in manifest.lines().skip(1) {
        let fields: Vec<_> = line.split('\t').collect();
        let [name, _, _, pages, _, sum] = fields[..] else {
            bail!("MANIFEST.tsv has a line of {} fields: {line}", fields.len());
        };
        let file = dir.join(name).with_extension("tags");
        let bytes = fs::metadata(&file).with_context(|| format!("no {}", file.display()))?.len();
        let pages: u64 = pages.parse().with_context(|| format!("{name}: {pages} pages"))?;
        ensure!(
            bytes == pages * RECORD as u64,
            "{name} has {bytes} bytes, not those of {pages} pages"
        );
        writeln!(sums, "{sum}  {}", file.display())?;
        named.push(file);
    }
    named.sort();
    ensure!(named == files(&dir)?, "MANIFEST.tsv does not name the maps in {}", dir.display());
    let list = run::root().join("target/mteswap/tags.sha256");
    fs::create_dir_all(run::root().join("target/mteswap"))?;
    fs::write(&list, sums)?;
    run::run(Command::new("sha256sum").args(["--check", "--quiet", "--strict"]).arg(list))
}

/// Writes [`c_file`] where it does not say the same already: what is made of it stays good.
pub(crate) fn write_c(dir: &Path, to: &Path) -> Result<()> {
    let code = c_file(dir)?;
    if fs::read_to_string(to).is_ok_and(|there| there == code) {
        return Ok(());
    }
    fs::write(to, code).with_context(|| format!("cannot write {}", to.display()))
}

/// The C file that defines `mteswap_kunit_maps()`. The records are taken in by the
/// assembler, so it is as quick for 6 MB as for one.
pub(crate) fn c_file(dir: &Path) -> Result<String> {
    let mut code = String::from("// SPDX-License-Identifier: MIT OR Apache-2.0\n");
    let mut table = String::new();
    code.push_str("/* Made by cargo xtask from the tag maps. */\n#include \"mteswap_kunit.h\"\n");
    for (i, file) in files(dir)?.iter().enumerate() {
        let size = fs::metadata(file)?.len() as usize;
        ensure!(
            size > 0 && size % RECORD == 0,
            "{} is no run of {RECORD}-byte records",
            file.display()
        );
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let path = fs::canonicalize(file)?;
        write!(
            code,
            "\nextern const u8 mteswap_kunit_map_{i}[];\n\
             asm(\".pushsection .rodata\\n\"\n    \".balign 8\\n\"\n    \
             \".globl mteswap_kunit_map_{i}\\n\"\n    \"mteswap_kunit_map_{i}:\\n\"\n    \
             \".incbin \\\"{}\\\"\\n\"\n    \".popsection\\n\");\n",
            path.display()
        )?;
        writeln!(table, "\t{{ {name:?}, mteswap_kunit_map_{i}, {} }},", size / RECORD)?;
    }
    write!(
        code,
        "\nstatic const struct mk_map maps[] = {{\n{table}\t{{}}\n}};\n\n\
         const struct mk_map *mteswap_kunit_maps(void)\n{{\n\treturn maps;\n}}\n"
    )?;
    Ok(code)
}
