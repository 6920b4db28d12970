//! How far a measurement has come, told on stderr: `done/all what`.

pub(crate) struct Progress {
    done: usize,
    all: usize,
}

impl Progress {
    pub(crate) fn new(all: usize) -> Self {
        Self { done: 0, all }
    }

    pub(crate) fn step(&mut self, what: &str) {
        self.steps(1, what);
    }

    /// A round that was taken, one of those that are counted or one more.
    pub(crate) fn round(&mut self, counted: bool, what: &str) {
        if counted {
            self.step(what);
        } else {
            self.steps(0, &format!("{what}, once more: others had a part of the core"));
        }
    }

    pub(crate) fn steps(&mut self, nr: usize, what: &str) {
        self.done += nr;
        eprintln!("{}/{} {what}", self.done, self.all);
    }
}
