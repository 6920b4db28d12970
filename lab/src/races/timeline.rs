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
/// Heads of the state's columns.
const STATES: [&str; 3] = ["slot 0", "record", "PTE"];

/// The mark beside the step that goes wrong, and why.
const MARK: &str = "<--";

/// The run as text, as wide as its longest step.
pub fn text(run: &Run) -> String {
    let lines = shortened(&run.lines);
    let cpus = cpus(&lines);
    let step = STEP.max(2 + longest(&lines));
    let mut out = String::new();
    let mut row = |columns: &dyn Fn(usize) -> String, [slot, record, pte]: [&str; 3]| {
        let columns: String = (0..cpus).map(|cpu| format!("{:step$}", columns(cpu))).collect();
        let row = format!("{columns}{slot:STATE$}{record:STATE$}{pte}");
        let _ = writeln!(out, "{}", row.trim_end());
    };
    row(&|cpu| format!("CPU{cpu}"), STATES);
    row(&|_| "----".to_owned(), ["------", "------", "---"]);
    for line in &lines {
        let own = |text: &str, cpu| if cpu == line.cpu { text.to_owned() } else { String::new() };
        row(&|cpu| own(&line.text, cpu), [&line.slot, &line.record, &line.pte]);
        if let Some(why) = reason(line) {
            row(&|cpu| own(&format!("{MARK} {why}"), cpu), [""; 3]);
        }
    }
    out
}

/// Columns: commit messages have two, and nothing here has fewer.
fn cpus(lines: &[Line]) -> usize {
    lines.iter().map(|line| line.cpu + 1).max().unwrap_or(0).max(2)
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
/// How wide the state's columns are; the last one at least.
const WIDTHS: [usize; 3] = [70, 60, 144];

/// The run as a picture.
pub fn picture(run: &Run, title: &str, below: &str) -> Document {
    let lines = shortened(&run.lines);
    let pixels = |characters: usize| (characters * CHARACTER).div_ceil(10);
    let column = COLUMN.max(2 * MARGIN + pixels(longest(&lines)));
    let [slot, record, pte] = WIDTHS;
    let pte = lines.iter().map(|line| pixels(line.pte.chars().count())).max().unwrap_or(0).max(pte);
    let cpus = cpus(&lines);
    let widths = std::iter::repeat_n(column, cpus).chain([slot, record, pte]);
    let places: Vec<usize> =
        widths.scan(MARGIN, |next, width| Some(std::mem::replace(next, *next + width))).collect();
    let width = MARGIN + cpus * column + slot + record + pte;
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
    let heads = (0..cpus).map(|cpu| format!("CPU{cpu}")).chain(STATES.map(str::to_owned));
    for (x, head) in places.iter().zip(heads) {
        picture = picture.add(words(*x, TOP - 12, "head", &head));
    }
    picture = picture.add(rule(0, TOP - 5, width, TOP - 5));
    for x in &places[1..=cpus] {
        picture = picture.add(rule(x - 10, 54, x - 10, height));
    }
    let mut y = TOP + 12;
    for line in &lines {
        let x = places[line.cpu];
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
        for (x, state) in places[cpus..].iter().zip([&line.slot, &line.record, &line.pte]) {
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
