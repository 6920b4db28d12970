//! Measures the tag store beside Linux's xarray and other stores in one process.
//!
//! Prints tab-separated samples and nothing else; `cargo xtask bench` builds this, runs it
//! and makes tables of what it prints. For a store `x` there is an `x, pace` of each sample that is a time: nanoseconds
//! a step of arithmetic that fills a core, which tells whether the core was ours alone.

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use crate::{
    pace::{Rounds, Sample},
    pages::Class,
    progress::Progress,
    stores::{Art, Dash, Hash, Kernel, Ours, Papaya, Scc, Store, Tree},
    time::{Place, Plan},
};

mod bounds;
mod codec;
mod count;
mod pace;
mod pages;
mod progress;
mod stores;
mod time;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    what: What,
    /// Entries stored at a time.
    #[arg(long, default_value_t = 1 << 20, global = true)]
    entries: u32,
    #[arg(long, default_value_t = 5, global = true)]
    rounds: u32,
    /// These alone, where they are timed.
    #[arg(long, global = true, value_delimiter = ',', default_values_t = [Class::OneTag, Class::Mixture, Class::Random, Class::Real])]
    pages: Vec<Class>,
    /// Memory in pages of 2 MiB, as a kernel's on x86-64, if Linux has some to give.
    #[arg(long, global = true)]
    large_pages: bool,
}

#[derive(Subcommand)]
enum What {
    /// time, depth, class, operation, store, nanoseconds a call
    Time,
    /// time, "deep", "mixture", operation, store, nanoseconds a call
    Peers,
    /// threads, class, placement, operation, store, calls a microsecond of all threads
    Threads,
    /// growth, entries, operation, store, nanoseconds a call
    Growth,
    /// bounds, what a call does alone, "machine", nanoseconds a call
    Bounds,
    /// codec, class, encode or decode, "ours" or "kernel" (a copy), nanoseconds a page
    Codec,
    /// memory, class, store, bytes a page
    Memory,
    /// Prints nothing; for callgrind.
    Count { class: Class, depth: Depth },
}

/// Whether types above 0 are in use: the type stands in the key's top bits.
#[derive(Clone, Copy, ValueEnum)]
enum Depth {
    Shallow,
    Deep,
}

impl Depth {
    const fn swap_type(self) -> u32 {
        self as u32
    }
}

fn main() -> Result<()> {
    let Cli { what, entries, rounds, pages: classes, large_pages } = Cli::parse();
    if large_pages {
        stores::make_pages_large();
    }
    let ours = Ours::new();
    match what {
        What::Time => {
            let depths = Depth::value_variants();
            let mut progress = Progress::new(classes.len() * depths.len() * rounds as usize);
            for class in &classes {
                let pages = class.pages()?;
                for depth in depths {
                    let plan = Plan::new(&pages, class.share(entries), depth.swap_type());
                    let mut rounds = Rounds::new(rounds);
                    while let Some((round, wanted)) = rounds.next() {
                        // Each goes first in every other round.
                        let first = (round % 2 == 0).then(|| time::round(&ours, &plan));
                        let kernel = time::round(&Kernel, &plan);
                        let ours = first.unwrap_or_else(|| time::round(&ours, &plan));
                        for ((row, ours), (_, kernel)) in ours.iter().zip(&kernel) {
                            rounds.note(row, [*ours, *kernel]);
                        }
                        print_time(&name(depth), class, Ours::NAME, ours);
                        print_time(&name(depth), class, Kernel::NAME, kernel);
                        progress.round(wanted, &format!("{}, {class}", name(depth)));
                    }
                }
            }
        }
        What::Peers => {
            let pages = Class::Mixture.pages()?;
            let plan = Plan::new(&pages, entries, Depth::Deep.swap_type());
            let mut progress = Progress::new(8 * rounds as usize);
            for _ in 0..rounds {
                peer(&ours, &plan, &mut progress);
                peer(&Kernel, &plan, &mut progress);
                peer(&Tree::default(), &plan, &mut progress);
                peer(&Dash::default(), &plan, &mut progress);
                peer(&Scc::default(), &plan, &mut progress);
                peer(&Papaya::default(), &plan, &mut progress);
                peer(&Art::default(), &plan, &mut progress);
                peer(&Hash::default(), &plan, &mut progress);
            }
        }
        What::Threads => {
            let classes = [Class::OneTag, Class::Mixture];
            let mut progress = Progress::new(classes.len() * rounds as usize);
            for class in classes {
                let pages = class.pages()?;
                let plan = Plan::new(&pages, entries, Depth::Deep.swap_type());
                let mut rounds = Rounds::new(rounds);
                while let Some((_, wanted)) = rounds.next() {
                    threads(&ours, class, &plan, &mut rounds);
                    threads(&Kernel, class, &plan, &mut rounds);
                    progress.round(wanted, &class.to_string());
                }
            }
        }
        What::Growth => {
            let pages = Class::OneTag.pages()?;
            let sizes = || (10..=24).step_by(2).map(|power| 1 << power).filter(|n| *n <= entries);
            // Those that take long tell as much in fewer rounds.
            let rounds = |entries: u32| rounds.min((1 << 23) / entries + 2);
            let all: u32 = sizes().map(|entries| entries * rounds(entries)).sum();
            let mut progress = Progress::new(all as usize);
            for entries in sizes() {
                let plan = Plan::new(&pages, entries, Depth::Deep.swap_type());
                for _ in 0..rounds(entries) {
                    grown(&Ours::new(), &plan);
                    grown(&Kernel, &plan);
                    progress.steps(entries as usize, &format!("{entries} entries"));
                }
            }
        }
        What::Bounds => {
            let mut progress = Progress::new(rounds as usize);
            let mut rounds = Rounds::new(rounds);
            while let Some((_, wanted)) = rounds.next() {
                for (what, ns) in bounds::round(entries.into()) {
                    rounds.note(what, [ns]);
                    print(&format!("bounds\t{what}"), "machine", ns);
                }
                progress.round(wanted, "calls that do one thing");
            }
        }
        What::Codec => {
            let mut progress = Progress::new(classes.len() * rounds as usize);
            for class in &classes {
                let pages = class.pages()?;
                let mut rounds = Rounds::new(rounds);
                while let Some((_, wanted)) = rounds.next() {
                    for (what, samples) in codec::round(&pages, class.share(entries).into()) {
                        rounds.note(what, samples);
                        for (store, sample) in [Ours::NAME, Kernel::NAME].into_iter().zip(samples) {
                            print(&format!("codec\t{class}\t{what}"), store, sample);
                        }
                    }
                    progress.round(wanted, &class.to_string());
                }
            }
        }
        What::Memory => {
            for class in Class::value_variants() {
                let pages = class.pages()?;
                let plan = Plan::new(&pages, entries, Depth::Deep.swap_type());
                // Its own store: what one has pooled would not be counted in the next class.
                memory(*class, &Ours::new(), &plan);
                memory(*class, &Kernel, &plan);
            }
        }
        What::Count { class, depth } => {
            stores::keep_order_of_frees();
            count::run(&Plan::new(&class.pages()?, entries, depth.swap_type()));
        }
    }
    Ok(())
}

fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn print(row: &str, store: &str, sample: Sample) {
    println!("{row}\t{store}\t{:.3}", sample.value);
    println!("{row}\t{store}, pace\t{:.3}", sample.pace);
}

fn print_time(depth: &str, class: &Class, store: &str, samples: Vec<(&str, Sample)>) {
    for (operation, ns) in samples {
        print(&format!("time\t{depth}\t{class}\t{operation}"), store, ns);
    }
}

fn peer<S: Store>(store: &S, plan: &Plan<'_>, progress: &mut Progress) {
    print_time("deep", &Class::Mixture, S::NAME, time::round(store, plan));
    progress.step(S::NAME);
}

fn grown<S: Store>(store: &S, plan: &Plan<'_>) {
    for (operation, ns) in time::growth(store, plan) {
        print(&format!("growth\t{}\t{operation}", plan.entries), S::NAME, ns);
    }
}

fn threads<S: Store>(store: &S, class: Class, plan: &Plan<'_>, rounds: &mut Rounds) {
    let places = [
        ("one thread", 1, Place::SameType),
        ("own types", 2, Place::OwnTypes),
        ("same type", 2, Place::SameType),
        ("same leaf", 2, Place::SameLeaf),
    ];
    for (name, threads, place) in places {
        // Once unmeasured: what others have given back is with who uses it now, as it is where threads stay at their work.
        time::parallel(store, plan, threads, place);
        for (operation, calls) in time::parallel(store, plan, threads, place) {
            let row = format!("threads\t{class}\t{name}\t{operation}");
            rounds.note(&format!("{row}\t{}", S::NAME), [calls]);
            print(&row, S::NAME, calls);
        }
    }
}

fn memory<S: Store>(class: Class, store: &S, plan: &Plan<'_>) {
    let base = stores::first_of(plan.ty);
    (0..plan.entries).for_each(|i| store.save(base + i, plan.page(i)));
    let held = stores::bytes_held();
    println!("memory\t{class}\t{}\t{:.2}", S::NAME, held as f64 / plan.entries as f64);
    store.invalidate_area(plan.ty);
}
