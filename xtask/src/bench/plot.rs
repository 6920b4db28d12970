//! Pictures of the tables, ours beside Linux's, as SVG.

use std::path::Path;

use anyhow::{Context, Result};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::samples::{KERNEL, OURS, ends, median, of, rows};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const WIDTH: u32 = 860;
/// Above the chart: title and legend.
const HEAD: u32 = 62;
/// Below it: on what machine.
const FOOT: u32 = 24;
const GREY: RGBColor = RGBColor(90, 90, 90);
/// Colours that those who see no red or no green tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 2] = [RGBColor(0, 114, 178), RGBColor(230, 159, 0)];
const STORES: [(&str, &str); 2] = [(OURS, "mteswap"), (KERNEL, "Linux's xarray and kmalloc(128)")];

/// What a picture shows.
pub(super) struct Picture<'a> {
    pub(super) path: &'a Path,
    pub(super) title: &'a str,
    /// What its figures are.
    pub(super) unit: &'a str,
    /// Where and when they were measured.
    pub(super) machine: &'a str,
    pub(super) samples: &'a str,
}

/// A store's figures in one row: median, least and most.
#[derive(Clone, Copy)]
struct Figure {
    median: f64,
    least: f64,
    most: f64,
}

/// What was measured, and both stores' figures.
type Bars = (String, [Figure; 2]);

impl Picture<'_> {
    /// Bars for every row that `wanted` names.
    pub(super) fn bars(&self, wanted: impl Fn(&[String]) -> Option<String>) -> Result<()> {
        let mut bars = Vec::new();
        for (key, row) in rows(self.samples)? {
            if let Some(name) = wanted(&key) {
                let figure = |store| {
                    let values = of(&row, store)?;
                    let (least, most) = ends(values);
                    Ok::<_, anyhow::Error>(Figure { median: median(values), least, most })
                };
                bars.push((name, [figure(OURS)?, figure(KERNEL)?]));
            }
        }
        self.draw_bars(&bars).with_context(|| format!("cannot draw {}", self.path.display()))
    }

    /// Lines over the number of entries, for one operation.
    pub(super) fn lines(&self, operation: &str) -> Result<()> {
        let mut points: [Vec<(f64, f64)>; 2] = [Vec::new(), Vec::new()];
        for (key, row) in rows(self.samples)? {
            let [entries, what] = key.as_slice() else { anyhow::bail!("no growth: {key:?}") };
            if what == operation {
                let entries: f64 = entries.parse()?;
                for (points, (store, _)) in points.iter_mut().zip(STORES) {
                    points.push((entries.log2(), median(of(&row, store)?)));
                }
            }
        }
        self.draw_lines(&points).with_context(|| format!("cannot draw {}", self.path.display()))
    }

    /// Title, legend and machine; what is left for the chart.
    fn frame<'a>(&'a self, height: u32) -> Result<(Area<'a>, Area<'a>)> {
        let area = SVGBackend::new(self.path, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        area.draw_text(self.title, &("sans-serif", 17).into_text_style(&area), (14, 12))?;
        let small = ("sans-serif", 12).into_text_style(&area);
        for (x, (colour, (_, label))) in [14, 110].into_iter().zip(COLOURS.iter().zip(STORES)) {
            area.draw(&Rectangle::new([(x, 40), (x + 12, 50)], colour.filled()))?;
            area.draw_text(label, &small, (x + 18, 39))?;
        }
        let foot = ("sans-serif", 10).into_text_style(&area).color(&GREY);
        area.draw_text(self.machine, &foot, (14, height as i32 - 18))?;
        let chart = area.margin(HEAD, FOOT, 10, 30);
        Ok((area, chart))
    }

    fn draw_bars(&self, bars: &[Bars]) -> Result<()> {
        let most = bars.iter().flat_map(|(_, figures)| figures).map(|figure| figure.most);
        let most = most.fold(f64::MIN_POSITIVE, f64::max);
        let (area, chart) = self.frame(HEAD + FOOT + 44 + 36 * bars.len() as u32)?;
        let mut chart = ChartBuilder::on(&chart)
            .x_label_area_size(44)
            .y_label_area_size(200)
            // Room for the number behind the longest bar.
            .build_cartesian_2d(0.0..most * 1.08, 0.0..bars.len() as f64)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .light_line_style(WHITE)
            .x_desc(self.unit)
            .x_label_formatter(&|value| value.to_string())
            .draw()?;
        for (number, (name, figures)) in bars.iter().enumerate() {
            let top = (bars.len() - number) as f64;
            for (store, (figure, colour)) in figures.iter().zip(COLOURS).enumerate() {
                // The first row on top, the first store's bar above the second's.
                let top = top - 0.1 - 0.4 * store as f64;
                let bar = [(0.0, top), (figure.median, top - 0.38)];
                chart.draw_series([Rectangle::new(bar, colour.filled())])?;
                let spread = vec![(figure.least, top - 0.19), (figure.most, top - 0.19)];
                if figure.least < figure.most {
                    chart.draw_series([PathElement::new(spread, BLACK)])?;
                }
                let value = figure.median;
                let digits = if value < 10.0 { 1 } else { 0 };
                let place = chart.backend_coord(&(figure.most, top - 0.19));
                let style = ("sans-serif", 11).into_text_style(&area);
                area.draw_text(
                    &format!("{value:.digits$}"),
                    &style.pos(Pos::new(HPos::Left, VPos::Center)),
                    (place.0 + 5, place.1),
                )?;
            }
            let place = chart.backend_coord(&(0.0, top - 0.49));
            let style = ("sans-serif", 12).into_text_style(&area);
            let right = style.pos(Pos::new(HPos::Right, VPos::Center));
            area.draw_text(name, &right, (place.0 - 8, place.1))?;
        }
        Ok(area.present()?)
    }

    /// `points` by the logarithm of the entries.
    fn draw_lines(&self, points: &[Vec<(f64, f64)>; 2]) -> Result<()> {
        let all = || points.iter().flatten();
        let most = all().map(|point| point.1).fold(f64::MIN_POSITIVE, f64::max);
        let first = all().map(|point| point.0).fold(f64::MAX, f64::min);
        let last = all().map(|point| point.0).fold(first + 1.0, f64::max);
        let (area, chart) = self.frame(360)?;
        let mut chart = ChartBuilder::on(&chart)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(first..last, 0.0..most * 1.05)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_labels(16)
            .x_desc("entries stored")
            .y_desc(self.unit)
            .x_label_formatter(&|power| binary(*power))
            .draw()?;
        for (points, colour) in points.iter().zip(COLOURS) {
            chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
            chart
                .draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
        }
        Ok(area.present()?)
    }
}

/// 14 as 16 Ki.
fn binary(power: f64) -> String {
    let power = power.round() as u32;
    let (unit, of) = [("Mi", 20), ("Ki", 10), ("", 0)]
        .into_iter()
        .find(|(_, of)| power >= *of)
        .unwrap_or_default();
    format!("{} {unit}", 1_u64 << (power - of).min(9)).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_in_binary_units() {
        let told = [4.0, 10.0, 14.0, 20.0, 24.0].map(binary);
        assert_eq!(told, ["16", "1 Ki", "16 Ki", "1 Mi", "16 Mi"]);
    }

    #[test]
    fn a_picture_says_what_it_shows_and_where_it_was_measured() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.svg");
        let samples = "time\tdeep\treal\tsave\tours\t10\ntime\tdeep\treal\tsave\tkernel\t40\n\
                       time\tdeep\treal\tsave\tours\t12\ntime\tdeep\treal\tsave\tkernel\t44\n";
        let picture = Picture {
            path: &path,
            title: "A title",
            unit: "nanoseconds a call",
            machine: "a machine; a day",
            samples,
        };
        picture.bars(|key| Some(key.join(", "))).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        for text in ["A title", "nanoseconds a call", "a machine; a day", "deep, real, save"] {
            assert!(svg.contains(text), "{text}");
        }
        for median in ["\n11\n", "\n42\n"] {
            assert!(svg.contains(median), "{median:?}");
        }
    }
}
