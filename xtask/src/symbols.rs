//! `cargo xtask symbols`: what the linked object offers, wants and is made of.
//!
//! The exported functions are those of `ffi/symbols.txt`; what is undefined is a host hook or
//! a memory function; and nothing of Rust's panic machinery is there, nor wanted. A build
//! with one checked index too many shows that this notices.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{
    library::{self, HOOKS, Library, PAGE_SHIFTS},
    run,
    toolchain::Toolchain,
};

/// What compilers call without being asked.
const MEMORY: [&str; 4] = ["memcmp", "memcpy", "memmove", "memset"];
/// The hooks that `cargo xtask lib --no-enter` leaves out.
const NO_ENTER: [&str; 2] = ["mteswap_host_enter", "mteswap_host_exit"];
/// The only function of the library that a panic ends in.
const PANIC_HOOK: &str = "mteswap_host_panic";
/// Bytes of code and constants that the library aims at.
const SIZE_TARGET: u64 = 24 << 10;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Look at the object for this Rust target
    #[arg(long)]
    target: Option<String>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let tools = Toolchain::new(args.target.as_deref())?;
    for shift in PAGE_SHIFTS {
        let library = Library::new(args.target.clone(), shift)?;
        library.build()?;
        let object = Object::read(&tools, &library.object())?;
        object.check_exports()?;
        object.check_wants()?;
        let size = object.size;
        let verdict = if size <= SIZE_TARGET { "within" } else { "above" };
        println!(
            "{} KiB pages: {} exports; wants {}; no panic; {size} bytes, {verdict} the target of {SIZE_TARGET}",
            1 << (shift - 10),
            object.exports.len(),
            object.wants.iter().cloned().collect::<Vec<_>>().join(" "),
        );
        if args.target.is_none() {
            check_shared(&tools, &library)?;
        }
        if library.needs_mte() {
            check_atomics(&tools, &library)?;
        }
    }
    if args.target.is_none() {
        check_without_enter(&tools)?;
    }
    check_the_check(&Toolchain::new(None)?)
}

/// Atomics are single instructions, not loops of exclusive accesses, where the processor has them.
fn check_atomics(tools: &Toolchain, library: &Library) -> Result<()> {
    let object = library.object();
    let listing =
        run::output(tools.binutil("objdump").args(["-d", "--no-show-raw-insn"]).arg(&object))?;
    let count = |those: &[&str]| {
        let ops = listing.lines().filter_map(|line| line.split('\t').nth(1));
        ops.filter(|op| those.iter().any(|start| op.starts_with(start))).count()
    };
    let loops = count(&["ldxr", "ldaxr", "stxr", "stlxr"]);
    let (swaps, loads) = (count(&["cas"]), count(&["ldapr"]));
    ensure!(
        loops == 0 && swaps > 0 && loads > 0,
        "{}: {loops} exclusive accesses, {swaps} compare-and-swaps, {loads} LDAPR",
        object.display(),
    );
    Ok(())
}

/// Which hooks a library wants that leaves the CPU to its caller, and no other; and that it says so.
fn check_without_enter(tools: &Toolchain) -> Result<()> {
    let library = Library::new(None, PAGE_SHIFTS[0])?;
    let wants = |library: &Library| -> Result<BTreeSet<String>> {
        library.build()?;
        Ok(Object::read(tools, &library.object())?.wants)
    };
    let mut all = wants(&library)?;
    check_abi(&library, "0")?;
    let library = library.without_enter();
    for hook in NO_ENTER {
        ensure!(all.remove(hook), "mteswap.o does not want {hook}");
    }
    let left = wants(&library)?;
    same(&all, &left, "the mteswap.o that was built with --no-enter")?;
    check_abi(&library, "MTESWAP_ABI_NO_ENTER")?;
    println!("with --no-enter: wants {}", left.into_iter().collect::<Vec<_>>().join(" "));
    Ok(())
}

/// What mteswap_abi() says beside the interface's version and the page size, as the header has it.
fn check_abi(library: &Library, more: &str) -> Result<()> {
    let (source, program) = (library.dir().join("abi.c"), library.dir().join("abi"));
    let wanted = format!("MTESWAP_ABI << 8 | MTESWAP_PAGE_SHIFT | {more}");
    fs::write(
        &source,
        format!("#include <mteswap.h>\nint main(void) {{ return mteswap_abi() != ({wanted}); }}\n"),
    )?;
    run::run(
        Command::new(library::compiler()?)
            .arg(&source)
            .args(library.flags())
            .arg("-o")
            .arg(&program),
    )?;
    run::run(&mut Command::new(&program)).with_context(|| format!("mteswap_abi() is not {wanted}"))
}

/// A library that can panic does not pass.
fn check_the_check(tools: &Toolchain) -> Result<()> {
    let faulty = Library::with_fault(PAGE_SHIFTS[0]);
    faulty.build()?;
    let object = Object::read(tools, &faulty.object())?;
    ensure!(
        object.check_wants().is_err() && object.panics().next().is_some(),
        "a library that can panic was not noticed"
    );
    println!(
        "a library with a panic in it is noticed: {}",
        object.panics().collect::<Vec<_>>().join(" ")
    );
    Ok(())
}

/// The shared library exports the functions and the hooks, which a program may replace.
fn check_shared(tools: &Toolchain, library: &Library) -> Result<()> {
    let shared = library.dir().join("libmteswap.so");
    let listing = run::output(tools.binutil("readelf").args(["--dyn-syms", "-W"]).arg(&shared))?;
    let offered: BTreeSet<_> =
        symbols(&listing).filter(|s| s.is_global() && s.defined).map(|s| s.name).collect();
    let wanted: BTreeSet<_> =
        library::exports()?.into_iter().chain(HOOKS.map(str::to_owned)).collect();
    same(&wanted, &offered, "libmteswap.so")
}

/// The symbols of a partially linked object.
struct Object {
    exports: BTreeSet<String>,
    wants: BTreeSet<String>,
    /// All names, local ones and those of relocations included, demangled or not.
    names: BTreeSet<String>,
    size: u64,
}

impl Object {
    fn read(tools: &Toolchain, path: &Path) -> Result<Self> {
        let listing = run::output(tools.binutil("readelf").args(["-s", "-W"]).arg(path))?;
        let mut object = Self {
            exports: BTreeSet::new(),
            wants: BTreeSet::new(),
            names: BTreeSet::new(),
            size: size(tools, path)?,
        };
        for symbol in symbols(&listing) {
            object.names.insert(symbol.name.clone());
            match (symbol.is_global(), symbol.defined) {
                (true, true) => object.exports.insert(symbol.name),
                (_, false) => object.wants.insert(symbol.name),
                (false, true) => false,
            };
        }
        Ok(object)
    }

    fn check_exports(&self) -> Result<()> {
        same(&library::exports()?.into_iter().collect(), &self.exports, "mteswap.o")
    }

    fn check_wants(&self) -> Result<()> {
        let panics: Vec<_> = self.panics().collect();
        ensure!(panics.is_empty(), "mteswap.o can panic: {}", panics.join(" "));
        let known =
            |name: &&String| HOOKS.contains(&name.as_str()) || MEMORY.contains(&name.as_str());
        let unknown: Vec<_> = self.wants.iter().filter(|name| !known(name)).cloned().collect();
        ensure!(unknown.is_empty(), "mteswap.o wants what no host has: {}", unknown.join(" "));
        Ok(())
    }

    /// What a panic needs: functions of `core::panicking`, and the handler's hook. Every
    /// function keeps its name in the object, so what is not here is not called.
    fn panics(&self) -> impl Iterator<Item = &str> {
        self.names
            .iter()
            .map(String::as_str)
            .filter(|name| name.contains("panicking") || *name == PANIC_HOOK)
    }
}

/// Bytes of code and constants.
fn size(tools: &Toolchain, path: &Path) -> Result<u64> {
    let listing = run::output(tools.binutil("size").arg(path))?;
    let line = listing.lines().nth(1).context("size printed one line only")?;
    let text = line.split_whitespace().next().context("size printed an empty line")?;
    text.parse().context("size printed no number")
}

struct Symbol {
    name: String,
    binding: String,
    defined: bool,
}

impl Symbol {
    fn is_global(&self) -> bool {
        self.binding != "LOCAL"
    }
}

/// The named symbols that readelf lists.
fn symbols(listing: &str) -> impl Iterator<Item = Symbol> {
    listing.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        fields.next()?.strip_suffix(':')?.parse::<u32>().ok()?;
        // Value and size stand between, the type, then the binding; visibility after it.
        let binding = fields.nth(3)?.to_owned();
        let section = fields.nth(1)?;
        let name = fields.next()?.split('@').next()?.to_owned();
        Some(Symbol { name, binding, defined: section != "UND" })
    })
}

/// # Errors
/// Names what is missing and what is too much.
fn same(wanted: &BTreeSet<String>, found: &BTreeSet<String>, what: &str) -> Result<()> {
    let list = |set: Vec<&String>| set.into_iter().cloned().collect::<Vec<_>>().join(" ");
    let missing = list(wanted.difference(found).collect());
    let extra = list(found.difference(wanted).collect());
    ensure!(
        missing.is_empty() && extra.is_empty(),
        "{what} differs from ffi/symbols.txt: missing [{missing}], too much [{extra}]"
    );
    Ok(())
}
