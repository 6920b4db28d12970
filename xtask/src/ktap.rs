//! KTAP version 1, as KUnit prints it: what ran, how it ended, and whether the
//! plans were kept. A level of subtests stands four columns further in.

use std::fmt;

use crate::results::Outcome;

/// One result line: `ok 3 tag_5_restore_absent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Test {
    /// The subtests it stands in, outermost first, then its own name.
    pub(crate) path: Vec<String>,
    pub(crate) outcome: Outcome,
    /// Whether it ran itself, rather than gathering subtests.
    pub(crate) leaf: bool,
}

/// How many of a set of tests passed, failed and were skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Counts {
    pub(crate) fn of<'a>(tests: impl IntoIterator<Item = &'a Test>) -> Self {
        let mut counts = Self::default();
        for test in tests {
            *match test.outcome {
                Outcome::Passed => &mut counts.passed,
                Outcome::Failed => &mut counts.failed,
                Outcome::Skipped => &mut counts.skipped,
            } += 1;
        }
        counts
    }

    pub(crate) fn total(self) -> usize {
        self.passed + self.failed + self.skipped
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// What a whole document said.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) tests: Vec<Test>,
    /// Where it did not keep to KTAP: a plan not met, a number out of order.
    pub(crate) faults: Vec<String>,
}

impl Report {
    /// The cases: results inside of one suite. Parameters stand one deeper.
    pub(crate) fn cases(&self) -> impl Iterator<Item = &Test> {
        self.tests.iter().filter(|test| test.path.len() == 2)
    }

    /// Everything that ran by itself: cases, and each parameter of the others.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = &Test> {
        self.tests.iter().filter(|test| test.leaf)
    }
}

/// Reads a whole document.
pub(crate) fn read(document: &str) -> Report {
    let mut reader = Reader::default();
    document.lines().for_each(|line| reader.line(line));
    reader.finish()
}

/// The level that the parameters of a case stand at.
const PARAMETERS: usize = 2;

#[derive(Debug, Default)]
struct Level {
    name: String,
    planned: Option<usize>,
    seen: usize,
}

/// Reads a document a line at a time.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    levels: Vec<Level>,
    report: Report,
}

impl Reader {
    /// Takes the next line in; what is no KTAP is passed over, as KTAP has it.
    pub(crate) fn line(&mut self, line: &str) {
        let text = line.trim_start_matches(' ');
        let depth = (line.len() - text.len()) / 4;
        if text == "KTAP version 1" {
            self.close_below(depth);
            self.levels.push(Level::default());
        } else if let Some(name) = text.strip_prefix("# Subtest: ") {
            if let Some(level) = self.levels.get_mut(depth) {
                level.name = name.to_owned();
            }
        } else if let Some(nr) = text.strip_prefix("1..") {
            if let (Some(level), Ok(nr)) = (self.levels.get_mut(depth), nr.parse()) {
                level.planned = Some(nr);
            }
        } else if let Some(rest) = text.strip_prefix("not ok ") {
            self.result(depth, rest, Outcome::Failed);
        } else if let Some(rest) = text.strip_prefix("ok ") {
            self.result(depth, rest, Outcome::Passed);
        } else if text.starts_with("Bail out!") {
            self.report.faults.push(text.to_owned());
        }
    }

    /// What the document said, now that it is over.
    pub(crate) fn finish(mut self) -> Report {
        if self.levels.is_empty() {
            self.report.faults.push("no KTAP header".to_owned());
        }
        self.close_below(0);
        self.report
    }

    fn result(&mut self, depth: usize, rest: &str, outcome: Outcome) {
        let leaf = self.levels.len() <= depth + 1;
        self.close_below(depth + 1);
        let Some(level) = self.levels.get_mut(depth) else {
            self.report.faults.push(format!("a result without a header: {rest}"));
            return;
        };
        level.seen += 1;
        let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        if number.parse() != Ok(level.seen) {
            self.report.faults.push(format!("result {number} where {} was due", level.seen));
        }
        let (name, directive) = rest.split_once(" # ").unwrap_or((rest, ""));
        let outcome = if directive.starts_with("SKIP") && outcome == Outcome::Passed {
            Outcome::Skipped
        } else {
            outcome
        };
        let mut path: Vec<_> =
            self.levels[..=depth].iter().skip(1).map(|level| level.name.clone()).collect();
        path.push(name.to_owned());
        self.report.tests.push(Test { path, outcome, leaf });
    }

    /// Ends the levels deeper than `depth`, and holds each to its plan.
    fn close_below(&mut self, depth: usize) {
        let first = depth.min(self.levels.len());
        for (depth, level) in (first..).zip(self.levels.drain(first..)) {
            // Kernels before 6.18 count a case's parameters without a plan.
            let kept = match level.planned {
                None => depth >= PARAMETERS && level.seen > 0,
                Some(planned) => planned == level.seen,
            };
            if !kept {
                let planned = level.planned.map_or("no plan".to_owned(), |n| n.to_string());
                let name = if level.name.is_empty() { "the document" } else { &level.name };
                self.report.faults.push(format!("{name}: {planned} planned, {} seen", level.seen));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
KTAP version 1
1..1
    KTAP version 1
    # Subtest: suite
    1..3
        KTAP version 1
        # Subtest: each
        1..2
        ok 1 one
        ok 2 two # SKIP not here
    # each: pass:1 fail:0 skip:1 total:2
    ok 1 each
    # broken: EXPECTATION FAILED at file.c:3
    not ok 2 broken
    ok 3 last
# suite: pass:2 fail:1 skip:0 total:3
not ok 1 suite
";

    #[test]
    fn results_are_found_at_their_depth() {
        let report = read(GOOD);
        assert_eq!(report.faults, Vec::<String>::new());
        let cases: Vec<_> = report.cases().map(|case| (&*case.path[1], case.outcome)).collect();
        assert_eq!(
            cases,
            [("each", Outcome::Passed), ("broken", Outcome::Failed), ("last", Outcome::Passed)]
        );
        let counts = Counts::of(report.leaves());
        assert_eq!(counts, Counts { passed: 2, failed: 1, skipped: 1 });
    }

    #[test]
    fn a_document_that_breaks_off_is_a_fault() {
        for cut in 1..GOOD.lines().count() {
            let part: Vec<_> = GOOD.lines().take(cut).collect();
            assert_ne!(read(&part.join("\n")).faults, Vec::<String>::new(), "{cut} lines");
        }
        assert_ne!(read("").faults, Vec::<String>::new());
    }

    #[test]
    fn a_number_out_of_order_is_a_fault() {
        assert_ne!(read(&GOOD.replace("ok 3 last", "ok 4 last")).faults, Vec::<String>::new());
    }
}
