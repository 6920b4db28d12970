//! What happened, step by step, where someone wants to see it.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// One step of one CPU, with the state it left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub cpu: usize,
    pub text: String,
    pub slot: String,
    pub record: String,
    pub pte: String,
    /// Why this is the step that goes wrong.
    pub wrong: Option<String>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(pub String);

/// Steps and the first failure of one run.
#[derive(Default)]
pub struct Trace {
    wanted: bool,
    /// Steps are noted once what leads up to the scenario is done.
    on: AtomicBool,
    lines: Mutex<Vec<Line>>,
    /// What each CPU is in the middle of.
    under_way: Mutex<BTreeMap<usize, String>>,
    failed: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Trace {
    pub fn new(wanted: bool) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Steps are noted from now on, if they are wanted.
    pub fn listen(&self) {
        self.on.store(self.wanted, Relaxed);
    }

    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// A CPU begins a step, which others may come in between.
    pub fn begin(&self, cpu: usize, text: String) {
        locked(&self.under_way).insert(cpu, text);
    }

    /// The step that a CPU is in, from now on done.
    pub fn end(&self, cpu: usize) -> Option<String> {
        locked(&self.under_way).remove(&cpu)
    }

    pub fn push(&self, line: Line) {
        locked(&self.lines).push(line);
    }

    /// Notes the steps that other CPUs are in, with the state of `line`: one of them may be why
    /// what follows goes wrong.
    pub fn push_under_way(&self, line: &Line) {
        let under_way = locked(&self.under_way).clone();
        for (cpu, text) in under_way.into_iter().filter(|(cpu, _)| *cpu != line.cpu) {
            self.push(Line { cpu, text: format!("{text}: under way"), ..line.clone() });
        }
    }

    /// Marks the last step of `cpu` as the one that goes wrong, unless one was marked before.
    pub fn mark(&self, cpu: usize, why: &str) {
        let mut lines = locked(&self.lines);
        if lines.iter().any(|line| line.wrong.is_some()) {
            return;
        }
        if let Some(line) = lines.iter_mut().rev().find(|line| line.cpu == cpu) {
            line.wrong = Some(why.to_owned());
        }
    }

    /// Notes a failure; the first one counts.
    pub fn fail(&self, what: String) {
        self.failed.store(true, Relaxed);
        locked(&self.failure).get_or_insert(Failure(what));
    }

    pub fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// The steps, and the failure.
    pub fn take(&self) -> (Vec<Line>, Option<Failure>) {
        (std::mem::take(&mut *locked(&self.lines)), locked(&self.failure).take())
    }
}
