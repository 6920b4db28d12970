//! Tag maps in a terminal.

use std::io::{self, IsTerminal, Write};

use anstyle::{Ansi256Color, Color, Style};

use super::{GRANULES, Map, tag};

/// Columns before a row: the page's number.
const MARGIN: usize = 7;
/// Ends a style.
pub(super) const RESET: anstyle::Reset = anstyle::Reset;
/// A colour of the terminal's 256 for each tag; 0 is grey, as most granules are of it.
const COLOURS: [u8; 16] =
    [236, 196, 46, 21, 226, 201, 51, 208, 118, 93, 220, 33, 160, 34, 213, 255];
/// As `#rrggbb`, for pictures: about the same.
pub(super) const RGB: [&str; 16] = [
    "#303030", "#ff0000", "#00ff00", "#0000ff", "#ffff00", "#ff00ff", "#00ffff", "#ff8700",
    "#87ff00", "#8700ff", "#ffd700", "#0087ff", "#d70000", "#00af00", "#ff87ff", "#eeeeee",
];

fn colour(tag: u8) -> Color {
    Color::from(Ansi256Color(COLOURS[usize::from(tag & 15)]))
}

/// The style a tag's digit has.
pub(super) fn style(tag: u8) -> Style {
    Style::new().fg_color(Some(colour(tag)))
}

/// Draws `rows` pages of a map, evenly spread.
pub(super) fn rows(out: &mut impl Write, map: &Map, rows: usize) -> io::Result<()> {
    let coloured = io::stdout().is_terminal()
        && anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
    if coloured { colours(out, map, rows) } else { digits(out, map, rows) }
}

/// Two granules a column, one its left half and one its right. Where the terminal is too
/// narrow for that, every second or fourth granule.
fn colours(out: &mut impl Write, map: &Map, rows: usize) -> io::Result<()> {
    let (_, width) = console::Term::stdout().size();
    let room = usize::from(width).saturating_sub(MARGIN + 1).max(1);
    let step = (GRANULES / 2).div_ceil(room).next_power_of_two();
    head(out, map, rows, step)?;
    for (number, page) in spread(map, rows) {
        write!(out, "{number:>MARGIN$} ")?;
        for column in (0..GRANULES).step_by(2 * step) {
            let (left, right) = (tag(page, column), tag(page, column + step));
            let both = style(left).bg_color(Some(colour(right)));
            write!(out, "{both}▌{RESET}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// A hexadecimal digit a granule.
pub(super) fn digits(out: &mut impl Write, map: &Map, rows: usize) -> io::Result<()> {
    head(out, map, rows, 1)?;
    for (number, page) in spread(map, rows) {
        write!(out, "{number:>MARGIN$} ")?;
        for granule in 0..GRANULES {
            write!(out, "{:x}", tag(page, granule))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn head(out: &mut impl Write, map: &Map, rows: usize, step: usize) -> io::Result<()> {
    let (rows, all) = (rows.min(map.pages.len()), map.pages.len());
    write!(out, "{}: {rows} of {all} pages", map.name)?;
    match step {
        1 => writeln!(out, ", {GRANULES} granules each"),
        _ => writeln!(out, ", one of {step} granules: the terminal is narrow"),
    }
}

/// `rows` pages, evenly spread, with their numbers.
fn spread(map: &Map, rows: usize) -> impl Iterator<Item = (usize, &super::Page)> {
    let rows = rows.min(map.pages.len());
    (0..rows).map(move |row| {
        let number = row * map.pages.len() / rows;
        (number, &map.pages[number])
    })
}
