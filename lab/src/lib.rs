//! The race laboratory: a model of swapping on top of the library, and what is done with it.
//!
//! | module | does |
//! |---|---|
//! | [`model`] | frames, page tables, a swap device, and the paths between them, in today's order and those of history |
//! | `races` | finds each race of history, draws it, and finds none in today's order (threads are shuttle's: `--features shuttle`) |
//! | `schedule` | what `races` explores: schedules that are numbers |
//! | `stress` | real threads under an evictor |
//! | `cost` | what pin and tags cost a swap-in |
//!
//! It stands apart from the workspace: it builds the library three times, as it is, for shuttle
//! (here) and for loom (`loom/`), and what it needs for that stays out of the library's lock file.

#[cfg(not(feature = "shuttle"))]
pub mod cost;
pub mod model;
#[cfg(feature = "shuttle")]
pub mod races;
#[cfg(feature = "shuttle")]
pub mod schedule;
#[cfg(not(feature = "shuttle"))]
pub mod stress;
mod sync;

/// A verdict as libtest prints its own, which `cargo xtask semantics` reads: the rules that the
/// check holds are at the front of its name.
fn verdict(rules: &str, check: &str, held: bool) {
    let name = format!("{rules} {check}").to_lowercase().replace([' ', '-'], "_");
    println!("test {name} ... {}", if held { "ok" } else { "FAILED" });
}
