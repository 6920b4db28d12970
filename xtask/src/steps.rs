//! A row of checks: one line each with its time, what failed at the end of its line, and
//! the totals last. A check that fails does not stop those behind it.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    results::{self, Outcome},
    run,
};

/// A check that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(40 * 60);
/// Lines of a failed check's output that are shown.
const TAIL: usize = 60;

/// What a check prints on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prints {
    /// Words for people: the check counts as one test.
    Words,
    /// What libtest prints.
    Libtest,
    /// KTAP.
    Ktap,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Totals {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Totals {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Skipped => self.skipped += 1,
        }
    }
}

/// Runs checks one after another. Their output is kept in the results' folder.
pub(crate) struct Steps {
    folder: PathBuf,
    totals: Totals,
    failed: Vec<String>,
}

impl Steps {
    /// # Errors
    /// Where the folder cannot be made.
    pub(crate) fn new(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, totals: Totals::default(), failed: Vec::new() })
    }

    /// Runs `command` as the check `name`; its stdout and stderr are kept in files.
    pub(crate) fn command(&mut self, name: &str, prints: Prints, command: &mut Command) {
        let extension = match prints {
            Prints::Words => "out",
            Prints::Libtest => "txt",
            Prints::Ktap => "ktap",
        };
        let file = name.replace([' ', '/'], "-");
        let out = self.folder.join(&file).with_extension(extension);
        let log = self.folder.join(&file).with_extension("log");
        self.step(name, |totals| {
            let status = execute(command, &out, &log)?;
            *totals = count(prints, &out)?;
            if !status.success() || totals.failed > 0 {
                eprintln!("{}", excerpt(&out, &log));
                bail!("{} failed: {status}", run::show(command));
            }
            if prints == Prints::Words {
                totals.passed = 1;
            } else if totals.passed + totals.skipped == 0 {
                bail!("{} ran no test", run::show(command));
            }
            Ok(())
        });
    }

    /// Runs `check` as the check `name`; it counts as one test.
    pub(crate) fn check(&mut self, name: &str, check: impl FnOnce() -> Result<()>) {
        self.step(name, |totals| {
            check()?;
            totals.passed = 1;
            Ok(())
        });
    }

    /// Notes a check that cannot be made here, and why.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        self.totals.skipped += 1;
        eprintln!("skipped  {name}: {why}");
    }

    fn step(&mut self, name: &str, body: impl FnOnce(&mut Totals) -> Result<()>) {
        let begun = Instant::now();
        // Drawn on a terminal only.
        let bar = ProgressBar::new_spinner().with_message(name.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner}        {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        let mut totals = Totals::default();
        let result = body(&mut totals);
        bar.finish_and_clear();
        let line = format!("{name:<36} {:>6.1} s", begun.elapsed().as_secs_f32());
        match result {
            Ok(()) => match totals.skipped {
                0 => eprintln!("ok       {line}  {} passed", totals.passed),
                skipped => {
                    eprintln!("ok       {line}  {} passed, {skipped} skipped", totals.passed)
                }
            },
            Err(error) => {
                // A check that broke off has failed even where each of its tests passed.
                totals.failed = totals.failed.max(1);
                self.failed.push(name.to_owned());
                eprintln!("FAILED   {line}  {error:#}");
            }
        }
        self.totals.passed += totals.passed;
        self.totals.failed += totals.failed;
        self.totals.skipped += totals.skipped;
    }

    /// Prints the totals, alone on the last line of stdout, and ends the process with 1 if
    /// a check failed.
    pub(crate) fn finish(self) {
        let Totals { passed, failed, skipped } = self.totals;
        if failed > 0 {
            eprintln!("failed: {}; output in {}", self.failed.join(", "), self.folder.display());
        }
        println!("{passed} passed, {failed} failed, {skipped} skipped");
        if failed > 0 {
            std::process::exit(1);
        }
    }
}

/// Runs `command` with its output in files, and ends it where it hangs.
fn execute(command: &mut Command, out: &Path, log: &Path) -> Result<ExitStatus> {
    let open = |path: &Path| {
        File::create(path).with_context(|| format!("cannot write {}", path.display()))
    };
    let mut child = command
        .stdin(Stdio::null())
        .stdout(open(out)?)
        .stderr(open(log)?)
        // A group of its own, so that what it started ends with it.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", run::show(command)))?;
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begun.elapsed() > PATIENCE {
            let _ = Command::new("kill").args(["-9", "--", &format!("-{}", child.id())]).status();
            child.wait()?;
            bail!("{} hangs: ended after {} minutes", run::show(command), PATIENCE.as_secs() / 60);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The tests in what a suite printed.
fn count(prints: Prints, out: &Path) -> Result<Totals> {
    let mut totals = Totals::default();
    let cases = match prints {
        Prints::Words => return Ok(totals),
        Prints::Libtest => results::parse_libtest(&fs::read_to_string(out)?),
        Prints::Ktap => results::parse_ktap(&fs::read_to_string(out)?),
    };
    cases.iter().filter(|case| !case.parent).for_each(|case| totals.count(case.outcome));
    Ok(totals)
}

/// What matters of a failed check's output, stderr first.
fn excerpt(out: &Path, log: &Path) -> String {
    [log, out]
        .iter()
        .map(|path| telling(&fs::read_to_string(path).unwrap_or_default()))
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// What the failed tests of each suite said; where none failed, the end of the text.
fn telling(text: &str) -> String {
    let mut said = Vec::new();
    let mut lines = text.lines();
    while lines.by_ref().any(|line| line == "failures:") {
        // The suite's list of names follows under the same heading.
        let suite = lines.by_ref().take_while(|line| !line.starts_with("test result:"));
        said.extend(suite.take_while(|line| *line != "failures:").take(TAIL));
    }
    if said.is_empty() {
        said = text.lines().filter(|line| !line.ends_with(" ... ok")).collect();
        said.drain(..said.len().saturating_sub(TAIL));
    }
    said.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failed_test_said_is_shown_and_not_what_came_after() {
        let failed = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\nleft: 0\n\nfailures:\n    a\n\n\
                      test result: FAILED. 0 passed; 1 failed";
        let passed = "running 0 tests\n\ntest result: ok. 0 passed\n".repeat(TAIL);
        let said = telling(&format!("{failed}\n{passed}{failed}\n{passed}"));
        assert_eq!(said.matches("left: 0").count(), 2, "{said}");
        assert!(!said.contains("running"), "{said}");
        assert_eq!(telling("some\nwords"), "some\nwords");
        assert_eq!(telling(&"line\n".repeat(2 * TAIL)).lines().count(), TAIL);
    }
}
