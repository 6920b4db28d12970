//! How far a measurement has come: a bar on a terminal, a line before and after in a log.

use std::{
    io::{BufRead as _, BufReader, IsTerminal as _, Read as _},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::run;

pub(super) struct Progress {
    name: String,
    begun: Instant,
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn begin(name: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            eprintln!("...      {name}");
        }
        let bar = ProgressBar::new(0).with_prefix(name.to_owned());
        let template = "{prefix} {bar:24} {percent:>3} %  {elapsed} of {duration}  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { name: name.to_owned(), begun: Instant::now(), bar }
    }

    pub(super) fn at(&self, done: u64, all: u64, what: &str) {
        self.bar.set_length(all);
        self.bar.set_position(done);
        self.bar.set_message(what.to_owned());
    }

    pub(super) fn done(self) {
        self.bar.finish_and_clear();
        eprintln!("done     {:<48} {:>7.1} s", self.name, self.begun.elapsed().as_secs_f32());
    }

    /// Runs `command`, which tells on stderr how far it is (`done/all what`); returns what it
    /// printed on stdout.
    pub(super) fn follow(name: &str, command: &mut Command) -> Result<String> {
        let progress = Self::begin(name);
        let show = run::show(command);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {show}"))?;
        let mut stdout = child.stdout.take().context("no stdout")?;
        let printed = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).map(|_| text)
        });
        for line in BufReader::new(child.stderr.take().context("no stderr")?).lines() {
            let line = line?;
            match told(&line) {
                Some((done, all, what)) => progress.at(done, all, what),
                None => progress.bar.suspend(|| eprintln!("{line}")),
            }
        }
        let status = child.wait()?;
        ensure!(status.success(), "{show} failed: {status}");
        let Ok(text) = printed.join() else { anyhow::bail!("{show}: its output was not read") };
        progress.done();
        text.with_context(|| format!("{show} printed bytes that are no UTF-8"))
    }
}

/// Whoever drops one that is not done says why.
impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn told(line: &str) -> Option<(u64, u64, &str)> {
    let (fraction, what) = line.split_once(' ')?;
    let (done, all) = fraction.split_once('/')?;
    Some((done.parse().ok()?, all.parse().ok()?, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_from_what_else_is_said() {
        assert_eq!(told("3/40 deep, one-tag"), Some((3, 40, "deep, one-tag")));
        for other in ["", "3/40", "thread 'main' panicked", "src/main.rs:3 x", "a/b c"] {
            assert_eq!(told(other), None, "{other}");
        }
    }

    #[test]
    fn a_program_that_fails_is_an_error() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            Progress::follow("trying", &mut command)
        };
        assert_eq!(shell("echo 1/2 half >&2; echo sample").unwrap(), "sample\n");
        assert!(shell("echo sample; exit 3").is_err());
    }
}
