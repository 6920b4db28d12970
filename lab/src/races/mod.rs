//! `races`: finds each race of history on the model, shows it, and looks for any in today's
//! order.

mod explore;
mod scenario;
mod timeline;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use self::{
    explore::{Run, explore, replay},
    scenario::{SCENARIOS, Scenario},
};
use crate::{
    model::variant::{self, Race, VARIANTS, Variant},
    verdict,
};

/// Failing schedules compared for the picture: the one that is easiest to follow is shown.
const CANDIDATES: usize = 60;

/// Finds each race of history on a model of swapping, and none in today's order.
///
/// A schedule is a number: the seed, and what follows it. The same number gives the same steps.
#[derive(clap::Args)]
pub struct Args {
    /// Only this variant (`--list` has their names)
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// The first schedule; without it the clock says [a number, or 0x and a hexadecimal one]
    #[arg(long, value_parser = seed)]
    seed: Option<u64>,
    /// Schedules of each variant in which nothing may be found
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=SEED_MAX))]
    schedules: u64,
    /// Shows this one schedule, step by step; wants --variant
    #[arg(long, value_name = "SCHEDULE", value_parser = number, requires = "variant", conflicts_with_all = ["seed", "schedules"])]
    replay: Option<u64>,
    /// The scenario to replay in, where it is not the one that shows the variant's race
    #[arg(long, value_name = "NAME", requires = "replay")]
    scenario: Option<String>,
    /// Writes each race, or what is replayed, as a picture, NAME.svg, into this folder
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// One line a variant, no steps
    #[arg(long, short)]
    quiet: bool,
    /// Lists variants and scenarios
    #[arg(long)]
    list: bool,
}

/// The highest schedule that a search begins with; others follow.
const SEED_MAX: u64 = u64::MAX >> 1;
/// The highest of all.
const SCHEDULE_MAX: u64 = u64::MAX - 1;

fn seed(text: &str) -> Result<u64> {
    number_up_to(SEED_MAX, text)
}

fn number(text: &str) -> Result<u64> {
    number_up_to(SCHEDULE_MAX, text)
}

fn number_up_to(most: u64, text: &str) -> Result<u64> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let number = number.ok().filter(|number| *number <= most);
    number.with_context(|| {
        format!("a schedule is a number up to {most}, or 0x and a hexadecimal one")
    })
}

#[derive(Default)]
struct Totals {
    passed: usize,
    failed: usize,
}

/// # Errors
/// Where an argument names nothing, or a picture cannot be written. Checks that fail are counted
/// instead.
pub fn run(args: &Args) -> Result<bool> {
    if args.list {
        list();
        return Ok(true);
    }
    let only = args.variant.as_deref().map(named).transpose()?;
    if let Some(folder) = &args.svg {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    if let (Some(variant), Some(seed)) = (only, args.replay) {
        return show_one(args, variant, seed);
    }
    let seed = args.seed.unwrap_or_else(clock);
    println!("seed {seed:#x}\n");
    let mut totals = Totals::default();
    for variant in VARIANTS.iter().filter(|variant| only.is_none_or(|one| one.name == variant.name))
    {
        let held = match &variant.race {
            Some(race) => find(args, variant, race, seed)?,
            None => find_none(args, variant, seed)?,
        };
        verdict(&variant.rules(), variant.name, held);
        *if held { &mut totals.passed } else { &mut totals.failed } += 1;
    }
    println!("{} passed, {} failed, 0 skipped", totals.passed, totals.failed);
    Ok(totals.failed == 0)
}

fn named(name: &str) -> Result<&'static Variant> {
    let names = || VARIANTS.iter().map(|variant| variant.name).collect::<Vec<_>>().join(", ");
    variant::find(name).with_context(|| format!("no variant `{name}`: there are {}", names()))
}

fn clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as u64 & 0xffff_ffff_ffff
}

fn list() {
    println!("variants (--variant):");
    for variant in VARIANTS {
        println!("  {:<11} {}", variant.name, variant.origin);
        match &variant.race {
            Some(race) => println!(
                "              {} ({}); found within {} schedules of `{}`",
                race.what, race.rules, race.within, race.scenario
            ),
            None => println!("              nothing is found, in any scenario"),
        }
    }
    println!("\nscenarios:");
    for scenario in SCENARIOS {
        println!("  {:<11} {}", scenario.name, scenario.what);
    }
}

fn progress(schedules: u64, variant: &Variant) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} {eta}")?;
    Ok(ProgressBar::new(schedules).with_style(style).with_message(variant.name))
}

/// What the schedules of `seeds` fail with, as far as `wanted` wants it.
fn failures(
    scenario: &'static Scenario,
    variant: &Variant,
    seeds: Range<u64>,
    wanted: impl Fn(&Run) -> bool + Send + 'static,
    enough: usize,
    bar: &ProgressBar,
) -> Vec<Run> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let (place, bar) = (Arc::clone(&found), bar.clone());
    explore(scenario, variant.order, seeds, false, move |run| {
        bar.inc(1);
        let mut found = place.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted(&run) {
            found.push(run);
        }
        found.len() < enough
    });
    std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Looks for the race of a variant; shows the run that is easiest to follow.
fn find(args: &Args, variant: &Variant, race: &Race, seed: u64) -> Result<bool> {
    let scenario = scenario::find(race.scenario).context("the race names no scenario")?;
    let words = race.shown_by;
    let shows = move |run: &Run| run.failure.as_ref().is_some_and(|f| f.0.contains(words));
    let seeds = seed..seed.saturating_add(race.within);
    let bar = progress(race.within, variant)?;
    let found = failures(scenario, variant, seeds, shows, CANDIDATES, &bar);
    bar.finish_and_clear();
    let Some(first) = found.first() else {
        println!("{}: {}\n  NOT FOUND in {} schedules", variant.name, race.what, race.within);
        return Ok(false);
    };
    let replays = found.iter().filter_map(|run| replay(scenario, variant.order, run.seed));
    let best =
        replays.filter(shows).min_by_key(Run::difficulty).context("no run can be repeated")?;
    println!("{}: {} [{}]", variant.name, race.what, race.rules);
    println!("  {}", variant.origin);
    println!(
        "  found in schedule {} of at most {}; shown: --variant {} --replay {:#x}\n",
        first.seed - seed + 1,
        race.within,
        variant.name,
        best.seed
    );
    if !args.quiet {
        println!("{}", timeline::text(&best));
    }
    if let Some(folder) = &args.svg {
        write_picture(folder, variant, race.what, &best)?;
    }
    Ok(true)
}

/// A picture that was there before stays whole until this one is.
fn write_picture(folder: &Path, variant: &Variant, what: &str, run: &Run) -> Result<()> {
    let path = folder.join(variant.name).with_extension("svg");
    let part = path.with_extension("part");
    let picture = timeline::picture(run, &format!("{}: {what}", variant.name), variant.origin);
    let written = svg::save(&part, &picture).and_then(|()| std::fs::rename(&part, &path));
    written.with_context(|| {
        // As far as it got; where not even that can be done, nothing was lost.
        let _ = std::fs::remove_file(&part);
        format!("cannot write {}", path.display())
    })
}

/// Looks for any failure in every scenario of a variant that has none.
fn find_none(args: &Args, variant: &Variant, seed: u64) -> Result<bool> {
    let bar = progress(args.schedules, variant)?;
    // Half of them in the scenario that draws its own steps, the rest in equal parts.
    let others = SCENARIOS.len() as u64 - 1;
    let share = args.schedules / 2 / others;
    let (mut ran, mut scenarios) = (0, 0);
    for scenario in SCENARIOS {
        let count = if scenario.name == "mixed" { args.schedules - share * others } else { share };
        let seeds = seed..seed.saturating_add(count);
        let any = |run: &Run| run.failure.is_some();
        if let Some(run) = failures(scenario, variant, seeds, any, 1, &bar).first() {
            bar.finish_and_clear();
            println!("{}: {}", variant.name, variant.origin);
            println!(
                "  FOUND; shown: --variant {} --scenario {} --replay {:#x}\n",
                variant.name, scenario.name, run.seed
            );
            if let Some(run) = replay(scenario, variant.order, run.seed) {
                println!("{}", timeline::text(&run));
            }
            return Ok(false);
        }
        ran += count;
        scenarios += usize::from(count > 0);
    }
    bar.finish_and_clear();
    println!("{}: {}", variant.name, variant.origin);
    println!("  nothing found in {ran} schedules of {scenarios} scenarios\n");
    Ok(true)
}

/// Shows one schedule. False where something went wrong in an order that has no race.
fn show_one(args: &Args, variant: &Variant, seed: u64) -> Result<bool> {
    let own = variant.race.as_ref().map(|race| race.scenario);
    let name = args.scenario.as_deref().or(own).unwrap_or("mixed");
    let Some(scenario) = scenario::find(name) else {
        bail!("no scenario `{name}`: --list has their names")
    };
    let run = replay(scenario, variant.order, seed).context("the schedule was given up")?;
    ensure!(run.seed == seed, "another schedule ran");
    println!("{} in `{}`, schedule {seed:#x}\n", variant.name, scenario.name);
    if !args.quiet {
        println!("{}", timeline::text(&run));
    }
    let what = match (&run.failure, &variant.race) {
        (Some(failure), _) => failure.0.clone(),
        (None, None) => "nothing went wrong".to_owned(),
        (None, Some(_)) => format!(
            "nothing went wrong: another schedule may show it, and another variant's need not; \
             `cargo xtask races --variant {}` finds one",
            variant.name
        ),
    };
    println!("{what}");
    if let Some(folder) = &args.svg {
        write_picture(folder, variant, &format!("schedule {seed:#x}"), &run)?;
    }
    Ok(run.failure.is_none() || variant.race.is_some())
}
