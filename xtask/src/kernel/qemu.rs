//! A QEMU for arm64 guests with MTE: the one in PATH, or one of Debian's in the cache.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::{
    apt::{self, Apt},
    cache::{Cache, remove},
    step::Step,
};
use crate::{deps, run};

const PROGRAM: &str = "qemu-system-aarch64";
/// Before, in system mode, all granules of a page shared one tag.
const OLDEST: u32 = 8;

pub(crate) struct Qemu {
    program: PathBuf,
    /// Where it was unpacked, if it is not installed.
    unpacked: Option<PathBuf>,
    /// As 10.0.2.
    pub(crate) version: String,
}

impl Qemu {
    /// The one that `MTESWAP_QEMU` names; else the one in PATH, if it is new enough; else
    /// one from Debian, for bookworm from its backports.
    ///
    /// # Errors
    /// One line, where none is to be had or the one named is too old.
    pub(crate) fn find(cache: &Cache) -> Result<Self> {
        if let Some(named) = std::env::var_os("MTESWAP_QEMU") {
            let qemu = Self::named(Path::new(&named)).and_then(Self::with_tags);
            return qemu.context("MTESWAP_QEMU names none to use");
        }
        if let Some(program) = deps::find(PROGRAM) {
            let qemu = Self::at(program, None)?;
            if qemu.is_new_enough() {
                return Ok(qemu);
            }
            eprintln!("QEMU {} in PATH is too old for MTE: using one in the cache", qemu.version);
        }
        let folder = newest(cache).with_context(|| {
            format!("no QEMU {OLDEST} or newer: install one, or name it in MTESWAP_QEMU")
        })?;
        Self::at(folder.join("usr/bin").join(PROGRAM), Some(folder))?.with_tags()
    }

    /// The one at `program`, however old.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn named(program: &Path) -> Result<Self> {
        let qemu = Self::at(program.to_owned(), None)?;
        ensure!(!qemu.version.is_empty(), "{} is no QEMU", program.display());
        Ok(qemu)
    }

    /// Debian 12's own, whose MTE is broken; `None` on another release.
    ///
    /// # Errors
    /// Where it cannot be fetched.
    pub(crate) fn broken(cache: &Cache) -> Result<Option<Self>> {
        const RELEASE: &str = "bookworm";
        if !apt::release().is_ok_and(|release| release == RELEASE) {
            return Ok(None);
        }
        let folder = fetch(cache, &[RELEASE])?;
        let qemu = Self::at(folder.join("usr/bin").join(PROGRAM), Some(folder))?;
        ensure!(!qemu.is_new_enough(), "Debian 12's QEMU is {}, and not broken", qemu.version);
        Ok(Some(qemu))
    }

    fn at(program: PathBuf, unpacked: Option<PathBuf>) -> Result<Self> {
        let mut qemu = Self { program, unpacked, version: String::new() };
        qemu.version = version(&run::output(qemu.command().arg("--version"))?);
        Ok(qemu)
    }

    /// # Errors
    /// Where its MTE is broken.
    fn with_tags(self) -> Result<Self> {
        let (program, version) = (self.program.display(), &self.version);
        ensure!(
            self.is_new_enough(),
            "{program} is QEMU {version}: its MTE is broken, {OLDEST} or newer is needed"
        );
        Ok(self)
    }

    fn is_new_enough(&self) -> bool {
        let major = self.version.split('.').next().and_then(|part| part.parse::<u32>().ok());
        major.is_some_and(|major| major >= OLDEST)
    }

    /// The program, able to find its libraries and its data.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(folder) = &self.unpacked {
            let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
            let libraries = ["usr/lib", "lib"].map(|lib| folder.join(lib).join(&triple));
            let path = libraries.map(|path| path.display().to_string()).join(":");
            command
                .env("LD_LIBRARY_PATH", path)
                .arg("-L")
                .arg(folder.join("usr/share/qemu"))
                .arg("-L")
                .arg(folder.join("usr/share/ipxe/qemu"));
        }
        command
    }

    /// A machine with MTE, its console on stdin and stdout, and no way to start again.
    pub(crate) fn machine(&self, cpus: u32, memory_mib: u32) -> Command {
        let mut command = self.command();
        command
            .args(["-M", "virt,mte=on,gic-version=3", "-cpu", "max", "-nographic", "-no-reboot"])
            .args(["-nic", "none"])
            .args(["-smp", &cpus.to_string(), "-m", &memory_mib.to_string()]);
        command
    }
}

/// Of the QEMU that calls itself `said`; empty where it is none.
fn version(said: &str) -> String {
    let version = said.strip_prefix("QEMU emulator version ").unwrap_or_default();
    let version = version.split_whitespace().next().unwrap_or_default();
    version.trim_matches(|c: char| !c.is_ascii_digit()).to_owned()
}

fn newest(cache: &Cache) -> Result<PathBuf> {
    let release = apt::release()?;
    let backports = format!("{release}-backports");
    if release == "bookworm" {
        fetch(cache, &[&release, &backports])
    } else {
        fetch(cache, &[&release])
    }
}

/// QEMU of the last of `suites`, unpacked.
fn fetch(cache: &Cache, suites: &[&str]) -> Result<PathBuf> {
    let suite = suites[suites.len() - 1];
    cache.entry("qemu", suite, |part| {
        let step = Step::begin(&format!("fetching QEMU from {suite}"));
        let lists = part.join("apt");
        let apt = Apt::new(&lists, suites, &apt::host_architecture()?)?;
        apt.unpack_with_dependencies("qemu-system-arm", part)?;
        remove(&lists)?;
        merge_usr(part)?;
        step.done();
        Ok(())
    })
}

/// Some packages still have files in `/lib` that others want in `/usr/lib`.
fn merge_usr(root: &Path) -> Result<()> {
    let lib = root.join("lib");
    if lib.is_dir() {
        run::run(Command::new("cp").arg("-a").arg(lib.join(".")).arg(root.join("usr/lib")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_without_working_tags_is_refused() {
        let with_tags = |said: &str| {
            let qemu = Qemu { program: "/qemu".into(), unpacked: None, version: version(said) };
            qemu.with_tags().map(|qemu| qemu.version).map_err(|error| error.to_string())
        };
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright";
        let told = "/qemu is QEMU 7.2.22: its MTE is broken, 8 or newer is needed";
        assert_eq!(with_tags(debian).unwrap_err(), told);
        assert_eq!(with_tags("QEMU emulator version 8.0.0\n").unwrap(), "8.0.0");
        assert_eq!(with_tags("QEMU emulator version 10.0.2 (v10.0.2)\n").unwrap(), "10.0.2");
        assert!(with_tags("bash, version 8.2\n").is_err());
    }
}
