//! Tag maps as a picture: one below the other, a line of two units a page, a unit a granule.

use std::path::Path;

use anyhow::{Context, Result};
use svg::{
    Document,
    node::element::{Path as Shape, Rectangle, Text, path::Data},
};

use super::{GRANULES, Map, draw::RGB, runs};

const LINE: usize = 2;
/// Above each map, for its name.
const TITLE: usize = 16;

/// Writes the picture of all pages of `maps`.
///
/// # Errors
/// Where `file` cannot be written.
pub(super) fn write(maps: &[Map], file: &Path) -> Result<()> {
    let height: usize = maps.iter().map(|map| TITLE + map.pages.len() * LINE).sum();
    let mut picture = Document::new()
        .set("viewBox", (0, 0, GRANULES, height))
        .set("width", GRANULES * 3)
        .set("shape-rendering", "crispEdges");
    let mut top = 0;
    for map in maps {
        picture = picture.add(
            Text::new(&map.name)
                .set("x", 2)
                .set("y", top + TITLE - 4)
                .set("font-size", 10)
                .set("font-family", "monospace"),
        );
        top += TITLE;
        picture = picture.add(
            Rectangle::new()
                .set("y", top)
                .set("width", GRANULES)
                .set("height", map.pages.len() * LINE)
                .set("fill", RGB[0]),
        );
        // One shape a tag, a box in it for each run: a page has fifty of them.
        let mut shapes = [(); 16].map(|()| Data::new());
        for (page, row) in map.pages.iter().zip(0..) {
            for (at, len, tag) in runs(page).filter(|(_, _, tag)| *tag != 0) {
                let shape = &mut shapes[usize::from(tag)];
                *shape = std::mem::take(shape)
                    .move_to((at, top + row * LINE))
                    .horizontal_line_by(len)
                    .vertical_line_by(LINE)
                    .horizontal_line_by(-(len as i64) as f32)
                    .close();
            }
        }
        for (shape, colour) in shapes.into_iter().zip(RGB).filter(|(shape, _)| !shape.is_empty()) {
            picture = picture.add(Shape::new().set("fill", colour).set("d", shape));
        }
        top += map.pages.len() * LINE;
    }
    svg::save(file, &picture).with_context(|| format!("cannot write {}", file.display()))
}
