//! What is there once for every few processors, so that those who work at the same time seldom meet in
//! it, or in a cache line of it.

use crate::host::Host;

/// How many there are of each. A model of all interleavings has one: each lane has a lock of its own, two are never held
/// together, and whoever takes from another's does so as its owner would.
pub(crate) const LANES: usize = if cfg!(any(loom, shuttle)) { 1 } else { 4 };

/// The lane of who calls, below [`LANES`].
#[inline(always)]
pub(crate) fn lane<H: Host>(host: &H) -> usize {
    host.processor().checked_rem(LANES).unwrap_or(0)
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
