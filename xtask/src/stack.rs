//! `cargo xtask stack`: how deep each exported function goes, read from the object: every
//! path of every function, and the deepest way down the calls.
//!
//! Counted are the library's own frames, return addresses included. What a host hook or a
//! memory function has on the stack is the host's.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    disassembly::{Arch, Callee, Function, functions},
    library::{self, Library, PAGE_SHIFTS},
    run,
    toolchain::{self, Toolchain},
};

/// Bytes for the deepest path, by page size.
const LIMITS: [u64; PAGE_SHIFTS.len()] = [512, 640, 640];
/// What is measured too where its toolchain is there.
const ARM: &str = "aarch64-unknown-none-softfloat";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure the object for this Rust target only
    #[arg(long)]
    target: Option<String>,
    /// Print the deepest path of every function, with each frame's bytes
    #[arg(long)]
    paths: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let mut deep = 0;
    match args.target {
        Some(target) => deep += measure(Some(target), args.paths)?,
        None => {
            deep += measure(None, args.paths)?;
            if toolchain::is_there(ARM) {
                deep += measure(Some(ARM.to_owned()), args.paths)?;
            } else {
                println!(
                    "skipped: {ARM}: no toolchain here (`cargo xtask lib --target {ARM}` gets it)"
                );
            }
        }
    }
    ensure!(deep == 0, "{deep} paths are deeper than their limit");
    Ok(())
}

/// Prints a table for one target; returns how many paths are over the limits.
fn measure(target: Option<String>, paths: bool) -> Result<usize> {
    let name = target.clone().unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let arch = match name.split('-').next() {
        Some("x86_64") => Arch::X86,
        Some("aarch64") => Arch::Arm,
        _ => bail!("{name}: x86_64 and aarch64 are understood"),
    };
    let tools = Toolchain::new(target.as_deref())?;
    let mut table: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut deep = Vec::new();
    let mut deepest: Option<(u64, String)> = None;
    for (shift, limit) in PAGE_SHIFTS.into_iter().zip(LIMITS) {
        let library = Library::new(target.clone(), shift)?;
        library.build()?;
        let graph = Graph::read(&tools, &library.object(), arch)?;
        for export in library::exports()? {
            let path = graph.deepest_from(&export)?;
            table.entry(export.clone()).or_default().push(path.bytes);
            let line = || format!("{:>6} B: {}", path.bytes, path.names.join(" > "));
            if paths {
                println!("{shift} {}", line());
            }
            if path.bytes > limit {
                deep.push(line());
            } else if deepest.as_ref().is_none_or(|(bytes, _)| *bytes < path.bytes) {
                deepest = Some((path.bytes, line()));
            }
        }
    }
    println!("{name:<36} 4 KiB  16 KiB  64 KiB   (bytes; limits {LIMITS:?})");
    for (export, bytes) in table {
        println!("{export:<34} {:>7} {:>7} {:>7}", bytes[0], bytes[1], bytes[2]);
    }
    println!("each with its own bytes, the deepest within the limits and all above them:");
    for line in deepest.map(|(_, line)| line).iter().chain(&deep) {
        println!("{line}");
    }
    Ok(deep.len())
}

#[derive(Clone)]
struct Deepest {
    bytes: u64,
    names: Vec<String>,
}

/// Who calls whom.
struct Graph {
    functions: BTreeMap<u64, Function>,
    /// Whoever a call through a pointer may reach: every function whose address is taken.
    pointers: BTreeSet<u64>,
    arch: Arch,
}

impl Graph {
    fn read(tools: &Toolchain, object: &Path, arch: Arch) -> Result<Self> {
        let mut objdump = tools.binutil("objdump");
        objdump.args(["-d", "-r", "-j", ".text", "--no-show-raw-insn"]).arg(object);
        let functions: BTreeMap<_, _> = functions(&run::output(&mut objdump)?, arch)?
            .into_iter()
            .map(|function| (function.start, function))
            .collect();
        let pointers = functions.values().flat_map(|f| f.pointers.iter().copied()).collect();
        Ok(Self { functions, pointers, arch })
    }

    fn deepest_from(&self, export: &str) -> Result<Deepest> {
        let found = self.functions.values().find(|function| function.name == export);
        self.descend(
            found.with_context(|| format!("no function {export}"))?,
            &mut Vec::new(),
            &mut BTreeMap::new(),
        )
    }

    fn descend(
        &self,
        function: &Function,
        above: &mut Vec<u64>,
        known: &mut BTreeMap<u64, Deepest>,
    ) -> Result<Deepest> {
        if let Some(path) = known.get(&function.start) {
            return Ok(path.clone());
        }
        ensure!(!above.contains(&function.start), "{} calls itself", short(&function.name));
        above.push(function.start);
        let mut deepest = Deepest { bytes: function.frame, names: Vec::new() };
        for call in &function.calls {
            let callees: Vec<u64> = match call.callee {
                Callee::External => {
                    deepest.bytes = deepest.bytes.max(call.depth + self.arch.return_address());
                    continue;
                }
                Callee::Local(address) => vec![address],
                Callee::Pointer => self.pointers.iter().copied().collect(),
            };
            for callee in callees {
                let callee = self.functions.get(&callee).with_context(|| {
                    format!("{} calls {callee:x}, where no function is", short(&function.name))
                })?;
                let below = self.descend(callee, above, known)?;
                if call.depth + below.bytes > deepest.bytes {
                    deepest = Deepest { bytes: call.depth + below.bytes, names: below.names };
                }
            }
        }
        above.pop();
        deepest.names.insert(0, format!("{} {}", short(&function.name), function.frame));
        known.insert(function.start, deepest.clone());
        Ok(deepest)
    }
}

/// The end of a mangled path, to be read by people.
fn short(name: &str) -> String {
    // Without the hash.
    let path = format!("{:#}", rustc_demangle::demangle(name));
    // Generic arguments stand between `<` and `>`; only what is outside of them says where.
    let mut depth = 0;
    let mut parts = vec![String::new()];
    let mut before = ' ';
    for letter in path.chars() {
        match letter {
            '<' => depth += 1,
            '>' if before != '-' => depth -= 1,
            ':' if depth == 0 && before == ':' => parts.push(String::new()),
            ':' => {}
            _ if depth == 0 => parts.last_mut().into_iter().for_each(|part| part.push(letter)),
            _ => {}
        }
        before = letter;
    }
    parts.retain(|part| !part.is_empty());
    let skip = parts.len().saturating_sub(2);
    if parts.is_empty() { path } else { parts[skip..].join("::") }
}
