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
