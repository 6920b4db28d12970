//! What is there once for every few processors, so that those who work at the same time seldom meet in
//! it, or in a cache line of it.

use crate::{
    host::Host,
    sync::{AtomicUsize, Ordering},
};

/// How many there are of each. A model of all interleavings has one: what two have does not differ from it.
pub(crate) const LANES: usize = if cfg!(any(loom, shuttle)) { 1 } else { 4 };

/// The lane of who calls, below [`LANES`].
#[inline(always)]
pub(crate) fn lane<H: Host>(host: &H) -> usize {
    host.processor() % LANES
}

/// Cache lines of its own.
#[repr(align(64))]
pub(crate) struct OwnLine<T>(pub(crate) T);

/// One for each lane.
pub(crate) struct Lanes<T>([OwnLine<T>; LANES]);

impl<T> Lanes<T> {
    pub(crate) const fn new(all: [OwnLine<T>; LANES]) -> Self {
        Self(all)
    }

    /// The caller's.
    #[inline(always)]
    pub(crate) fn own<H: Host>(&self, host: &H) -> &T {
        let [OwnLine(first), ..] = &self.0;
        // In bounds.
        self.0.get(lane(host)).map_or(first, |own| &own.0)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|lane| &lane.0)
    }
}

/// A sum that many add to at the same time.
pub(crate) struct Sum(Lanes<AtomicUsize>);

impl Sum {
    pub(crate) const fn new() -> Self {
        Self(Lanes::new([const { OwnLine(AtomicUsize::new(0)) }; LANES]))
    }

    #[inline]
    pub(crate) fn add<H: Host>(&self, host: &H, number: usize) {
        self.0.own(host).fetch_add(number, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn sub<H: Host>(&self, host: &H, number: usize) {
        self.0.own(host).fetch_sub(number, Ordering::Relaxed);
    }

    /// What it comes to. Beside others who add and subtract, something between.
    pub(crate) fn get(&self) -> usize {
        // A lane's part alone may be less than nothing.
        self.0.all().fold(0, |sum, lane| sum.wrapping_add(lane.load(Ordering::Relaxed)))
    }
}
