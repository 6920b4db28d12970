//! `cargo xtask <verb>`: every task of the project that is more than a plain cargo call.
//!
//! One file a verb; `run` holds what they share: commands that say what failed.

use clap::{Parser, Subcommand};

mod run;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, test and measure mteswap", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// Each variant's doc comment is its line in `--help`.
#[derive(Subcommand)]
enum Verb {}

fn main() -> anyhow::Result<()> {
    match Cli::parse().verb {}
}
