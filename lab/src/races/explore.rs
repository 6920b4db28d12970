//! Schedules: each is a number, from which everything that happens follows.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use shuttle::{
    Config, FailurePersistence, Runner,
    scheduler::{Schedule, Scheduler, Task, TaskId},
};

use super::scenario::Scenario;
use crate::model::{
    trace::{Failure, Line},
    variant::Order,
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

/// Turns after which a run is given up.
const TURNS_MAX: u64 = 1_000_000;
/// How likely another thread comes in at a point, one in so many: drawn once a schedule. Long
/// stays show races that need one processor to stall for long, short ones show the others.
const STAYS: [u32; 5] = [4, 12, 40, 120, 400];

struct Control {
    next: AtomicU64,
    end: u64,
    current: AtomicU64,
    stop: AtomicBool,
}

/// Lets a thread run on, until it gives up its turn or another comes in by chance.
struct Chance {
    control: Arc<Control>,
    rng: SmallRng,
    stay: u32,
    turns: u64,
}

impl Scheduler for Chance {
    fn new_execution(&mut self) -> Option<Schedule> {
        let seed = self.control.next.fetch_add(1, SeqCst);
        if seed >= self.control.end || self.control.stop.load(SeqCst) {
            return None;
        }
        self.control.current.store(seed, SeqCst);
        self.rng = SmallRng::seed_from_u64(seed);
        self.stay = STAYS[self.rng.random_range(0..STAYS.len())];
        self.turns = 0;
        Some(Schedule::new(seed))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        self.turns += 1;
        if self.turns > TURNS_MAX {
            return None;
        }
        let ids = || runnable.iter().map(|task| task.id());
        let current = current.filter(|current| ids().any(|id| id == *current));
        let others = || ids().filter(|id| Some(*id) != current);
        let count = others().count();
        let stays = current.is_some() && !is_yielding && self.rng.random_range(0..self.stay) > 0;
        if stays || count == 0 {
            return current;
        }
        others().nth(self.rng.random_range(0..count))
    }

    fn next_u64(&mut self) -> u64 {
        self.rng.random()
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
    let control = Arc::new(Control {
        next: AtomicU64::new(seeds.start),
        end: seeds.end,
        current: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    let scheduler = Chance {
        control: Arc::clone(&control),
        rng: SmallRng::seed_from_u64(0),
        stay: 1,
        turns: 0,
    };
    let mut config = Config::new();
    config.silence_warnings = true;
    // A store lies on it, whose atomics are a checker's and larger than words.
    config.stack_size = 256 << 10;
    config.failure_persistence = FailurePersistence::None;
    let each = Mutex::new(each);
    Runner::new(scheduler, config).run(move || {
        let seed = control.current.load(SeqCst);
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
        if !each(run) {
            control.stop.store(true, SeqCst);
        }
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
