//! `cargo xtask <verb>`: every task of the project that is more than a plain cargo call.
//!
//! One file a verb; `run` holds what they share: commands that say what failed.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod deps;
mod disassembly;
mod header;
mod hypervisor;
mod install;
mod kernel;
mod ktap;
mod kunit;
mod lab;
mod library;
mod lint;
mod maps;
mod memory;
mod readme;
mod results;
mod run;
mod semantics;
mod stack;
mod steps;
mod symbols;
mod tags;
mod test;
mod test_mte;
mod toolchain;
mod tsan;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, test and measure mteswap", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// Each variant's doc comment is its line in `--help`.
#[derive(Subcommand)]
enum Verb {
    /// Everything that must hold: lints, tests, suites, semantics
    Test(test::Args),
    /// Run the KUnit suites: in user space for every page size, or in a kernel (--arch)
    Kunit(kunit::Args),
    /// Measure the store beside Linux's xarray: time, instructions, memory
    Bench(bench::Args),
    /// Bytes a page that real tag maps cost, index and payload, beside Linux's
    Memory(memory::Args),
    /// The kernel's checkpatch.pl --strict over all C of ours
    Checkpatch(kernel::checkpatch::Args),
    /// Format, clippy and documentation of every Cargo.toml
    Lint(lint::Args),
    /// Which tests hold each rule of docs/semantics.md
    Semantics(semantics::Args),
    /// The C library: libmteswap.a, mteswap.o, for this machine also shared
    Lib(library::Args),
    /// Makes include/mteswap.h; --check: it is right, stands alone, and agrees with ffi
    Header(header::Args),
    /// How deep each function of the C library goes
    Stack(stack::Args),
    /// What the C library exports, wants and weighs; that it cannot panic
    Symbols(symbols::Args),
    /// Look at tag maps: rows of granules, statistics, what each format would cost
    Tags(tags::Args),
    /// Finds each race of swapping's history on a model, and none in today's order
    #[command(disable_help_flag = true)]
    Races(lab::Args),
    /// Real threads count up pages while an evictor swaps them out
    #[command(disable_help_flag = true)]
    Stress(lab::Args),
    /// What pin and tags cost a swap-in
    #[command(disable_help_flag = true)]
    PinCost(lab::Args),
    /// Every order of the library's atomics and locks in small models
    Loom(lab::LoomArgs),
    /// The tests on several threads under ThreadSanitizer, `std` instrumented too
    Tsan(tsan::Args),
    /// Reads and writes real MTE tags, at EL0 (under qemu-aarch64 where this is no arm64)
    TestMte(test_mte::Args),
    /// The library in place of mteswap.c in an arm64 kernel with MTE: tags over swap
    Dropin(kernel::dropin::Args),
    /// Boots examples/hypervisor: guests with MTE, their memory swapped under them
    Hypervisor(hypervisor::Args),
}

/// Errors are one line: what failed, and what it rests on.
fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Test(args) => test::run(args),
        Verb::Kunit(args) => kunit::run(args),
        Verb::Bench(args) => bench::run(args),
        Verb::Memory(args) => memory::run(args),
        Verb::Checkpatch(args) => kernel::checkpatch::run(args),
        Verb::Lint(args) => lint::run(args),
        Verb::Semantics(args) => semantics::run(args),
        Verb::Lib(args) => library::run(args),
        Verb::Header(args) => header::run(args),
        Verb::Stack(args) => stack::run(args),
        Verb::Symbols(args) => symbols::run(args),
        Verb::Tags(args) => tags::run(args),
        Verb::Races(args) => lab::races(args),
        Verb::Stress(args) => lab::stress(args),
        Verb::PinCost(args) => lab::pin_cost(args),
        Verb::Loom(args) => lab::loom(args),
        Verb::Tsan(args) => tsan::run(args),
        Verb::TestMte(args) => test_mte::run(args),
        Verb::Dropin(args) => kernel::dropin::run(args),
        Verb::Hypervisor(args) => hypervisor::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
