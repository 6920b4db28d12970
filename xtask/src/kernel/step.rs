//! A piece of work that takes long: a spinner while it lasts, a line with its time after it.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

pub(crate) struct Step {
    name: String,
    begun: Instant,
    bar: ProgressBar,
}

impl Step {
    pub(crate) fn begin(name: &str) -> Self {
        // Drawn on a terminal only; a log is told what it waits for.
        if !std::io::stderr().is_terminal() {
            eprintln!("...      {name}");
        }
        let bar = ProgressBar::new_spinner().with_message(name.to_owned());
        if let Ok(style) =
            ProgressStyle::with_template("{spinner}        {msg} {elapsed}  {prefix}")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { name: name.to_owned(), begun: Instant::now(), bar }
    }

    /// Says how far it has come.
    pub(crate) fn at(&self, what: &str) {
        self.bar.set_prefix(what.to_owned());
    }

    /// Lets `print` write lines that stay.
    pub(crate) fn aside(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    pub(crate) fn done(self) {
        self.bar.finish_and_clear();
        eprintln!("done     {:<48} {:>7.1} s", self.name, self.begun.elapsed().as_secs_f32());
    }
}

/// One that is not done has failed: whoever drops it says why.
impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
