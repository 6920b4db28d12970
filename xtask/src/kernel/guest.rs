//! One boot: the guest's console, line by line, until it says how it ended.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::step::Step;
use crate::run;

/// The guest's init prints this and its status, last of all.
pub(crate) const EXIT: &str = "mteswap-guest: exit";

/// What a kernel says only when something is wrong with it.
const SPLATS: [&str; 14] = [
    "BUG:",
    "WARNING:",
    "INFO: possible recursive locking",
    "INFO: task ",
    "possible circular locking dependency",
    "Internal error:",
    "Unable to handle kernel",
    "UBSAN:",
    "KASAN:",
    "rcu: INFO:",
    "refcount_t:",
    "unreferenced object",
    "sleeping function called",
    "list_add corruption",
];

/// A guest to be started.
pub(crate) struct Guest {
    /// What is shown while it runs.
    pub(crate) name: String,
    pub(crate) command: Command,
    /// Its console is kept here.
    pub(crate) log: PathBuf,
    /// Without a line for so long it hangs.
    pub(crate) silence: Duration,
    /// After so long it is ended, whatever it says.
    pub(crate) patience: Duration,
}

/// What a guest said, up to its end.
pub(crate) struct Said {
    pub(crate) lines: Vec<String>,
    /// Of its init.
    pub(crate) status: i32,
}

impl Guest {
    pub(crate) fn new(name: &str, command: Command, log: &Path) -> Self {
        Self {
            name: name.to_owned(),
            command,
            log: log.to_owned(),
            silence: Duration::from_secs(180),
            patience: Duration::from_secs(30 * 60),
        }
    }

    /// Boots it and listens until it is off.
    ///
    /// # Errors
    /// One line, where it panics, hangs, or ends without saying how.
    pub(crate) fn run(self) -> Result<Said> {
        self.run_with(|_, _| {})
    }

    /// [`run`](Self::run), handing each line to `see` as it comes.
    pub(crate) fn run_with(mut self, mut see: impl FnMut(&Step, &str)) -> Result<Said> {
        let step = Step::begin(&self.name);
        let mut log = File::create(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: UML is several processes.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", run::show(&self.command)))?;
        let stdout = child.stdout.take().context("the guest has no console")?;
        let stderr = child.stderr.take().context("the guest has no stderr")?;
        let (send, receive) = channel();
        let listen = |stream: Box<dyn std::io::Read + Send>, send: std::sync::mpsc::Sender<_>| {
            std::thread::spawn(move || {
                for line in BufReader::new(stream).split(b'\n') {
                    let Ok(line) = line else { break };
                    let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                    if send.send(line).is_err() {
                        break;
                    }
                }
            });
        };
        listen(Box::new(stdout), send.clone());
        listen(Box::new(stderr), send);

        let begun = Instant::now();
        let mut lines: Vec<String> = Vec::new();
        let ended = loop {
            let left = self.patience.saturating_sub(begun.elapsed());
            // One that never stops talking would be listened to for ever.
            if left.is_zero() {
                break Err(left);
            }
            match receive.recv_timeout(left.min(self.silence)) {
                Ok(line) => {
                    writeln!(log, "{line}")?;
                    step.at(line.trim());
                    see(&step, &line);
                    lines.push(line);
                }
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
                Err(RecvTimeoutError::Timeout) => break Err(left.min(self.silence)),
            }
        };
        if ended.is_err() {
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-9", "--", &group]).status();
        }
        child.wait()?;
        let log = self.log.display();
        let last = || lines.iter().rev().find(|line| !line.trim().is_empty()).cloned();
        if let Some(panic) = lines.iter().find(|line| line.contains("Kernel panic - not syncing")) {
            bail!("the guest's kernel panicked: {}; its console is in {log}", panic.trim());
        }
        if let Err(waited) = ended {
            let (last, waited) = (last().unwrap_or_default(), waited.as_secs());
            if begun.elapsed() >= self.patience {
                bail!("the guest was not done after {} s: {last}; {log}", self.patience.as_secs());
            }
            bail!("the guest hangs: nothing for {waited} s after `{}`; {log}", last.trim());
        }
        let status = lines.iter().rev().find_map(|line| {
            line.split_once(EXIT)?.1.split_whitespace().next()?.parse::<i32>().ok()
        });
        let Some(status) = status else {
            let last = last().unwrap_or_else(|| "no word".to_owned());
            bail!("the guest ended without saying how, after `{}`; {log}", last.trim());
        };
        step.done();
        Ok(Said { lines, status })
    }
}

impl Said {
    /// Lines that tell of something wrong with its kernel.
    pub(crate) fn splats(&self) -> Vec<&str> {
        splats(self.lines.iter().map(String::as_str))
    }
}

/// Lines that tell of something wrong with a kernel. What KTAP says is no such thing.
pub(crate) fn splats<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    lines.filter(|line| SPLATS.iter().any(|splat| line.contains(splat))).collect()
}

/// An init for busybox that runs `commands` and carries its status to the console.
pub(crate) fn init(commands: &str) -> String {
    format!(
        "#!/bin/sh\n\
         export PATH=/bin:/sbin:/usr/bin:/usr/sbin\n\
         busybox mount -t proc proc /proc\n\
         busybox --install -s /bin\n\
         mount -t sysfs sysfs /sys\n\
         mount -t devtmpfs devtmpfs /dev 2>/dev/null\n\
         mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null\n\
         mount -t tmpfs tmpfs /tmp 2>/dev/null\n\
         (\n{commands}\n)\n\
         status=$?\n\
         sync\n\
         echo\n\
         echo \"{EXIT} $status\"\n\
         poweroff -f\n\
         sleep 60\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell that says `script`'s lines in place of a guest.
    fn guest(script: &str) -> Guest {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        Guest::new("a shell", shell, Path::new("/dev/null"))
    }

    fn told(guest: Guest) -> String {
        let told = guest.run().err().expect("it did not end well").to_string();
        assert_eq!(told.lines().count(), 1, "{told}");
        told
    }

    #[test]
    fn how_a_guest_ended_is_its_inits_word() {
        let said = guest("echo one; printf 'mteswap-guest: exit 3\\r\\n'; exit 1").run().unwrap();
        assert_eq!((said.status, said.lines.len()), (3, 2));
    }

    #[test]
    fn a_panic_is_named() {
        // What init may have said before does not count.
        let told = told(guest(
            "echo mteswap-guest: exit 0; echo '[    1.2] Kernel panic - not syncing: Oops'",
        ));
        assert!(told.contains("panicked: [    1.2] Kernel panic - not syncing: Oops"), "{told}");
    }

    #[test]
    fn an_end_without_a_word_is_no_good_one() {
        let told = told(guest("echo booting; exit 0"));
        assert!(told.contains("ended without saying how, after `booting`"), "{told}");
        assert!(super::tests::told(guest("exit 0")).contains("after `no word`"));
    }

    #[test]
    fn one_that_hangs_is_ended() {
        let mut silent = guest("sleep 1000");
        silent.silence = Duration::from_millis(100);
        assert!(told(silent).contains("the guest hangs"));

        // A child of its own keeps the console open: it goes as well.
        let mut forked = guest("sleep 1000 & exit 0");
        forked.silence = Duration::from_millis(100);
        assert!(told(forked).contains("the guest hangs"));

        let mut talking = guest("while :; do echo word; done");
        talking.patience = Duration::from_millis(100);
        assert!(told(talking).contains("was not done after"));
    }

    #[test]
    fn a_splat_is_seen() {
        let splats = |line: &str| splats([line].into_iter()).len();
        assert_eq!(splats("WARNING: possible circular locking dependency detected"), 1);
        assert_eq!(splats("BUG: KASAN: slab-out-of-bounds in f+0x1/0x2"), 1);
        assert_eq!(splats("ok 1 warning_is_no_WARNING"), 0);
    }
}
