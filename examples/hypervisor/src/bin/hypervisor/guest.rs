//! One guest's memory as the hypervisor keeps it: where each page is. The stage-2 tables show the
//! processor what of it is present.

extern crate alloc;

use alloc::{vec, vec::Vec};

use hypercall::{PAGE, RAM};
use mteswap::entry::SwapEntry;

use crate::{frames::Held, lock::Mutex, stage2::Stage2};

/// Where a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pte {
    /// Nowhere: never used, or given up.
    Absent,
    /// In the frame of this number. The tables may lack it while the frame is held.
    Present {
        /// The frame.
        frame: usize,
        /// The guest may write: nobody else has the frame.
        write: bool,
    },
    /// In this slot, which it has a reference to.
    Swapped(SwapEntry),
}

/// All pages of one guest.
pub struct Table {
    ptes: Vec<Pte>,
    stage2: Stage2,
}

/// A guest: its pages, behind what Linux calls the page-table lock.
pub struct Guest(pub Mutex<Table>);

impl Guest {
    /// A guest of `pages` pages, none of them anywhere.
    pub fn new(number: usize, pages: usize) -> Self {
        let stage2 = Stage2::new(number as u64 + 1);
        Self(Mutex::new(Table { ptes: vec![Pte::Absent; pages], stage2 }))
    }

    /// Where `page` is, for the moment.
    pub fn get(&self, page: usize) -> Pte {
        self.0.lock().get(page)
    }
}

impl Table {
    /// Where `page` is.
    pub fn get(&self, page: usize) -> Pte {
        self.ptes[page]
    }

    /// How many pages there are.
    pub fn pages(&self) -> usize {
        self.ptes.len()
    }

    /// What VTTBR_EL2 has to hold.
    pub fn vttbr(&self) -> u64 {
        self.stage2.vttbr()
    }

    /// `page` is in `frame` from now on, and the guest may use it.
    pub fn map(&mut self, page: usize, frame: &Held<'_>, write: bool) {
        self.ptes[page] = Pte::Present { frame: frame.index(), write };
        self.stage2.map(address(page), frame.address(), write);
    }

    /// The guest cannot reach `page` any more; where it is stays as it was.
    pub fn hide(&mut self, page: usize) {
        self.stage2.unmap(address(page));
    }

    /// `page`, hidden or not present, is there from now on.
    pub fn set(&mut self, page: usize, pte: Pte) {
        self.ptes[page] = pte;
    }
}

/// Where the guest sees `page`.
fn address(page: usize) -> usize {
    RAM + page * PAGE
}
