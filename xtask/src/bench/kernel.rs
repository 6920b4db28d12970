//! `cargo xtask bench --arch`: the bench inside a kernel, beside the kernel's own xarray.
//!
//! UML is timed; arm64's instructions are counted, by the clock of a QEMU that makes
//! each of them a nanosecond.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use super::{
    date, first_line,
    samples::{KERNEL, OURS},
};
use crate::{
    kernel::{
        build::{Arch, Kernel},
        cache::{Cache, remove},
        guest::{self, Guest},
        initramfs::Initramfs,
        kunit::{Run, UML_PATIENCE, arm64_object, configs, kunit_py, no_splats, suites_on},
        overlay::Overlay,
        qemu::Qemu,
        source::Source,
    },
    ktap::{self, Counts},
};

/// Begins each sample of `bench.c`.
const MARK: &str = "mteswap-bench:\t";
const DEPTHS: [&str; 2] = ["shallow", "deep"];
/// Each is a case of the suite.
pub(super) const CLASSES: [&str; 4] = ["one-tag", "mixture", "random", "real"];
const OPERATIONS: [&str; 16] = [
    "save, sequential",
    "restore, sequential",
    "invalidate, sequential",
    "restore, absent",
    "invalidate, absent",
    "save, random",
    "restore, random",
    "invalidate, random",
    "churn, random",
    "save, folios of 16",
    "restore, folios of 16",
    "invalidate, folios of 16",
    "save, folios of 512",
    "restore, folios of 512",
    "invalidate, folios of 512",
    "area, an entry",
];

/// How much of it.
#[derive(Clone, Copy)]
struct Load {
    entries: u32,
    rounds: u32,
}

impl Load {
    /// For the kernel's command line.
    fn words(self) -> [String; 2] {
        [
            format!("mteswap_bench.entries={}", self.entries),
            format!("mteswap_bench.rounds={}", self.rounds),
        ]
    }
}

/// um, depth, class, operation, store, nanoseconds a call.
pub(super) fn um(cache: &Cache, source: &Source, quick: bool) -> Result<String> {
    let load =
        if quick { Load { entries: 4096, rounds: 3 } } else { Load { entries: 65536, rounds: 21 } };
    let tree = Overlay::library("kunit")?.lay(cache, source)?;
    let kernel = Run { cache, source, filter: None }.um_kernel(&tree, "um-bench", None)?;
    let mut exec = kunit_py(&kernel, "exec");
    exec.args(["--timeout", &UML_PATIENCE.to_string()])
        .args(load.words().map(|word| format!("--kernel_args={word}")))
        .arg("mteswap_bench");
    let log = kernel.out.join("test.log");
    remove(&log)?;
    kernel.logged("measuring in UML", &mut exec)?;
    let console = fs::read_to_string(&log).context("UML left no console")?;
    no_splats(suites_on(console.lines()), &log)?;
    samples("um", &console, load).with_context(|| format!("see {}", log.display()))
}

/// arm64, depth, class, operation, store, instructions a call.
pub(super) fn arm64(cache: &Cache, source: &Source, qemu: &Qemu) -> Result<String> {
    // The same always: what is counted depends on it a little.
    let load = Load { entries: 8192, rounds: 1 };
    let tree = Overlay::library("kunit")?.lay(cache, source)?;
    let object = arm64_object()?;
    let mut kernel = Kernel::new(cache, &tree, Arch::Arm64, "bench")?;
    kernel.begin_with(cache, "suites")?;
    kernel.variable("MTESWAP_OBJECT", &object);
    kernel.configure(&configs(&["arm64.config", "bench.config"]))?;
    kernel.build("building arm64's kernel", &["Image"], &[&object])?;
    let log = kernel.out.join("console.log");
    let command = virt(cache, qemu, &kernel.out, load)?;
    let said = Guest::new(&format!("counting in QEMU {}", qemu.version), command, &log).run()?;
    no_splats(said.lines.iter().map(String::as_str), &log)?;
    samples("arm64", &said.lines.join("\n"), load).with_context(|| format!("see {}", log.display()))
}

/// One CPU, each of its instructions a nanosecond.
fn virt(cache: &Cache, qemu: &Qemu, out: &Path, load: Load) -> Result<Command> {
    let initrd = out.join("mteswap.cpio");
    Initramfs::new(cache, "arm64", &guest::init("exit 0"))?.write(&initrd)?;
    let words = load.words().join(" ");
    let mut machine = qemu.machine(1, 1024);
    machine
        .args(["-icount", "shift=0,sleep=off"])
        .arg("-kernel")
        .arg(out.join("arch/arm64/boot/Image"))
        .arg("-initrd")
        .arg(initrd)
        .arg("-append")
        .arg(format!("console=ttyAMA0 loglevel=7 panic=-1 {words}"));
    Ok(machine)
}

/// What arm64's counts depend on, in one line; the machine that QEMU runs on is not among it.
pub(super) fn machine(qemu: &Qemu, source: &Source) -> Result<String> {
    let (date, rustc, linux) = (date()?, rustc()?, &source.version);
    let gcc = first_line("aarch64-linux-gnu-gcc", "-dumpfullversion")?;
    let qemu = &qemu.version;
    Ok(format!("{date}; QEMU {qemu}, -icount shift=0; rustc {rustc}; gcc {gcc}; Linux {linux}."))
}

/// The name of the table that arm64's counts are held to: what they depend on.
pub(super) fn arm64_table(source: &Source) -> Result<String> {
    Ok(format!("guest-arm64-{}-{}", source.version, rustc()?))
}

/// The version of the compiler that the library for arm64 is built with.
fn rustc() -> Result<String> {
    let said = first_line("/usr/bin/rustc", "--version")?;
    Ok(said.split_whitespace().nth(1).context("rustc has no version")?.to_owned())
}

/// What the console says, as the other samples are: every row, each as often as there are
/// rounds, and every case passed.
fn samples(kind: &str, console: &str, load: Load) -> Result<String> {
    let report = ktap::read(console);
    let counts = Counts::of(report.cases());
    ensure!(report.faults.is_empty(), "{}", report.faults.join("; "));
    ensure!(
        counts.passed == CLASSES.len() && counts.total() == CLASSES.len(),
        "of {} cases: {counts}",
        CLASSES.len()
    );
    let (mut text, mut paces) = (String::new(), String::new());
    for line in console.lines().filter_map(|line| Some(line.split_once(MARK)?.1)) {
        let fields: Vec<_> = line.trim_end().split('\t').collect();
        let [_, depth, class, operation, store, ticks, calls, pace] = fields[..] else {
            anyhow::bail!("no sample: {line}");
        };
        let (ticks, calls, pace): (f64, f64, f64) = (ticks.parse()?, calls.parse()?, pace.parse()?);
        ensure!(calls == f64::from(load.entries), "{calls} calls of {}", load.entries);
        let row = format!("{kind}\t{depth}\t{class}\t{operation}\t{store}");
        writeln!(text, "{row}\t{:.3}", ticks / calls)?;
        // Where instructions are counted, there is none.
        if pace > 0.0 {
            writeln!(paces, "{row}, pace\t{:.3}", pace / 1000.0)?;
        }
    }
    let lines: Vec<_> = text.lines().collect();
    for depth in DEPTHS {
        for class in CLASSES {
            for operation in OPERATIONS {
                for store in [OURS, KERNEL] {
                    let row = format!("{kind}\t{depth}\t{class}\t{operation}\t{store}\t");
                    let nr = lines.iter().filter(|line| line.starts_with(&row)).count();
                    let row = row.trim_end().replace('\t', ", ");
                    ensure!(nr == load.rounds as usize, "{row}: {nr} samples of {}", load.rounds);
                }
            }
        }
    }
    let rows = DEPTHS.len() * CLASSES.len() * OPERATIONS.len() * 2 * load.rounds as usize;
    ensure!(lines.len() == rows, "{} samples of {rows}", lines.len());
    let nr = paces.lines().count();
    ensure!(nr == rows || nr == 0, "{nr} paces of {rows} samples");
    Ok(text + &paces)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load { entries: 100, rounds: 2 };

    fn console(without: usize, pace: u32) -> String {
        let mut text = "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: mteswap_bench\n\
                        \x20   1..4\n"
            .to_owned();
        let mut number = 0;
        for (case, class) in (1..).zip(CLASSES) {
            for (round, depth) in [(1, "deep"), (2, "deep"), (1, "shallow"), (2, "shallow")] {
                for operation in OPERATIONS {
                    for store in [OURS, KERNEL] {
                        number += 1;
                        if number != without {
                            text += &format!(
                                "{MARK}{round}\t{depth}\t{class}\t{operation}\t{store}\t1050\t100\t{pace}\n"
                            );
                        }
                    }
                }
            }
            text += &format!("    ok {case} {class}\n");
        }
        text + "ok 1 mteswap_bench\n"
    }

    #[test]
    fn every_row_is_counted() {
        let text = samples("um", &console(0, 0), LOAD).unwrap();
        assert_eq!(text.lines().count(), 4 * 2 * 16 * 2 * 2);
        assert!(text.starts_with("um\tdeep\tone-tag\tsave, sequential\tours\t10.500\n"));
        let paced = samples("um", &console(0, 650), LOAD).unwrap();
        assert_eq!(paced.lines().count(), 2 * text.lines().count());
        assert!(paced.contains("\num\tdeep\tone-tag\tsave, sequential\tours, pace\t0.650\n"));
        assert!(samples("um", &console(0, 650).replacen("\t650\n", "\t0\n", 1), LOAD).is_err());
        assert!(samples("um", &console(7, 0), LOAD).is_err());
        assert!(samples("um", &console(288, 0), LOAD).is_err());
    }

    #[test]
    fn a_case_that_fails_gives_no_figures() {
        assert!(samples("um", &console(0, 0).replace("    ok 2", "    not ok 2"), LOAD).is_err());
        assert!(samples("um", "", LOAD).is_err());
    }

    #[test]
    fn other_loads_than_asked_for_are_refused() {
        assert!(samples("um", &console(0, 0), Load { entries: 200, ..LOAD }).is_err());
        assert!(samples("um", &console(0, 0), Load { rounds: 3, ..LOAD }).is_err());
    }
}
