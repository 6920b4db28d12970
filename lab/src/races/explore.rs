//! What happens in a schedule of a scenario.

use std::sync::{Arc, Mutex, PoisonError};

use super::scenario::Scenario;
use crate::{
    model::{
        trace::{Failure, Line},
        variant::Order,
    },
    schedule,
};

/// One schedule's outcome.
pub struct Run {
    pub seed: u64,
    pub failure: Option<Failure>,
    /// Steps, where they were asked for.
    pub lines: Vec<Line>,
}

impl Run {
    /// How hard it is to follow: whether the step is marked that lost what is lost, changes from
    /// one processor to another, then steps.
    pub fn difficulty(&self) -> (bool, usize, usize) {
        let lost = self.failure.as_ref().is_some_and(|failure| failure.0.contains("data lost"));
        let mut marks = self.lines.iter().filter_map(|line| line.wrong.as_ref());
        let unmarked = lost && !marks.any(|why| why.contains("stale data"));
        let changes = self.lines.windows(2).filter(|pair| pair[0].cpu != pair[1].cpu).count();
        (unmarked, changes, self.lines.len())
    }
}

/// Runs the schedules `seeds` one after another and hands each outcome to `each`, which says
/// whether to go on.
pub fn explore(
    scenario: &'static Scenario,
    order: Order,
    seeds: std::ops::Range<u64>,
    traced: bool,
    each: impl FnMut(Run) -> bool + Send + 'static,
) {
    let each = Mutex::new(each);
    schedule::explore(seeds, move |seed| {
        let run = match scenario.run(order, seed, traced) {
            Ok(machine) => {
                let (mut lines, failure) = machine.trace.take();
                // What follows the failure explains nothing.
                if let Some(Failure(what)) = &failure {
                    let end = lines.iter().position(|line| line.text.contains(what.as_str()));
                    lines.truncate(end.map_or(lines.len(), |end| end + 1));
                }
                Run { seed, failure, lines }
            }
            Err(error) => Run {
                seed,
                failure: Some(Failure(format!("no machine: {error:?}"))),
                lines: vec![],
            },
        };
        let mut each = each.lock().unwrap_or_else(PoisonError::into_inner);
        each(run)
    });
}

/// The outcome of one schedule, with its steps.
pub fn replay(scenario: &'static Scenario, order: Order, seed: u64) -> Option<Run> {
    let found = Arc::new(Mutex::new(None));
    let place = Arc::clone(&found);
    explore(scenario, order, seed..seed.saturating_add(1), true, move |run| {
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
        false
    });
    found.lock().unwrap_or_else(PoisonError::into_inner).take()
}
