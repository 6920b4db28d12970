//! A run as commit messages draw one: a column a processor, a step a line, the state beside it.

use std::fmt::Write as _;

use svg::{
    Document,
    node::element::{Line as Rule, Rectangle, Style, Text},
};

use super::explore::Run;
use crate::model::trace::Line;

/// Characters of a column, where no step is longer.
const STEP: usize = 46;
const STATE: usize = 9;

/// The mark beside the step that goes wrong, and why.
const MARK: &str = "<--";

/// The run as text, as wide as its longest step.
pub fn text(run: &Run) -> String {
    let lines = shortened(&run.lines);
    let step = STEP.max(2 + longest(&lines));
    let mut out = String::new();
    let _ =
        writeln!(out, "{:step$}{:step$}{:STATE$}{:STATE$}PTE", "CPU0", "CPU1", "slot 0", "record");
    let _ =
        writeln!(out, "{:step$}{:step$}{:STATE$}{:STATE$}---", "----", "----", "------", "------");
    for line in &lines {
        let (left, right) = columns(line, &line.text);
        let _ = writeln!(
            out,
            "{left:step$}{right:step$}{:STATE$}{:STATE$}{}",
            line.slot, line.record, line.pte
        );
        if let Some(why) = reason(line) {
            let why = format!("{MARK} {why}");
            let (left, right) = columns(line, &why);
            let _ = writeln!(out, "{left:step$}{right}");
        }
    }
    out
}

/// Characters of the longest step, or reason.
fn longest(lines: &[Line]) -> usize {
    let reasons = lines.iter().filter_map(reason).map(|why| why.chars().count() + MARK.len() + 1);
    lines.iter().map(|line| line.text.chars().count()).chain(reasons).max().unwrap_or(0)
}

/// Why a step is the one that goes wrong, where the step does not say it itself.
fn reason(line: &Line) -> Option<&str> {
    line.wrong.as_deref().filter(|why| !line.text.contains(why))
}

fn columns<'a>(line: &Line, step: &'a str) -> (&'a str, &'a str) {
    if line.cpu == 0 { (step, "") } else { ("", step) }
}

/// How often a step that leaves the same state is shown.
const SHOWN: usize = 2;

/// The lines, without those that were there before, more often than anyone wants to read: a line
/// says how many in their place.
fn shortened(lines: &[Line]) -> Vec<Line> {
    let mut short: Vec<Line> = Vec::new();
    let again = |end: usize| {
        let line = &lines[end];
        let before = lines[..end].iter().filter(|other| *other == line).count();
        line.wrong.is_none() && before >= SHOWN
    };
    let again: Vec<bool> = (0..lines.len()).map(again).collect();
    let mut start = 0;
    for block in again.chunk_by(|one, other| one == other) {
        let lines = &lines[start..start + block.len()];
        start += block.len();
        match lines {
            [first, _, ..] if block[0] => {
                let text = format!("<the same again: {} steps>", lines.len());
                short.push(Line { text, ..first.clone() });
            }
            _ => short.extend_from_slice(lines),
        }
    }
    short
}

const ROW: usize = 20;
const TOP: usize = 78;
const MARGIN: usize = 16;
/// Pixels a character takes in tenths, with any of the fonts.
const CHARACTER: usize = 80;
const COLUMN: usize = 350;
/// Heads of the columns, and how wide those of the state are.
const HEADS: [&str; 5] = ["CPU0", "CPU1", "slot 0", "record", "PTE"];
const STATES: [usize; 3] = [70, 60, 144];

/// The run as a picture.
pub fn picture(run: &Run, title: &str, below: &str) -> Document {
    let lines = shortened(&run.lines);
    let column = COLUMN.max(2 * MARGIN + (longest(&lines) * CHARACTER).div_ceil(10));
    let mut places = [MARGIN; HEADS.len()];
    for (place, width) in [column, column, STATES[0], STATES[1]].into_iter().enumerate() {
        places[place + 1] = places[place] + width;
    }
    let width = places[4] + STATES[2];
    let rows: usize = lines.iter().map(|line| 1 + usize::from(reason(line).is_some())).sum();
    let height = TOP + rows * ROW + 14;
    let style = "text { font: 13px ui-monospace, Menlo, Consolas, monospace; fill: #1f2328 }\n\
        .title { font-weight: bold; font-size: 15px } .head { font-weight: bold }\n\
        .state, .below { fill: #59636e } .wrong { fill: #b3261e; font-weight: bold }";
    let mut picture = Document::new()
        .set("viewBox", (0, 0, width, height))
        .set("width", width)
        .set("height", height)
        .set("role", "img")
        .add(svg::node::element::Title::new(title))
        .add(Style::new(style))
        .add(Rectangle::new().set("width", "100%").set("height", "100%").set("fill", "#ffffff"))
        .add(words(MARGIN, 24, "title", title))
        .add(words(MARGIN, 44, "below", below));
    for (x, head) in places.into_iter().zip(HEADS) {
        picture = picture.add(words(x, TOP - 12, "head", head));
    }
    picture = picture.add(rule(0, TOP - 5, width, TOP - 5));
    for x in &places[1..3] {
        picture = picture.add(rule(x - 10, 54, x - 10, height));
    }
    let mut y = TOP + 12;
    for line in &lines {
        let x = places[line.cpu.min(1)];
        let class = if line.wrong.is_some() { "wrong" } else { "step" };
        if line.wrong.is_some() {
            let band = Rectangle::new()
                .set("x", x - 8)
                .set("y", y - 15)
                .set("width", column - 4)
                .set("height", (1 + usize::from(reason(line).is_some())) * ROW)
                .set("fill", "#ffebe9");
            picture = picture.add(band);
        }
        picture = picture.add(words(x, y, class, &line.text));
        for (x, state) in places[2..].iter().zip([&line.slot, &line.record, &line.pte]) {
            picture = picture.add(words(*x, y, "state", state));
        }
        if let Some(why) = reason(line) {
            y += ROW;
            picture = picture.add(words(x + 8, y, "wrong", &format!("\u{2190} {why}")));
        }
        y += ROW;
    }
    picture
}

fn words(x: usize, y: usize, class: &str, text: &str) -> Text {
    Text::new(text).set("x", x).set("y", y).set("class", class)
}

fn rule(x1: usize, y1: usize, x2: usize, y2: usize) -> Rule {
    Rule::new().set("x1", x1).set("y1", y1).set("x2", x2).set("y2", y2).set("stroke", "#d1d9e0")
}
