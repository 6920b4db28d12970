//! The laboratory's commands, as `cargo xtask` calls them.

use std::process::{Command, Output};

fn lab(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mteswap-lab"));
    command.args(arguments).output().expect("it was built for this test")
}

fn stdout(arguments: &[&str]) -> String {
    let output = lab(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("words")
}

#[test]
fn help_names_the_command_that_was_typed() {
    let verbs: &[&str] =
        if cfg!(feature = "shuttle") { &["races"] } else { &["stress", "pin-cost"] };
    for verb in verbs {
        let help = stdout(&[verb, "--help"]);
        assert!(help.contains(&format!("Usage: cargo xtask {verb} [OPTIONS]")), "{help}");
        let error = lab(&[verb, "--no-such-option"]);
        let words = String::from_utf8_lossy(&error.stderr).into_owned();
        assert!(!error.status.success() && !words.contains("mteswap-lab"), "{words}");
    }
}

#[cfg(feature = "shuttle")]
mod races {
    use std::{fs, path::Path};

    use super::{lab, stdout};

    /// Every step of every variant, of the schedule that a search found.
    #[test]
    fn a_schedule_is_the_same_each_time_it_is_replayed() {
        let found = stdout(&["races", "--seed", "1", "--schedules", "20"]);
        let shown: Vec<Vec<&str>> = found
            .lines()
            .filter_map(|line| line.split_once("shown: "))
            .map(|(_, arguments)| arguments.split(' ').collect())
            .collect();
        assert!(shown.len() >= 13, "each race of history is shown: {found}");
        for arguments in shown {
            let arguments = [&["races"], arguments.as_slice()].concat();
            let once = stdout(&arguments);
            assert_eq!(once, stdout(&arguments), "{arguments:?}");
            let drawn: Vec<_> = once.lines().skip(2).filter(|line| line.len() > 60).collect();
            assert!(drawn.len() > 3, "{once}");
            assert!(drawn.iter().all(|step| found.contains(*step)), "as it was found: {once}");
        }
    }

    #[test]
    fn a_search_from_the_same_seed_says_the_same() {
        let search = ["races", "--seed", "0x7", "--schedules", "40"];
        assert_eq!(stdout(&search), stdout(&search));
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_what_is_one() {
        for [option, number] in [
            ["--seed", "zzz"],
            ["--seed", "0x"],
            ["--seed", "18446744073709551615"],
            ["--replay", "0xffffffffffffffff"],
            ["--replay", ""],
            ["--schedules", "0"],
        ] {
            let output = lab(&["races", "--variant", "no-pin", option, number]);
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && output.stdout.is_empty(), "{option} {number}");
            let line = words.lines().next().unwrap_or_default();
            let wanted = if option == "--schedules" { "1.." } else { "a schedule is a number" };
            assert!(line.contains(option) && line.contains(wanted), "{words}");
        }
    }

    #[test]
    fn whatever_a_search_finds_can_be_replayed() {
        let highest = (u64::MAX >> 1).to_string();
        let found = stdout(&["races", "--variant", "no-pin", "--seed", &highest, "--quiet"]);
        let (_, shown) = found.split_once("--replay ").expect("the race is found");
        let schedule = shown.lines().next().expect("its schedule is shown");
        let again = stdout(&["races", "--variant", "no-pin", "--replay", schedule]);
        assert!(again.contains("data lost") && again.contains(schedule), "{again}");
        for option in ["--seed", "--schedules"] {
            let both = ["races", "--variant", "no-pin", "--replay", schedule, option, "2"];
            assert!(!lab(&both).status.success(), "{option} says nothing to one schedule");
        }
    }

    #[test]
    fn each_processor_has_a_column_of_its_own() {
        let mixed =
            ["races", "--variant", "no-pin", "--scenario", "mixed", "--replay", "0x1", "--quiet"];
        let steps = stdout(&mixed[..7]);
        let heads = steps.lines().nth(2).expect("heads").split_whitespace().take(4);
        assert_eq!(heads.collect::<Vec<_>>(), ["CPU0", "CPU1", "CPU2", "slot"], "{steps}");
        assert!(steps.lines().all(|line| line.trim_end() == line), "no blanks at a line's end");
        assert!(!stdout(&mixed).contains("CPU0"), "no steps");
    }

    #[test]
    fn a_picture_that_cannot_be_written_leaves_the_one_that_was_there() {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
        let _ = fs::remove_dir_all(&folder);
        let [picture, part] = ["leak.svg", "leak.part"].map(|name| folder.join(name));
        let svg = folder.to_str().expect("words");
        let draws = ["races", "--variant", "leak", "--replay", "0x4", "--svg", svg];
        let steps = stdout(&draws);
        let drawn = fs::read_to_string(&picture).expect("it is drawn");
        assert!(drawn.contains("returns without clearing the pin") && steps.contains("pin"));
        fs::create_dir(&part).expect("there is room");
        let output = lab(&draws);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && words.contains("leak.svg"), "{words}");
        assert_eq!(fs::read_to_string(&picture).expect("it is there still"), drawn);
    }

    #[test]
    fn a_schedule_that_shows_nothing_says_so() {
        let today = stdout(&["races", "--variant", "today", "--replay", "0x1"]);
        assert!(today.ends_with("nothing went wrong\n"), "{today}");
        let mut said = (1..200_u64).map(|schedule| {
            stdout(&["races", "--variant", "count", "--replay", &schedule.to_string()])
        });
        let hint = "`cargo xtask races --variant count` finds one\n";
        assert!(said.any(|said| said.ends_with(hint)), "one of them shows nothing");
    }

    #[test]
    fn a_name_that_is_none_is_answered_with_those_there_are() {
        let output = lab(&["races", "--variant", "no-such"]);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(words.contains("free-first") && words.lines().count() == 1, "{words}");
    }
}

#[cfg(not(feature = "shuttle"))]
#[test]
fn pin_8_a_variant_that_loses_something_fails() {
    let small =
        ["--rounds", "40", "--pages", "1024", "--workers", "8", "--delay", "300", "--quiet"];
    let output = lab(&[&["stress", "--variant", "no-pin"], &small[..]].concat());
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success(), "{words}");
    assert!(words.ends_with("0 passed, 1 failed, 0 skipped\n"), "{words}");
}

#[cfg(not(feature = "shuttle"))]
#[test]
fn a_line_a_round_unless_quiet() {
    let small = ["stress", "--variant", "today", "--rounds", "3", "--pages", "16"];
    let rounds = |said: String| said.lines().filter(|line| line.contains(" round ")).count();
    assert_eq!(rounds(stdout(&small)), 3);
    assert_eq!(rounds(stdout(&[&small[..], &["--quiet"]].concat())), 0);
}

#[cfg(not(feature = "shuttle"))]
#[test]
fn the_target_of_pin_and_restore_is_judged_row_by_row() {
    let said = stdout(&["pin-cost", "--pages", "64", "--runs", "1", "--parts"]);
    let lines: Vec<_> = said.lines().collect();
    let (table, verdicts) = lines.split_at(lines.len() - 3);
    let (floor, table) = table.split_last().expect("the pin's floor");
    assert!(floor.starts_with("the pin's floor: "), "{said}");
    let words = ["mixture", "all of the maps", "one tag", "2 to 8 runs", "9 runs or more"];
    // The first 18 columns name a row; behind what both take together come share, save and free.
    let rows = table[2..].iter().map(|row| row.split_at(18)).map(|(name, figures)| {
        let figures: Vec<_> = figures.split_whitespace().filter(|word| *word != "%").collect();
        let both: f64 = figures[figures.len() - 4].parse().expect("nanoseconds");
        (name.trim(), both)
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), words, "{said}");
    assert!(table[2].contains(" - "), "the mixture is none of the maps: {said}");
    let stated = verdicts[0].split_whitespace().rev().nth(3).and_then(|word| word.parse().ok());
    let target: f64 = stated.expect("the target is stated");
    let named = |line: &str, word| {
        let names = line.strip_prefix(word).expect("a verdict");
        names.split(", ").filter(|name| *name != "none").map(String::from).collect::<Vec<_>>()
    };
    let (missed, reached) = (named(verdicts[1], "missed: "), named(verdicts[2], "reached: "));
    assert_eq!(missed.len() + reached.len(), rows.len(), "{said}");
    for (name, both) in rows {
        // Figures are rounded where they are printed.
        let [missed, reached] = [&missed, &reached].map(|names| names.iter().any(|n| n == name));
        assert!(missed != reached, "{name} is judged once: {said}");
        assert!(if missed { both > target - 0.1 } else { both < target + 0.1 }, "{name}: {said}");
    }
}

#[cfg(not(feature = "shuttle"))]
#[test]
fn what_cannot_be_run_is_one_line_of_what_to_do() {
    let run = |limit: &str, command: &str| {
        let script = format!("{limit} exec {} {command}", env!("CARGO_BIN_EXE_mteswap-lab"));
        let mut shell = Command::new("sh");
        // A sanitizer's runtime would talk in between.
        shell.args(["-c", &script]).env_remove("TSAN_OPTIONS");
        shell.output().expect("there is a shell")
    };
    let refused = |output: Output, line: &str| {
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(words.lines().count() == 1 && words.contains(line), "{words}");
    };
    refused(run("", "stress --variant no-such"), "cargo xtask races --list");
    refused(run("", "pin-cost --maps /no-such-folder"), "maps from /no-such-folder");
    let limited = |command: &str| run("ulimit -v 500000 &&", command);
    // That runtime takes more than this before anything runs.
    if limited("--help").status.success() {
        refused(limited("stress --rounds 1 --pages 1048576"), "fewer --pages");
        refused(limited("pin-cost --runs 1 --pages 4194304"), "fewer --pages");
        refused(limited("pin-cost --runs 1 --pages 4194304 --parts"), "fewer --pages");
    }
}
