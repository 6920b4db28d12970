//! `cargo xtask kunit --arch`: the suites in a kernel.
//!
//! What has to report is what the same files report in user space, case by case and
//! parameter by parameter.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    build::{Arch, Kernel, jobs},
    cache::{Cache, write_if_other},
    guest::{self, Guest},
    initramfs::Initramfs,
    overlay::{Overlay, Tree},
    qemu::Qemu,
    rust::Tools,
    source::Source,
};
use crate::{
    ktap::{self, Counts, Report},
    library::Library,
    results::Outcome,
    run,
};

/// Of the kernels' pages.
pub(super) const SHIFT: u32 = 12;
/// What arm64's kernel is told to link.
const ARM64: &str = "aarch64-unknown-none-softfloat";
/// The plain UML, from which others are made.
const UM: &str = "um";
/// What a configuration says that is for a library without two of the hooks.
const NO_ENTER: &str = "CONFIG_MTESWAP_NO_ENTER=y";
/// `check.c` says so once it has seen it.
pub(super) const TAGS_ARE_TAGS: &str = "mteswap: each granule of a page has a tag of its own";
/// Seconds that kunit.py gives UML.
pub(crate) const UML_PATIENCE: u32 = 600;

#[derive(clap::Args)]
pub(crate) struct InKernel {
    /// Run them in a Linux 6.12 kernel: UML, or arm64 with MTE in QEMU
    #[arg(long, conflicts_with_all = ["list", "page_shift", "asan"])]
    pub(crate) arch: Option<Arch>,
    /// As a module made outside of the tree: loaded, unloaded, loaded again (arm64)
    #[arg(long, requires = "arch", conflicts_with = "debug")]
    pub(super) module: bool,
    /// With KASAN, KMEMLEAK, DEBUG_ATOMIC_SLEEP and PROVE_LOCKING (um)
    #[arg(long, requires = "arch")]
    pub(super) debug: bool,
    /// With CONFIG_RUST=y: a module in Rust, and its tests, beside the suites (um)
    #[arg(long, requires = "arch", conflicts_with_all = ["module", "debug", "filter"])]
    pub(super) rust: bool,
    /// A Linux 6.12 tree to use instead of Debian's package; it is left as it is
    #[arg(long, value_name = "DIR", requires = "arch")]
    pub(super) kernel: Option<PathBuf>,
}

/// One run of the suites in a kernel.
pub(crate) struct Run<'a> {
    pub(crate) cache: &'a Cache,
    pub(crate) source: &'a Source,
    pub(crate) filter: Option<&'a str>,
}

pub(crate) fn run(args: &InKernel, arch: Arch, filter: Option<&str>) -> Result<()> {
    ensure!(!args.module || arch == Arch::Arm64, "--module is for --arch arm64");
    ensure!(!args.debug || arch == Arch::Um, "--debug is for --arch um");
    ensure!(!args.rust || arch == Arch::Um, "--rust is for --arch um");
    let begun = Instant::now();
    let cache = Cache::open()?;
    let source = Source::find(&cache, args.kernel.as_deref())?;
    let mut wanted = crate::kunit::in_user_space(SHIFT, filter)?;
    if args.rust {
        wanted.tests.extend(rust_cases()?);
    }
    let run = Run { cache: &cache, source: &source, filter };
    let documents = match arch {
        Arch::Um if args.debug => run.um_debug()?,
        Arch::Um => run.um(args.rust)?,
        Arch::Arm64 if args.module => run.arm64_module()?,
        Arch::Arm64 => run.arm64()?,
    };
    let mut sum = Counts::default();
    let mut faults = Vec::new();
    for document in &documents {
        let report = ktap::read(document);
        sum += show(&report);
        let missing = missing(&wanted, &report);
        sum.failed += missing.iter().filter(|path| path.len() == 2).count();
        faults.extend(missing.iter().map(|path| format!("{} reported no result", path.join("."))));
        faults.extend(report.faults);
    }
    faults.iter().for_each(|fault| eprintln!("{fault}"));
    let leaves = wanted.leaves().count();
    eprintln!(
        "Linux {}: {} cases, {leaves} with parameters, as in user space; {} times; {:.1} s",
        source.version,
        wanted.cases().count(),
        documents.len(),
        begun.elapsed().as_secs_f32()
    );
    println!("{sum}");
    ensure!(faults.is_empty(), "the kernel did not report what user space does");
    ensure!(sum.total() == documents.len() * wanted.cases().count(), "not every case was counted");
    ensure!(sum.failed == 0, "{} cases failed", sum.failed);
    Ok(())
}

impl Run<'_> {
    /// UML, made and run by the kernel's own kunit.py.
    fn um(&self, rust: bool) -> Result<Vec<String>> {
        let tree = Overlay::library("kunit")?.lay(self.cache, self.source)?;
        let kernel = if rust {
            self.um_kernel(&tree, "um-rust", Some(&Tools::find(self.cache)?))?
        } else {
            self.um_kernel(&tree, UM, None)?
        };
        let mut exec = kunit_py(&kernel, "exec");
        exec.args(["--timeout", &UML_PATIENCE.to_string()]).args(self.filter);
        let log = kernel.out.join("test.log");
        super::cache::remove(&log)?;
        let ended = kernel.logged("running the suites in UML", &mut exec);
        let console = fs::read_to_string(&log).unwrap_or_default();
        if let Some(panic) = console.lines().find(|line| line.contains("Kernel panic")) {
            bail!("UML panicked: {}; its console is in {}", panic.trim(), log.display());
        }
        // Failed cases are told of with the others; anything else is the end of it.
        if ended.is_err() && ktap::read(&console).cases().all(|c| c.outcome != Outcome::Failed) {
            ended?;
        }
        no_splats(suites_on(console.lines()), &log)?;
        Ok(vec![console])
    }

    /// UML with everything that looks for faults, and after the suites a look for leaks.
    fn um_debug(&self) -> Result<Vec<String>> {
        let tree = Overlay::library("kunit")?.lay(self.cache, self.source)?;
        let kernel = self.um_kernel(&tree, "um-debug", None)?;
        let uml = self.uml(&kernel, LOOK_FOR_LEAKS)?;
        let log = kernel.out.join("console.log");
        let said = Guest::new("running the suites in UML", uml, &log).run()?;
        no_splats(suites_on(said.lines.iter().map(String::as_str)), &log)?;
        left_nothing(&said, &log)?;
        Ok(vec![said.lines.join("\n")])
    }

    /// UML as a program that runs the suites and then `commands`.
    pub(super) fn uml(&self, kernel: &Kernel<'_>, commands: &str) -> Result<Command> {
        let initrd = kernel.out.join("mteswap.cpio");
        let architecture = super::apt::host_architecture()?;
        Initramfs::new(self.cache, &architecture, &guest::init(commands))?.write(&initrd)?;
        let mut uml = Command::new(kernel.out.join("linux"));
        uml.args(["mem=1G", "con0=fd:0,fd:1", "con=null", "loglevel=7"])
            .arg(format!("initrd={}", initrd.display()))
            .args(self.filter.map(|filter| format!("kunit.filter_glob={filter}")));
        Ok(uml)
    }

    /// Configured and made by kunit.py, unless that has been done and nothing has changed.
    pub(crate) fn um_kernel<'t>(
        &self,
        tree: &'t Tree,
        name: &str,
        rust: Option<&Tools>,
    ) -> Result<Kernel<'t>> {
        let config = run::root().join("kunit/configs").join(name).with_extension("kunitconfig");
        let asked = fs::read_to_string(&config)
            .with_context(|| format!("cannot read {}", config.display()))?;
        let mut library = Library::new(None, SHIFT)?;
        if asked.lines().any(|line| line == NO_ENTER) {
            library = library.without_enter();
        }
        library.build()?;
        let object = library.object();
        let mut kernel = Kernel::new(self.cache, tree, Arch::Um, name)?;
        if name != UM && rust.is_none() {
            kernel.begin_with(self.cache, UM)?;
        }
        kernel.variable("MTESWAP_OBJECT", &object);
        if let Some(tools) = rust {
            tools.hand_to(&mut kernel);
        }
        kernel.once("kunit.py", &[&object, &config], |kernel| {
            // Where each verb of kunit.py looks for it.
            write_if_other(&kernel.out.join(".kunitconfig"), asked.as_bytes())?;
            kernel
                .logged("configuring UML", with_object(&mut kunit_py(kernel, "config"), kernel))?;
            let mut make = kunit_py(kernel, "build");
            make.arg(jobs().replace("-j", "--jobs="));
            kernel.logged("building UML", with_object(&mut make, kernel))?;
            kernel.check_config(&asked)
        })?;
        Ok(kernel)
    }

    /// arm64 in QEMU, the suites built in.
    fn arm64(&self) -> Result<Vec<String>> {
        let qemu = Qemu::find(self.cache)?;
        let tree = Overlay::library("kunit")?.lay(self.cache, self.source)?;
        let object = arm64_object()?;
        let mut kernel = Kernel::new(self.cache, &tree, Arch::Arm64, "suites")?;
        kernel.variable("MTESWAP_OBJECT", &object);
        kernel.configure(&configs(&["arm64.config", "suites.config"]))?;
        kernel.build("building arm64's kernel", &["Image"], &[&object])?;
        let initrd = Initramfs::new(self.cache, "arm64", &guest::init(LOOK_FOR_LEAKS))?;
        let said = self.boot(&qemu, &kernel, &initrd)?;
        Ok(vec![said.lines.join("\n")])
    }

    /// arm64 in QEMU, the suites as a module made outside of the tree.
    fn arm64_module(&self) -> Result<Vec<String>> {
        let qemu = Qemu::find(self.cache)?;
        let tree = Overlay::library("kunit")?.lay(self.cache, self.source)?;
        let object = arm64_object()?;
        // Nothing of the tree's lib/mteswap is in this kernel.
        let mut kernel = Kernel::new(self.cache, &tree, Arch::Arm64, "modules")?;
        kernel.begin_with(self.cache, "suites")?;
        kernel.configure(&configs(&["arm64.config"]))?;
        kernel.build("building arm64's kernel", &["Image", "modules"], &[])?;

        let folder = kernel.out.join("mteswap-module");
        Overlay::library("module")?.lay_out(&folder)?;
        kernel.variable("MTESWAP_OBJECT", &object);
        let mut make = kernel.make();
        make.arg(format!("M={}", folder.join("lib/mteswap").display()))
            .args(["CONFIG_MTESWAP=m", "CONFIG_MTESWAP_KUNIT_TEST=m", "CONFIG_MTESWAP_BOOKS=y"])
            .args([&jobs(), "modules"]);
        kernel.logged("building the module outside of the tree", &mut make)?;

        let mut initrd = Initramfs::new(
            self.cache,
            "arm64",
            &guest::init(&format!("{LOAD_TWICE}{LOOK_FOR_LEAKS}")),
        )?;
        for module in ["mteswap.ko", "mteswap_kunit_tests.ko"] {
            initrd.add(module, &folder.join("lib/mteswap").join(module))?;
        }
        let said = self.boot(&qemu, &kernel, &initrd)?;
        let console = kernel.out.join("console.log");
        let all = said.lines.join("\n");
        let loads: Vec<_> = all.split(LOADING).skip(1).map(str::to_owned).collect();
        ensure!(loads.len() == 2, "{} loads of two; {}", loads.len(), console.display());
        Ok(loads)
    }

    fn boot(&self, qemu: &Qemu, kernel: &Kernel<'_>, initrd: &Initramfs) -> Result<guest::Said> {
        let machine = self.machine(qemu, kernel, initrd, "")?;
        let log = kernel.out.join("console.log");
        let name = format!("running the suites in QEMU {}", qemu.version);
        let said = Guest::new(&name, machine, &log).run()?;
        tags_are_tags(&said, qemu, &log)?;
        no_splats(said.lines.iter().map(String::as_str), &log)?;
        left_nothing(&said, &log)?;
        Ok(said)
    }

    /// QEMU with `kernel`, which runs the suites with `words` on its command line.
    pub(super) fn machine(
        &self,
        qemu: &Qemu,
        kernel: &Kernel<'_>,
        initrd: &Initramfs,
        words: &str,
    ) -> Result<Command> {
        let cpio = kernel.out.join("mteswap.cpio");
        initrd.write(&cpio)?;
        let mut words = format!("console=ttyAMA0 loglevel=7 panic=-1 {words}");
        if let Some(filter) = self.filter {
            words += &format!(" kunit.filter_glob={filter}");
        }
        let mut machine = qemu.machine(2, 1024);
        machine
            .arg("-kernel")
            .arg(kernel.out.join("arch/arm64/boot/Image"))
            .arg("-initrd")
            .arg(cpio)
            .args(["-append", &words]);
        Ok(machine)
    }
}

/// The line that begins a load of the modules.
const LOADING: &str = "mteswap-guest: loading\n";

/// Loads the suites and what they test twice; then nothing of them may be there.
const LOAD_TWICE: &str = r#"
for load in 1 2; do
    echo "mteswap-guest: loading"
    insmod /mteswap.ko || exit 1
    insmod /mteswap_kunit_tests.ko || exit 1
    rmmod mteswap_kunit_tests || exit 1
    rmmod mteswap || exit 1
done
echo "mteswap-guest: unloaded"
grep mteswap /proc/modules /proc/kallsyms && exit 1
ls -d /sys/module/mteswap* /sys/kernel/debug/kunit/mteswap* 2>/dev/null && exit 1
"#;

/// What the suites and all before them left without a pointer to it.
const LOOK_FOR_LEAKS: &str = r#"
for look in 1 2; do
    # What is younger than five seconds is not told of.
    sleep 6
    echo scan > /sys/kernel/debug/kmemleak || exit 1
done
grep -A12 "unreferenced object" /sys/kernel/debug/kmemleak && exit 1
exit 0
"#;

/// A call of the tree's kunit.py.
pub(crate) fn kunit_py(kernel: &Kernel<'_>, verb: &str) -> Command {
    let mut command = Command::new("python3");
    command
        .args(["tools/testing/kunit/kunit.py", verb])
        .arg(format!("--build_dir={}", kernel.out.display()))
        .current_dir(&kernel.tree.dir)
        // Each line as it comes, and no cache in the tree.
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    kernel.prepared(command)
}

fn with_object<'c>(command: &'c mut Command, kernel: &Kernel<'_>) -> &'c mut Command {
    for variable in kernel.variables() {
        command.args(["--make_options", variable]);
    }
    command
}

/// The library for arm64's kernel.
pub(crate) fn arm64_object() -> Result<PathBuf> {
    let library = Library::new(Some(ARM64.to_owned()), SHIFT)?;
    let step = super::step::Step::begin("building the library for arm64");
    library.build()?;
    step.done();
    Ok(library.object())
}

pub(crate) fn configs(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| run::root().join("kunit/configs").join(name)).collect()
}

/// What UML says from the suites on: before, it misses a device that kunit.py has it built for.
pub(crate) fn suites_on<'a>(lines: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    lines.skip_while(|line| !line.starts_with("KTAP version"))
}

pub(crate) fn no_splats<'a>(lines: impl Iterator<Item = &'a str>, log: &Path) -> Result<()> {
    let splats = guest::splats(lines);
    if let Some(first) = splats.first() {
        bail!("the kernel complains: {}; its console is in {}", first.trim(), log.display());
    }
    Ok(())
}

/// The kernel has seen that the machine's tags are tags.
pub(super) fn tags_are_tags(said: &guest::Said, qemu: &Qemu, log: &Path) -> Result<()> {
    if !said.lines.iter().any(|line| line.contains(TAGS_ARE_TAGS)) {
        let why = said.lines.iter().find(|line| line.starts_with("mteswap: "));
        let why = why.map_or("mteswap: did not start", String::as_str);
        bail!("no MTE that can be used in QEMU {}: {why}; {}", qemu.version, log.display());
    }
    Ok(())
}

/// The guest's init found what it looked for, and nothing that it should not.
fn left_nothing(said: &guest::Said, log: &Path) -> Result<()> {
    let log = log.display();
    ensure!(said.status == 0, "something was left behind, or could not be searched for: {log}");
    Ok(())
}

/// Says how each suite ended, and what failed in it.
fn show(report: &Report) -> Counts {
    let mut suites: BTreeMap<&str, Vec<&ktap::Test>> = BTreeMap::new();
    for case in report.cases() {
        suites.entry(&case.path[0]).or_default().push(case);
    }
    for (suite, cases) in suites {
        let counts = Counts::of(cases.iter().copied());
        let word = if counts.failed == 0 { "ok      " } else { "FAILED  " };
        eprintln!("{word} {suite:<20} {counts}");
    }
    for test in report.leaves().filter(|test| test.outcome == Outcome::Failed) {
        eprintln!("failed: {}", test.path.join("."));
    }
    Counts::of(report.cases())
}

/// The cases in Rust, as their source lists them.
fn rust_cases() -> Result<Vec<ktap::Test>> {
    let file = run::root().join("kunit/overlay/lib/mteswap/mteswap_rust_kunit.rs");
    let text = fs::read_to_string(&file)?;
    let list = text.split_once("\ncases! {\n").and_then(|(_, rest)| rest.split_once('}'));
    let (list, _) = list.with_context(|| format!("{} lists no cases", file.display()))?;
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    Ok(names
        .map(|name| ktap::Test {
            path: vec!["mteswap_rust".to_owned(), name.to_owned()],
            outcome: Outcome::Passed,
            leaf: true,
        })
        .collect())
}

/// What reports in user space and did not here.
fn missing(wanted: &Report, report: &Report) -> BTreeSet<Vec<String>> {
    let here: BTreeSet<_> = report.tests.iter().map(|test| &test.path).collect();
    let there = wanted.tests.iter().filter(|test| test.path.len() >= 2);
    there.map(|test| &test.path).filter(|path| !here.contains(path)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(cases: &[&str]) -> Report {
        let mut text =
            format!("KTAP version 1\n1..1\n    KTAP version 1\n    1..{}\n", cases.len());
        for (number, case) in (1..).zip(cases) {
            text += &format!("    ok {number} {case}\n");
        }
        ktap::read(&(text + "ok 1 suite\n"))
    }

    #[test]
    fn a_case_that_does_not_report_is_missed() {
        let wanted = document(&["one", "two"]);
        assert!(missing(&wanted, &document(&["two", "one"])).is_empty());
        let missed = missing(&wanted, &document(&["two"]));
        assert_eq!(missed.len(), 1);
        assert!(missed.iter().all(|path| path.last().is_some_and(|name| name == "one")));
        assert_eq!(missing(&wanted, &ktap::read("")).len(), 2);
    }

    #[test]
    fn the_cases_in_rust_are_found() {
        let cases = rust_cases().unwrap();
        assert!(cases.len() > 5);
        assert!(cases.iter().all(|case| case.path[0] == "mteswap_rust"));
    }
}
