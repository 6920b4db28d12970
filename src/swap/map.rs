//! The swap map: a word of state a slot, and the list of those that are free.

use core::ops::Range;

use crate::{
    error::{Error, Result},
    host::{AllocFlags, Host, HostSlice},
    swap::{CLUSTER, state::State},
};

/// The end of a list. Slots are numbered below it.
pub(super) const NIL: u32 = (1 << 31) - 1;
/// Free slots looked at from the list's head on before a run is looked for cluster by cluster.
const LOOK: usize = 32;

#[derive(Debug, Clone, Copy)]
struct Slot {
    state: State,
    /// On the free list, or being freed: the next slot of that list. In use: the folio that is
    /// the pin, 0 for none.
    link: u32,
}

impl Slot {
    /// Gives slot `index` another state. Left with neither mark nor count, it is being freed from
    /// now on, in front of `idle`. True if a mark went that someone waits for.
    fn change(&mut self, index: u32, state: State, folio: u32, idle: &mut Idle) -> bool {
        let was = *self;
        *self = if state.is_idle() {
            let link = core::mem::replace(idle, Idle(index)).0;
            Self { state: State::FREEING, link }
        } else if was.state.is_cached() == state.is_cached() {
            Self { state, link: was.link }
        } else {
            // The mark comes with its folio and goes with it.
            Self { state, link: folio }
        };
        was.state.is_waited_for() && !state.is_waited_for()
    }
}

/// The map of one area. All of it is under the device's lock.
///
/// Slots that were used and freed come first, last freed first; then those that a run's alignment
/// stepped over, lowest first; then those never reached, from `fresh` on.
///
/// # Invariants
/// - `head` and `tail` are the ends of a list through `State::previous` and `link` that holds all
///   slots that are listed, and no other.
/// - A slot is [`State::FRESH`] exactly if it was never reached: only from `fresh` on.
/// - `free` slots are free, `bad` are bad.
pub(super) struct Map<H: Host> {
    slots: HostSlice<H, Slot>,
    head: u32,
    tail: u32,
    fresh: u32,
    free: usize,
    bad: usize,
}

/// Slots being freed, by their first: linked through their words.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Idle(u32);

impl Idle {
    pub(super) const NONE: Self = Self(NIL);
}

/// The first run of neighbours of [`Idle`] slots, if there are any, and the rest.
pub(super) type Freeing = Option<(Range<u32>, Idle)>;

/// What an [`update`](Map::update) leaves to be done, with the lock let go of.
#[must_use]
#[derive(Debug, Clone, Copy)]
pub(super) struct Changed {
    /// Slots that are being freed.
    pub(super) idle: Idle,
    /// A mark is gone that someone waits for.
    pub(super) wake: bool,
}

impl<H: Host> Map<H> {
    /// All slots free. [`Error::Invalid`] where there are none, or too many to number.
    pub(super) fn new(host: H, slots: usize) -> Result<Self> {
        if slots >= NIL as usize {
            return Err(Error::Invalid);
        }
        let fresh = Slot { state: State::FRESH, link: 0 };
        let memory = HostSlice::new(host, slots, fresh, AllocFlags::MAY_SLEEP)?;
        // INVARIANT: nothing was reached yet.
        Ok(Self { slots: memory, head: NIL, tail: NIL, fresh: 0, free: slots, bad: 0 })
    }

    fn slot(&self, index: u32) -> Slot {
        // Past the map everything is bad.
        let outside = Slot { state: State::BAD, link: 0 };
        self.slots.get(index as usize).copied().unwrap_or(outside)
    }

    fn set(&mut self, index: u32, state: State, link: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize) {
            *slot = Slot { state, link };
        }
    }

    pub(super) fn state(&self, index: u32) -> State {
        self.slot(index).state
    }

    /// The folio that is the pin of a slot with the mark.
    pub(super) fn folio(&self, index: u32) -> u32 {
        if self.state(index).is_cached() { self.slot(index).link } else { 0 }
    }

    /// Slots that are neither free nor bad.
    pub(super) fn in_use(&self) -> usize {
        self.slots.len().saturating_sub(self.free).saturating_sub(self.bad)
    }

    pub(super) const fn free(&self) -> usize {
        self.free
    }

    pub(super) const fn fresh(&self) -> u32 {
        self.fresh
    }

    fn set_link(&mut self, index: u32, link: u32) {
        self.set(index, self.state(index), link);
    }

    fn push_front(&mut self, index: u32) {
        let next = self.head;
        self.set(index, State::listed(NIL), next);
        match self.slot(next).link {
            after if next != NIL => self.set(next, State::listed(index), after),
            _ => self.tail = index,
        }
        self.head = index;
    }

    fn push_back(&mut self, index: u32) {
        let previous = self.tail;
        self.set(index, State::listed(previous), NIL);
        if previous == NIL {
            self.head = index;
        } else {
            self.set_link(previous, index);
        }
        self.tail = index;
    }

    /// Takes a slot off the free list; nothing where it is not on it.
    fn unlink(&mut self, index: u32) {
        let Some(previous) = self.state(index).previous() else { return };
        let next = self.slot(index).link;
        if previous == NIL {
            self.head = next;
        } else {
            self.set_link(previous, next);
        }
        if next == NIL {
            self.tail = previous;
        } else {
            self.set(next, State::listed(previous), self.slot(next).link);
        }
    }

    /// The next slot to hand out, were it one alone.
    fn first_free(&self) -> Option<u32> {
        if self.head != NIL {
            return Some(self.head);
        }
        (self.fresh..self.slots.len() as u32).find(|&index| self.state(index).is_free())
    }

    /// Hands out the run of `nr` slots that comes first, as far as the list's head tells.
    pub(super) fn take_recent(&mut self, nr: u32) -> Option<u32> {
        if nr == 1 {
            let first = self.first_free()?;
            self.take(first, 1);
            return Some(first);
        }
        let listed = |index: &u32| Some(self.slot(*index).link).filter(|&next| next != NIL);
        let first = core::iter::successors(Some(self.head).filter(|&h| h != NIL), listed)
            .take(LOOK)
            .map(|index| index & !nr.wrapping_sub(1))
            .find(|&first| self.is_run(first, nr))?;
        self.take(first, nr);
        Some(first)
    }

    /// Hands out the first free aligned run of `nr` slots of one cluster.
    pub(super) fn take_in(&mut self, cluster: u32, nr: u32) -> Option<u32> {
        let start = cluster.wrapping_mul(CLUSTER as u32);
        // A power of two; shifted rather than stepped by, which panics for 0.
        let shift = nr.trailing_zeros();
        let first = (0..(CLUSTER as u32).wrapping_shr(shift))
            .map(|run| start.wrapping_add(run.wrapping_shl(shift)))
            .find(|&first| self.is_run(first, nr))?;
        self.take(first, nr);
        Some(first)
    }

    fn run(first: u32, nr: u32) -> Range<u32> {
        first..first.saturating_add(nr)
    }

    fn is_run(&self, first: u32, nr: u32) -> bool {
        Self::run(first, nr).all(|index| self.state(index).is_free())
    }

    /// Hands out a run that is free: with the mark and count 0.
    fn take(&mut self, first: u32, nr: u32) {
        // INVARIANT: what is stepped over has been reached, so it is listed.
        for index in self.fresh..first {
            if self.state(index).is_free() {
                self.push_back(index);
            }
        }
        for index in Self::run(first, nr) {
            self.unlink(index);
            self.set(index, State::CACHED, 0);
        }
        self.fresh = self.fresh.max(first.saturating_add(nr));
        self.free = self.free.saturating_sub(nr as usize);
    }

    /// Keeps a free slot from being handed out. [`Error::Invalid`] where it is not free.
    pub(super) fn mark_bad(&mut self, index: u32) -> Result<()> {
        if !self.state(index).is_free() {
            return Err(Error::Invalid);
        }
        self.unlink(index);
        self.set(index, State::BAD, 0);
        self.free = self.free.saturating_sub(1);
        self.bad = self.bad.saturating_add(1);
        Ok(())
    }

    /// Applies `change` to all slots of `run`, or to none where it refuses one. Slots left with
    /// neither mark nor count are being freed from now on, and returned: once their records are
    /// gone, they are [`finish`](Self::finish)ed.
    pub(super) fn update(
        &mut self,
        run: Range<u32>,
        change: impl Fn(State) -> Result<State>,
        folio: u32,
    ) -> Result<Changed> {
        // Past the map everything is bad.
        let place = run.start as usize..run.end as usize;
        let slots = self.slots.get_mut(place).ok_or(Error::NoEntry)?;
        // All are asked before any is changed.
        for slot in slots.iter() {
            change(slot.state)?;
        }
        let (mut idle, mut wake) = (Idle::NONE, false);
        // From the end on, so that the list is in ascending order.
        for (slot, index) in slots.iter_mut().zip(run).rev() {
            wake |= slot.change(index, change(slot.state)?, folio, &mut idle);
        }
        Ok(Changed { idle, wake })
    }

    /// [`update`](Self::update) of one slot, as most are: it is asked once.
    pub(super) fn update_one(
        &mut self,
        index: u32,
        change: impl Fn(State) -> Result<State>,
        folio: u32,
    ) -> Result<Changed> {
        let slot = self.slots.get_mut(index as usize).ok_or(Error::NoEntry)?;
        let mut idle = Idle::NONE;
        let wake = slot.change(index, change(slot.state)?, folio, &mut idle);
        Ok(Changed { idle, wake })
    }

    /// Notes that someone waits for the mark of a slot; false where it has none.
    pub(super) fn wait(&mut self, index: u32) -> bool {
        let slot = self.slot(index);
        let Some(state) = slot.state.wait() else { return false };
        self.set(index, state, slot.link);
        true
    }

    /// The first run of neighbours of `idle`, and the rest.
    pub(super) fn next_run(&self, idle: Idle) -> Freeing {
        if idle == Idle::NONE {
            return None;
        }
        let mut last = idle.0;
        let mut next = self.slot(last).link;
        while next == last.wrapping_add(1) && next != NIL {
            last = next;
            next = self.slot(last).link;
        }
        Some((idle.0..last.wrapping_add(1), Idle(next)))
    }

    /// Frees slots that were being freed: they can be handed out again.
    pub(super) fn finish(&mut self, run: Range<u32>) {
        for index in run {
            self.push_front(index);
            self.free = self.free.saturating_add(1);
        }
    }
}
