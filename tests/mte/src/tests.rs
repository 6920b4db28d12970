//! The tests, and the program around them.

use core::{arch::asm, ffi::c_int, fmt::Write, sync::atomic::AtomicUsize};

use mteswap::{
    entry::{EntryRange, SwapEntry, SwapType},
    error::Error,
    hooks,
    host::AllocFlags,
    page::{FlagWord, Page, sync},
    store::TagStore,
    tagmem::{BlockPage, TagMemory, arm::El0},
    tags::{GRANULE, Page4K, Page16K, Page64K, PageSize, TagSink, TagSource},
};

use crate::libc::{Libc, Memory, Stdout, die, enable_mte, faults};

/// The line of the check that failed.
type Outcome = Result<(), u32>;

macro_rules! check {
    ($holds:expr) => {
        if !$holds {
            return Err(line!());
        }
    };
}

type Test = (&'static str, fn() -> Outcome);

const TESTS: &[Test] = &[
    ("words_come_back_4k", words_come_back::<Page4K>),
    ("words_come_back_16k", words_come_back::<Page16K>),
    ("words_come_back_64k", words_come_back::<Page64K>),
    ("granule_i_has_nibble_i", granule_i_has_nibble_i),
    ("the_processor_checks_the_tags_we_wrote", the_processor_checks_the_tags_we_wrote),
    ("clearing_tags_leaves_data", clearing_tags_leaves_data),
    ("flag_13_a_fresh_page_has_zero_data_and_tags", a_fresh_page_is_zero),
    ("flag_6_sync_clears_stale_tags", sync_clears_stale_tags),
    ("hook_12_a_tagged_pointer_to_the_page_does_as_well", a_tagged_pointer_does_as_well),
    ("pages_that_are_none_are_refused", pages_that_are_none_are_refused),
    ("tag_2_tag_4_hook_2_tags_survive_the_page_4k", tags_survive_the_page::<Page4K>),
    ("tag_2_tag_4_hook_2_tags_survive_the_page_16k", tags_survive_the_page::<Page16K>),
    ("tag_2_tag_4_hook_2_tags_survive_the_page_64k", tags_survive_the_page::<Page64K>),
];

fn pattern(index: usize) -> u64 {
    (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn tag_in_pattern(granule: usize) -> u64 {
    pattern(granule / 16) >> (granule % 16 * 4) & 0xf
}

fn page<P: PageSize>(memory: &Memory) -> BlockPage<'_, El0> {
    // SAFETY: `memory` is mapped with PROT_MTE while it is borrowed, and used by this test only.
    let page = unsafe { El0::page::<P>(memory.start(), 1) };
    page.unwrap_or_else(|_| die())
}

fn new<P: PageSize>() -> Memory {
    Memory::new(1 << P::SHIFT)
}

/// The allocation tag of a granule, read without the library.
fn tag_of(memory: &Memory, granule: usize) -> u64 {
    let mut at = memory.start().wrapping_add(granule * GRANULE);
    // SAFETY: reads the allocation tag of mapped memory into the pointer's own bits.
    unsafe { asm!(".arch_extension memtag", "ldg {at}, [{at}]", at = inout(reg) at) };
    at.addr() as u64 >> 56 & 0xf
}

/// `at` with another logical tag.
fn with_tag(at: *mut u8, tag: u64) -> *mut u8 {
    at.map_addr(|addr| addr & !(0xf << 56) | (tag as usize) << 56)
}

fn words_come_back<P: PageSize>() -> Outcome {
    let memory = new::<P>();
    let mut page = page::<P>(&memory);
    check!(page.words() == P::WORDS);
    for index in 0..P::WORDS {
        check!(page.word(index) == 0);
        page.set_word(index, pattern(index));
    }
    page.set_word(P::WORDS, !0);
    for index in 0..P::WORDS {
        check!(page.word(index) == pattern(index));
    }
    check!(page.word(P::WORDS) == 0);
    Ok(())
}

fn granule_i_has_nibble_i() -> Outcome {
    let memory = new::<Page4K>();
    let mut page = page::<Page4K>(&memory);
    for index in 0..Page4K::WORDS {
        page.set_word(index, pattern(index));
    }
    for granule in 0..Page4K::GRANULES {
        check!(tag_of(&memory, granule) == tag_in_pattern(granule));
    }
    Ok(())
}

fn the_processor_checks_the_tags_we_wrote() -> Outcome {
    let memory = new::<Page4K>();
    let mut page = page::<Page4K>(&memory);
    page.set_word(3, pattern(3));
    for granule in 48..64 {
        let at = memory.start().wrapping_add(granule * GRANULE);
        let right = tag_in_pattern(granule);
        for tag in [right, right ^ 1, right ^ 8] {
            // SAFETY: mapped memory of this test; a fault ends the child alone.
            let faulted = faults(|| unsafe { with_tag(at, tag).write_volatile(1) });
            check!(faulted == (tag != right));
        }
    }
    Ok(())
}

/// Fills the page's data, through pointers of whatever tag each granule has.
fn fill(memory: &Memory, byte: u8) {
    for offset in 0..1 << Page4K::SHIFT {
        let at = memory.start().wrapping_add(offset);
        // SAFETY: mapped memory of this test, with the granule's own tag.
        unsafe { with_tag(at, tag_of(memory, offset / GRANULE)).write_volatile(byte) };
    }
}

/// True if all of the page's bytes are `byte`, read through pointers of tag 0.
fn is_filled(memory: &Memory, byte: u8) -> bool {
    (0..1 << Page4K::SHIFT).all(|offset| {
        // SAFETY: mapped memory of this test; granules are tagged 0 where this is called.
        unsafe { memory.start().wrapping_add(offset).read_volatile() == byte }
    })
}

fn clearing_tags_leaves_data() -> Outcome {
    let memory = new::<Page4K>();
    let mut page = page::<Page4K>(&memory);
    (0..Page4K::WORDS).for_each(|index| page.set_word(index, pattern(index)));
    fill(&memory, 0xdd);
    page.clear();
    check!((0..Page4K::GRANULES).all(|granule| tag_of(&memory, granule) == 0));
    check!(is_filled(&memory, 0xdd));
    Ok(())
}

fn a_fresh_page_is_zero() -> Outcome {
    let memory = new::<Page4K>();
    let mut tags = page::<Page4K>(&memory);
    (0..Page4K::WORDS).for_each(|index| tags.set_word(index, pattern(index)));
    fill(&memory, 0xdd);
    let word = AtomicUsize::new(0);
    let flags = FlagWord::new(&word);
    check!(Page::new(flags, tags).zero_fresh() == Ok(()));
    check!(flags.is_tagged());
    check!((0..Page4K::GRANULES).all(|granule| tag_of(&memory, granule) == 0));
    check!(is_filled(&memory, 0));
    Ok(())
}

fn sync_clears_stale_tags() -> Outcome {
    let memory = new::<Page4K>();
    let mut tags = page::<Page4K>(&memory);
    tags.set_word(9, pattern(9));
    let word = AtomicUsize::new(0);
    sync([Page::new(FlagWord::new(&word), tags)]);
    check!((0..Page4K::GRANULES).all(|granule| tag_of(&memory, granule) == 0));
    Ok(())
}

fn a_tagged_pointer_does_as_well() -> Outcome {
    let memory = new::<Page4K>();
    page::<Page4K>(&memory).set_word(0, pattern(0));
    for tag in 0..16 {
        // SAFETY: as `page`'s; the pointer's tag is reset before it is used.
        let page = unsafe { El0::page::<Page4K>(with_tag(memory.start(), tag), 1) };
        let Ok(mut page) = page else { return Err(line!()) };
        check!(page.word(0) == pattern(0));
        page.set_word(1, pattern(tag as usize));
        check!(tag_of(&memory, 16) == pattern(tag as usize) & 0xf);
    }
    Ok(())
}

fn pages_that_are_none_are_refused() -> Outcome {
    let memory = new::<Page64K>();
    // SAFETY: what is refused is not accessed; nor is what is not.
    let refused = |at: *mut u8| unsafe { El0::page::<Page16K>(at, 1) }.err();
    check!(refused(core::ptr::null_mut()) == Some(Error::Invalid));
    for off in [1, 16, 256, 4096, 8192, 16383] {
        check!(refused(memory.start().wrapping_add(off)) == Some(Error::Invalid));
    }
    check!(refused(memory.start().wrapping_add(16384)).is_none());
    Ok(())
}

/// Saves the tags of real memory, unmaps it, and restores them to other memory.
fn tags_survive_the_page<P: PageSize>() -> Outcome {
    let store = TagStore::<Libc, P>::new(Libc);
    let slot = SwapType::new(1)
        .and_then(|ty| SwapEntry::new(ty, 77))
        .and_then(|entry| EntryRange::new(entry, 1));
    let Ok(slot) = slot else { return Err(line!()) };
    {
        let memory = new::<P>();
        let mut tags = page::<P>(&memory);
        (0..P::WORDS).for_each(|index| tags.set_word(index, pattern(index)));
        let word = AtomicUsize::new(0);
        let flags = FlagWord::new(&word);
        flags.set_tagged();
        let out = Page::new(flags, tags);
        check!(hooks::prepare_to_swap(&store, slot, |_| Some(out), AllocFlags::MAY_SLEEP) == Ok(1));
    }
    for _ in 0..2 {
        let memory = new::<P>();
        let word = AtomicUsize::new(0);
        let back = Page::new(FlagWord::new(&word), page::<P>(&memory));
        check!(hooks::restore_folio(&store, slot, |_| Some(back)) == Ok(1));
        for granule in 0..P::GRANULES {
            check!(tag_of(&memory, granule) == tag_in_pattern(granule));
        }
    }
    Ok(())
}

/// Called by the C library.
// SAFETY: no other `main` is linked: `no_main` keeps rustc's away.
#[unsafe(no_mangle)]
extern "C" fn main() -> c_int {
    let mut out = Stdout;
    let _ = writeln!(out, "\nrunning {} tests", TESTS.len());
    if !enable_mte() {
        let _ = writeln!(out, "this processor has no MTE");
        return 1;
    }
    let mut failed = 0;
    for (name, test) in TESTS {
        let _ = match test() {
            Ok(()) => writeln!(out, "test {name} ... ok"),
            Err(line) => {
                failed += 1;
                writeln!(out, "test {name} ... FAILED\n  tests/mte/src/tests.rs:{line}")
            }
        };
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    let passed = TESTS.len() - failed;
    let _ = writeln!(
        out,
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; \
         0 filtered out"
    );
    c_int::from(failed != 0)
}

#[panic_handler]
fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Stdout, "{info}");
    die()
}
