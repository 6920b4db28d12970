//! Which pictures show which samples.

use std::path::Path;

use anyhow::Result;

use super::{plot::Picture, table::ALONE};

/// Draws those of the section `name` into `folder`.
pub(super) fn draw(folder: &Path, name: &str, machine: &str, samples: &str) -> Result<()> {
    let draw = |file: &str, title: &str, unit: &str, rows: &dyn Fn(&[String]) -> Option<String>| {
        let path = folder.join(file).with_extension("svg");
        Picture { path: &path, title, unit, machine, samples }.bars(rows)
    };
    match name {
        "count" | "arm64" | "time" | "um" => {
            let (unit, where_) = match name {
                "count" => ("instructions a call", ""),
                "arm64" => ("instructions a call", " in an arm64 kernel"),
                "time" => ("nanoseconds a call; the line is from the least to the most", ""),
                _ => ("nanoseconds a call; the line is from the least to the most", " in UML"),
            };
            for (class, pages) in [
                ("one-tag", "pages of one tag"),
                ("mixture", "the mixture of pages"),
                ("random", "pages of random tags"),
                ("real", "pages of real programs"),
            ] {
                let file = format!("{name}-{class}");
                let title = format!("{pages}{where_}, a swap type above 0 in use");
                draw(&file, &sentence(&title), unit, &|key| match key {
                    [depth, of, operation] if depth == "deep" && of == class => {
                        Some(operation.clone())
                    }
                    _ => None,
                })?;
            }
        }
        "memory" => {
            let title = "Memory: index and payloads, every byte from the allocator";
            draw(name, title, "bytes a page", &|key| Some(key.join(", ")))?;
        }
        "threads" => {
            for class in ["one-tag", "mixture"] {
                let file = format!("{name}-{class}");
                let title = format!("One thread and two, pages: {class}");
                draw(&file, &title, "calls a microsecond, all threads", &|key| match key {
                    [of, place, operation] if of == class && place == ALONE => {
                        Some(format!("{operation}, {ALONE}"))
                    }
                    [of, place, operation] if of == class => {
                        Some(format!("{operation}, two: {place}"))
                    }
                    _ => None,
                })?;
            }
        }
        "growth" => {
            for operation in ["save", "restore", "invalidate"] {
                let path = folder.join(format!("{name}-{operation}.svg"));
                let title = format!("{operation}, pages of one tag, random order");
                let unit = "nanoseconds a call";
                Picture { path: &path, title: &sentence(&title), unit, machine, samples }
                    .lines(operation)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// With a capital letter first.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_pages_has_its_picture() {
        let folder = tempfile::tempdir().unwrap();
        let mut samples = String::new();
        for class in ["one-tag", "mixture", "random", "real"] {
            for store in ["ours", "kernel"] {
                samples += &format!("time\tdeep\t{class}\tsave\t{store}\t1\n");
            }
        }
        draw(folder.path(), "time", "a machine", &samples).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
    }
}
