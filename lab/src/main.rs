//! The laboratory's commands, as `cargo xtask` calls them.
//!
//! `races` is there where threads are shuttle's (`--features shuttle`), `stress` and `cost` where
//! they are the machine's: see `cargo xtask races`, `stress`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use mteswap_lab as lab;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The race laboratory")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    #[cfg(feature = "shuttle")]
    Races(lab::races::Args),
    #[cfg(not(feature = "shuttle"))]
    Stress(lab::stress::Args),
    #[cfg(not(feature = "shuttle"))]
    PinCost(lab::cost::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        #[cfg(feature = "shuttle")]
        Verb::Races(args) => lab::races::run(&args),
        #[cfg(not(feature = "shuttle"))]
        Verb::Stress(args) => lab::stress::run(&args),
        #[cfg(not(feature = "shuttle"))]
        Verb::PinCost(args) => lab::cost::run(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
