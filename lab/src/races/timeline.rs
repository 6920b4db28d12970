//! A run as commit messages draw one: a column a processor, a step a line, the state beside it.

use std::fmt::Write as _;

use svg::{
    Document,
    node::element::{Line as Rule, Rectangle, Style, Text},
};

use super::explore::Run;
use crate::model::trace::Line;

const STEP: usize = 46;
const STATE: usize = 9;

/// The mark beside the step that goes wrong, and why.
const MARK: &str = "<--";

/// The run as text, at most as wide as a terminal likes.
pub fn text(run: &Run) -> String {
    let mut out = String::new();
    let _ =
        writeln!(out, "{:STEP$}{:STEP$}{:STATE$}{:STATE$}PTE", "CPU0", "CPU1", "slot 0", "record");
    let _ =
        writeln!(out, "{:STEP$}{:STEP$}{:STATE$}{:STATE$}---", "----", "----", "------", "------");
    for line in &run.lines {
        let step = clip(&line.text);
        let (left, right) = columns(line, &step);
        let _ = writeln!(
            out,
            "{left:STEP$}{right:STEP$}{:STATE$}{:STATE$}{}",
            line.slot, line.record, line.pte
        );
        if let Some(why) = &line.wrong {
            let why = format!("{MARK} {why}");
            let (left, right) = columns(line, &why);
            let _ = writeln!(out, "{left:STEP$}{right}");
        }
    }
    out
}

fn clip(text: &str) -> String {
    text.chars().take(STEP - 1).collect()
}

fn columns<'a>(line: &Line, step: &'a str) -> (&'a str, &'a str) {
    if line.cpu == 0 { (step, "") } else { ("", step) }
}

const ROW: usize = 20;
const TOP: usize = 78;
const COLUMNS: [(usize, &str); 5] =
    [(16, "CPU0"), (366, "CPU1"), (716, "slot 0"), (786, "record"), (846, "PTE")];
const WIDTH: usize = 990;

/// The run as a picture.
pub fn picture(run: &Run, title: &str, below: &str) -> Document {
    let rows: usize = run.lines.iter().map(|line| 1 + usize::from(line.wrong.is_some())).sum();
    let height = TOP + rows * ROW + 14;
    let style = "text { font: 13px ui-monospace, Menlo, Consolas, monospace; fill: #1f2328 }\n\
        .title { font-weight: bold; font-size: 15px } .head { font-weight: bold }\n\
        .state, .below { fill: #59636e } .wrong { fill: #b3261e; font-weight: bold }";
    let mut picture = Document::new()
        .set("viewBox", (0, 0, WIDTH, height))
        .set("width", WIDTH)
        .set("height", height)
        .set("role", "img")
        .add(svg::node::element::Title::new(title))
        .add(Style::new(style))
        .add(Rectangle::new().set("width", "100%").set("height", "100%").set("fill", "#ffffff"))
        .add(words(16, 24, "title", title))
        .add(words(16, 44, "below", below));
    for (x, head) in COLUMNS {
        picture = picture.add(words(x, TOP - 12, "head", head));
    }
    picture = picture.add(rule(0, TOP - 5, WIDTH, TOP - 5));
    for x in [COLUMNS[1].0, COLUMNS[2].0] {
        picture = picture.add(rule(x - 10, 54, x - 10, height));
    }
    let mut y = TOP + 12;
    for line in &run.lines {
        let x = COLUMNS[line.cpu.min(1)].0;
        let class = if line.wrong.is_some() { "wrong" } else { "step" };
        if line.wrong.is_some() {
            let band = Rectangle::new()
                .set("x", x - 8)
                .set("y", y - 15)
                .set("width", 346)
                .set("height", 2 * ROW)
                .set("fill", "#ffebe9");
            picture = picture.add(band);
        }
        picture = picture.add(words(x, y, class, &line.text));
        for ((x, _), state) in COLUMNS[2..].iter().zip([&line.slot, &line.record, &line.pte]) {
            picture = picture.add(words(*x, y, "state", state));
        }
        if let Some(why) = &line.wrong {
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
