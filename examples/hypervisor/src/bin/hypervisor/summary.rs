//! The end: everything is given up, what is left over is counted, and the counts are printed for
//! `cargo xtask hypervisor` to compare.

use core::sync::atomic::Ordering;

use crate::{
    host::{BYTES, WARNINGS},
    hypervisor::Hypervisor,
    power_off, say, share,
    store::STORE,
};

/// Prints the counts and ends the machine.
pub fn finish(machine: &Hypervisor) -> ! {
    machine.sample();
    machine.counts.each(|name, count| say!("count {name} {count}"));
    // Each slot in use holds a page, and each page was tagged.
    let used = || machine.slots - machine.swap.free_slots();
    say!("count slots_used {}", used());
    say!("count records {}", STORE.tags.stats().entries);

    share::discard_all(machine);
    let stats = STORE.tags.stats();
    let map = 8 * machine.swap.slots().len();
    let held = stats.payload_bytes + stats.index_bytes + stats.reserved_bytes + map;
    let left = BYTES.load(Ordering::Relaxed).abs_diff(held);
    say!("count records_left {}", stats.entries);
    say!("count payload_bytes_left {}", stats.payload_bytes);
    say!("count bytes_unaccounted {left}");
    say!("count slots_left {}", used());
    say!("count frames_left {}", machine.frames.count() - machine.frames.free());
    say!("count warnings {}", WARNINGS.load(Ordering::Relaxed));
    say!("done");
    power_off()
}
