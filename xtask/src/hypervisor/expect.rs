//! What has to have been counted. Where it can be, it is computed from the arguments alone.

use anyhow::Result;

use super::{Args, FRAMES, PRIVATE, SHARED, boot::Counts};

/// As in examples/hypervisor/src/lib.rs.
const GRANULES: u64 = 256;
const PROBES: u64 = 8;
const GUESTS: u64 = 2;

/// A check: its name, whether it holds, and what to say where it does not.
type Check = (&'static str, bool, String);

/// # Errors
/// Where something was not counted.
pub(crate) fn checks(counts: &Counts, args: &Args) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let mut equal = |name, count: &str, expected: u64| {
        let found = counts.get(count)?;
        checks.push((name, found == expected, format!("{count}: {found}, expected {expected}")));
        anyhow::Ok(())
    };
    let lost = counts.get("lost")?;

    // Each guest visits a page a step, and all at the end; guest 0 those it shares.
    let visits = GUESTS * (args.epochs * args.steps + PRIVATE + SHARED) + args.epochs * SHARED;
    equal("every page as it was left", "mismatches", 0)?;
    equal("every visit was made", "visits", visits)?;
    equal("every granule's tag was read", "tags_checked", visits * GRANULES)?;
    equal("every wrong tag was refused", "tag_faults", visits * PROBES)?;
    equal("every sharing took place", "shares", args.epochs)?;
    // Guest 1's shared pages come from guest 0.
    equal("pages began zeroed", "fresh", GUESTS * PRIVATE + SHARED + lost)?;
    equal("each page out had its tags saved", "tags_saved", counts.get("pages_out")?)?;
    // A slot that cannot be read is kept from use; it has no page.
    let bad = counts.get("slots_left")?;
    equal("a record for each slot in use", "records", counts.get("slots_used")? - bad)?;
    equal("handlers found what they saved", "interrupt_mismatches", 0)?;
    equal("no record is left", "records_left", 0)?;
    equal("no payload is left", "payload_bytes_left", 0)?;
    equal("every byte is accounted for", "bytes_unaccounted", 0)?;
    equal("no frame is left", "frames_left", 0)?;
    equal("no warning", "warnings", 0)?;

    // Accesses refused reach the guest; it tries twice before it gives a page up.
    let recovered = counts.get("recovered")?;
    equal("each error reached its guest", "aborts", counts.get("read_errors")?)?;
    equal("pages recovered or given up", "aborts", recovered + 2 * lost)?;
    equal("pages given up", "discards", lost)?;
    if args.device_error {
        checks.push(("one page came back", recovered >= 1, "none did".to_owned()));
        checks.push(("one page was lost", lost >= 1, "none was".to_owned()));
        let why = format!("{bad} bad slots for {lost} lost pages");
        checks.push(("its slot is out of use", bad <= lost, why));
    } else {
        equal("no device error", "read_errors", 0)?;
        equal("no slot is left", "slots_left", 0)?;
    }

    // That what should be tried was tried. Where nothing comes back, pages differ at once.
    let pages = GUESTS * PRIVATE + SHARED;
    for (name, count, least) in [
        ("more was swapped out than memory holds", "pages_out", pages - FRAMES),
        ("pages came back", "pages_in", pages - FRAMES),
        ("guests met in the swap cache", "cache_hits", args.epochs),
        ("sharers wrote", "copies", args.epochs),
        ("swapped-out pages were shared", "shared_slots", args.epochs),
        ("shared pages left without a write", "clean_drops", 1),
        ("handlers ran within calls of the store", "interrupts_in_store", 100),
        ("handlers saved", "interrupt_saves", 100),
    ] {
        let found = counts.get(count)?;
        checks.push((name, found >= least, format!("{count}: {found}, at least {least} expected")));
    }
    Ok(checks)
}
