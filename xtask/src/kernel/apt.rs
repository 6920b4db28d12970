//! Debian packages unpacked into the cache. Nothing is installed, and the lists of the
//! machine's own apt stay as they are, so that a package of another release or another
//! architecture does no harm and needs no root.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{deps, run};

/// An apt of its own, in a folder that may go when it is done.
pub(crate) struct Apt {
    folder: PathBuf,
    options: Vec<String>,
}

impl Apt {
    /// An apt that knows `suites` of the machine's Debian mirror, for `architecture`. What
    /// several have is taken from the last, with what that asks for.
    pub(crate) fn new(folder: &Path, suites: &[&str], architecture: &str) -> Result<Self> {
        Self::of(&mirror()?, folder, suites, architecture)
    }

    fn of(mirror: &str, folder: &Path, suites: &[&str], architecture: &str) -> Result<Self> {
        if deps::find("apt-get").is_none() {
            bail!("no apt-get here to fetch Debian packages with");
        }
        for part in ["lists/partial", "archives/partial", "etc"] {
            fs::create_dir_all(folder.join(part))?;
        }
        // Read as nobody where root runs apt: it wants to reach its folders.
        let sources = folder.join("etc/sources.list");
        let lines: String =
            suites.iter().map(|suite| format!("deb {mirror} {suite} main\n")).collect();
        fs::write(&sources, lines)?;
        let at = |name: &str| folder.join(name).display().to_string();
        let mut options = vec![
            format!("Dir::Etc::SourceList={}", at("etc/sources.list")),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            format!("Dir::State::Lists={}", at("lists")),
            format!("Dir::Cache={}", folder.display()),
            format!("Dir::Cache::Archives={}", at("archives")),
            "APT::Sandbox::User=root".to_owned(),
            "Debug::NoLocking=true".to_owned(),
        ];
        if let Some(last) = suites.last() {
            options.push(format!("APT::Default-Release={last}"));
        }
        if architecture != host_architecture()? {
            // Nothing of the machine's own is of use there.
            fs::write(folder.join("status"), "")?;
            options.push(format!("Dir::State::Status={}", at("status")));
            options.push(format!("APT::Architecture={architecture}"));
            options.push(format!("APT::Architectures={architecture}"));
        }
        let apt = Self { folder: folder.to_owned(), options };
        apt.run(&["update", "-qq", "-o", "APT::Update::Error-Mode=any"])?;
        Ok(apt)
    }

    /// Unpacks `package` into `to`.
    pub(crate) fn unpack(&self, package: &str, to: &Path) -> Result<()> {
        self.run(&["download", "-qq", package])?;
        self.unpack_all(&self.folder, to)
    }

    /// Unpacks `package`, and what it depends on and the machine does not have, into `to`.
    pub(crate) fn unpack_with_dependencies(&self, package: &str, to: &Path) -> Result<()> {
        self.run(&[
            "install",
            "-qq",
            "-y",
            "--download-only",
            "--reinstall",
            "--no-install-recommends",
            package,
        ])?;
        self.unpack_all(&self.folder.join("archives"), to)
    }

    fn unpack_all(&self, from: &Path, to: &Path) -> Result<()> {
        let mut count = 0;
        for entry in fs::read_dir(from)? {
            let deb = entry?.path();
            if deb.extension().is_some_and(|extension| extension == "deb") {
                run::run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(to))?;
                count += 1;
            }
        }
        ensure!(count > 0, "apt-get fetched nothing");
        Ok(())
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("apt-get");
        for option in &self.options {
            command.args(["-o", option]);
        }
        let out = command
            .args(arguments)
            .current_dir(&self.folder)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .context("cannot start apt-get")?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr);
            let why = said.lines().find(|line| line.starts_with("E:")).unwrap_or("no reason given");
            bail!("apt-get {} failed: {why}", arguments.join(" "));
        }
        Ok(())
    }
}

/// The release this machine runs: bookworm.
pub(crate) fn release() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.context("/etc/os-release names no Debian release")?.trim_matches('"').to_owned())
}

pub(crate) fn host_architecture() -> Result<String> {
    Ok(run::output(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned())
}

/// Where the machine's apt has its Debian from: with the release, its updates and backports.
fn mirror() -> Result<String> {
    let format = "$(REPO_URI) $(RELEASE)";
    let targets = run::output(Command::new("apt-get").args(["indextargets", "--format", format]))?;
    let release = release()?;
    let found = targets.lines().find_map(|line| {
        let (uri, of) = line.split_once(' ')?;
        (of == release).then(|| uri.to_owned())
    });
    Ok(found.unwrap_or_else(|| "http://deb.debian.org/debian".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_out_of_reach_is_one_line() {
        if deps::find("apt-get").is_none() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let nowhere = format!("file:{}", folder.path().join("mirror").display());
        let tried = Apt::of(&nowhere, &folder.path().join("apt"), &["bookworm"], "arm64");
        let told = tried.err().unwrap().to_string();
        assert!(told.starts_with("apt-get update "), "{told}");
        assert!(told.contains(" failed: E: ") && told.lines().count() == 1, "{told}");
    }
}
