//! What all CPUs share, and what was counted.

use core::sync::atomic::{AtomicU64, Ordering};

use hypercall::{GUESTS, IMAGE_PAGES};
use mteswap::{entry::SwapType, swap::Swap};

use crate::{
    disk::Disk,
    frames::Frames,
    guest::Guest,
    host::Bare,
    machine::Options,
    store::{STORE, Store},
    tick,
};

/// A count.
#[derive(Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The highest of what was noted.
    pub fn peak(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What was counted.
        #[derive(Default)]
        pub struct Counts {
            $($(#[$doc])* pub $name: Count,)*
        }

        impl Counts {
            /// Each with its name.
            pub fn each(&self, mut show: impl FnMut(&str, u64)) {
                $(show(stringify!($name), self.$name.get());)*
            }
        }
    };
}

counts! {
    /// Stage-2 faults.
    faults,
    /// Pages written to the device.
    pages_out,
    /// Pages read from the device.
    pages_in,
    /// Pages found in the swap cache: the other guest was reading them, or had read them.
    cache_hits,
    /// Pages dropped from memory without a write: their slot still held them.
    clean_drops,
    /// Faults that found the slot pinned by the other CPU, and had to look again.
    pin_races,
    /// Pages copied because one of two sharers wrote.
    copies,
    /// Pages never used before, zeroed data and tags.
    fresh,
    /// How often all shared pages of guest 0 were given to guest 1.
    shares,
    /// Slots that got a second reference: a page was shared while it was swapped out.
    shared_slots,
    /// Reads that failed.
    read_errors,
    /// Pages whose tags the hooks saved.
    tags_saved,
    /// Pages the guest gave up.
    discards,
    /// Most records at a time, as sampled.
    records_peak,
    /// Of these without a payload, then.
    records_inline,
    /// Most bytes of the store's at a time, as sampled.
    bytes_peak,
    /// Interrupts of the CPUs' timers.
    interrupts,
    /// Of these, while the hypervisor ran.
    interrupts_at_el2,
    /// Of these, within a call of the store.
    interrupts_in_store,
    /// Records that handlers saved.
    interrupt_saves,
    /// Records that handlers found otherwise than they had saved them.
    interrupt_mismatches,
    /// What guests found wrong.
    mismatches,
    /// From the guests: pages looked at.
    visits,
    /// From the guests: tags read by LDG.
    tags_checked,
    /// From the guests: tag check faults that had to be taken, and were.
    tag_faults,
    /// From the guests: pages written.
    writes,
    /// From the guests: accesses refused.
    aborts,
    /// From the guests: pages that came back at the second try.
    recovered,
    /// From the guests: pages that did not.
    lost,
}

/// All of it.
pub struct Hypervisor {
    /// The command line.
    pub options: Options,
    /// Memory for guests.
    pub frames: Frames,
    /// One a CPU.
    pub guests: [Guest; GUESTS],
    /// The swap map.
    pub swap: Swap<Bare, &'static Store>,
    /// Slots for guests' pages.
    pub slots: usize,
    /// The swap device.
    pub disk: Disk,
    /// What was counted.
    pub counts: Counts,
}

impl Hypervisor {
    /// Everything empty.
    pub fn new(options: Options, disk: Disk) -> mteswap::error::Result<Self> {
        let pages = IMAGE_PAGES + options.private + options.shared;
        let swap = Swap::new(Bare, &STORE, SwapType::new(tick::AREA)?, disk.slots())?;
        tick::keep_slots(&swap)?;
        Ok(Self {
            options,
            frames: Frames::new(options.frames + GUESTS * IMAGE_PAGES),
            guests: core::array::from_fn(|number| Guest::new(number, pages)),
            slots: swap.free_slots(),
            swap,
            disk,
            counts: Counts::default(),
        })
    }

    /// Notes how much the store holds.
    pub fn sample(&self) {
        let stats = STORE.tags.stats();
        if stats.entries >= self.counts.records_peak.get() {
            self.counts.records_inline.peak(stats.inline_entries);
        }
        self.counts.records_peak.peak(stats.entries);
        self.counts.bytes_peak.peak(stats.payload_bytes + stats.index_bytes);
    }
}
