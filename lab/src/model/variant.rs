//! The orders of swap-in, today's and those of history, as lists of steps.

/// One step of putting a swapped-in page into a page table, under its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `arch_swap_restore`.
    Restore,
    /// The same, but overwriting the tags of a page that has some.
    RestoreOver,
    /// `arch_do_swap_page`, as Linux calls it to 6.18: with the new PTE as the old one.
    RestoreByNewPte,
    /// `swap_free`, and `folio_free_swap` where the fault wants to write.
    SwapFree,
    /// Is the page this mapping's alone?
    Exclusive,
    /// `set_pte_at`.
    SetPte,
    /// The same, restoring tags for the entry that it finds in the old PTE.
    SetPteRestores,
}

use Step::{Exclusive, Restore, RestoreByNewPte, RestoreOver, SetPte, SetPteRestores, SwapFree};

/// What keeps a second swap-in of a slot out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinning {
    None,
    /// A reference more.
    Count,
    /// The cache mark (6.8 to 6.18).
    Mark,
    /// A locked folio in the swap table (7.0).
    Folio,
}

/// What a fault does that finds the slot pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Faults again at once.
    Busy,
    /// Sleeps for a tick.
    Tick,
    /// Sleeps until the pin is cleared, for a tick at most.
    Queue,
}

/// An order of swap-in.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    pub install: &'static [Step],
    /// Tags are restored where the page is read, with no lock held, from buffers as Linux has
    /// them.
    pub restore_at_read: bool,
    pub pinning: Pinning,
    pub waiting: Waiting,
    /// Pins first, allocates then, and forgets the pin where that fails.
    pub leaks_pin: bool,
}

/// An order with a name.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    pub name: &'static str,
    /// Where it was.
    pub origin: &'static str,
    pub order: Order,
    /// The race, or `None` where there is none to be found.
    pub race: Option<Race>,
}

impl Variant {
    /// The rules that its check holds: where nothing may be found, all those that the races of
    /// history break, and the pin of 7.0 where it has that.
    pub fn rules(&self) -> String {
        if let Some(race) = &self.race {
            return race.rules.to_owned();
        }
        let mut rules: Vec<_> = VARIANTS
            .iter()
            .filter_map(|variant| variant.race.as_ref())
            .flat_map(|race| race.rules.split(' '))
            .chain((self.order.pinning == Pinning::Folio).then_some("PIN-10"))
            .collect();
        rules.sort_unstable();
        rules.dedup();
        rules.join(" ")
    }
}

/// What goes wrong in an order, and where to look for it.
#[derive(Debug, Clone, Copy)]
pub struct Race {
    /// In one line.
    pub what: &'static str,
    /// Words of the failure that shows it.
    pub shown_by: &'static str,
    /// Rules of docs/semantics.md.
    pub rules: &'static str,
    /// The scenario that shows it.
    pub scenario: &'static str,
    /// Schedules among which it is found, whatever the seed.
    pub within: u64,
}

const TODAY: Order = Order {
    install: &[Restore, SwapFree, Exclusive, SetPte],
    restore_at_read: false,
    pinning: Pinning::Mark,
    waiting: Waiting::Queue,
    leaks_pin: false,
};

const fn installs(install: &'static [Step]) -> Order {
    Order { install, ..TODAY }
}

/// As before there was a pin. A pinned slot is not freed before the pin is cleared, which hides
/// what goes wrong between.
const fn unpinned(install: &'static [Step]) -> Order {
    Order { install, pinning: Pinning::None, ..TODAY }
}

const fn pins(pinning: Pinning) -> Order {
    Order { pinning, ..TODAY }
}

const fn waits(waiting: Waiting) -> Order {
    Order { waiting, ..TODAY }
}

const fn race(
    what: &'static str,
    shown_by: &'static str,
    rules: &'static str,
    scenario: &'static str,
    within: u64,
) -> Option<Race> {
    Some(Race { what, shown_by, rules, scenario, within })
}

/// All of them. The names are what `--variant` takes.
pub const VARIANTS: &[Variant] = &[
    Variant {
        name: "today",
        origin: "Linux 6.12 to 6.18: restore, free, set the PTE, clear the mark, wake the queue",
        order: TODAY,
        race: None,
    },
    Variant {
        name: "folio",
        origin: "Linux 7.0 (270f095179ff, d3852f9692b8): a locked folio is the pin",
        order: pins(Pinning::Folio),
        race: None,
    },
    Variant {
        name: "free-first",
        origin: "c145e0b47c77: swap_free moved before set_pte_at, which restored",
        order: unpinned(&[SwapFree, Exclusive, SetPteRestores]),
        race: race(
            "tags are gone before they are restored",
            "tag check",
            "HOOK-7 HOOK-2",
            "anon",
            200,
        ),
    },
    Variant {
        name: "set-pte",
        origin: "before that: only set_pte_at restores, by the entry of the old PTE",
        order: installs(&[Exclusive, SetPteRestores, SwapFree]),
        race: race(
            "shared memory has no old PTE, and loses its tags",
            "tag check",
            "HOOK-2 HOOK-6",
            "shmem",
            200,
        ),
    },
    Variant {
        name: "readpage",
        origin: "proposed: restore in swap_readpage, from buffers that nothing holds",
        order: Order { restore_at_read: true, ..unpinned(&[SwapFree, Exclusive, SetPte]) },
        race: race(
            "a buffer is read after it was freed",
            "use after free",
            "TAG-13",
            "anon",
            20_000,
        ),
    },
    Variant {
        name: "overwrite",
        origin: "the seed's series, v3: restore overwrites tags, and warns",
        order: installs(&[RestoreOver, SwapFree, Exclusive, SetPte]),
        race: race(
            "an old record overwrites newer tags",
            "tag check",
            "TAG-4 TAG-6",
            "refault",
            200,
        ),
    },
    Variant {
        name: "exclusive",
        origin: "the seed's series, v1: swap_free behind the exclusivity check",
        order: installs(&[Restore, Exclusive, SwapFree, SetPte]),
        race: race(
            "a page with one owner is not seen as exclusive",
            "only owner",
            "HOOK-9",
            "sole",
            200,
        ),
    },
    Variant {
        name: "after-free",
        origin: "arch_do_swap_page, first fault of its place: behind swap_free",
        order: unpinned(&[SwapFree, Restore, Exclusive, SetPte]),
        race: race("nothing is left to restore", "tag check", "HOOK-5 HOOK-7", "anon", 200),
    },
    Variant {
        name: "visible",
        origin: "arch_do_swap_page, second fault: behind set_pte_at",
        order: installs(&[Exclusive, SetPte, Restore, SwapFree]),
        race: race(
            "user space sees what tags the frame had before",
            "tag check",
            "HOOK-5 HOOK-8",
            "anon",
            2_000,
        ),
    },
    Variant {
        name: "new-pte",
        origin: "arch_do_swap_page, third fault: the new PTE given as the old one",
        order: installs(&[Exclusive, SetPte, RestoreByNewPte, SwapFree]),
        race: race("the entry is not found in it", "tag check", "HOOK-5", "anon", 200),
    },
    Variant {
        name: "no-pin",
        origin: "before 6.8 (13ddaf26be32): two swap-ins of one slot at once",
        order: pins(Pinning::None),
        race: race("ABA: stale data pass for the page", "data lost", "PIN-8", "anon", 20_000),
    },
    Variant {
        name: "count",
        origin: "proposed: a reference more as the pin",
        order: pins(Pinning::Count),
        race: race(
            "racers go through the swap cache: two ways at once",
            "data lost",
            "PIN-11",
            "anon",
            20_000,
        ),
    },
    Variant {
        name: "busy",
        origin: "6.8 as first merged: who finds the pin faults again at once",
        order: waits(Waiting::Busy),
        race: race(
            "a processor spins for as long as the device takes",
            "spins",
            "PIN-7",
            "anon",
            20_000,
        ),
    },
    Variant {
        name: "tick",
        origin: "6.9: who finds the pin sleeps for a tick (until 01626a182302)",
        order: waits(Waiting::Tick),
        race: race(
            "it sleeps on though the page is there",
            "still asleep",
            "PIN-7",
            "anon",
            20_000,
        ),
    },
    Variant {
        name: "leak",
        origin: "the pin's first version: none cleared where allocation failed",
        order: Order { leaks_pin: true, ..TODAY },
        race: race(
            "nobody can swap the page in any more",
            "faults for ever",
            "PIN-6",
            "no-memory",
            200,
        ),
    },
];

/// The variant of that name.
pub fn find(name: &str) -> Option<&'static Variant> {
    VARIANTS.iter().find(|variant| variant.name == name)
}
