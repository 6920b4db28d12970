//! The library's calls alone: each on every page in turn, with nothing of the model around them.

use std::{hint::black_box, sync::atomic::AtomicU64};

use anyhow::{Context, Result, ensure};
use mteswap::{
    entry::{EntryRange, SwapType},
    hooks,
    host::{AllocFlags, SpinLock},
    page::{FlagWord, Page},
    store::TagStore,
    swap::{Keeper, Swap, SwapPin},
    tagmem::ShadowPage,
    tags::Page4K,
};

use super::{cpu_time, maps::Tags};
use crate::{
    model::{self, frame::TAG_WORDS},
    sync::AtomicUsize,
};

/// Nanoseconds a page.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    /// Swap-out's: `prepare_to_swap`.
    pub save: f64,
    /// `swapcache_prepare` and `swapcache_clear`.
    pub pin: f64,
    /// `arch_swap_restore`.
    pub restore: f64,
    /// The restore between the two, as a fault has them.
    pub both: f64,
    /// `swap_free`, which drops the record.
    pub free: f64,
}

struct Frame {
    flags: AtomicUsize,
    tags: [AtomicU64; TAG_WORDS],
}

impl Frame {
    fn fresh() -> Self {
        Self { flags: AtomicUsize::new(0), tags: [const { AtomicU64::new(!0) }; TAG_WORDS] }
    }

    fn page(&self) -> Page<'_, ShadowPage<'_>> {
        Page::new(FlagWord::new(&self.flags), ShadowPage::new(&self.tags))
    }
}

/// One round over pages with these tags.
pub fn round(tags: &[&Tags]) -> Result<Parts> {
    // One is saved, two are restored into.
    let bytes = 3 * tags.len() * size_of::<Frame>();
    ensure!(model::has_room(bytes), "no memory for {} pages: fewer --pages need less", tags.len());
    let host = LabHost::default();
    let store = TagStore::<LabHost, Page4K>::new(host.clone());
    let swap = area(host, &store, tags.len()).ok().context("no memory for the area")?;
    let slots = taken(&swap, tags.len()).ok().context("the area has no slot left")?;
    let fresh = || tags.iter().map(|_| Frame::fresh()).collect::<Vec<_>>();
    let each = |frames: &[Frame], call: &dyn Fn(EntryRange, &Frame) -> bool| {
        let begun = cpu_time();
        let done = slots.iter().zip(frames).filter(|(slot, frame)| call(**slot, frame)).count();
        let time = (cpu_time() - begun) / tags.len() as f64;
        ensure!(done == tags.len(), "a call failed on {} pages", tags.len() - done);
        Ok(time)
    };
    let old = fresh();
    for (frame, tags) in old.iter().zip(tags) {
        frame.page().override_tags(&tags[..]);
    }
    let save = each(&old, &|slot, frame| {
        let page = |_| Some(frame.page());
        hooks::prepare_to_swap(&store, slot, page, AllocFlags::MAY_SLEEP) == Ok(1)
    })?;
    let pinned = |slot| SwapPin::new(&swap, slot, Keeper::Mark).ok();
    let restored =
        |slot, frame: &Frame| hooks::restore_folio(&store, slot, |_| Some(frame.page())) == Ok(1);
    let pin = each(&old, &|slot, _| black_box(pinned(slot)).is_some())?;
    let frames = fresh();
    let restore = each(&frames, &restored)?;
    ensure!(frames.iter().zip(&old).all(same), "restored tags are not those saved");
    let both = each(&fresh(), &|slot, frame| {
        let pin = pinned(slot);
        restored(slot, frame) && pin.is_some()
    })?;
    let free = each(&old, &|slot, _| swap.slot_ref(slot).map(|slot| slot.discard()).is_ok())?;
    ensure!(swap.free_slots() == tags.len(), "a slot is still in use");
    Ok(Parts { save, pin, restore, both, free })
}

/// Its locks spin, as a kernel's do: the model's own go to sleep, which costs something to undo.
type LabHost = model::host::LabHost<SpinLock>;
type Area<'a> = Swap<LabHost, &'a TagStore<LabHost, Page4K>>;

fn area(
    host: LabHost,
    store: &TagStore<LabHost, Page4K>,
    slots: usize,
) -> mteswap::error::Result<Area<'_>> {
    Swap::new(host, store, SwapType::new(1)?, slots)
}

/// Slots with one reference and no mark.
fn taken(swap: &Area<'_>, count: usize) -> mteswap::error::Result<Vec<EntryRange>> {
    (0..count)
        .map(|_| {
            let pin = swap.alloc(1)?;
            let _ = swap.duplicate(pin.range().first())?.into_entry();
            Ok(pin.range())
        })
        .collect()
}

fn same((one, other): (&Frame, &Frame)) -> bool {
    use std::sync::atomic::Ordering::Relaxed;
    one.tags.iter().zip(&other.tags).all(|(one, other)| one.load(Relaxed) == other.load(Relaxed))
}
