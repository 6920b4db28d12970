//! `cargo xtask kunit --arch … --negative`: faults between the suites and the library, one
//! after the other, in a kernel. The cases that fail there are those that fail with the
//! same fault in user space.

use std::{collections::BTreeSet, path::Path, process::Command, time::Instant};

use anyhow::{Result, ensure};

use super::{
    build::{Arch, Kernel},
    cache::Cache,
    guest::{self, Guest},
    initramfs::Initramfs,
    kunit::{InKernel, Run, SHIFT, arm64_object, configs, tags_are_tags},
    overlay::Overlay,
    qemu::Qemu,
    source::Source,
};
use crate::{
    ktap,
    kunit::{self, Noticed},
};

/// What a guest does once the suites have run: nothing.
const NOTHING: &str = "true";

pub(crate) fn run(args: &InKernel, arch: Arch, filter: Option<&str>) -> Result<()> {
    ensure!(
        !(args.module || args.debug || args.rust),
        "--negative is not for --module, --debug or --rust"
    );
    let begun = Instant::now();
    let cache = Cache::open()?;
    let source = Source::find(&cache, args.kernel.as_deref())?;
    let wanted = kunit::noticed_in_user_space(SHIFT, filter)?;
    let run = Run { cache: &cache, source: &source, filter };
    let failed = match arch {
        Arch::Um => um(&run, &wanted)?,
        Arch::Arm64 => arm64(&run, &wanted)?,
    };
    eprintln!("Linux {}: {:.1} s", source.version, begun.elapsed().as_secs_f32());
    println!("{} passed, {failed} failed, 0 skipped", wanted.len() - failed);
    ensure!(failed == 0, "{failed} faults are not noticed as they are in user space");
    Ok(())
}

fn um(run: &Run<'_>, wanted: &[Noticed]) -> Result<usize> {
    let tree = Overlay::library("kunit")?.lay(run.cache, run.source)?;
    let kernel = run.um_kernel(&tree, "um-faults", None)?;
    each(wanted, &kernel, None, |words| {
        let mut uml = run.uml(&kernel, NOTHING)?;
        uml.arg(words);
        Ok(uml)
    })
}

fn arm64(run: &Run<'_>, wanted: &[Noticed]) -> Result<usize> {
    let qemu = Qemu::find(run.cache)?;
    let tree = Overlay::library("kunit")?.lay(run.cache, run.source)?;
    let object = arm64_object()?;
    let mut kernel = Kernel::new(run.cache, &tree, Arch::Arm64, "faults")?;
    kernel.begin_with(run.cache, "suites")?;
    kernel.variable("MTESWAP_OBJECT", &object);
    kernel.configure(&configs(&["arm64.config", "suites.config", "faults.config"]))?;
    kernel.build("building arm64's kernel", &["Image"], &[&object])?;
    let initrd = Initramfs::new(run.cache, "arm64", &guest::init(NOTHING))?;
    each(wanted, &kernel, Some(&qemu), |words| run.machine(&qemu, &kernel, &initrd, words))
}

/// Boots once for each fault, and once without one; returns how many of them other cases
/// noticed than should.
fn each(
    wanted: &[Noticed],
    kernel: &Kernel<'_>,
    qemu: Option<&Qemu>,
    machine: impl Fn(&str) -> Result<Command>,
) -> Result<usize> {
    let log = kernel.out.join("faults.log");
    let boot = |name: &str, fault: &str| -> Result<Noticed> {
        let command = machine(&format!("mteswap_kunit_tests.fault={fault}"))?;
        let said = Guest::new(name, command, &log).run()?;
        if let Some(qemu) = qemu {
            tags_are_tags(&said, qemu, &log)?;
        }
        let report = ktap::read(&said.lines.join("\n"));
        ensure!(report.faults.is_empty(), "{}; {}", report.faults.join("; "), log.display());
        Ok(Noticed::new(fault, &report))
    };
    let sound = boot("no fault", "none")?;
    ensure!(sound.by.is_empty(), "the suites fail without any fault: {}", paths(&sound.by));
    let mut failed = 0;
    for one in wanted {
        let found = boot(&one.fault, &one.fault)?;
        ensure!(found.cases == one.cases, "{} of {} cases reported", found.cases, one.cases);
        eprintln!("{found}");
        failed += usize::from(!agree(one, &found, &log));
    }
    Ok(failed)
}

/// True where the cases of `found` are those of `wanted`, and there are some.
fn agree(wanted: &Noticed, found: &Noticed, log: &Path) -> bool {
    for (by, where_to) in [(&wanted.by, "user space"), (&found.by, "the kernel")] {
        let other = if std::ptr::eq(by, &wanted.by) { &found.by } else { &wanted.by };
        let alone: BTreeSet<_> = by.difference(other).cloned().collect();
        if !alone.is_empty() {
            eprintln!("{}: in {where_to} alone fail {}", wanted.fault, paths(&alone));
        }
    }
    let agreed = wanted.by == found.by && !found.by.is_empty();
    if !agreed {
        // The next boot writes over it.
        let kept = log.with_file_name(format!("faults-{}.log", wanted.fault));
        if std::fs::copy(log, &kept).is_ok() {
            eprintln!("its console is in {}", kept.display());
        }
    }
    agreed
}

fn paths(cases: &BTreeSet<Vec<String>>) -> String {
    cases.iter().map(|path| path.join(".")).collect::<Vec<_>>().join(", ")
}
