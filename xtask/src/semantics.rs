//! `cargo xtask semantics`: does a test hold every rule of docs/semantics.md?
//!
//! A rule counts as held when a test whose name carries its id ran and passed in the last
//! run, and none that carries it failed. What a comment or the page says does not count.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use anyhow::{Context, Result, bail};

use crate::{
    results::{self, Case, FAMILIES, Outcome},
    run::root,
    steps::Steps,
    test,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fail where the last run is missing or older than the sources, instead of running
    /// the suites
    #[arg(long)]
    no_run: bool,
    /// Write the names of the tests that passed into docs/semantics.md
    #[arg(long)]
    update: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    if let Err(stale) = fresh() {
        if args.no_run {
            return Err(stale);
        }
        eprintln!("{stale}: running the suites");
        results::begin()?;
        let mut steps = Steps::new(results::folder())?;
        test::suites(&mut steps, false)?;
        steps.finish();
    }
    let held = Held::new(&results::read_all()?);
    if args.update {
        let page = fs::read_to_string(page_path())?;
        fs::write(page_path(), updated(&page, &held))?;
    }
    print!("{}", held.table());
    check_page(&held)
}

/// The last run, as a check of `cargo xtask test`.
pub(crate) fn check() -> Result<()> {
    fresh()?;
    check_page(&Held::new(&results::read_all()?))
}

fn fresh() -> Result<()> {
    let Some(started) = results::started() else {
        bail!("no test has run yet");
    };
    let (source, changed) = results::newest_source()?;
    if changed > started {
        bail!("the last run is older than {}", source.display());
    }
    Ok(())
}

/// Every rule there is, in order.
fn rules() -> impl Iterator<Item = String> {
    FAMILIES
        .into_iter()
        .flat_map(|(family, count)| (1..=count).map(move |number| format!("{family}-{number}")))
}

/// What the tests of a run said of each rule.
struct Held {
    passed: BTreeMap<String, BTreeSet<String>>,
    failed: BTreeMap<String, BTreeSet<String>>,
}

impl Held {
    fn new(cases: &[Case]) -> Self {
        let mut held = Self { passed: BTreeMap::new(), failed: BTreeMap::new() };
        for case in cases {
            let names = match case.outcome {
                Outcome::Passed => &mut held.passed,
                Outcome::Failed => &mut held.failed,
                Outcome::Skipped => continue,
            };
            for rule in case.rules() {
                names.entry(rule).or_default().insert(short(&case.name).to_owned());
            }
        }
        held
    }

    /// Tests that carry `rule` and passed in every suite they ran in.
    fn of(&self, rule: &str) -> Vec<&str> {
        let passed = self.passed.get(rule).into_iter().flatten();
        passed.filter(|name| !self.has_failed(rule, name)).map(String::as_str).collect()
    }

    fn has_failed(&self, rule: &str, name: &str) -> bool {
        self.failed.get(rule).is_some_and(|names| names.contains(name))
    }

    fn table(&self) -> String {
        let mut table = String::from("rule     tests\n");
        for rule in rules() {
            let tests = self.of(&rule);
            let names = if tests.is_empty() { "none".to_owned() } else { tests.join(" ") };
            table += &format!("{rule:<8} {:>5} {names}\n", tests.len());
        }
        table
    }

    /// What is wrong, a line each.
    fn faults(&self) -> Vec<String> {
        let known: BTreeSet<String> = rules().collect();
        let mut faults = Vec::new();
        for rule in self.passed.keys().chain(self.failed.keys()) {
            if !known.contains(rule) {
                faults.push(format!("a test names {rule}, which is no rule"));
            }
        }
        for rule in &known {
            for name in self.failed.get(rule).into_iter().flatten() {
                faults.push(format!("{rule}: {name} failed"));
            }
        }
        for rule in rules().filter(|rule| self.of(rule).is_empty()) {
            faults.push(format!("{rule}: no test that carries it passed"));
        }
        faults
    }
}

/// The part of a test's name that the page uses: without its path, or, of a doc test, the
/// item.
fn short(name: &str) -> &str {
    let item = name.split_once(" - ").map_or(name, |(_, item)| item);
    let path = item.split(' ').next().unwrap_or(item);
    path.rsplit("::").next().unwrap_or(path)
}

fn page_path() -> PathBuf {
    root().join("docs/semantics.md")
}

/// Compares docs/semantics.md with the rules and with what ran.
fn check_page(held: &Held) -> Result<()> {
    let page = fs::read_to_string(page_path()).context("cannot read docs/semantics.md")?;
    let mut faults = held.faults();
    let sections = sections(&page);
    let ids: Vec<&str> = sections.iter().map(|section| section.rule.as_str()).collect();
    if !rules().eq(ids.iter().copied()) {
        faults
            .push("docs/semantics.md: its headings are not the rules, each once, in order".into());
    }
    for section in &sections {
        let rule = &section.rule;
        if !section.source {
            faults.push(format!("docs/semantics.md: {rule} names no source"));
        }
        let holding = held.of(rule);
        for test in section.tests.iter().filter(|test| !holding.contains(&test.as_str())) {
            faults.push(format!("docs/semantics.md: {rule} names {test}, which did not pass"));
        }
        let missing = holding.iter().filter(|test| !section.tests.contains(**test)).count();
        if missing > 0 {
            // The page lags, but what it says is true.
            eprintln!(
                "docs/semantics.md: {rule} lacks {missing} of its tests: \
                 run `cargo xtask semantics --update`"
            );
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    for fault in &faults {
        eprintln!("{fault}");
    }
    bail!("{} faults", faults.len());
}

/// One rule of the page: a heading `### TAG-1`, a paragraph `Source: …`, a list `- `test``.
struct Section {
    rule: String,
    source: bool,
    tests: BTreeSet<String>,
}

fn sections(page: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in page.lines() {
        if let Some(rule) = line.strip_prefix("### ") {
            let rule = rule.trim().to_owned();
            sections.push(Section { rule, source: false, tests: BTreeSet::new() });
        }
        let Some(section) = sections.last_mut() else { continue };
        section.source |= line.strip_prefix("Source: ").is_some_and(|rest| !rest.is_empty());
        section.tests.extend(listed_test(line).map(str::to_owned));
    }
    sections
}

fn listed_test(line: &str) -> Option<&str> {
    line.strip_prefix("- `")?.strip_suffix('`')
}

/// The page with each rule's list of tests replaced by those that passed.
fn updated(page: &str, held: &Held) -> String {
    let mut out = String::new();
    let mut rule = None;
    let list = |rule: &Option<String>| -> String {
        let tests = rule.as_ref().map_or(Vec::new(), |rule| held.of(rule));
        tests.iter().map(|test| format!("- `{test}`\n")).collect()
    };
    for line in page.lines() {
        if line.starts_with('#') {
            out.truncate(out.trim_end().len());
            let tests = list(&rule);
            out += if out.is_empty() { "" } else { "\n\n" };
            out += &tests;
            out += if tests.is_empty() { "" } else { "\n" };
            rule = line.strip_prefix("### ").map(|rule| rule.trim().to_owned());
        }
        if listed_test(line).is_none() {
            out += line;
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    let tests = list(&rule);
    out += if tests.is_empty() { "\n" } else { "\n\n" };
    out + &tests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, outcome: Outcome) -> Case {
        Case { name: name.into(), outcome, parent: false }
    }

    #[test]
    fn a_rule_is_held_by_a_test_that_passed_everywhere() {
        let held = Held::new(&[
            case("a::tag_5_x", Outcome::Passed),
            case("tag_6_y", Outcome::Passed),
            case("b::tag_6_y", Outcome::Failed),
            case("tag_7_z", Outcome::Skipped),
            case("tag_18_w", Outcome::Passed),
        ]);
        assert_eq!(held.of("TAG-5"), ["tag_5_x"]);
        assert!(held.of("TAG-6").is_empty());
        assert!(held.of("TAG-7").is_empty());
        let faults = held.faults();
        assert!(faults.contains(&"a test names TAG-18, which is no rule".to_owned()));
        assert!(faults.contains(&"TAG-6: tag_6_y failed".to_owned()));
        assert!(faults.contains(&"TAG-7: no test that carries it passed".to_owned()));
        assert!(!faults.iter().any(|fault| fault.starts_with("TAG-5")));
    }

    #[test]
    fn an_update_replaces_the_lists_and_nothing_else() {
        let page = "# Semantics\n\nText.\n\n## TAG\n\n### TAG-5\nRule.\n\nSource: a.c:1\n\n\
                    - `tag_5_gone`\n\n### TAG-6\nRule.\n\nSource: b.c:2\n";
        let held = Held::new(&[
            case("tag_5_x", Outcome::Passed),
            case("tag_6_a", Outcome::Passed),
            case("tag_6_b", Outcome::Passed),
        ]);
        let once = updated(page, &held);
        assert_eq!(
            once,
            "# Semantics\n\nText.\n\n## TAG\n\n### TAG-5\nRule.\n\nSource: a.c:1\n\n\
             - `tag_5_x`\n\n### TAG-6\nRule.\n\nSource: b.c:2\n\n- `tag_6_a`\n- `tag_6_b`\n"
        );
        assert_eq!(updated(&once, &held), once);
        let sections = sections(&once);
        assert_eq!(sections.len(), 2);
        assert!(sections[1].source);
        assert_eq!(sections[1].tests.len(), 2);
    }
}
