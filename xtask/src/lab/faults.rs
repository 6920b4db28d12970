//! `cargo xtask loom --negative`: faults in the library's code, one at a time, each of which a
//! model has to find, loom's or shuttle's: a check that never fails shows nothing.
//!
//! A fault is an edit of a copy of the tree. Where an edit does not fit any more, since the code
//! changed, that is said, and fails.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    results::{self, Outcome},
    run::{self, root},
    steps::Steps,
};

/// An edit, and the model that finds it.
struct Fault {
    name: &'static str,
    file: &'static str,
    /// Stands in the file once.
    from: &'static str,
    to: &'static str,
    /// The file of models, loom's or [`SCHEDULES`], and the model.
    model: [&'static str; 2],
}

const MAP: &str = "src/swap/map.rs";
const SWAP: &str = "src/swap/mod.rs";
const STATE: &str = "src/swap/state.rs";
const PAGE: &str = "src/page.rs";
const HINTS: &str = "src/index/hints.rs";

/// The file of models that shuttle runs.
const SCHEDULES: &str = "schedules";
const FEW_LEAVES: [&str; 2] =
    [SCHEDULES, "tag_13_tag_14_threads_on_few_leaves_lose_and_mix_nothing_in_any_schedule"];

const WOKEN: [&str; 2] = ["pin", "pin_7_who_waits_for_a_pin_is_woken"];
const HANDED_OUT: [&str; 2] = ["pin", "hook_3_a_slot_is_handed_out_again_without_its_old_record"];
const SEEN: [&str; 2] = ["flags", "flag_1_flag_2_who_sees_the_flag_sees_the_tags"];
const ONE_DUTY: [&str; 2] = ["flags", "flag_3_one_gets_the_duty_and_the_others_wait_for_its_tags"];
const GIVEN_UP: [&str; 2] =
    ["flags", "flag_5_what_the_next_one_writes_is_not_overwritten_by_who_gave_up"];
const ONE_LEAF: [&str; 2] = ["index", "tag_14_a_leaf_that_empties_takes_no_neighbour_with_it"];
const LEAF_WIDENS: [&str; 2] =
    ["index", "tag_13_a_leaf_that_widens_and_is_used_again_shows_a_reader_what_it_held"];
const NODE_USED_AGAIN: [&str; 2] =
    ["index", "tag_13_a_save_beside_the_death_of_its_node_writes_nothing_elsewhere"];
const TREE_SINKS: [&str; 2] =
    ["index", "tag_13_restore_beside_a_tree_that_sinks_finds_its_record_where_it_is"];
const PLANTED_AGAIN: [&str; 2] =
    ["index", "tag_14_a_save_into_a_node_that_is_planted_again_is_found_from_the_top"];
const COUNTS: [&str; 2] =
    ["index", "tag_14_a_leaf_linked_below_a_node_that_is_planted_again_counts"];
const FORGOTTEN: [&str; 2] =
    ["index", "tag_14_a_hint_forgotten_beside_another_s_coming_to_its_place_hides_nobody"];
const COUNTED: [&str; 2] = ["index", "tag_14_records_that_come_to_a_new_leaf_at_once_are_counted"];
const MOVES: [&str; 2] =
    ["index", "tag_16_a_record_that_moves_is_seen_in_its_new_leaf_by_who_misses_the_old_one"];
const LEAVES: [&str; 2] =
    ["index", "tag_13_a_leaf_that_leaves_its_node_and_is_used_again_shows_a_reader_nothing_else"];
const STAGED: [&str; 2] = ["index", "tag_13_what_is_staged_in_a_leaf_used_again_is_nobodys"];
const LEFT_STAGED: [&str; 2] =
    ["index", "tag_13_what_a_folio_replaces_in_a_leaf_used_again_is_nobodys"];
const NARROW_FOLIO: [&str; 2] =
    ["index", "tag_13_a_folio_in_a_narrow_leaf_used_again_shows_a_reader_nothing_else"];
const WIDE_FOLIO: [&str; 2] =
    ["index", "tag_13_a_folio_in_a_wide_leaf_used_again_shows_a_reader_nothing_else"];
const NEVER_ABSENT: [&str; 2] = ["index", "tag_13_a_folio_that_replaces_another_is_never_absent"];
const WIDE_LEAF: [&str; 2] =
    ["index", "tag_13_a_wide_leaf_that_empties_and_is_used_again_shows_a_reader_nothing_else"];
const REPLACED: [&str; 2] = ["index", "tag_13_restore_beside_a_replacement_finds_one_of_the_two"];
const SINKS_AND_ENDS: [&str; 2] =
    ["index", "tag_14_a_tree_that_sinks_beside_its_end_and_a_new_one_loses_none_of_it"];
const USED_AGAIN: [&str; 2] =
    ["index", "tag_13_a_leaf_that_empties_and_is_used_again_shows_a_reader_nothing_else"];

const FOLIO: [&str; 2] =
    ["index", "tag_13_a_folio_restored_beside_the_death_of_its_leaf_shows_nothing_else"];
const ONE_SLAB: [&str; 2] = ["index", "tag_8_tag_12_two_areas_in_one_slab_leave_nothing_of_it"];

const FAULTS: &[Fault] = &[
    // The wait queue.
    Fault {
        name: "who drops the mark does not see the note",
        file: MAP,
        from: "was.state.is_waited_for() && !state.is_waited_for()",
        to: "false",
        model: WOKEN,
    },
    Fault {
        name: "who drops the marks of two slots does not see the note",
        file: MAP,
        from: "wake |= slot.change(",
        to: "let _ = slot.change(",
        model: WOKEN,
    },
    Fault {
        name: "who waits leaves no note",
        file: MAP,
        from: "self.set(index, state, slot.link);\n        true",
        to: "let _ = state;\n        true",
        model: WOKEN,
    },
    Fault {
        name: "the word is looked at behind the note",
        file: SWAP,
        from: "let seen = queue.load(Ordering::Acquire);
            if !self.map.lock(&self.host).wait(index) {
                return Ok(());
            }",
        to: "if !self.map.lock(&self.host).wait(index) {
                return Ok(());
            }
            let seen = queue.load(Ordering::Acquire);",
        model: WOKEN,
    },
    Fault {
        name: "woken, and the word not changed",
        file: SWAP,
        from: "queue.fetch_add(1, Ordering::Release);",
        to: "",
        model: WOKEN,
    },
    Fault {
        name: "the word changed, and nobody woken",
        file: SWAP,
        from: "self.host.wake(queue);",
        to: "",
        model: WOKEN,
    },
    Fault {
        name: "the word changed before the mark is gone",
        file: SWAP,
        from: "match self.change(range, state::State::clear, 0) {",
        to: "for queue in (0..range.len()).filter_map(|i| self.queue(range.get(i)?)) {
            queue.fetch_add(1, Ordering::Release);
            self.host.wake(queue);
        }
        match self.change(range, state::State::clear, 0) {
            Ok(true) => return,",
        model: WOKEN,
    },
    Fault {
        name: "the note outlives the mark",
        file: STATE,
        from: "Ok(Self(self.0 & !(CACHE | WAITED)))",
        to: "Ok(Self(self.0 & !CACHE))",
        model: WOKEN,
    },
    // The pin and the slot's life.
    Fault {
        name: "a pin for each who asks",
        file: STATE,
        from: "if self.is_cached() { Err(Error::Exists) } else { Ok(Self(self.0 | CACHE)) }",
        to: "Ok(Self(self.0 | CACHE))",
        model: ["pin", "pin_5_pin_7_swap_ins_of_one_slot_come_one_after_the_other"],
    },
    Fault {
        name: "the mark keeps no slot",
        file: STATE,
        from: "self.0 == Self::FRESH.0\n    }\n\n    /// References",
        to: "self.0 & COUNT_MAX == 0\n    }\n\n    /// References",
        model: ["pin", "pin_3_pin_4_the_last_of_reference_and_mark_frees_the_slot_once"],
    },
    Fault {
        name: "handed out again before its record is dropped",
        file: SWAP,
        from: "            if let Ok(range) = self.range(run.clone()) {
                self.freed.slots_freed(range);
            }
            let mut map = self.map.lock(&self.host);
            map.finish(run);
            next = map.next_run(rest);",
        to: "            let range = self.range(run.clone());
            let mut map = self.map.lock(&self.host);
            map.finish(run);
            next = map.next_run(rest);
            drop(map);
            if let Ok(range) = range {
                self.freed.slots_freed(range);
            }",
        model: HANDED_OUT,
    },
    // The page's flags.
    Fault {
        name: "the flag set with no barrier before it",
        file: PAGE,
        from: "fence(Ordering::Release);\n        self.word",
        to: "self.word",
        model: SEEN,
    },
    Fault {
        name: "the flag seen with no barrier behind it",
        file: PAGE,
        from: "fence(Ordering::Acquire);",
        to: "",
        model: SEEN,
    },
    Fault {
        name: "the duty for each who saw it free",
        file: PAGE,
        from: "word = self.word.fetch_or(self.lock(), Ordering::Acquire);
                if word & (self.tagged() | self.lock()) == 0 {",
        to: "self.word.fetch_or(self.lock(), Ordering::Acquire);
                {",
        model: ONE_DUTY,
    },
    Fault {
        name: "the duty set by a load and a store",
        file: PAGE,
        from: "word = self.word.fetch_or(self.lock(), Ordering::Acquire);",
        to: "self.word.store(word | self.lock(), Ordering::Release);",
        model: ONE_DUTY,
    },
    Fault {
        name: "the duty taken without Acquire",
        file: PAGE,
        from: "self.word.fetch_or(self.lock(), Ordering::Acquire)",
        to: "self.word.fetch_or(self.lock(), Ordering::Relaxed)",
        model: GIVEN_UP,
    },
    Fault {
        name: "the duty given up without Release",
        file: PAGE,
        from: "self.word.fetch_and(!self.lock(), Ordering::Release)",
        to: "self.word.fetch_and(!self.lock(), Ordering::Relaxed)",
        model: GIVEN_UP,
    },
    Fault {
        name: "a duty given up that stays taken",
        file: PAGE,
        from: "self.word.fetch_and(!self.lock(), Ordering::Release)",
        to: "self.word.fetch_and(!0, Ordering::Release)",
        model: ["flags", "flag_5_a_duty_given_up_goes_to_one_who_waits"],
    },
    // The index.
    Fault {
        name: "what a reader saw is always believed",
        file: "src/index/tree.rs",
        from: "self.keyed && self.node.version.load(Ordering::Relaxed) == self.version",
        to: "true",
        model: USED_AGAIN,
    },
    Fault {
        name: "a version that never grows",
        file: "src/index/node.rs",
        from: "self.version.store(next, Ordering::Release);",
        to: "let _ = next;",
        model: USED_AGAIN,
    },
    Fault {
        name: "a leaf unlocked without Release",
        file: "src/index/guard.rs",
        from: "store(unlocked.0, Ordering::Release);",
        to: "store(unlocked.0, Ordering::Relaxed);",
        model: ONE_LEAF,
    },
    Fault {
        name: "a leaf locked without Acquire",
        file: "src/index/tree.rs",
        from: "Ordering::Acquire,
            Ordering::Relaxed,
        )
        .ok()?;",
        to: "Ordering::Relaxed,
            Ordering::Relaxed,
        )
        .ok()?;",
        model: ONE_LEAF,
    },
    Fault {
        name: "a leaf put below a node without Release",
        file: "src/index/grow.rs",
        from: "node.child(1, position).store(word.0, Ordering::Release);",
        to: "node.child(1, position).store(word.0, Ordering::Relaxed);",
        model: NODE_USED_AGAIN,
    },
    Fault {
        name: "whose leaf was locked is not asked",
        file: "src/index/tree.rs",
        from: "if node.still_above(position) {",
        to: "if true {",
        model: NODE_USED_AGAIN,
    },
    Fault {
        name: "whose leaf was locked is asked, and not what led there",
        file: "src/index/node.rs",
        from: "// way to it from the top, too, and changes nothing of it before that was written.
        self.key.load(Ordering::Acquire)",
        to: "self.key.load(Ordering::Relaxed)",
        model: PLANTED_AGAIN,
    },
    Fault {
        name: "the key of a leaf's node given without Release",
        file: "src/index/grow.rs",
        from: "chain.node.key.store(key(1, self.position), Ordering::Release);",
        to: "chain.node.key.store(key(1, self.position), Ordering::Relaxed);",
        model: PLANTED_AGAIN,
    },
    Fault {
        name: "the keys above it given without Release",
        file: "src/index/grow.rs",
        from: "            node.key.store(key(level, self.position), Ordering::Release);",
        to: "            node.key.store(key(level, self.position), Ordering::Relaxed);",
        model: COUNTS,
    },
    Fault {
        name: "a leaf linked without Release",
        file: "src/index/grow.rs",
        from: "word.store(chain.child.0, Ordering::Release);",
        to: "word.store(chain.child.0, Ordering::Relaxed);",
        model: COUNTED,
    },
    Fault {
        name: "a leaf unlinked without Release",
        file: "src/index/shrink.rs",
        from: "node.child(1, position).store(core::ptr::null_mut(), Ordering::Release);",
        to: "node.child(1, position).store(core::ptr::null_mut(), Ordering::Relaxed);",
        model: MOVES,
    },
    Fault {
        name: "a leaf leaves its node, and the version does not say so",
        file: "src/index/shrink.rs",
        from: "node.child(1, position).store(core::ptr::null_mut(), Ordering::Release);
    node.bump_version();",
        to: "node.child(1, position).store(core::ptr::null_mut(), Ordering::Release);",
        model: LEAVES,
    },
    Fault {
        name: "a word put into a wide leaf without Release",
        file: "src/index/leaf.rs",
        from: "        slot.store(word, Ordering::Release);\n        old",
        to: "        slot.store(word, Ordering::Relaxed);\n        old",
        model: WIDE_LEAF,
    },
    Fault {
        name: "a word staged without Release",
        file: "src/index/leaf.rs",
        from: "self.slot(position).store(word, Ordering::Release);",
        to: "self.slot(position).store(word, Ordering::Relaxed);",
        model: STAGED,
    },
    Fault {
        name: "a word that a folio replaces put where that was staged without Release",
        file: "src/index/exchange.rs",
        from: "ours.store(old, Ordering::Release);",
        to: "ours.store(old, Ordering::Relaxed);",
        model: LEFT_STAGED,
    },
    Fault {
        name: "a folio's words put into a narrow leaf without Release",
        file: "src/index/exchange.rs",
        from: "theirs.store(core::ptr::without_provenance_mut(all), Ordering::Release);",
        to: "theirs.store(core::ptr::without_provenance_mut(all), Ordering::Relaxed);",
        model: NARROW_FOLIO,
    },
    Fault {
        name: "a folio's words put into a wide leaf without Release",
        file: "src/index/exchange.rs",
        from: "theirs.store(word, Ordering::Release);",
        to: "theirs.store(word, Ordering::Relaxed);",
        model: WIDE_FOLIO,
    },
    Fault {
        name: "what a folio replaces taken out before its words are put in",
        file: "src/index/exchange.rs",
        from: "            let all = old & !here.wrapping_mul(SMALL_MAX) | new;",
        to: "            let all = old & !here.wrapping_mul(SMALL_MAX) | new;\n            theirs.store(core::ptr::null_mut(), Ordering::Release);",
        model: NEVER_ABSENT,
    },
    Fault {
        name: "a payload is given up where others have its leaf",
        file: "src/store.rs",
        from: "Some(leaf) => self.restore_from(leaf, entry, tags),
            None => self.restore_locked(entry, tags),",
        to: "Some(leaf) => self.restore_from(leaf, entry, tags),
            None => false,",
        model: REPLACED,
    },
    Fault {
        name: "a leaf that widens put in its place without Release",
        file: "src/index/guard.rs",
        from: "store(word.0, Ordering::Release);",
        to: "store(word.0, Ordering::Relaxed);",
        model: LEAF_WIDENS,
    },
    Fault {
        name: "a leaf given back without Release",
        file: "src/pool/stack.rs",
        from: "block.next.store(next, Ordering::Release);",
        to: "block.next.store(next, Ordering::Relaxed);",
        model: LEAF_WIDENS,
    },
    Fault {
        name: "a tree grows over one that dies, which is not kept from it",
        file: "src/index/grow.rs",
        from: "let _state = node.get().state.lock(index.host());
            let _root",
        to: "let _root",
        model: FEW_LEAVES,
    },
    Fault {
        name: "a child that moves is gone before its old place says so",
        file: "src/index/shrink.rs",
        from: "            top.bump_version();
            top.child(level, 0).store(core::ptr::null_mut(), Ordering::Release);
",
        to: "            top.child(level, 0).store(core::ptr::null_mut(), Ordering::Release);
            top.bump_version();
",
        model: TREE_SINKS,
    },
    Fault {
        name: "a child that moves leaves its old place without Release",
        file: "src/index/shrink.rs",
        from: "            top.child(level, 0).store(core::ptr::null_mut(), Ordering::Release);
",
        to: "            top.child(level, 0).store(core::ptr::null_mut(), Ordering::Relaxed);
",
        model: TREE_SINKS,
    },
    Fault {
        name: "a hint is forgotten whatever else its place leads to",
        file: HINTS,
        from: "if left == 0 {",
        to: "if left <= MANY {",
        model: ["index", "tag_13_a_hint_that_others_take_leads_nobody_astray"],
    },
    Fault {
        name: "a hint is forgotten whose it may be",
        file: HINTS,
        from: "let _ = place(&self.nodes, position).compare_exchange(
                node.as_ptr(),
                core::ptr::null_mut(),
                Ordering::Release,
                Ordering::Relaxed,
            );",
        to: "place(&self.nodes, position).store(core::ptr::null_mut(), Ordering::Release);",
        model: FORGOTTEN,
    },
    Fault {
        name: "a node is noted, then counted",
        file: HINTS,
        from: "        self.count(position, |count| count.wrapping_add(1), Ordering::Acquire);
        self.put(position, node);",
        to: "        self.put(position, node);
        self.count(position, |count| count.wrapping_add(1), Ordering::Acquire);",
        model: ["index", "tag_14_a_node_counts_in_its_place_before_it_is_noted"],
    },
    Fault {
        name: "a node is given another parent before it dies, and nobody looks",
        file: "src/index/shrink.rs",
        from: "if node.parent.load(Ordering::Relaxed) == seen {",
        to: "if true {",
        model: FEW_LEAVES,
    },
    Fault {
        name: "what was the top is taken off, whether it is or not",
        file: "src/index/shrink.rs",
        from: "if !tree.is_top(&self.memory, top, level) {",
        to: "if false {",
        model: FEW_LEAVES,
    },
    Fault {
        name: "a top that sinks is asked for its child before it is known to be the top",
        file: "src/index/shrink.rs",
        from: "            if level < 2 || top.children() != 1 {
                return;
            }
            let root = tree.lock.lock(self.host());
            if !tree.is_top(&self.memory, top, level) {
                return;
            }
            // With both locks it stays the top, and keeps its children.
            let lowest = Child(top.child(level, 0).load(Ordering::Acquire));
            let Some(lowest) = lowest.node().filter(|_| top.children() == 1) else {
                return;
            };
",
        to: "            let lowest = Child(top.child(level, 0).load(Ordering::Acquire));
            let Some(lowest) = lowest.node().filter(|_| level > 1 && top.children() == 1) else {
                return;
            };
            let root = tree.lock.lock(self.host());
            if !tree.is_top(&self.memory, top, level) {
                return;
            }
",
        model: SINKS_AND_ENDS,
    },
    Fault {
        name: "a key that a node keeps when it dies",
        file: "src/index/shrink.rs",
        from: "            node.key.store(NO_KEY, Ordering::Release);\n            node.bump_version();",
        to: "            node.bump_version();",
        model: FEW_LEAVES,
    },
    Fault {
        name: "a look at a leaf is believed for all of a folio",
        file: "src/index/tree.rs",
        from: "self.visit.valid().then_some(word)",
        to: "Some(word)",
        model: FOLIO,
    },
    // Slabs.
    Fault {
        name: "two are counted in a tally at once",
        file: "src/slab/dropped.rs",
        from: "tally.compare_exchange(seen, new as u16, Ordering::Release, Ordering::Relaxed)",
        to: "tally.store(new as u16, Ordering::Release);
    Ok(seen)",
        model: ONE_SLAB,
    },
    Fault {
        name: "a tally is taken, and begun anew afterwards",
        file: "src/slab/dropped.rs",
        from: "let tally = head.dropped.0.swap(0, Ordering::Acquire);",
        to: "let tally = head.dropped.0.load(Ordering::Acquire);
        head.dropped.0.store(0, Ordering::Relaxed);",
        model: ONE_SLAB,
    },
    Fault {
        name: "linked below a node, whosever it is",
        file: "src/index/grow.rs",
        from: "if node.key.load(Ordering::Acquire) != key(level, self.position) {",
        to: "if false {",
        model: FEW_LEAVES,
    },
    Fault {
        name: "a reserve that is not asked",
        file: "src/pool.rs",
        from: "self.take_from_others(host).or_else(|| self.reserve.pop(host));",
        to: "self.take_from_others(host);",
        model: ["reserve", "tag_3_what_the_reserve_holds_is_enough_for_saves_at_once"],
    },
    Fault {
        name: "a payload read without its leaf's lock",
        file: "src/store.rs",
        from: "Some(lead) => self.restore_led(entry, tags, lead),",
        to: "Some(_) => self.read(tags, word),",
        model: ["index", "tag_13_restore_beside_invalidate_finds_all_of_it_or_nothing"],
    },
    Fault {
        name: "a record that moves leaves its old place first",
        file: "src/store.rs",
        from: "let replaced = target.replace(to.raw(), moved).map_err(Some)?;
                match source {
                    Some(source) => source.take(from.raw()),
                    None => target.take(from.raw()),
                };",
        to: "match source {
                    Some(source) => source.take(from.raw()),
                    None => target.take(from.raw()),
                };
                let replaced = target.replace(to.raw(), moved).map_err(Some)?;",
        model: ["index", "tag_16_a_record_that_moves_is_never_gone_for_good"],
    },
];

/// Puts each fault whose name contains `filter` in, one after the other, and expects its model to
/// fail.
pub(super) fn run(filter: &str) -> Result<()> {
    let faults: Vec<_> = FAULTS.iter().filter(|fault| fault.name.contains(filter)).collect();
    ensure!(!faults.is_empty(), "no fault's name contains `{filter}`");
    let mut steps = Steps::new(results::folder())?;
    // Else a fault could be found that is none.
    for fault in &faults {
        edit(fault)?;
    }
    let tree = Tree::lay()?;
    steps.check("no fault", || tree.sound(&faults));
    for fault in faults {
        steps.check(fault.name, || tree.found(fault));
    }
    steps.finish();
    Ok(())
}

/// The file with the fault in it.
fn edit(fault: &Fault) -> Result<String> {
    let path = root().join(fault.file);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let places = text.matches(fault.from).count();
    ensure!(
        places == 1,
        "the fault `{}` fits {} in {places} places: xtask/src/lab/faults.rs has to follow it",
        fault.name,
        fault.file
    );
    Ok(text.replacen(fault.from, fault.to, 1))
}

/// A copy of the library and of the laboratory.
struct Tree {
    root: PathBuf,
}

impl Tree {
    fn lay() -> Result<Self> {
        let tree = Self { root: root().join("target/mteswap/faults") };
        if tree.root.exists() {
            fs::remove_dir_all(&tree.root)?;
        }
        for folder in ["src", "lab"] {
            copy(&root().join(folder), &tree.root.join(folder))?;
        }
        Ok(tree)
    }

    /// The models of all faults pass where there is none.
    fn sound(&self, faults: &[&Fault]) -> Result<()> {
        for model in faults.iter().map(|fault| fault.model).collect::<BTreeSet<_>>() {
            let outcome = self.outcome(model)?;
            ensure!(outcome == Outcome::Passed, "{} fails without a fault", model[1]);
        }
        Ok(())
    }

    fn found(&self, fault: &Fault) -> Result<()> {
        let path = self.root.join(fault.file);
        fs::write(&path, edit(fault)?)?;
        let outcome = self.outcome(fault.model);
        // As it was, and newer than what was built from the fault.
        fs::write(&path, fs::read(root().join(fault.file))?)?;
        ensure!(outcome? == Outcome::Failed, "{} passes all the same", fault.model[1]);
        Ok(())
    }

    /// How one model ends.
    fn outcome(&self, [file, model]: [&str; 2]) -> Result<Outcome> {
        let mut command = Command::new("timeout");
        command.arg("600");
        command.args(["cargo", "test", "--profile", "checks", "--locked"]);
        let (package, checker) = match file {
            SCHEDULES => ("mteswap-lab", "shuttle"),
            _ => ("mteswap-loom", "loom"),
        };
        command.args(["--package", package, "--features", checker, "--test", file]);
        // Not the laboratory's: cargo takes both libraries for one, and looks for changes in the
        // sources that were built last.
        command.arg("--target-dir").arg(super::target().with_file_name("lab-faults"));
        command.args(["--", "--exact", model]);
        command.current_dir(self.root.join("lab")).env("RUST_BACKTRACE", "0");
        let output =
            command.output().with_context(|| format!("cannot start {}", run::show(&command)))?;
        let cases = results::parse_libtest(&String::from_utf8_lossy(&output.stdout));
        let log = String::from_utf8_lossy(&output.stderr);
        match &cases[..] {
            [case] if case.name == model => Ok(case.outcome),
            // What is dropped after a panic may panic too, which ends the program.
            [] if log.contains(&format!("thread '{model}'")) && log.contains("panicked at") => {
                Ok(Outcome::Failed)
            }
            // A fault that breaks memory may end it at once.
            [] if ["SIGSEGV", "SIGBUS", "SIGABRT"].iter().any(|signal| log.contains(signal)) => {
                Ok(Outcome::Failed)
            }
            _ => bail!("{model} did not run to its end: {}", log.trim_end()),
        }
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in
        fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))?.flatten()
    {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            if !from.ends_with("target") {
                copy(&from, &to)?;
            }
        } else {
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_fits_one_place() {
        for fault in FAULTS {
            assert_ne!(edit(fault).unwrap(), fs::read_to_string(root().join(fault.file)).unwrap());
        }
    }
}
