//! `cargo xtask dropin --heap`: python3 and sqlite3 of Debian's, their heaps tagged by glibc
//! and checked by the processor, paged out while they work. What they compute they check.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use super::{PROGRAM, Paged, SWAP_OFF, SWAP_ON, pager, programs};
use crate::{
    kernel::{
        apt::{self, Apt},
        cache::{Cache, remove},
        dropin::boot::{Machine, NO_RECORDS},
        initramfs::Initramfs,
        step::Step,
    },
    ktap::{self, Counts},
    run,
};

const MEMORY_MIB: u32 = 512;
/// A synchronous tag check fault: 128 and SIGSEGV.
const DIED: i32 = 139;
/// Every block of the heap has a tag of its own, and an access with another is a signal.
const TAGGED: &str = "GLIBC_TUNABLES=glibc.mem.tagging=3";
/// Each with the packages it comes in, and how it is started.
const WORKS: [Work; 2] = [
    Work {
        name: "python3",
        package: "python3.11-minimal",
        // Its own allocator takes memory past glibc's.
        command: "PYTHONMALLOC=malloc /mteswap-pager /usr/bin/python3.11 -SE /heap/heap.py",
    },
    Work {
        name: "sqlite3",
        package: "sqlite3",
        command: "/mteswap-pager /usr/bin/sqlite3 :memory: < /heap/heap.sql",
    },
];

struct Work {
    name: &'static str,
    package: &'static str,
    command: &'static str,
}

/// Runs each program in a kernel that keeps tags; or, where it is told to lose them by
/// `words`, expects each to die of that.
pub(crate) fn run(machine: &Machine<'_>, words: &str, dies: bool) -> Result<Counts> {
    let mut commands = format!("{SWAP_ON}export {TAGGED}\n");
    for work in &WORKS {
        commands += &format!("echo '{PROGRAM}{}'\n{}\n", work.name, work.command);
    }
    commands += &format!("unset GLIBC_TUNABLES\n{SWAP_OFF}{NO_RECORDS}\nexit 0");
    let mut initrd = machine.initramfs(&commands)?;
    initrd.add("mteswap-pager", &pager(machine.kernel)?)?;
    for file in ["heap.py", "heap.sql"] {
        initrd.add(&format!("heap/{file}"), &run::root().join("kunit/heap").join(file))?;
    }
    put(&mut initrd, &packages(machine.cache)?)?;
    let what = format!("programs with a tagged heap in QEMU {}", machine.qemu.version);
    let said = machine.boot(&what, &initrd, MEMORY_MIB, words, |_, _| {})?;
    let log = machine.console();
    let log = log.display();
    let ran = programs(&said.lines);
    let mut sum = Counts::default();
    for work in &WORKS {
        let Some((_, lines)) = ran.iter().find(|(program, _)| *program == work.name) else {
            bail!("{} did not run; {log}", work.name);
        };
        let (counts, paged) =
            judge(lines, dies).with_context(|| format!("{}; {log}", work.name))?;
        let word = if counts.failed == 0 { "ok      " } else { "FAILED  " };
        eprintln!(
            "{word} {:<24} {counts}; {} pages out, {} in, {} KiB of tagged heap in swap at once; \
             status {}",
            work.name, paged.out, paged.back, paged.tagged, paged.status
        );
        sum += counts;
    }
    machine.left_nothing(&said)?;
    ensure!(said.status == 0, "the guest's init failed with {}; {log}", said.status);
    Ok(sum)
}

/// Counts what one program said of its work.
fn judge(lines: &[&str], dies: bool) -> Result<(Counts, Paged)> {
    let paged = Paged::find(lines).context("did not end")?;
    ensure!(paged.out > 0, "nothing was swapped out");
    if dies {
        let died = usize::from(paged.status == DIED);
        return Ok((Counts { passed: died, failed: 1 - died, skipped: 0 }, paged));
    }
    ensure!(paged.back > 0, "nothing was swapped in");
    ensure!(paged.tagged > 0, "none of what was swapped had tags: is this glibc without them?");
    let report = ktap::read(&lines.join("\n"));
    let mut counts = Counts::of(report.tests.iter());
    if paged.status != 0 || !report.faults.is_empty() {
        // It died on the way: what it did not come to is not known to be right.
        counts.failed = counts.failed.max(1);
    }
    Ok((counts, paged))
}

/// Debian's packages for the guest, with all that they need, unpacked.
fn packages(cache: &Cache) -> Result<PathBuf> {
    let release = apt::release()?;
    cache.entry("heap", &release, |part| {
        let step = Step::begin("fetching python3 and sqlite3 for arm64");
        let lists = part.join("apt");
        let apt = Apt::new(&lists, &[&release], "arm64")?;
        for work in &WORKS {
            apt.unpack_with_dependencies(work.package, part)
                .with_context(|| format!("no {} for the guest to be had", work.name))?;
        }
        remove(&lists)?;
        step.done();
        Ok(())
    })
}

/// Programs, libraries and Python's modules; no documentation.
fn put(initrd: &mut Initramfs, root: &Path) -> Result<()> {
    for program in ["usr/bin/python3.11", "usr/bin/sqlite3"] {
        initrd.add(program, &root.join(program))?;
    }
    let libraries = ["lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu"];
    for folder in libraries {
        for entry in fs::read_dir(root.join(folder)).with_context(|| format!("no {folder}"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.contains(".so") && path.is_file() {
                // A link's file under the link's name: each is asked for by one of them.
                initrd.add(&format!("{folder}/{name}"), &path)?;
            }
        }
    }
    let loader = "lib/ld-linux-aarch64.so.1";
    initrd.add(loader, &root.join("lib/aarch64-linux-gnu/ld-linux-aarch64.so.1"))?;
    put_folder(initrd, root, "usr/lib/python3.11")
}

fn put_folder(initrd: &mut Initramfs, root: &Path, folder: &str) -> Result<()> {
    for entry in fs::read_dir(root.join(folder)).with_context(|| format!("no {folder}"))? {
        let path = entry?.path();
        let name = format!("{folder}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            put_folder(initrd, root, &name)?;
        } else if path.is_file() {
            initrd.add(&name, &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKED: [&str; 4] = ["KTAP version 1", "1..2", "ok 1 a", "ok 2 b"];

    fn with(lines: &[&'static str], ended: &'static str) -> Vec<&'static str> {
        lines.iter().copied().chain([ended]).collect()
    }

    #[test]
    fn a_program_that_died_has_failed() {
        let well = "pager: passes 9 out 9 in 9 tagged-kib 9 status 0";
        let (counts, _) = judge(&with(&WORKED, well), false).unwrap();
        assert_eq!(counts, Counts { passed: 2, failed: 0, skipped: 0 });
        let died = "pager: passes 9 out 9 in 9 tagged-kib 9 status 139";
        assert_eq!(judge(&with(&WORKED[..3], died), false).unwrap().0.failed, 1);
        assert_eq!(judge(&with(&WORKED[..3], well), false).unwrap().0.failed, 1);
        assert_eq!(judge(&with(&WORKED[..3], died), true).unwrap().0.failed, 0);
        assert_eq!(judge(&with(&WORKED, well), true).unwrap().0.failed, 1);
    }

    #[test]
    fn a_heap_that_was_not_swapped_shows_nothing() {
        for idle in [
            "pager: passes 9 out 0 in 0 tagged-kib 0 status 0",
            "pager: passes 9 out 9 in 0 tagged-kib 9 status 0",
            "pager: passes 9 out 9 in 9 tagged-kib 0 status 0",
        ] {
            assert!(judge(&with(&WORKED, idle), false).is_err(), "{idle}");
        }
        assert!(judge(&WORKED, false).is_err());
    }
}
