//! What runs in a guest that swaps beside the checks of `kunit/guest`: programs of others,
//! whose pages `kunit/pager` takes from them while they work.
//!
//! | file | holds |
//! |---|---|
//! | `selftests` | the kernel's own tests of MTE |
//! | `heap` | programs of Debian's under glibc's heap tagging |

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result};

use super::build::Kernel;
use crate::run;

pub(crate) mod heap;
pub(crate) mod selftests;

/// Swap for what follows, in an init.
const SWAP_ON: &str = "
echo lz4 > /sys/block/zram0/comp_algorithm
echo 256M > /sys/block/zram0/disksize || exit 1
mkswap /dev/zram0 > /dev/null && swapon /dev/zram0 || exit 1
";
const SWAP_OFF: &str = "swapoff /dev/zram0 || exit 1\n";
/// Begins a line that names the program whose lines follow.
const PROGRAM: &str = "mteswap-guest: program ";

/// What `kunit/pager` says at the end of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Paged {
    /// Pages written to swap, and read from it.
    out: u64,
    back: u64,
    /// KiB of memory with tags that were in swap at once, at most.
    tagged: u64,
    /// Of the program; 128 and its signal.
    status: i32,
}

impl Paged {
    /// From its line, as `pager: passes 3 out 2 in 1 tagged-kib 4 status 0`.
    fn find(lines: &[&str]) -> Option<Self> {
        let line =
            lines.iter().rev().find_map(|line| line.split_once("pager: passes ")?.1.into())?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |key: &str| {
            let at = words.iter().position(|word| *word == key)?;
            words.get(at + 1).copied()
        };
        Some(Self {
            out: after("out")?.parse().ok()?,
            back: after("in")?.parse().ok()?,
            tagged: after("tagged-kib")?.parse().ok()?,
            status: after("status")?.parse().ok()?,
        })
    }
}

/// The lines of each program that an init ran, by its name.
fn programs(lines: &[String]) -> Vec<(&str, Vec<&str>)> {
    let mut programs: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in lines {
        if let Some(name) = line.strip_prefix(PROGRAM) {
            programs.push((name.trim(), Vec::new()));
        } else if let Some((_, said)) = programs.last_mut() {
            said.push(line);
        }
    }
    programs
}

/// `kunit/pager`, static. Beside the kernel, whose compiler makes it.
fn pager(kernel: &Kernel<'_>) -> Result<PathBuf> {
    let program = kernel.out.join("mteswap-pager");
    let mut compiler = Command::new(format!("{}gcc", kernel.cross().unwrap_or_default()));
    compiler
        .args(["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-static", "-Wall", "-Wextra", "-Werror"])
        .arg(run::root().join("kunit/pager/pager.c"))
        .arg("-o")
        .arg(&program);
    run::run(&mut compiler).context("no pager for the guest")?;
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_paged_is_read_from_the_pagers_line() {
        let line = "pager: passes 3 out 20 in 10 tagged-kib 4 status 139";
        let paged = Paged { out: 20, back: 10, tagged: 4, status: 139 };
        assert_eq!(Paged::find(&["words", line, "ok 1"]), Some(paged));
        assert_eq!(Paged::find(&["words"]), None);
        assert_eq!(Paged::find(&["pager: passes 3 out 20 in"]), None);
    }

    #[test]
    fn lines_belong_to_the_program_before_them() {
        let lines: Vec<String> =
            ["boot", "mteswap-guest: program one", "ok 1", "mteswap-guest: program two"]
                .map(str::to_owned)
                .into();
        assert_eq!(programs(&lines), [("one", vec!["ok 1"]), ("two", vec![])]);
    }
}
