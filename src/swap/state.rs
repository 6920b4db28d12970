//! What one slot holds, and how each call changes it: the table of PIN-1.

use crate::error::{Error, Result};

/// A slot's word in the map.
///
/// | bits | 31 | 30 | 29 | 28 | 27 | 26, 25 | 24 | 23..0 |
/// |---|---|---|---|---|---|---|---|---|
/// | in use | 0 | cache mark | bad | shmem | being freed | 0 | waited for | count |
/// | on the free list | 1 | previous slot of the list, 31 bits |||||
/// | never used | 0 | all 0 |||||
///
/// Linux has a byte here (0x40 the mark, 0x3f bad, 0xbf shmem, 0x80 count continued
/// elsewhere). The count is wide enough to need no continuation (PIN-9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State(u32);

const LISTED: u32 = 1 << 31;
const CACHE: u32 = 1 << 30;
const BAD: u32 = 1 << 29;
const SHMEM: u32 = 1 << 28;
const FREEING: u32 = 1 << 27;
/// Someone waits for the mark to go, or did: whoever drops it wakes. Only beside the mark.
const WAITED: u32 = 1 << 24;
/// The highest count; more sharers get [`Error::NoMemory`], as Linux answers where it has no
/// page for a continued count.
pub(super) const COUNT_MAX: u32 = (1 << 24) - 1;

impl State {
    pub(super) const FRESH: Self = Self(0);
    pub(super) const BAD: Self = Self(BAD);
    /// As handed out: the mark, and count 0.
    pub(super) const CACHED: Self = Self(CACHE);
    /// Nobody's any more, but its record may still be there: not to be handed out (HOOK-3).
    pub(super) const FREEING: Self = Self(FREEING);

    /// On the free list behind `previous`.
    pub(super) const fn listed(previous: u32) -> Self {
        Self(LISTED | previous)
    }

    /// The slot before this one on the free list, if it is on it.
    pub(super) const fn previous(self) -> Option<u32> {
        if self.0 & LISTED != 0 { Some(self.0 & !LISTED) } else { None }
    }

    /// May be handed out.
    pub(super) const fn is_free(self) -> bool {
        self.0 == Self::FRESH.0 || self.0 & LISTED != 0
    }

    pub(super) const fn is_bad(self) -> bool {
        self.0 == BAD
    }

    /// Has the cache mark.
    pub(super) const fn is_cached(self) -> bool {
        self.0 & (LISTED | CACHE) == CACHE
    }

    /// No mark and no count left: to be freed.
    pub(super) const fn is_idle(self) -> bool {
        self.0 == Self::FRESH.0
    }

    /// References, the mark not counted; a shmem slot has one. [`Error::NoEntry`] where the slot
    /// is free or bad.
    pub(super) const fn count(self) -> Result<u32> {
        if self.is_free() || self.0 & (BAD | FREEING) != 0 {
            return Err(Error::NoEntry);
        }
        Ok(if self.0 & SHMEM != 0 { 1 } else { self.0 & COUNT_MAX })
    }

    /// One reference more (`__swap_duplicate(entry, 1)`).
    pub(super) fn duplicate(self) -> Result<Self> {
        match self.count()? {
            _ if self.0 & SHMEM != 0 => Err(Error::Invalid),
            COUNT_MAX => Err(Error::NoMemory),
            _ => Ok(Self(self.0.wrapping_add(1))),
        }
    }

    /// A shmem mapping's one reference (`swap_shmem_alloc`).
    pub(super) fn shmem(self) -> Result<Self> {
        match self.count()? {
            0 => Ok(Self(self.0 | SHMEM)),
            _ => Err(Error::Invalid),
        }
    }

    /// The mark set (`swapcache_prepare`).
    pub(super) fn prepare(self) -> Result<Self> {
        self.count()?;
        if self.is_cached() { Err(Error::Exists) } else { Ok(Self(self.0 | CACHE)) }
    }

    /// The mark dropped (`swapcache_clear`); [`Error::NoEntry`] where there is none.
    pub(super) fn clear(self) -> Result<Self> {
        if self.is_cached() { Ok(Self(self.0 & !(CACHE | WAITED))) } else { Err(Error::NoEntry) }
    }

    /// Waited for from now on; nothing where there is no mark to wait for.
    pub(super) fn wait(self) -> Option<Self> {
        self.is_cached().then_some(Self(self.0 | WAITED))
    }

    /// Whoever drops the mark has to wake someone.
    pub(super) const fn is_waited_for(self) -> bool {
        self.0 & (LISTED | WAITED) == WAITED
    }

    /// One reference less (`swap_free`); [`Error::NoEntry`] where there is none (PIN-4).
    pub(super) fn put(self) -> Result<Self> {
        match self.count()? {
            0 => Err(Error::NoEntry),
            _ if self.0 & SHMEM != 0 => Ok(Self(self.0 & !SHMEM)),
            _ => Ok(Self(self.0.wrapping_sub(1))),
        }
    }
}
