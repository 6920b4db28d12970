//! Measures the tag store beside Linux's xarray and other stores in one process.
//!
//! Prints tab-separated samples and nothing else; `cargo xtask bench` builds this, runs it
//! and makes tables of what it prints.

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use crate::{
    pages::Class,
    stores::{Art, Dash, Hash, Kernel, Ours, Papaya, Scc, Store, Tree},
    time::{Place, Plan},
};

mod count;
mod pages;
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
}

#[derive(Subcommand)]
enum What {
    /// time, depth, class, operation, store, nanoseconds a call
    Time,
    /// time, "deep", "mixture", operation, store, nanoseconds a call
    Peers,
    /// threads, placement, operation, store, times the calls of one thread
    Threads,
    /// growth, entries, operation, store, nanoseconds a call
    Growth,
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
    let Cli { what, entries, rounds } = Cli::parse();
    let ours = Ours::new();
    match what {
        What::Time => {
            for class in Class::value_variants() {
                let pages = class.pages()?;
                for depth in Depth::value_variants() {
                    let plan = Plan::new(&pages, class.share(entries), depth.swap_type());
                    eprintln!("  {}, {}: {} entries", name(depth), name(class), plan.entries);
                    let print = |store, samples| {
                        print_time(name(depth), &name(class), store, samples);
                    };
                    for round in 0..rounds {
                        // Each goes first in every other round.
                        if round % 2 == 0 {
                            print(Ours::NAME, time::round(&ours, &plan));
                        }
                        print(Kernel::NAME, time::round(&Kernel, &plan));
                        if round % 2 == 1 {
                            print(Ours::NAME, time::round(&ours, &plan));
                        }
                    }
                }
            }
        }
        What::Peers => {
            let pages = Class::Mixture.pages()?;
            let plan = Plan::new(&pages, entries, Depth::Deep.swap_type());
            for round in 0..rounds {
                eprintln!("  round {} of {rounds}", round + 1);
                peer(&ours, &plan);
                peer(&Kernel, &plan);
                peer(&Tree::default(), &plan);
                peer(&Dash::default(), &plan);
                peer(&Scc::default(), &plan);
                peer(&Papaya::default(), &plan);
                peer(&Art::default(), &plan);
                peer(&Hash::default(), &plan);
            }
        }
        What::Threads => {
            let pages = Class::Mixture.pages()?;
            let plan = Plan::new(&pages, entries, Depth::Deep.swap_type());
            for round in 0..rounds {
                eprintln!("  round {} of {rounds}", round + 1);
                threads(&ours, &plan);
                threads(&Kernel, &plan);
            }
        }
        What::Growth => {
            let pages = Class::OneTag.pages()?;
            for power in (10..=24).step_by(2).filter(|power| 1 << power <= entries) {
                let plan = Plan::new(&pages, 1 << power, Depth::Deep.swap_type());
                eprintln!("  {} entries", plan.entries);
                for _ in 0..rounds {
                    grown(&Ours::new(), &plan);
                    grown(&Kernel, &plan);
                }
            }
        }
        What::Memory => {
            for class in Class::value_variants() {
                let pages = class.pages()?;
                let plan = Plan::new(&pages, entries, Depth::Deep.swap_type());
                // Its own store: what one has pooled would not be counted in the next class.
                memory(&name(class), &Ours::new(), &plan);
                memory(&name(class), &Kernel, &plan);
            }
        }
        What::Count { class, depth } => {
            count::run(&Plan::new(&class.pages()?, entries, depth.swap_type()));
        }
    }
    Ok(())
}

fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn print_time(depth: impl AsRef<str>, class: &str, store: &str, samples: Vec<(&str, f64)>) {
    for (operation, ns) in samples {
        println!("time\t{}\t{class}\t{operation}\t{store}\t{ns:.3}", depth.as_ref());
    }
}

fn peer<S: Store>(store: &S, plan: &Plan<'_>) {
    print_time("deep", "mixture", S::NAME, time::round(store, plan));
}

fn grown<S: Store>(store: &S, plan: &Plan<'_>) {
    for (operation, ns) in time::growth(store, plan) {
        println!("growth\t{}\t{operation}\t{}\t{ns:.3}", plan.entries, S::NAME);
    }
}

fn threads<S: Store>(store: &S, plan: &Plan<'_>) {
    let places = [
        ("own types", Place::OwnTypes),
        ("same type", Place::SameType),
        ("same leaf", Place::SameLeaf),
    ];
    let alone = time::parallel(store, plan, 1, Place::SameType);
    for (name, place) in places {
        let together = time::parallel(store, plan, 2, place);
        for ((operation, one), (_, two)) in alone.iter().zip(together) {
            println!("threads\t{name}\t{operation}\t{}\t{:.3}", S::NAME, two / one);
        }
    }
}

fn memory<S: Store>(class: &str, store: &S, plan: &Plan<'_>) {
    let base = stores::first_of(plan.ty);
    (0..plan.entries).for_each(|i| store.save(base + i, plan.page(i)));
    let held = stores::bytes_held();
    println!("memory\t{class}\t{}\t{:.2}", S::NAME, held as f64 / plan.entries as f64);
    store.invalidate_area(plan.ty);
}
