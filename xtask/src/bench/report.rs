//! What a run of the bench leaves: tables on stdout as they come, the targets that do not hold
//! on the last lines, and docs/performance.md with samples and pictures beside it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::{
    pictures,
    samples::{cores, together},
    slower,
    table::Table,
};
use crate::run;

/// Keeps tables until all is measured: what is written is of one run that went through.
pub(super) struct Report {
    machine: String,
    sections: Vec<Section>,
}

struct Section {
    name: &'static str,
    samples: String,
    table: Table,
}

impl Report {
    pub(super) fn new(machine: String) -> Self {
        println!("{machine}\n");
        Self { machine, sections: Vec::new() }
    }

    pub(super) fn show(
        &mut self,
        name: &'static str,
        samples: String,
        render: fn(&str) -> Result<Table>,
    ) -> Result<()> {
        let mut table = render(&samples)?;
        if let Some(told) = cores(&samples)? {
            table.text += &format!("\n{told}\n");
        }
        println!("## {name}\n\n{}", table.text);
        self.sections.push(Section { name, samples, table });
        Ok(())
    }

    /// The targets that do not hold, and how many do.
    pub(super) fn totals(&self) {
        let mut judged = 0;
        let mut missed = 0;
        for Section { name, table, .. } in &self.sections {
            table.missed.iter().for_each(|row| println!("does not hold: {name}: {row}"));
            judged += table.judged;
            missed += table.missed.len();
        }
        if judged > 0 {
            println!("{} of {judged} targets hold", judged - missed);
        }
    }

    /// Puts the tables into docs/performance.md, samples and pictures beside it. All of it is
    /// made before the first file is replaced.
    pub(super) fn write(&self) -> Result<()> {
        let made = run::root().join("target/bench/performance");
        crate::kernel::cache::remove(&made)?;
        fs::create_dir_all(&made)?;
        let beside = beside();
        for Section { name, samples, .. } in &self.sections {
            fs::write(made.join(name).with_extension("tsv"), together(samples)?)?;
            pictures::draw(&made, name, &self.machine, samples)?;
        }
        let mut text = fs::read_to_string(page())?;
        for Section { name, table, .. } in &self.sections {
            let content = format!("{}\n\n{}{}", self.machine, links(&made, name)?, table.text);
            text = put(&text, name, &content)?;
        }
        // Of all sections, those of other runs too.
        let samples = |name: &str| {
            let file = Path::new(name).with_extension("tsv");
            [&made, &beside]
                .into_iter()
                .find_map(|folder| fs::read_to_string(folder.join(&file)).ok())
        };
        text = put(&text, "slower", &slower::told(samples)?)?;
        fs::create_dir_all(&beside)?;
        for file in fs::read_dir(&made)? {
            let file = file?;
            replace(&beside.join(file.file_name()), &fs::read(file.path())?)?;
        }
        replace(&page(), text.as_bytes())?;
        println!("written: {}", page().display());
        Ok(())
    }
}

fn page() -> PathBuf {
    run::root().join("docs/performance.md")
}

fn beside() -> PathBuf {
    run::root().join("docs/performance")
}

/// An error where nothing could be written: told before anything is measured.
pub(super) fn can_write() -> Result<()> {
    let text = fs::read_to_string(page()).with_context(|| format!("no {}", page().display()))?;
    for name in super::SECTIONS.into_iter().chain(["slower"]) {
        put(&text, name, "")?;
    }
    fs::create_dir_all(beside()).with_context(|| format!("cannot write {}", beside().display()))?;
    for path in [page(), beside().join("time.tsv")] {
        let part = path.with_extension("part");
        fs::write(&part, "").with_context(|| format!("cannot write {}", path.display()))?;
        fs::remove_file(part)?;
    }
    let page = fs::metadata(page())?;
    ensure!(!page.permissions().readonly(), "docs/performance.md is read-only");
    Ok(())
}

/// Whole or not at all.
fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let part = path.with_extension("part");
    fs::write(&part, content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(fs::rename(part, path)?)
}

/// Links to the pictures of `name` in `folder`, as docs/performance.md has them.
fn links(folder: &Path, name: &str) -> Result<String> {
    let mut files: Vec<_> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    files.sort();
    let pictures = files.iter().filter_map(|file| {
        let stem = file.strip_suffix(".svg")?;
        let what = stem.strip_prefix(name)?;
        (what.is_empty() || what.starts_with('-'))
            .then(|| format!("![{}](performance/{file})\n", stem.replace('-', " ")))
    });
    let links: String = pictures.collect();
    Ok(if links.is_empty() { links } else { links + "\n" })
}

fn put(text: &str, name: &str, content: &str) -> Result<String> {
    between(text, name, content).with_context(|| {
        format!("docs/performance.md has no place for `{name}`: <!-- {name} --> and <!-- end -->")
    })
}

/// `text` with `content` between the comments that say where `name` begins and ends.
fn between(text: &str, name: &str, content: &str) -> Option<String> {
    let begin = format!("<!-- {name} -->\n");
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once("<!-- end -->")?;
    Some(format!("{before}{begin}{content}<!-- end -->{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_the_marks_is_replaced_alone() {
        let text = "a\n<!-- time -->\nold\n<!-- end -->\nb\n<!-- um -->\n<!-- end -->\n";
        let now = between(text, "time", "new\n").unwrap();
        assert_eq!(now, text.replace("old", "new"));
        assert!(between(text, "peers", "new\n").is_none());
    }

    #[test]
    fn docs_have_a_place_for_every_table() {
        can_write().unwrap();
    }

    #[test]
    fn pictures_are_linked_where_they_belong() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["time-one-tag.svg", "time.tsv", "timely.svg", "memory.svg"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let link = "![time one tag](performance/time-one-tag.svg)\n\n";
        assert_eq!(links(folder.path(), "time").unwrap(), link);
        assert_eq!(links(folder.path(), "um").unwrap(), "");
    }
}
