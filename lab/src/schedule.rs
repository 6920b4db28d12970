//! Schedules: each is a number, from which every change of threads follows.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use shuttle::{
    Config, FailurePersistence, Runner,
    scheduler::{Schedule, Scheduler, Task, TaskId},
};

/// Turns after which a run is given up.
const TURNS_MAX: u64 = 1_000_000;
/// How likely another thread comes in at a point, one in so many: drawn once a schedule. Long
/// stays show races that need one processor to stall for long, short ones show the others.
const STAYS: [u32; 5] = [4, 12, 40, 120, 400];

/// The longest that a thread is left out of its turn, in turns, as a power of two.
const STALL_BITS: u32 = 10;

/// Runs `body` under the schedules `seeds`, one after another, until it returns false. It is handed
/// each one's number.
pub fn explore(seeds: Range<u64>, body: impl Fn(u64) -> bool + Send + Sync + 'static) {
    run(seeds, false, body);
}

/// As [`explore`], but in three schedules of four a thread that is not let run on may stall while
/// others go on for as long as several calls take: what it saw may be used again twice by then.
pub fn explore_with_stalls(seeds: Range<u64>, body: impl Fn(u64) -> bool + Send + Sync + 'static) {
    run(seeds, true, body);
}

fn run(seeds: Range<u64>, stalls: bool, body: impl Fn(u64) -> bool + Send + Sync + 'static) {
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
        stalls,
        stall: 0,
        stalled: Vec::new(),
        turns: 0,
    };
    let mut config = Config::new();
    config.silence_warnings = true;
    // A store lies on it, whose atomics are a checker's and larger than words.
    config.stack_size = 256 << 10;
    config.failure_persistence = FailurePersistence::None;
    Runner::new(scheduler, config).run(move || {
        if !body(control.current.load(SeqCst)) {
            control.stop.store(true, SeqCst);
        }
    });
}

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
    stalls: bool,
    /// How often one that is not let run on stalls, in quarters.
    stall: u32,
    /// Those that stall, and until which turn.
    stalled: Vec<(TaskId, u64)>,
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
        if self.stalls {
            self.stall = self.rng.random_range(0..4);
        }
        self.stalled.clear();
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
        let stays = current.is_some() && !is_yielding && self.rng.random_range(0..self.stay) > 0;
        if stays {
            return current;
        }
        if let Some(current) = current {
            // Nothing is drawn where nobody stalls: schedules keep their numbers.
            if self.stall > 0 && self.rng.random_range(0..4) < self.stall {
                let turns = 1 << self.rng.random_range(0..=STALL_BITS);
                self.stalled.push((current, self.turns + turns));
            }
        }
        self.stalled.retain(|(_, until)| *until > self.turns);
        let stalls = |id: &TaskId| self.stalled.iter().any(|(stalled, _)| stalled == id);
        let others = || ids().filter(|id| Some(*id) != current);
        // Where nobody else can run, those that stall do.
        let awake = others().filter(|id| !stalls(id)).count();
        if awake > 0 {
            let number = self.rng.random_range(0..awake);
            return others().filter(|id| !stalls(id)).nth(number);
        }
        match others().count() {
            0 => current,
            count => others().nth(self.rng.random_range(0..count)),
        }
    }

    fn next_u64(&mut self) -> u64 {
        self.rng.random()
    }
}
