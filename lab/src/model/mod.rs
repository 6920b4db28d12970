//! A model of swapping, on top of the library: frames, page tables, a swap device, the swap
//! cache, and the paths that move pages between them, with the orders of history as switches.
//!
//! The tag store, the flag protocol, the swap map, the pin and the hooks are the library's own
//! code. What is modelled is what calls it.
//!
//! | file | holds | Linux |
//! |---|---|---|
//! | [`variant`] | which order swap-in has | the commits named there |
//! | [`fault`] | `do_swap_page`, `do_wp_page`, user space's access | mm/memory.c |
//! | [`install`] | the steps under the page-table lock | mm/memory.c |
//! | [`reclaim`] | swap-out | mm/vmscan.c, mm/page_io.c |
//! | [`cache`] | the swap cache, and reading into it | mm/swap_state.c |
//! | [`mapping`] | fork, exit, swapoff | mm/memory.c, mm/swapfile.c |
//! | [`shmem`] | shared memory | mm/shmem.c |
//! | [`frame`], [`table`], [`device`], [`tags`], [`host`] | what they work on | |

pub mod cache;
pub mod check;
pub mod device;
pub mod fault;
pub mod frame;
pub mod host;
pub mod install;
pub mod mapping;
pub mod reclaim;
pub mod shmem;
pub mod table;
pub mod tags;
pub mod trace;
pub mod variant;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use mteswap::{
    entry::{EntryRange, SwapEntry, SwapType},
    error::{Error, Result},
    hooks::KeepTags,
    store::TagStore,
    swap::{SlotsFreed, Swap},
};
use parking_lot::Mutex;

use device::{Device, DeviceKind};
use frame::{Frame, Frames, Pfn};
use host::LabHost;
use table::{Mm, PteSlot};
use tags::{Buffers, Tags};
use trace::{Line, Trace};
use variant::Order;

use crate::sync::point;

/// How long a wait is at most: a timer's tick at 250 Hz.
pub const TICK: Duration = Duration::from_millis(4);
/// A tick where time does not pass: turns of other threads.
pub const TICK_TURNS: usize = 40;
/// Faults after which an access that still fails will never succeed. Each may wait a tick.
const PATIENCE: usize = if cfg!(feature = "shuttle") { 60 } else { usize::MAX };
/// Processors that have a number of their own; others share one.
pub const CPUS: usize = 64;
/// The swap type of the model's area.
const AREA: u32 = 1;

/// How large a machine is, and what it is made of.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub frames: usize,
    pub slots: usize,
    /// Words of data a page.
    pub words: usize,
    pub device: DeviceKind,
    /// A swap-in of a slot with one reference goes around the swap cache
    /// (`SWP_SYNCHRONOUS_IO`).
    pub direct: bool,
    /// Pages have tags.
    pub tagged: bool,
}

impl Size {
    /// About what frames and a device take that holds all of them.
    fn bytes(self) -> usize {
        let data = self.words * size_of::<u64>();
        let block = if self.device.lz4 { data / 2 } else { data };
        self.frames * (size_of::<Frame>() + data + block)
    }
}

/// True if so much memory can be had at once: many small allocations of it would end the process
/// at the first that fails.
pub fn has_room(bytes: usize) -> bool {
    Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
}

/// What is kept for slots: tags and data. It hears of slots that are freed.
#[derive(Clone)]
pub struct Backing(Arc<Kept>);

pub struct Kept {
    pub tags: Tags,
    pub device: Device,
    slots: Box<[SlotNotes]>,
}

/// What a trace shows of a slot: noted where the model changes it, compared with the library's
/// own answers at the end of each run.
#[derive(Default)]
struct SlotNotes {
    count: AtomicU32,
    pinned: AtomicBool,
    /// One more than how often the page had been written whose tags were saved; 0 for none.
    record: AtomicU64,
}

impl SlotsFreed for Backing {
    fn slots_freed(&self, range: EntryRange) {
        self.0.tags.drop_tags(range);
        self.0.device.freed(range);
        for slot in range.first().offset()..=range.last().offset() {
            self.0.slots[slot as usize].record.store(0, SeqCst);
        }
    }
}

/// The whole of it.
pub struct Machine {
    pub order: Order,
    pub size: Size,
    pub host: LabHost,
    pub backing: Backing,
    pub swap: Swap<LabHost, Backing>,
    pub frames: Frames,
    /// The swap cache: by slot, one more than the frame's number; 0 for none.
    cache: Box<[AtomicU32]>,
    /// No slots are handed out any more once this is false (`SWP_WRITEOK`).
    swap_on: AtomicBool,
    pub mms: Mutex<Vec<Arc<Mm>>>,
    /// By processor: faults in a row that found their slot pinned, and did not sleep.
    spins: [AtomicU32; CPUS],
    /// Pages read from the device.
    read: AtomicU64,
    pub trace: Trace,
}

impl Machine {
    /// # Errors
    /// Where the host has no memory.
    pub fn new(order: Order, size: Size, traced: bool) -> Result<Self> {
        if !has_room(size.bytes()) {
            return Err(Error::NoMemory);
        }
        let host = LabHost::default();
        let tags = if order.restore_at_read {
            Tags::Buffers(Buffers::new(size.slots))
        } else {
            Tags::Ours(Box::new(TagStore::new(host.clone())))
        };
        let backing = Backing(Arc::new(Kept {
            tags,
            device: Device::new(size.device, size.slots),
            slots: (0..size.slots).map(|_| SlotNotes::default()).collect(),
        }));
        let swap = Swap::new(host.clone(), backing.clone(), SwapType::new(AREA)?, size.slots)?;
        Ok(Self {
            order,
            size,
            host,
            backing,
            swap,
            frames: Frames::new(size.frames, size.words),
            cache: (0..size.slots).map(|_| AtomicU32::new(0)).collect(),
            swap_on: AtomicBool::new(true),
            mms: Mutex::default(),
            spins: [const { AtomicU32::new(0) }; CPUS],
            read: AtomicU64::new(0),
            trace: Trace::new(traced),
        })
    }

    /// A processor's view of it.
    pub fn cpu(&self, number: usize) -> Cpu<'_> {
        Cpu { machine: self, number: number % CPUS }
    }

    /// An address space of `pages` places with nothing in them.
    pub fn new_mm(&self, pages: usize) -> Arc<Mm> {
        let ptes = (0..pages).map(|_| PteSlot::new(Arc::default())).collect();
        self.add_mm(ptes, None)
    }

    pub fn add_mm(&self, ptes: Vec<PteSlot>, shmem: Option<Arc<shmem::Shmem>>) -> Arc<Mm> {
        let mut mms = self.mms.lock();
        let name = (b'p' + mms.len() as u8) as char;
        let mm = Arc::new(Mm { name, ptes, alive: AtomicBool::new(true), shmem });
        mms.push(Arc::clone(&mm));
        mm
    }

    pub fn tags(&self) -> &Tags {
        &self.backing.0.tags
    }

    pub fn device(&self) -> &Device {
        &self.backing.0.device
    }

    /// Pages read from the device so far.
    pub fn swapped_in(&self) -> u64 {
        self.read.load(SeqCst)
    }

    fn notes(&self, entry: SwapEntry) -> &SlotNotes {
        &self.backing.0.slots[entry.offset() as usize]
    }
}

/// One processor: what it does goes into the trace under its number.
#[derive(Clone, Copy)]
pub struct Cpu<'m> {
    pub machine: &'m Machine,
    pub number: usize,
}

impl<'m> Cpu<'m> {
    pub fn frame(&self, pfn: Pfn) -> &'m Frame {
        self.machine.frames.frame(pfn)
    }

    /// Does one step: others may come in before it, and it is noted with the state it leaves.
    fn does<R>(&self, text: impl FnOnce() -> String, action: impl FnOnce() -> R) -> R {
        point();
        let trace = &self.machine.trace;
        if !trace.is_on() {
            return action();
        }
        trace.begin(self.number, text());
        let result = action();
        if let Some(text) = trace.end(self.number) {
            trace.push(self.line(text));
        }
        result
    }

    /// Notes a step without doing anything.
    fn note(&self, text: impl FnOnce() -> String) {
        if self.machine.trace.is_on() {
            self.machine.trace.push(self.line(text()));
        }
    }

    /// A step, with the state as it is now.
    fn line(&self, text: String) -> Line {
        let (slot, record, pte) = self.machine.show();
        Line { cpu: self.number, text, slot, record, pte, wrong: None }
    }

    /// Marks the last step as the one that goes wrong.
    fn wrong(&self, why: &str) {
        if self.machine.trace.is_on() {
            self.machine.trace.mark(self.number, why);
        }
    }

    /// Something is lost, or held for ever: says so, and ends the run as a failure.
    pub fn fail(&self, what: impl Into<String>) {
        let what = what.into();
        let trace = &self.machine.trace;
        if trace.is_on() {
            let line = self.line(format!("<{what}>"));
            trace.push_under_way(&line);
            trace.push(line);
            trace.mark(self.number, &what);
        }
        trace.fail(what);
    }
}

impl Machine {
    /// Slot 0, its record and the PTEs of page 0, as a trace shows them.
    fn show(&self) -> (String, String, String) {
        let notes = &self.backing.0.slots[0];
        let slot = match (notes.count.load(SeqCst), notes.pinned.load(SeqCst)) {
            (0, false) => "free".to_owned(),
            (count, pinned) => format!("{count}{}", if pinned { "+pin" } else { "" }),
        };
        let record = match notes.record.load(SeqCst) {
            0 => "-".to_owned(),
            record => format!("t{}", record - 1),
        };
        let mms = self.mms.lock();
        let ptes = mms.iter().filter_map(|mm| Some(mm.ptes.first()?.load().to_string()));
        (slot, record, ptes.collect::<Vec<_>>().join(", "))
    }
}
