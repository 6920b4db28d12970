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

/// Cases that notice a missing pin only where two processors are in it at once: UML has one,
/// and QEMU's two take long turns.
const BY_CHANCE: [&str; 2] =
    ["pin_5_pin_7_one_holder_at_a_time", "pin_5_pin_8_hook_2_no_update_and_no_tag_is_lost"];
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
    let certain = |noticed: &Noticed| -> BTreeSet<Vec<String>> {
        let by = noticed.by.iter().filter(|path| !BY_CHANCE.contains(&path[1].as_str()));
        by.cloned().collect()
    };
    let (there, here) = (certain(wanted), certain(found));
    let missed: BTreeSet<_> = there.difference(&here).cloned().collect();
    let more: BTreeSet<_> = here.difference(&there).cloned().collect();
    for (cases, place) in [(&missed, "user space"), (&more, "the kernel")] {
        if !cases.is_empty() {
            eprintln!("{}: in {place} alone fail {}", wanted.fault, paths(cases));
        }
    }
    let agreed = there == here && !here.is_empty();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_cases_than_in_user_space_are_no_agreement() {
        let noticed = |by: &[&str]| Noticed {
            fault: "fault".to_owned(),
            cases: 9,
            by: by.iter().map(|name| vec!["suite".to_owned(), (*name).to_owned()]).collect(),
        };
        let agreed = |there: &[&str], here: &[&str]| {
            agree(&noticed(there), &noticed(here), Path::new("/nonexistent/log"))
        };
        assert!(agreed(&["a", "b"], &["a", "b"]));
        assert!(agreed(&["a", BY_CHANCE[0]], &["a"]));
        assert!(!agreed(&["a", "b"], &["a"]));
        assert!(!agreed(&["a"], &["a", "b"]));
        assert!(!agreed(&[], &[]));
        assert!(!agreed(&[BY_CHANCE[0]], &[BY_CHANCE[0]]));
    }
}
