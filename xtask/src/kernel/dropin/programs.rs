//! Programs for the guest: those of `kunit/guest`, and any that a user brings.

use std::{fs, path::Path, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail, ensure};

use crate::{kernel::build::Kernel, run};

/// The checks, as one static program. Beside the kernel, whose compiler makes it.
pub(crate) fn checks(kernel: &Kernel<'_>) -> Result<PathBuf> {
    let program = kernel.out.join("mteswap-guest");
    let mut compiler = Command::new(format!("{}gcc", kernel.cross().unwrap_or_default()));
    compiler
        .args(["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-static", "-Wall", "-Wextra", "-Werror"])
        .args(["-march=armv8.5-a+memtag", "-o"])
        .arg(&program)
        .args(sources()?);
    run::run(&mut compiler)?;
    Ok(program)
}

/// The names of the checks, as their sources have them, in the order they run in.
pub(crate) fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for source in sources()? {
        let text = fs::read_to_string(&source)
            .with_context(|| format!("cannot read {}", source.display()))?;
        names.extend(text.lines().filter_map(name_in).map(str::to_owned));
    }
    ensure!(!names.is_empty(), "kunit/guest has no checks");
    names.sort();
    Ok(names)
}

fn name_in(line: &str) -> Option<&str> {
    Some(line.strip_prefix("CHECK(")?.split_once(',')?.0)
}

fn sources() -> Result<Vec<PathBuf>> {
    let folder = run::root().join("kunit/guest");
    let mut sources = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("no {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

/// # Errors
/// Where `path` is no program that the guest, which has no libraries, can run.
pub(crate) fn need_static_arm64(path: &Path) -> Result<()> {
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if let Err(what) = static_arm64(&content) {
        bail!("{} {what}: a static arm64 program is wanted", path.display());
    }
    Ok(())
}

/// What is wrong with a program for the guest.
fn static_arm64(elf: &[u8]) -> Result<(), &'static str> {
    const ARM64: u16 = 183;
    const INTERPRETER: u32 = 3;
    let half = |at: usize| {
        let bytes = elf.get(at..)?.first_chunk()?;
        Some(u16::from_le_bytes(*bytes))
    };
    let word = |at: usize| {
        let bytes = elf.get(at..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    };
    let long = |at: usize| {
        let bytes = elf.get(at..)?.first_chunk()?;
        usize::try_from(u64::from_le_bytes(*bytes)).ok()
    };
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return Err("is no little-endian ELF file of 64 bits");
    }
    if half(18) != Some(ARM64) {
        return Err("is for another processor");
    }
    let (Some(table), Some(size), Some(count)) = (long(32), half(54), half(56)) else {
        return Err("is cut off");
    };
    for number in 0..usize::from(count) {
        match table.checked_add(number * usize::from(size)).and_then(word) {
            None => return Err("is cut off"),
            Some(INTERPRETER) => return Err("is linked dynamically"),
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_found_by_their_names() {
        assert_eq!(name_in("CHECK(private_pages, ZRAM, 4096)"), Some("private_pages"));
        assert_eq!(name_in("#define CHECK(name, device, slots)"), None);
        let names = names().unwrap();
        assert!(names.len() > 30, "{names:?}");
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    }

    #[test]
    fn only_static_programs_for_arm64_are_taken() {
        let mut elf = vec![0_u8; 64 + 2 * 56];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = 183;
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = 2;
        assert_eq!(static_arm64(&elf), Ok(()));
        for length in 0..64 + 56 {
            assert!(static_arm64(&elf[..length]).is_err(), "{length} bytes");
        }
        elf[64 + 56] = 3;
        assert!(static_arm64(&elf).unwrap_err().contains("dynamically"));
        elf[18] = 62;
        assert!(static_arm64(&elf).unwrap_err().contains("processor"));
    }
}
