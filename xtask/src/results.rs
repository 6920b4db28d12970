//! What a run of the tests left behind: one file a suite under `target/mteswap/results`,
//! as the suites printed it. Tests are known by their names alone.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, Result};

use crate::{ktap, run::root};

/// Families of rules and how many there are of each (`docs/semantics.md`).
pub(crate) const FAMILIES: [(&str, u32); 4] =
    [("TAG", 17), ("FLAG", 13), ("HOOK", 12), ("PIN", 12)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    Skipped,
}

/// One test of one suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    /// A case run once for each of its parameters is a parent; only its runs are counted.
    pub(crate) parent: bool,
}

impl Case {
    /// The rules this test shows, as its name says them.
    pub(crate) fn rules(&self) -> Vec<String> {
        rules_of(&self.name)
    }
}

/// Where results are kept.
pub(crate) fn folder() -> PathBuf {
    root().join("target/mteswap/results")
}

/// Reads every result of the last run: `.txt` as libtest, `.ktap` as KTAP.
pub(crate) fn read_all() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for path in files(&folder())? {
        let parse: fn(&str) -> Vec<Case> = match path.extension().and_then(|e| e.to_str()) {
            Some("txt") => parse_libtest,
            Some("ktap") => parse_ktap,
            _ => continue,
        };
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        cases.extend(parse(&text));
    }
    Ok(cases)
}

/// When the last run began, if it left anything.
pub(crate) fn started() -> Option<SystemTime> {
    fs::metadata(folder().join("started")).and_then(|meta| meta.modified()).ok()
}

/// Forgets the last run and notes that another begins.
pub(crate) fn begin() -> Result<()> {
    let folder = folder();
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("started"), "")?;
    Ok(())
}

/// The source changed last, of all that can change a result.
pub(crate) fn newest_source() -> Result<(PathBuf, SystemTime)> {
    let mut newest = (root(), SystemTime::UNIX_EPOCH);
    let roots =
        ["src", "ffi", "include", "kunit", "tests", "lab", "build.rs", "Cargo.toml", "Cargo.lock"];
    let mut waiting: Vec<PathBuf> = roots.iter().map(|name| root().join(name)).collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            if !path.ends_with("target") {
                waiting.extend(files(&path)?);
            }
        } else if let Ok(modified) = fs::metadata(&path).and_then(|meta| meta.modified()) {
            if modified > newest.1 {
                newest = (path, modified);
            }
        }
    }
    Ok(newest)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// Lines `test NAME ... ok` of libtest and of rustdoc.
pub(crate) fn parse_libtest(text: &str) -> Vec<Case> {
    let case = |line: &str| {
        let (name, result) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        let outcome = match result {
            "ok" => Outcome::Passed,
            "FAILED" => Outcome::Failed,
            ignored if ignored.starts_with("ignored") => Outcome::Skipped,
            _ => return None,
        };
        Some(Case { name: name.to_owned(), outcome, parent: false })
    };
    text.lines().filter_map(case).collect()
}

/// Every result of a KTAP document. One below which others were nested is their parent.
pub(crate) fn parse_ktap(text: &str) -> Vec<Case> {
    let case = |test: ktap::Test| {
        let name = test.path.into_iter().next_back()?;
        Some(Case { name, outcome: test.outcome, parent: !test.leaf })
    };
    ktap::read(text).tests.into_iter().filter_map(case).collect()
}

/// The rules at the front of a test's name: `tag_2_tag_12_the_old_payload_is_zeroed` has
/// TAG-2 and TAG-12. Of a path, `store::tests::tag_…`, the last part is the name; of a doc
/// test, that of the item it documents. Suites may put `abi_` before it.
pub(crate) fn rules_of(name: &str) -> Vec<String> {
    let item = name.split_once(" - ").map_or(name, |(_, item)| item);
    let path = item.split(' ').next().unwrap_or(item);
    let last = path.rsplit("::").next().unwrap_or(path);
    let mut words = last.strip_prefix("abi_").unwrap_or(last).split('_');
    let mut rules = BTreeSet::new();
    while let (Some(family), Some(number)) = (words.next(), words.next()) {
        let known = FAMILIES.iter().any(|(name, _)| name.to_lowercase() == family);
        let Some(number) = number.parse::<u32>().ok().filter(|_| known) else { break };
        rules.insert(format!("{}-{number}", family.to_uppercase()));
    }
    rules.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_from_the_front_of_a_name() {
        assert_eq!(rules_of("store::tests::tag_2_tag_12_old_is_zeroed"), ["TAG-12", "TAG-2"]);
        assert_eq!(rules_of("abi_tag_15_types_end_at_31"), ["TAG-15"]);
        assert_eq!(
            rules_of("src/hooks.rs - hooks::hook_7_no_free_first (line 4) - compile fail"),
            ["HOOK-7"]
        );
        assert_eq!(rules_of("pages_of_one_tag_12_bytes"), [""; 0]);
        assert_eq!(rules_of("flag_bits"), [""; 0]);
    }

    #[test]
    fn libtest_lines_are_told_from_what_tests_print() {
        let text = "running 3 tests\ntest a::b ... ok\ntest c ... FAILED\n\
                    test d ... ignored, slow\ntest src/lib.rs - x (line 3) - compile fail ... ok\n\
                    test result: FAILED. 1 passed; 1 failed\n";
        let outcomes: Vec<_> = parse_libtest(text).into_iter().map(|c| c.outcome).collect();
        use Outcome::{Failed, Passed, Skipped};
        assert_eq!(outcomes, [Passed, Failed, Skipped, Passed]);
    }

    #[test]
    fn ktap_parents_are_told_from_their_cases() {
        let text = "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: suite\n    1..2\n\
                    \x20       KTAP version 1\n        # Subtest: p\n        1..2\n\
                    \x20       ok 1 all tag 0\n        not ok 2 all tag 1\n    not ok 1 p\n\
                    \x20   ok 2 q # SKIP no threads\nnot ok 1 suite\n";
        let cases = parse_ktap(text);
        let leaves: Vec<_> = cases
            .iter()
            .filter(|case| !case.parent)
            .map(|case| (case.name.as_str(), case.outcome))
            .collect();
        assert_eq!(
            leaves,
            [
                ("all tag 0", Outcome::Passed),
                ("all tag 1", Outcome::Failed),
                ("q", Outcome::Skipped)
            ]
        );
        assert_eq!(cases.len(), 5);
    }
}
