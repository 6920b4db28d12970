//! `cargo xtask lint`: format, clippy and documentation of every Cargo.toml, those outside
//! of the workspace too.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    deps,
    hypervisor::TARGET,
    lab, results,
    run::{self, root},
    steps::{Prints, Steps},
    toolchain::Toolchain,
};

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args) -> Result<()> {
    let mut steps = Steps::new(results::folder())?;
    all(&mut steps)?;
    steps.finish();
    Ok(())
}

/// Every lint, as checks of `steps`.
pub(crate) fn all(steps: &mut Steps) -> Result<()> {
    deps::need_components()?;
    for manifest in manifests()? {
        let name = label(&manifest);
        let cargo = |arguments: &[&str]| {
            let mut command = Command::new("cargo");
            command.args(arguments).arg("--manifest-path").arg(&manifest);
            command
        };
        steps.command(
            &format!("fmt {name}"),
            Prints::Words,
            cargo(&["fmt", "--check", "--all"]).arg("--quiet"),
        );
        let text = fs::read_to_string(&manifest)?;
        if text.contains("[package.metadata.xtask]") {
            bare_metal(steps, &name, &manifest)?;
            if !text.contains("hosted = true") {
                continue;
            }
        }
        steps.command(
            &format!("clippy {name}"),
            Prints::Words,
            cargo(&["clippy", "--workspace", "--all-targets"]).args(["--", "-D", "warnings"]),
        );
        steps.command(
            &format!("doc {name}"),
            Prints::Words,
            cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings"),
        );
    }
    lab::clippy(steps);
    optional(steps, "typos", &[]);
    optional(steps, "cargo-deny", &["check"]);
    Ok(())
}

/// Clippy and documentation of a crate for arm64 without an operating system: all warnings are
/// errors.
fn bare_metal(steps: &mut Steps, name: &str, manifest: &Path) -> Result<()> {
    let toolchain = Toolchain::new(Some(TARGET))?;
    toolchain.need_clippy()?;
    let cargo = |verb: &str| {
        let mut command = toolchain.cargo_with_alloc(verb);
        command
            .args(["--quiet", "--manifest-path"])
            .arg(manifest)
            .arg("--target-dir")
            .arg(root().join("target/bare"));
        command
    };
    steps.command(
        &format!("clippy {name}, {TARGET}"),
        Prints::Words,
        cargo("clippy").args(["--", "-D", "warnings"]),
    );
    steps.command(
        &format!("doc {name}, {TARGET}"),
        Prints::Words,
        cargo("doc")
            .args(["--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-Dwarnings"),
    );
    Ok(())
}

/// Linters that no package of Debian has: run where they are.
fn optional(steps: &mut Steps, program: &str, arguments: &[&str]) {
    if deps::find(program).is_some() {
        let mut command = Command::new(program);
        steps.command(program, Prints::Words, command.args(arguments).current_dir(root()));
    } else {
        steps.skip(program, &format!("not installed (`cargo install {program}`)"));
    }
}

/// The manifest of each workspace in the repository, the root's first.
pub(crate) fn manifests() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(&root(), &mut found);
    let mut workspaces = Vec::new();
    for manifest in found {
        let workspace = run::output(
            Command::new("cargo")
                .args(["locate-project", "--workspace", "--message-format", "plain"])
                .arg("--manifest-path")
                .arg(&manifest),
        )?;
        let workspace = PathBuf::from(workspace.trim_end());
        if !workspaces.contains(&workspace) {
            workspaces.push(workspace);
        }
    }
    Ok(workspaces)
}

/// Manifests below `folder`, the nearest first.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let manifest = folder.join("Cargo.toml");
    if manifest.is_file() {
        found.push(manifest);
    }
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut folders: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if name != "target" && !name.starts_with('.') {
            walk(&folder, found);
        }
    }
}

fn label(manifest: &Path) -> String {
    let folder = manifest.parent().unwrap_or(manifest);
    let name = folder.strip_prefix(root()).unwrap_or(folder).display().to_string();
    if name.is_empty() { "workspace".to_owned() } else { name }
}
