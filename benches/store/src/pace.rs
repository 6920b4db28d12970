//! Whether a core was ours alone while something was measured.
//!
//! Where another hyperthread of the same core is at work, code that issues many instructions at a time takes up to
//! twice as long, and code that waits for memory hardly longer: figures and ratios are of another machine then.
//! Neither the processor time that a thread had nor the clock tells. Arithmetic that fills a core does: its pace is
//! taken right before and right after each measurement, and noted beside it.

use std::{
    arch::asm,
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::time::cpu_time;

/// A figure, and the pace while it was taken.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) value: f64,
    /// Nanoseconds a step of arithmetic, before or after, whichever was slower.
    pub(crate) pace: f64,
}

impl Sample {
    /// What `measure` returns, and the pace beside it.
    #[inline(always)]
    pub(crate) fn of(measure: impl FnOnce() -> f64) -> Self {
        let before = pace();
        let value = measure();
        Self { value, pace: before.max(pace()) }
    }

    /// The same pace, another figure.
    pub(crate) fn with(self, change: impl FnOnce(f64) -> f64) -> Self {
        Self { value: change(self.value), ..self }
    }

    fn is_whole(self) -> bool {
        self.pace <= best() * TOLERANCE
    }
}

/// A core of ours alone is no slower than this, times the best pace. Another hyperthread at work makes it 1.4 to 2 times.
const TOLERANCE: f64 = 1.2;
/// Steps of a pace: a fifth of a millisecond.
const STEPS: u64 = 300_000;

/// The best pace so far, the bits of a positive `f64`, which are in order.
static BEST: AtomicU64 = AtomicU64::new(f64::MAX.to_bits());

fn best() -> f64 {
    f64::from_bits(BEST.load(Ordering::Relaxed))
}

/// Nanoseconds a step of six additions that do not wait for one another.
pub(crate) fn pace() -> f64 {
    let [mut a, mut b, mut c, mut d, mut e, mut f] = [0_u64; 6];
    let start = cpu_time();
    for step in 0..STEPS {
        [&mut a, &mut b, &mut c, &mut d, &mut e, &mut f]
            .into_iter()
            .for_each(|sum| *sum = sum.wrapping_add(step));
        // Or a compiler makes one step of all.
        // SAFETY: the assembly is a comment.
        unsafe {
            asm!(
                "/* {0} {1} {2} {3} {4} {5} */",
                inout(reg) a, inout(reg) b, inout(reg) c, inout(reg) d, inout(reg) e, inout(reg) f,
                options(nomem, nostack, preserves_flags)
            );
        }
    }
    let pace = (cpu_time() - start) / STEPS as f64;
    BEST.fetch_min(pace.to_bits(), Ordering::Relaxed);
    pace
}

/// Waits for a core of our own, for two seconds at the most.
fn wait() {
    let begun = Instant::now();
    while pace() > best() * TOLERANCE && begun.elapsed() < Duration::from_secs(2) {
        sleep(Duration::from_millis(50));
    }
}

/// Rounds of one plan: as many as are wanted, and more until as many of each row were taken with whole cores, up to
/// [`MOST`](Self::MOST) times as many.
pub(crate) struct Rounds {
    wanted: u32,
    done: u32,
    whole: BTreeMap<String, u32>,
}

impl Rounds {
    const MOST: u32 = 4;

    pub(crate) fn new(wanted: u32) -> Self {
        Self { wanted, done: 0, whole: BTreeMap::new() }
    }

    /// The number of the next round, if there is to be one, and whether it is one of those wanted.
    pub(crate) fn next(&mut self) -> Option<(u32, bool)> {
        let round = self.done;
        let lacking = self.whole.values().any(|whole| *whole < self.wanted);
        let more = round < self.wanted || lacking && round < self.wanted * Self::MOST;
        self.done += 1;
        if more {
            wait();
        }
        more.then_some((round, round < self.wanted))
    }

    /// Notes the samples of a row of this round, of all stores.
    pub(crate) fn note(&mut self, row: &str, samples: impl IntoIterator<Item = Sample>) {
        let whole = samples.into_iter().all(Sample::is_whole);
        *self.whole.entry(row.to_owned()).or_default() += u32::from(whole);
    }
}
