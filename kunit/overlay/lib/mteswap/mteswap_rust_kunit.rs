// SPDX-License-Identifier: MIT OR Apache-2.0

//! The suite `mteswap_rust`: KUnit's own structures, filled in from Rust.

use super::{c, Store, Swap, Tags, NO_TAGS, TAGS_BYTES};
use core::{cell::UnsafeCell, mem::MaybeUninit};
use kernel::{
    bindings, c_str, kunit_assert, new_spinlock, page::PAGE_SHIFT, prelude::*, stack_pin_init,
};

/// Fails the case that runs where the condition does not hold, and ends it.
macro_rules! expect {
    ($condition:expr) => {
        kunit_assert!(
            "mteswap_rust",
            "lib/mteswap/mteswap_rust_kunit.rs",
            0,
            $condition
        )
    };
}

/// The list of cases. One that ends with an error has failed.
macro_rules! cases {
    ($($case:ident,)*) => {
        const NR: usize = [$(stringify!($case)),*].len();

        static CASES: Shared<[bindings::kunit_case; NR + 1]> = Shared(UnsafeCell::new([
            $({
                extern "C" fn run(_: *mut bindings::kunit) {
                    let result = $case();
                    expect!(result == Ok(()));
                }
                case(c_str!(stringify!($case)), run)
            },)*
            END,
        ]));
    };
}

cases! {
    object_and_header_agree,
    a_record_comes_back_until_it_is_dropped,
    a_record_is_replaced_and_given_away,
    areas_are_apart,
    the_walk_finds_all_records,
    tags_are_saved_under_a_spinlock,
    what_is_no_entry_is_refused,
    wire_format_comes_back,
    the_last_reference_takes_the_record,
    one_swaps_in_at_a_time,
    payloads_are_given_back,
}

/// What KUnit writes to.
#[repr(transparent)]
struct Shared<T>(UnsafeCell<T>);

// SAFETY: Nobody but KUnit looks at what is in it.
unsafe impl<T> Sync for Shared<T> {}

// SAFETY: A case may be all zero: numbers, pointers and functions that may be NULL.
const END: bindings::kunit_case = unsafe { MaybeUninit::zeroed().assume_init() };

const fn case(
    name: &'static CStr,
    run: extern "C" fn(*mut bindings::kunit),
) -> bindings::kunit_case {
    let mut case = END;
    case.run_case = Some(run);
    case.name = name.as_char_ptr();
    case
}

static SUITE: Shared<bindings::kunit_suite> = {
    // SAFETY: As a case may be, so may be a suite.
    let mut suite: bindings::kunit_suite = unsafe { MaybeUninit::zeroed().assume_init() };
    let name = b"mteswap_rust";
    let mut i = 0;
    while i < name.len() {
        suite.name[i] = name[i] as _;
        i += 1;
    }
    suite.test_cases = CASES.0.get().cast();
    Shared(UnsafeCell::new(suite))
};

/// Of the section that KUnit looks through.
#[repr(transparent)]
struct Entry(*mut bindings::kunit_suite);

// SAFETY: It points to a static.
unsafe impl Sync for Entry {}

#[used]
#[link_section = ".kunit_test_suites"]
static ENTRY: Entry = Entry(SUITE.0.get());

/// Tags that differ from granule to granule, and with `seed`.
fn pattern(seed: u8) -> Tags {
    let mut tags = NO_TAGS;
    for (i, byte) in tags.iter_mut().enumerate() {
        *byte = (i as u8).wrapping_mul(0x1d).wrapping_add(seed);
    }
    tags
}

/// The swap entry `offset` of `area`.
fn entry(area: u64, offset: u64) -> u64 {
    area << 58 | offset
}

fn object_and_header_agree() -> Result {
    // SAFETY: It may be called at any time.
    expect!(unsafe { c::mteswap_abi() } == c::MTESWAP_ABI << 8 | PAGE_SHIFT as u32);
    Ok(())
}

fn a_record_comes_back_until_it_is_dropped() -> Result {
    let store = Store::new()?;
    expect!(store.restore(entry(1, 7))?.is_none());
    store.save(entry(1, 7), &pattern(3))?;
    for _ in 0..3 {
        expect!(store.restore(entry(1, 7))? == Some(pattern(3)));
    }
    expect!(store.restore(entry(1, 6))?.is_none());
    expect!(store.restore(entry(1, 8))?.is_none());
    store.invalidate(entry(1, 7));
    expect!(store.restore(entry(1, 7))?.is_none());
    store.invalidate(entry(1, 7));
    Ok(())
}

fn a_record_is_replaced_and_given_away() -> Result {
    let store = Store::new()?;
    store.save(entry(0, 0), &pattern(1))?;
    store.save(entry(0, 0), &NO_TAGS)?;
    expect!(store.restore(entry(0, 0))? == Some(NO_TAGS));
    store.save(entry(2, 5), &pattern(2))?;
    store.rename(entry(0, 0), entry(2, 5))?;
    expect!(store.restore(entry(0, 0))?.is_none());
    expect!(store.restore(entry(2, 5))? == Some(NO_TAGS));
    expect!(store.rename(entry(0, 0), entry(2, 5)) == Err(ENOENT));
    expect!(store.stats().entries == 1);
    Ok(())
}

fn areas_are_apart() -> Result {
    let store = Store::new()?;
    let last = (1 << 58) - 1;
    for area in 0..32 {
        store.save(entry(area, 0), &pattern(area as u8))?;
        store.save(entry(area, last), &pattern(!area as u8))?;
    }
    store.invalidate_area(9);
    expect!(store.restore(entry(9, 0))?.is_none());
    expect!(store.restore(entry(9, last))?.is_none());
    expect!(store.stats().entries == 62);
    expect!(store.restore(entry(8, last))? == Some(pattern(!8)));
    expect!(store.restore(entry(10, 0))? == Some(pattern(10)));
    Ok(())
}

fn the_walk_finds_all_records() -> Result {
    let store = Store::new()?;
    for i in 0..1000_u64 {
        store.save(entry(i % 5, i * i), &pattern(i as u8))?;
    }
    let (mut cursor, mut found) = (0, 0);
    while let Some((at, tags)) = store.next(cursor) {
        expect!(at >= cursor);
        expect!(store.restore(at)? == Some(tags));
        found += 1;
        cursor = at + 1;
    }
    expect!(found == 1000);
    Ok(())
}

fn tags_are_saved_under_a_spinlock() -> Result {
    stack_pin_init!(let store = new_spinlock!(Store::new()?));
    {
        let store = store.lock();
        for i in 0..100 {
            store.save_atomic(entry(3, i), &pattern(i as u8))?;
        }
    }
    let store = store.lock();
    for i in 0..100 {
        expect!(store.restore(entry(3, i))? == Some(pattern(i as u8)));
        store.invalidate(entry(3, i));
    }
    expect!(store.stats().entries == 0);
    Ok(())
}

fn what_is_no_entry_is_refused() -> Result {
    let store = Store::new()?;
    let none = 1 << 63;
    expect!(store.save(none, &pattern(1)) == Err(EINVAL));
    expect!(store.save_atomic(none, &pattern(1)) == Err(EINVAL));
    expect!(store.restore(none) == Err(EINVAL));
    expect!(store.rename(none, 0) == Err(EINVAL));
    expect!(store.stats().entries == 0);
    expect!(Swap::new(&store, 32, 8).err() == Some(EINVAL));
    expect!(Swap::new(&store, 0, 0).err() == Some(EINVAL));
    Ok(())
}

fn wire_format_comes_back() -> Result {
    let mut wire = [0xa5_u8; TAGS_BYTES + 4];
    for tags in [NO_TAGS, [0x77; NO_TAGS.len()], pattern(5)] {
        let (from, to) = (tags.as_ptr().cast(), wire.as_mut_ptr().cast());
        // SAFETY: A page's tags are read, and no more is written than there is room for.
        let len = unsafe { c::mteswap_encode(from, to, wire.len()) };
        expect!(len > 0 && len <= wire.len());
        let mut back = pattern(99);
        let (from, to) = (wire.as_ptr().cast(), back.as_mut_ptr().cast());
        // SAFETY: The bytes are there, and there is room for a page's tags.
        expect!(unsafe { c::mteswap_decode(from, len, to) } == len as i32);
        expect!(back == tags);
        // SAFETY: As above.
        expect!(unsafe { c::mteswap_decode(from, len - 1, to) } == EINVAL.to_errno());
        expect!(back == tags);
    }
    Ok(())
}

fn the_last_reference_takes_the_record() -> Result {
    let store = Store::new()?;
    let swap = Swap::new(&store, 4, 16)?;
    let slot = swap.alloc()?;
    swap.duplicate(slot)?;
    swap.duplicate(slot)?;
    store.save(slot, &pattern(8))?;
    swap.leave_cache(slot);
    swap.free(slot);
    expect!(store.restore(slot)? == Some(pattern(8)));
    swap.free(slot);
    expect!(store.restore(slot)?.is_none());
    expect!(swap.duplicate(slot) == Err(ENOENT));
    // What was freed last is handed out first.
    expect!(swap.alloc() == Ok(slot));
    swap.leave_cache(slot);
    Ok(())
}

fn one_swaps_in_at_a_time() -> Result {
    let store = Store::new()?;
    let swap = Swap::new(&store, 0, 16)?;
    let slot = swap.alloc()?;
    swap.duplicate(slot)?;
    swap.leave_cache(slot);
    let pinned = swap.pin(slot)?;
    expect!(swap.pin(slot).err() == Some(EEXIST));
    // The pin keeps the slot, and its record, from being handed out again.
    store.save(slot, &pattern(1))?;
    swap.free(slot);
    expect!(store.restore(slot)? == Some(pattern(1)));
    expect!(swap.alloc()? != slot);
    drop(pinned);
    expect!(store.restore(slot)?.is_none());
    expect!(swap.pin(slot).err() == Some(ENOENT));
    swap.leave_cache(slot + 1);
    Ok(())
}

fn payloads_are_given_back() -> Result {
    let store = Store::new()?;
    for i in 0..500 {
        store.save(entry(i % 32, i << 20), &pattern(i as u8))?;
    }
    let full = store.stats();
    expect!(full.entries == 500);
    expect!(full.payload_bytes > 0 && full.index_bytes > 0);
    for i in 0..500 {
        store.invalidate(entry(i % 32, i << 20));
    }
    let empty = store.stats();
    expect!(empty.entries == 0 && empty.payload_bytes == 0);
    Ok(())
}
