//! `cargo xtask dropin --selftests`: the kernel's tools/testing/selftests/arm64/mte, their
//! pages swapped out while they run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use super::{PROGRAM, Paged, SWAP_OFF, SWAP_ON, pager, programs};
use crate::{
    kernel::{
        build::logged,
        dropin::boot::{Machine, NO_RECORDS},
        source::Source,
    },
    ktap::Counts,
};

/// For the tests' own needs: some fill memory by the megabyte.
const MEMORY_MIB: u32 = 1024;
/// In 6.12, MTE does not go with huge pages of hugetlbfs: the program says so and ends.
const SKIPS: [&str; 1] = ["check_hugetlb_options"];
/// What kselftest ends with where it skips everything.
const SKIPPED: i32 = 4;

/// Runs them all and says how each ended.
///
/// # Errors
/// Where one of them did not keep to its plan, or nothing was swapped.
pub(crate) fn run(machine: &Machine<'_>, source: &Source) -> Result<Counts> {
    let tests = build(machine, source)?;
    let mut commands = format!(
        "mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm\n{SWAP_ON}cd /selftests || exit 1\n"
    );
    for test in &tests {
        let name = name(test);
        commands += &format!("echo '{PROGRAM}{name}'\n/mteswap-pager ./{name}\n");
    }
    commands += &format!("{SWAP_OFF}{NO_RECORDS}\nexit 0");
    let mut initrd = machine.initramfs(&commands)?;
    initrd.add("mteswap-pager", &pager(machine.kernel)?)?;
    for test in &tests {
        initrd.add(&format!("selftests/{}", name(test)), test)?;
    }
    let what = format!("the kernel's selftests in QEMU {}", machine.qemu.version);
    let said = machine.boot(&what, &initrd, MEMORY_MIB, "", |_, _| {})?;
    let log = machine.console();
    let log = log.display();
    let ran = programs(&said.lines);
    let mut sum = Counts::default();
    for test in &tests {
        let name = name(test);
        let Some((_, lines)) = ran.iter().find(|(program, _)| *program == name) else {
            bail!("{name} did not run; {log}");
        };
        let (counts, paged) = judge(&name, lines).with_context(|| format!("{name}; {log}"))?;
        let word = if counts.failed == 0 { "ok      " } else { "FAILED  " };
        eprintln!("{word} {name:<24} {counts}; {} pages out, {} in", paged.out, paged.back);
        lines
            .iter()
            .filter(|line| line.starts_with("not ok "))
            .for_each(|line| eprintln!("{line}"));
        sum += counts;
    }
    machine.left_nothing(&said)?;
    ensure!(said.status == 0, "the guest's init failed with {}; {log}", said.status);
    Ok(sum)
}

/// Counts the results of one program and holds them to its plan.
fn judge(name: &str, lines: &[&str]) -> Result<(Counts, Paged)> {
    let paged = Paged::find(lines).context("did not end")?;
    let mut counts = Counts::default();
    if SKIPS.contains(&name) && paged.status == SKIPPED {
        ensure!(lines.iter().any(|line| line.starts_with("1..0 # SKIP")), "does not say why");
        counts.skipped = 1;
        return Ok((counts, paged));
    }
    for line in lines {
        if line.starts_with("not ok ") {
            counts.failed += 1;
        } else if line.starts_with("ok ") {
            *(if line.contains("# SKIP") { &mut counts.skipped } else { &mut counts.passed }) += 1;
        }
    }
    let plan = lines.iter().find_map(|line| line.strip_prefix("1..")?.trim().parse().ok());
    ensure!(plan == Some(counts.total()), "{} results of {plan:?}", counts.total());
    ensure!(counts.total() > 0, "no results");
    ensure!((paged.status == 0) == (counts.failed == 0), "status {}", paged.status);
    ensure!(paged.out > 0 && paged.back > 0, "nothing was swapped");
    Ok((counts, paged))
}

/// Has the tree's own makefiles build them, static, beside the kernel.
fn build(machine: &Machine<'_>, source: &Source) -> Result<Vec<PathBuf>> {
    let kernel = machine.kernel;
    let folder = kernel.out.join("selftests");
    fs::create_dir_all(folder.join("mte"))?;
    let headers = folder.join("usr");
    let mut make = kernel.make();
    make.arg("headers_install").arg(format!("INSTALL_HDR_PATH={}", headers.display()));
    logged("installing the kernel's headers", &mut make, &folder.join("headers.log"))?;
    let from = source.dir.join("tools/testing/selftests/arm64");
    let prefix = kernel.cross().unwrap_or_default();
    let mut make = kernel.prepared(Command::new("make"));
    make.arg("-C")
        .arg(&from)
        .args(["ARM64_SUBTARGETS=mte", "ARCH=arm64", "LDFLAGS=-pthread -static"])
        .arg(format!("CROSS_COMPILE={prefix}"))
        .arg(format!("CC={prefix}gcc"))
        .arg(format!("KHDR_INCLUDES=-isystem {}", headers.join("include").display()))
        .arg(format!("OUTPUT={}", folder.display()))
        .arg("all");
    logged("building the kernel's selftests", &mut make, &folder.join("selftests.log"))?;
    let mut tests = Vec::new();
    for entry in fs::read_dir(from.join("mte"))? {
        let file = entry?.path();
        let is_test = name(&file).starts_with("check_")
            && file.extension().is_some_and(|extension| extension == "c");
        if is_test {
            let program = folder.join("mte").join(file.file_stem().unwrap_or_default());
            ensure!(program.exists(), "{} was not built: gcc without MTE?", program.display());
            tests.push(program);
        }
    }
    ensure!(!tests.is_empty(), "{} has no tests", from.display());
    tests.sort();
    Ok(tests)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGED: &str = "pager: passes 3 out 20 in 10 tagged-kib 4 status 0";

    #[test]
    fn results_are_held_to_the_plan() {
        let (counts, _) = judge("check", &["1..2", "ok 1 a", "ok 2 b # SKIP", PAGED]).unwrap();
        assert_eq!(counts, Counts { passed: 1, failed: 0, skipped: 1 });
        for lines in [
            &["1..3", "ok 1 a", "ok 2 b", PAGED][..],
            &["ok 1 a", PAGED],
            &["1..1", "ok 1 a"],
            &["1..0 # SKIP words", "pager: passes 3 out 20 in 10 tagged-kib 4 status 4"],
            &["1..1", "not ok 1 a", PAGED],
            &["1..1", "ok 1 a", "pager: passes 0 out 0 in 0 tagged-kib 0 status 0"],
        ] {
            assert!(judge("check", lines).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn what_must_be_skipped_says_so() {
        let ended = "pager: passes 3 out 20 in 10 tagged-kib 4 status 4";
        assert!(judge(SKIPS[0], &["1..0 # SKIP words", ended]).is_ok());
        assert!(judge(SKIPS[0], &[ended]).is_err());
    }
}
