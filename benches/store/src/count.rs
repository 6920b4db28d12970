//! What callgrind counts: each call under a name of its own, in steady state.

use std::{arch::asm, hint::black_box};

use crate::{
    stores::{Kernel, Ours, Store, first_of},
    time::Plan,
};

/// Tells functions apart that are otherwise the same: the compiler would make them one.
macro_rules! distinct {
    ($name:expr) => {
        // SAFETY: the assembly is a comment.
        unsafe { asm!(concat!("/* ", $name, " */"), options(nomem, nostack, preserves_flags)) }
    };
}

/// Calls for folios of so many pages, of a store.
// As it stands: what lies in such attributes moves to the right each time it is formatted.
#[rustfmt::skip]
macro_rules! folios {
    ($module:ident: $store:ty, $folios:ident: $nr:literal) => {
        mod $folios {
            use super::*;

            #[inline(never)]
            #[unsafe(export_name = concat!(
                        "counted_", stringify!($module), "_save_", stringify!($folios)
                    ))]
            fn save(store: &$store, first: u64, offset: u64, plan: &Plan<'_>) {
                Store::save_range(store, first, $nr, |i| plan.page(offset + i));
            }
            #[inline(never)]
            #[unsafe(export_name = concat!(
                        "counted_", stringify!($module), "_restore_", stringify!($folios)
                    ))]
            fn restore(store: &$store, first: u64, tags: &mut [Tags]) -> usize {
                distinct!(stringify!($folios));
                Store::restore_range(store, first, tags)
            }
            #[inline(never)]
            #[unsafe(export_name = concat!(
                        "counted_", stringify!($module), "_invalidate_", stringify!($folios)
                    ))]
            fn invalidate(store: &$store, first: u64) {
                distinct!("invalidate");
                Store::invalidate_range(store, first, $nr);
            }

            pub(super) fn run(store: &$store, plan: &Plan<'_>) {
                let base = first_of(plan.ty);
                let mut tags = [[0; 16]; $nr];
                // As below.
                Store::save_range(store, base, $nr, |i| plan.page(i));
                store.invalidate_area(plan.ty);
                for first in (0..plan.entries).step_by($nr) {
                    save(store, base + first, first, plan);
                }
                for first in (0..plan.entries).step_by($nr) {
                    assert_eq!(restore(store, base + first, &mut tags), $nr);
                    assert!((first..).zip(&tags).all(|(i, tags)| tags == plan.page(i)));
                }
                for first in (0..plan.entries).step_by($nr) {
                    invalidate(store, base + first);
                }
            }
        }
    };
}

macro_rules! counted {
    ($($module:ident: $store:ty),*) => {$(
        mod $module {
            use super::*;
            use crate::pages::Tags;

            // Never inlined and never renamed, so that callgrind has a name for them.
            #[inline(never)]
            #[unsafe(export_name = concat!("counted_", stringify!($module), "_save"))]
            fn save(store: &$store, entry: u64, tags: &Tags) {
                Store::save(store, entry, tags);
            }
            #[inline(never)]
            #[unsafe(export_name = concat!("counted_", stringify!($module), "_restore"))]
            fn restore(store: &$store, entry: u64, tags: &mut Tags) -> bool {
                distinct!("restore");
                Store::restore(store, entry, tags)
            }
            #[inline(never)]
            #[unsafe(export_name = concat!("counted_", stringify!($module), "_invalidate"))]
            fn invalidate(store: &$store, entry: u64) {
                distinct!("invalidate");
                Store::invalidate(store, entry);
            }
            #[inline(never)]
            #[unsafe(export_name = concat!("counted_", stringify!($module), "_restore_absent"))]
            fn restore_absent(store: &$store, entry: u64, tags: &mut Tags) -> bool {
                distinct!("restore_absent");
                Store::restore(store, entry, tags)
            }
            #[inline(never)]
            #[unsafe(export_name = concat!("counted_", stringify!($module), "_invalidate_absent"))]
            fn invalidate_absent(store: &$store, entry: u64) {
                distinct!("invalidate_absent");
                Store::invalidate(store, entry);
            }
            #[inline(never)]
            #[unsafe(export_name = concat!("counted_", stringify!($module), "_area"))]
            fn area(store: &$store, ty: u32) {
                Store::invalidate_area(store, ty);
            }

            folios!($module: $store, folios_of_16: 16);
            folios!($module: $store, folios_of_512: 512);

            pub(super) fn run(store: &$store, plan: &Plan<'_>) {
                let base = first_of(plan.ty);
                let beyond = base + plan.entries;
                let fill = || (0..plan.entries).for_each(|i| store.save(base + i, plan.page(i)));
                let mut tags = [0; 16];
                // Fills the allocator's lists: what is counted does not ask for memory.
                fill();
                store.invalidate_area(plan.ty);
                (0..plan.entries).for_each(|i| save(store, base + i, plan.page(i)));
                for i in 0..plan.entries {
                    assert!(restore(store, base + i, &mut tags));
                    assert_eq!(&tags, plan.page(i));
                }
                (0..plan.entries).for_each(|i| {
                    black_box(restore_absent(store, beyond + i, &mut tags));
                });
                (0..plan.entries).for_each(|i| invalidate_absent(store, beyond + i));
                (0..plan.entries).for_each(|i| invalidate(store, base + i));
                fill();
                area(store, plan.ty);
                folios_of_16::run(store, plan);
                folios_of_512::run(store, plan);
            }
        }
    )*};
}

counted!(ours: Ours, kernel: Kernel);

/// To be run under callgrind.
pub(crate) fn run(plan: &Plan<'_>) {
    ours::run(&Ours::new(), plan);
    kernel::run(&Kernel, plan);
}
