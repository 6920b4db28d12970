//! What the guest does: visits pages in random order, looks at every granule of each, and
//! writes to some.
//!
//! In each epoch guest 0 writes all shared pages and gives them to guest 1. Then both visit
//! shared pages in the same order, so that they fault on one page at once, and private ones, so
//! that something has to be swapped out. What one writes the other must never see.

use hypercall::{
    Config, GRANULE, GRANULES, IMAGE_PAGES, MAX_PAGES, Mismatch, PAGE, PROBES, RAM, Report,
};

use crate::{
    boot, calls,
    content::{Content, Random},
    mte,
};

/// Numbers of writings: those of the shared pages in an epoch begin here, below lie the rest.
const EPOCH: u32 = 1 << 30;

/// Of so many visits, one writes: rarely where that ends the sharing.
const PRIVATE_WRITES: usize = 2;
const SHARED_WRITES: usize = 16;

/// An access was refused: the page did not come back.
struct Aborted;

/// The pages, and what they should hold.
pub struct Work {
    config: Config,
    report: Report,
    /// By number; private pages first.
    contents: [Content; MAX_PAGES],
    own: Random,
    writings: u32,
}

impl Work {
    /// The work of `config`.
    pub fn new(config: Config) -> Self {
        assert!(config.private > 0 && config.shared > 0, "no pages");
        assert!(config.private + config.shared <= MAX_PAGES as u64, "too many pages");
        Self {
            config,
            report: Report::default(),
            contents: [Content::FRESH; MAX_PAGES],
            own: Random::new(config.seed ^ (config.guest + 1) << 32),
            // The two guests number their writings differently.
            writings: (config.guest as u32) << 29,
        }
    }

    /// Does it.
    pub fn run(mut self) -> Report {
        let (private, shared) = (self.config.private as usize, self.config.shared as usize);
        let mut common = Random::new(self.config.seed);
        for epoch in 1..=self.config.epochs as u32 {
            let content = Content { data: EPOCH + epoch, tags: EPOCH + epoch };
            calls::barrier();
            if self.config.guest == 0 {
                for page in private..private + shared {
                    self.visit(page);
                    self.write(page, content);
                }
                calls::share();
            }
            calls::barrier();
            self.contents[private..private + shared].fill(content);
            for _ in 0..self.config.steps {
                match common.below(4) {
                    0 => {
                        // Together: both fault on it at once.
                        let page = private + common.below(shared);
                        calls::barrier();
                        self.step(page, SHARED_WRITES);
                    }
                    1 => {
                        let page = private + self.own.below(shared);
                        self.step(page, SHARED_WRITES);
                    }
                    _ => {
                        let page = self.own.below(private);
                        self.step(page, PRIVATE_WRITES);
                    }
                }
            }
        }
        for page in 0..private + shared {
            self.visit(page);
        }
        self.report
    }

    /// A visit, and in one of `writes` a write: of data, of tags, or of both. What is not written
    /// has to be there still, also where the page is copied first.
    fn step(&mut self, page: usize, writes: usize) {
        self.visit(page);
        let now = self.contents[page];
        let choice = self.own.below(3 * writes);
        let next = self.writings + 1;
        let content = match choice {
            0 => Content { data: next, tags: next },
            1 => Content { tags: next, ..now },
            2 => Content { data: next, ..now },
            _ => return,
        };
        self.writings = next;
        self.write(page, content);
    }

    /// Looks at every granule of a page.
    fn visit(&mut self, page: usize) {
        self.insist(page, |work| work.look(page));
        self.report.visits += 1;
    }

    /// Writes what of `content` is not in the page already.
    fn write(&mut self, page: usize, content: Content) {
        self.insist(page, |work| {
            let before = boot::aborts();
            let now = work.contents[page];
            for granule in 0..GRANULES {
                let at = address(page, granule);
                let tag = content.tag(page, granule);
                if content.tags != now.tags {
                    mte::set_tag(at, tag);
                }
                if content.data != now.data {
                    let [first, second] = content.words(page, granule);
                    mte::store(at, tag, first);
                    mte::store(at + 8, tag, second);
                }
            }
            unharmed(before)?;
            work.contents[page] = content;
            Ok(())
        });
        self.report.writes += 1;
    }

    /// Does `work`, once more if an access was refused, and if that does not help with a fresh
    /// page in this one's place.
    fn insist(&mut self, page: usize, work: impl Fn(&mut Self) -> Result<(), Aborted>) {
        if work(self).is_ok() {
            return;
        }
        self.report.aborts += 1;
        if work(self).is_ok() {
            self.report.recovered += 1;
            return;
        }
        self.report.aborts += 1;
        self.report.lost += 1;
        calls::discard(address(page, 0));
        self.contents[page] = Content::FRESH;
        assert!(work(self).is_ok(), "a fresh page cannot be used");
    }

    fn look(&mut self, page: usize) -> Result<(), Aborted> {
        let content = self.contents[page];
        for granule in 0..GRANULES {
            look_at(content, page, granule)?;
        }
        let mut taken = 0;
        for probe in 0..PROBES {
            let granule = self.own.below(GRANULES);
            let wrong = 1 + self.own.below(15) as u8;
            // A store would end the sharing before its tag is checked.
            let read = probe % 2 == 0 || page as u64 >= self.config.private;
            taken += u64::from(provoke(content, page, granule, wrong, read)?);
        }
        self.report.tags += GRANULES as u64;
        self.report.faults += taken;
        Ok(())
    }
}

/// The granule has its tag and its data, and can be read with that tag.
fn look_at(content: Content, page: usize, granule: usize) -> Result<(), Aborted> {
    let at = address(page, granule);
    let expected = content.tag(page, granule);
    let (aborts, faults) = (boot::aborts(), boot::faults());
    let tag = mte::tag(at);
    unharmed(aborts)?;
    if tag != expected {
        calls::mismatch(Mismatch::Tag, at, expected.into(), tag.into());
    }
    for (index, word) in content.words(page, granule).into_iter().enumerate() {
        let at = at + index * 8;
        let found = mte::load(at, expected);
        unharmed(aborts)?;
        if boot::faults() != faults {
            calls::mismatch(Mismatch::Fault, at, expected.into(), tag.into());
            break;
        }
        if found != word {
            calls::mismatch(Mismatch::Data, at, word, found);
        }
    }
    Ok(())
}

/// An access with another tag faults; false if it does not.
fn provoke(
    content: Content,
    page: usize,
    granule: usize,
    wrong: u8,
    read: bool,
) -> Result<bool, Aborted> {
    let at = address(page, granule);
    let expected = content.tag(page, granule);
    let (aborts, faults) = (boot::aborts(), boot::faults());
    let tag = expected ^ wrong;
    if read {
        mte::load(at, tag);
    } else {
        // Were it not refused, the next visit would find it.
        mte::store(at, tag, !0);
    }
    unharmed(aborts)?;
    let refused = boot::faults() != faults;
    if !refused {
        calls::mismatch(Mismatch::NoFault, at, tag.into(), expected.into());
    }
    Ok(refused)
}

/// No access was refused since `before` were.
fn unharmed(before: u64) -> Result<(), Aborted> {
    if boot::aborts() == before { Ok(()) } else { Err(Aborted) }
}

fn address(page: usize, granule: usize) -> usize {
    RAM + (IMAGE_PAGES + page) * PAGE + granule * GRANULE
}
