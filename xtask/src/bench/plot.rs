//! Pictures of the tables, ours beside Linux's, as SVG.

use std::path::Path;

use anyhow::{Context, Result};
use plotters::prelude::*;

use super::table::{KERNEL, OURS, Row, median, rows};

const WIDTH: u32 = 860;
/// Colours that those who see no red or no green tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 2] = [RGBColor(0, 114, 178), RGBColor(230, 159, 0)];
const STORES: [(&str, &str); 2] = [(OURS, "mteswap"), (KERNEL, "Linux's xarray")];

/// One row of bars: what was measured, and the median of each store.
type Bars = (String, [f64; 2]);

fn medians(row: &Row) -> Result<[f64; 2]> {
    let of = |store: &str| row.get(store).map(|values| median(values)).context("no sample");
    Ok([of(OURS)?, of(KERNEL)?])
}

/// Bars for every row that `wanted` finds, named by the fields that it returns.
pub(super) fn bars(
    path: &Path,
    title: &str,
    samples: &str,
    wanted: impl Fn(&[String]) -> Option<String>,
) -> Result<()> {
    let mut found = Vec::new();
    for (key, row) in rows(samples)? {
        if let Some(name) = wanted(&key) {
            found.push((name, medians(&row)?));
        }
    }
    draw_bars(path, title, &found).with_context(|| format!("cannot draw {}", path.display()))
}

fn draw_bars(path: &Path, title: &str, bars: &[Bars]) -> Result<()> {
    let most = bars.iter().flat_map(|(_, values)| values).copied().fold(1.0, f64::max);
    let least = bars.iter().flat_map(|(_, values)| values).copied().fold(most, f64::min);
    let height = 90 + 34 * bars.len() as u32;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let first = 10_f64.powf(least.max(0.01).log10().floor());
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(260)
        .build_cartesian_2d((first..most * 2.0).log_scale(), 0.0..bars.len() as f64)?;
    chart.configure_mesh().disable_y_mesh().disable_y_axis().y_labels(0).draw()?;
    for (store, (_, label)) in STORES.iter().enumerate() {
        let colour = COLOURS[store];
        chart
            .draw_series(bars.iter().enumerate().map(|(row, (_, values))| {
                // The first row on top, the first store's bar above the second's.
                let top = (bars.len() - row) as f64 - 0.1 - 0.4 * store as f64;
                Rectangle::new([(first, top), (values[store], top - 0.38)], colour.filled())
            }))?
            .label(*label)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        chart.draw_series(bars.iter().enumerate().map(|(row, (_, values))| {
            let top = (bars.len() - row) as f64 - 0.18 - 0.4 * store as f64;
            let value = values[store];
            let text = if value < 100.0 { format!(" {value:.1}") } else { format!(" {value:.0}") };
            Text::new(text, (value, top), ("sans-serif", 11))
        }))?;
    }
    for (row, (name, _)) in bars.iter().enumerate() {
        let place = chart.backend_coord(&(first, (bars.len() - row) as f64 - 0.4));
        area.draw(&Text::new(name.clone(), (16, place.1), ("sans-serif", 12)))?;
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
    Ok(area.present()?)
}

/// Lines over the number of entries, for one operation.
pub(super) fn lines(path: &Path, title: &str, samples: &str, operation: &str) -> Result<()> {
    let mut points: [Vec<(f64, f64)>; 2] = [Vec::new(), Vec::new()];
    for (key, row) in rows(samples)? {
        let [entries, what] = key.as_slice() else { anyhow::bail!("no growth: {key:?}") };
        if what == operation {
            let entries: f64 = entries.parse()?;
            for (points, value) in points.iter_mut().zip(medians(&row)?) {
                points.push((entries, value));
            }
        }
    }
    draw_lines(path, title, &points).with_context(|| format!("cannot draw {}", path.display()))
}

fn draw_lines(path: &Path, title: &str, points: &[Vec<(f64, f64)>; 2]) -> Result<()> {
    let all = || points.iter().flatten();
    let most = all().map(|point| point.1).fold(1.0, f64::max);
    let ends = all()
        .map(|point| point.0)
        .fold((f64::MAX, 1.0_f64), |ends, entries| (ends.0.min(entries), ends.1.max(entries)));
    let area = SVGBackend::new(path, (WIDTH, 320)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((ends.0..ends.1).log_scale(), 0.0..most * 1.1)?;
    chart
        .configure_mesh()
        .x_desc("entries")
        .y_desc("ns a call")
        .x_label_formatter(&|entries| format!("{entries:.0}"))
        .draw()?;
    for ((points, colour), (_, label)) in points.iter().zip(COLOURS).zip(STORES) {
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
            .label(label)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    Ok(area.present()?)
}
