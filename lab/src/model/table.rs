//! Page tables: what a PTE says, its lock, and the accesses under way through it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use mteswap::entry::SwapEntry;

use super::{frame::Pfn, shmem::Shmem};
use crate::sync::Lock;

/// What a PTE says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pte {
    None,
    Present {
        pfn: Pfn,
        writable: bool,
    },
    /// `exclusive`: the page was its mapping's alone (`pte_swp_exclusive`).
    Swap {
        entry: SwapEntry,
        exclusive: bool,
    },
}

const PRESENT: u64 = 1;
const WRITABLE: u64 = 2;
const SWAP: u64 = 4;
const EXCLUSIVE: u64 = 8;
const SHIFT: u32 = 4;

impl Pte {
    fn to_word(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Present { pfn, writable } => {
                u64::from(pfn.0) << SHIFT | PRESENT | if writable { WRITABLE } else { 0 }
            }
            // The one area of the model is of type 1: the word has room for 3.
            Self::Swap { entry, exclusive } => {
                entry.raw() << SHIFT | SWAP | if exclusive { EXCLUSIVE } else { 0 }
            }
        }
    }

    fn from_word(word: u64) -> Self {
        if word & PRESENT != 0 {
            let pfn = Pfn((word >> SHIFT) as u32);
            return Self::Present { pfn, writable: word & WRITABLE != 0 };
        }
        match SwapEntry::from_raw(word >> SHIFT) {
            Ok(entry) if word & SWAP != 0 => Self::Swap { entry, exclusive: word & EXCLUSIVE != 0 },
            _ => Self::None,
        }
    }
}

impl std::fmt::Display for Pte {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => write!(f, "none"),
            Self::Present { pfn, writable: true } => write!(f, "page {pfn} rw"),
            Self::Present { pfn, writable: false } => write!(f, "page {pfn} ro"),
            Self::Swap { entry, .. } => write!(f, "slot {}", entry.offset()),
        }
    }
}

/// A place in a page table.
pub struct PteSlot {
    /// The page-table lock.
    pub lock: Lock<()>,
    word: AtomicU64,
    /// Held by an instruction that goes through the PTE: who takes a mapping away waits for it,
    /// as a TLB flush does. Who sets one does not.
    pub access: Lock<()>,
    /// What user space last wrote there: how often.
    pub written: Arc<AtomicU64>,
}

impl PteSlot {
    pub fn new(written: Arc<AtomicU64>) -> Self {
        Self { lock: Lock::new(()), word: AtomicU64::new(0), access: Lock::new(()), written }
    }

    /// What a page-table walk finds.
    pub fn load(&self) -> Pte {
        Pte::from_word(self.word.load(SeqCst))
    }

    /// Visible at once to whoever walks the table, lock or not.
    pub fn set(&self, pte: Pte) {
        self.word.store(pte.to_word(), SeqCst);
    }

    /// Changes a mapping that is there: on return no access goes on through the old one.
    pub fn change(&self, pte: Pte) {
        let _none = self.access.lock();
        self.set(pte);
    }
}

/// An address space.
pub struct Mm {
    pub name: char,
    pub ptes: Vec<PteSlot>,
    pub alive: AtomicBool,
    /// The object it maps, where its pages are shared memory.
    pub shmem: Option<Arc<Shmem>>,
}
