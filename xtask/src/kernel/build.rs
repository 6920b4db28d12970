//! Configures and makes a kernel, in a folder of the cache outside of its tree.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    cache::{Cache, Lock},
    overlay::Tree,
    step::Step,
};
use crate::{deps, run};

/// Lines of a failed make that are shown.
const TAIL: usize = 25;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arch {
    /// User-mode Linux: a kernel that is a program of this machine
    Um,
    /// A cross-built kernel with MTE, in QEMU
    Arm64,
}

impl Arch {
    /// As make's ARCH.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Um => "um",
            Self::Arm64 => "arm64",
        }
    }
}

/// A kernel of one configuration. Nobody else makes it while this lives.
pub(crate) struct Kernel<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) arch: Arch,
    /// Where it is made: make's O.
    pub(crate) out: PathBuf,
    /// Variables for make, as `MTESWAP_OBJECT=/path`.
    variables: Vec<String>,
    /// Variables of the environment that make and kunit.py run in.
    environment: Vec<(&'static str, PathBuf)>,
    _lock: Lock,
}

impl<'a> Kernel<'a> {
    /// The kernel `name` of `tree`.
    pub(crate) fn new(cache: &Cache, tree: &'a Tree, arch: Arch, name: &str) -> Result<Self> {
        need_tools(arch)?;
        let key = format!("{}-{}-{name}", tree.key, arch.name());
        let lock = cache.lock(&format!("build-{key}"))?;
        let out = cache.folder(&format!("builds/{key}"))?;
        Ok(Self { tree, arch, out, variables: Vec::new(), environment: Vec::new(), _lock: lock })
    }

    /// Where nothing is made yet, begins with what was made for the kernel `other` of the
    /// same tree: make finds out what is different.
    pub(crate) fn begin_with(&self, cache: &Cache, other: &str) -> Result<()> {
        let key = format!("{}-{}-{other}", self.tree.key, self.arch.name());
        let made = cache.folder(&format!("builds/{key}"))?;
        if self.out.join(".config").exists() || !made.join(".config").exists() {
            return Ok(());
        }
        let _lock = cache.lock(&format!("build-{key}"))?;
        let step = Step::begin("copying what is alike");
        run::run(Command::new("cp").arg("-a").arg(made.join(".")).arg(&self.out))?;
        step.done();
        Ok(())
    }

    /// Hands `variable` to every make.
    pub(crate) fn variable(&mut self, name: &str, value: &Path) {
        self.variables.push(format!("{name}={}", value.display()));
    }

    /// Has every make run with `name` in its environment.
    pub(crate) fn environment(&mut self, name: &'static str, value: &Path) {
        self.environment.push((name, value.to_owned()));
    }

    /// `command` in the environment of this kernel's makes, and not in that of a cargo which
    /// runs this.
    pub(crate) fn prepared(&self, mut command: Command) -> Command {
        command.env_remove("MAKEFLAGS").env_remove("MFLAGS");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn variables(&self) -> &[String] {
        &self.variables
    }

    /// A make of this kernel, without a target.
    pub(crate) fn make(&self) -> Command {
        let mut make = Command::new("make");
        make.arg("-C")
            .arg(&self.tree.dir)
            .arg(format!("O={}", self.out.display()))
            .arg(format!("ARCH={}", self.arch.name()))
            .args(&self.variables);
        if let Some(prefix) = self.cross() {
            make.arg(format!("CROSS_COMPILE={prefix}"));
        }
        self.prepared(make)
    }

    /// What the names of the compiler and of binutils begin with.
    pub(crate) fn cross(&self) -> Option<&'static str> {
        let own = std::env::consts::ARCH == "aarch64";
        (self.arch == Arch::Arm64 && !own).then_some("aarch64-linux-gnu-")
    }

    /// Nothing but what `fragments` ask for, and what that needs.
    ///
    /// # Errors
    /// Where an option asked for is not what it came out as, with all such.
    pub(crate) fn configure(&self, fragments: &[PathBuf]) -> Result<()> {
        let mut asked = String::new();
        for file in fragments {
            asked += &fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
        }
        let kept = self.out.join(".mteswap-asked");
        let config = self.out.join(".config");
        if config.exists() && fs::read_to_string(&kept).is_ok_and(|there| there == asked) {
            return self.check_config(&asked);
        }
        let merge = self.tree.dir.join("scripts/kconfig/merge_config.sh");
        let mut merge = Command::new(merge);
        merge.arg("-m").arg("-O").arg(&self.out).args(fragments).current_dir(&self.tree.dir);
        self.logged("merging the configuration", &mut merge)?;
        let wanted = self.out.join(".mteswap-wanted");
        fs::rename(&config, &wanted).context("merge_config.sh made no .config")?;
        let mut make = self.make();
        make.arg("allnoconfig").env("KCONFIG_ALLCONFIG", &wanted);
        self.logged("configuring", &mut make)?;
        self.check_config(&asked)?;
        fs::write(kept, asked)?;
        Ok(())
    }

    /// # Errors
    /// Where an option of `asked` is not what it came out as.
    pub(crate) fn check_config(&self, asked: &str) -> Result<()> {
        let config = fs::read_to_string(self.out.join(".config")).context("there is no .config")?;
        let missing = unmet(asked, &config);
        let shown = missing.join(", ");
        ensure!(missing.is_empty(), "the kernel's configuration does not come out as {shown}");
        Ok(())
    }

    /// Makes `targets`, unless that has been done and nothing has changed since.
    pub(crate) fn build(&self, what: &str, targets: &[&str], inputs: &[&Path]) -> Result<()> {
        self.once(&targets.join("-"), inputs, |kernel| {
            kernel.logged(what, kernel.make().arg(jobs()).args(targets))
        })
    }

    /// Does `work`, named `name`, unless it has been done and neither the tree nor the
    /// configuration nor `inputs` have changed since.
    pub(crate) fn once(
        &self,
        name: &str,
        inputs: &[&Path],
        work: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        let stamp = self.out.join(format!(".mteswap-made-{}", name.replace('/', "_")));
        let state = self.state(inputs)?;
        if state.is_some() && fs::read_to_string(&stamp).ok() == state {
            return Ok(());
        }
        super::cache::remove(&stamp)?;
        work(self)?;
        // The work may have made the configuration, too.
        if let Some(state) = self.state(inputs)? {
            fs::write(stamp, state)?;
        }
        Ok(())
    }

    /// What a build rests on; `None` where only make can tell.
    fn state(&self, inputs: &[&Path]) -> Result<Option<String>> {
        let Some(tree) = self.tree.hash else { return Ok(None) };
        let mut hasher = DefaultHasher::new();
        tree.hash(&mut hasher);
        self.variables.hash(&mut hasher);
        fs::read(self.out.join(".config")).unwrap_or_default().hash(&mut hasher);
        for input in inputs {
            fs::read(input)
                .with_context(|| format!("cannot read {}", input.display()))?
                .hash(&mut hasher);
        }
        Ok(Some(format!("{:016x}", hasher.finish())))
    }

    /// Runs `command` with its output in the build's log; where it fails, the end of that.
    pub(crate) fn logged(&self, what: &str, command: &mut Command) -> Result<()> {
        logged(what, command, &self.out.join("mteswap.log"))
    }
}

/// Runs `command` as the step `what`, its output kept in `log`; shows the end of it where
/// it fails.
pub(crate) fn logged(what: &str, command: &mut Command, log: &Path) -> Result<()> {
    let step = Step::begin(what);
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot start {}", run::show(command)))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        step.at(end_of(log).last().map_or("", |line| line.trim()));
        std::thread::sleep(Duration::from_millis(200));
    };
    if !status.success() {
        drop(step);
        let lines = end_of(log);
        lines[lines.len().saturating_sub(TAIL)..].iter().for_each(|line| eprintln!("{line}"));
        let (shown, log) = (run::show(command), log.display());
        bail!("{what} failed ({status}): {shown}; all of it is in {log}");
    }
    step.done();
    Ok(())
}

/// The last lines of a file that grows, of which only the end is read.
fn end_of(file: &Path) -> Vec<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(file)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(8192)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok(end)
    };
    let end = read().unwrap_or_default();
    String::from_utf8_lossy(&end).lines().map(str::to_owned).collect()
}

/// The options of `asked` that `config` does not have as asked for.
fn unmet(asked: &str, config: &str) -> Vec<String> {
    let value = |text: &str, name: &str| {
        let found = text.lines().rev().find_map(|line| line.strip_prefix(&format!("{name}=")));
        found.map(str::to_owned)
    };
    let mut missing = Vec::new();
    for line in asked.lines().map(str::trim) {
        let (name, wanted) = if line.starts_with("CONFIG_") {
            let Some((name, value)) = line.split_once('=') else { continue };
            (name, Some(value).filter(|value| *value != "n"))
        } else if let Some(rest) = line.strip_prefix("# CONFIG_") {
            let Some(name) = rest.strip_suffix(" is not set") else { continue };
            (&line[2..2 + "CONFIG_".len() + name.len()], None)
        } else {
            continue;
        };
        // A later fragment may have asked for something else.
        let last = asked.lines().rev().map(str::trim).find(|line| {
            line.split_once('=').is_some_and(|(other, _)| other == name)
                || *line == format!("# {name} is not set")
        });
        if last == Some(line) && value(config, name).as_deref() != wanted {
            missing.push(line.to_owned());
        }
    }
    missing
}

/// As many jobs as there are processors.
pub(crate) fn jobs() -> String {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("-j{processors}")
}

/// What every kernel is made with.
fn need_tools(arch: Arch) -> Result<()> {
    for (program, package) in [
        ("make", "make"),
        ("gcc", "gcc"),
        ("flex", "flex"),
        ("bison", "bison"),
        ("bc", "bc"),
        ("python3", "python3"),
        ("xz", "xz-utils"),
        ("perl", "perl"),
    ] {
        deps::need(program, package)?;
    }
    for (header, package) in
        [("/usr/include/libelf.h", "libelf-dev"), ("/usr/include/openssl/opensslv.h", "libssl-dev")]
    {
        deps::need_file(Path::new(header), package)?;
    }
    if arch == Arch::Arm64 && std::env::consts::ARCH != "aarch64" {
        deps::need("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")?;
        // The compiler alone is enough for a kernel; programs for the guest want a libc.
        deps::need_file(
            Path::new("/usr/aarch64-linux-gnu/include/stdio.h"),
            "libc6-dev-arm64-cross",
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::unmet;

    #[test]
    fn an_option_that_did_not_come_out_is_named() {
        let config = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=m\nCONFIG_D=\"x\"\n";
        assert_eq!(unmet("CONFIG_A=y\nCONFIG_D=\"x\"\n# CONFIG_B is not set\n", config), [""; 0]);
        assert_eq!(unmet("CONFIG_B=n\nCONFIG_E=n\n# words, A=b\n", config), [""; 0]);
        assert_eq!(unmet("CONFIG_B=y\nCONFIG_C=y\n", config), ["CONFIG_B=y", "CONFIG_C=y"]);
        assert_eq!(unmet("# CONFIG_A is not set\n", config), ["# CONFIG_A is not set"]);
        assert_eq!(unmet("CONFIG_C=y\nCONFIG_C=m\n", config), [""; 0]);
    }
}
