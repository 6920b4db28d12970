//! Functions of an object as objdump disassembles them, and what each does to the stack.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail, ensure};

/// What is known of a processor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arch {
    X86,
    Arm,
}

impl Arch {
    /// Bytes that a call puts on the stack.
    pub(crate) fn return_address(self) -> u64 {
        if self == Self::X86 { 8 } else { 0 }
    }
}

/// Who is called.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Callee {
    /// The function at this address of the object.
    Local(u64),
    /// A host hook or a memory function.
    External,
    /// Whoever a register points to.
    Pointer,
}

/// A call, and the caller's bytes on the stack while it runs.
pub(crate) struct Call {
    pub(crate) depth: u64,
    pub(crate) callee: Callee,
}

pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) start: u64,
    /// Most bytes that its own code has on the stack, return address included.
    pub(crate) frame: u64,
    pub(crate) calls: Vec<Call>,
    /// Functions whose address it takes.
    pub(crate) pointers: Vec<u64>,
}

struct Instruction {
    address: u64,
    op: String,
    args: String,
    /// The relocation's symbol and addend.
    relocation: Option<(String, i64)>,
}

/// Reads `objdump -dr --no-show-raw-insn`.
pub(crate) fn functions(listing: &str, arch: Arch) -> Result<Vec<Function>> {
    let mut found: Vec<(String, u64, Vec<Instruction>)> = Vec::new();
    for line in listing.lines() {
        if let Some((address, name)) = line.strip_suffix(">:").and_then(|l| l.split_once(" <")) {
            found.push((name.to_owned(), hex(address)?, Vec::new()));
        } else if let (Some((_, _, body)), Some((address, rest))) =
            (found.last_mut(), line.trim_start().split_once(":"))
        {
            let mut fields = rest.split('\t').map(str::trim);
            let first = fields.next().unwrap_or_default();
            if first.starts_with("R_") {
                let target = fields.next().context("a relocation without symbol")?;
                let last = body.last_mut().context("a relocation without instruction")?;
                last.relocation = Some(symbol(target)?);
            } else if let Some(text) = fields.next() {
                // Objdump's comments, and how it parts operation and operands, vary.
                let text = [text].into_iter().chain(fields).collect::<Vec<_>>().join(" ");
                // In Arm's, `#` begins a number.
                let comment = if arch == Arch::X86 { '#' } else { ';' };
                let text = text.split(comment).next().unwrap_or_default();
                let text = text.split("//").next().unwrap_or_default();
                let text = text.strip_prefix("notrack ").unwrap_or(text);
                let (op, args) = text.split_once(' ').unwrap_or((text, ""));
                body.push(Instruction {
                    address: hex(address)?,
                    op: op.to_owned(),
                    args: args.trim().to_owned(),
                    relocation: None,
                });
            }
        }
    }
    let names: HashMap<_, _> =
        found.iter().map(|(name, start, _)| (name.clone(), *start)).collect();
    found
        .into_iter()
        .map(|(name, start, body)| {
            let tracer = Tracer { arch, names: &names, body: &body, start };
            tracer.trace(name.clone()).with_context(|| format!("in {name}"))
        })
        .collect()
}

/// Walks every path of one function.
struct Tracer<'a> {
    arch: Arch,
    names: &'a HashMap<String, u64>,
    body: &'a [Instruction],
    start: u64,
}

impl Tracer<'_> {
    fn trace(&self, name: String) -> Result<Function> {
        let places: BTreeMap<u64, usize> =
            self.body.iter().enumerate().map(|(i, insn)| (insn.address, i)).collect();
        let entry = self.arch.return_address();
        let mut function = Function {
            name,
            start: self.start,
            frame: entry,
            calls: Vec::new(),
            pointers: Vec::new(),
        };
        let mut depths: Vec<Option<u64>> = vec![None; self.body.len()];
        let mut frame_pointer = None;
        let mut at_table = None;
        let mut work = vec![(0, entry)];
        loop {
            let Some((index, depth)) = work.pop() else {
                // What only a jump table leads to has the depth of the jump.
                let Some(depth) = at_table else { break };
                let Some(rest) = depths.iter().position(Option::is_none) else { break };
                work.push((rest, depth));
                continue;
            };
            let Some(insn) = self.body.get(index) else { continue };
            if let Some(before) = depths[index] {
                ensure!(
                    before == depth || self.is_padding(index),
                    "two depths, {before} and {depth}, at {:x}",
                    insn.address
                );
                continue;
            }
            depths[index] = Some(depth);
            function.frame = function.frame.max(depth + self.red_zone(insn));
            let after = self.depth_after(insn, depth, &mut frame_pointer)?;
            function.frame = function.frame.max(after);
            if let Some(target) = self.address_taken(insn) {
                function.pointers.push(target);
            }
            match self.flow(insn)? {
                Flow::Next => work.push((index + 1, after)),
                Flow::End => {}
                Flow::Table => at_table = Some(depth),
                Flow::Call(callee) => {
                    function.calls.push(Call { depth, callee });
                    work.push((index + 1, after));
                }
                Flow::Jump { to, falls_through } => {
                    if falls_through {
                        work.push((index + 1, after));
                    }
                    match to {
                        // Within the function.
                        Callee::Local(target)
                            if places.contains_key(&target) && target != self.start =>
                        {
                            work.push((places[&target], depth));
                        }
                        // The callee returns to our caller.
                        callee => function.calls.push(Call { depth: depth - entry, callee }),
                    }
                }
            }
        }
        Ok(function)
    }

    fn is_padding(&self, index: usize) -> bool {
        self.body[index].op.starts_with("nop") || self.body[index].op == "xchg"
    }

    /// Bytes below the stack pointer that the instruction uses.
    fn red_zone(&self, insn: &Instruction) -> u64 {
        let below = |(before, _): (&str, &str)| {
            let digits = before.rsplit_once("-0x")?.1;
            u64::from_str_radix(digits, 16).ok()
        };
        match self.arch {
            Arch::X86 if insn.op != "lea" => {
                insn.args.split_once("(%rsp").and_then(below).unwrap_or(0)
            }
            _ => 0,
        }
    }

    fn depth_after(
        &self,
        insn: &Instruction,
        depth: u64,
        frame_pointer: &mut Option<u64>,
    ) -> Result<u64> {
        let after = match self.arch {
            Arch::X86 => x86_depth(insn, depth, frame_pointer),
            Arch::Arm => arm_depth(insn, depth, frame_pointer),
        };
        after.with_context(|| {
            format!("what does `{} {}` do to the stack at {:x}?", insn.op, insn.args, insn.address)
        })
    }

    /// The function whose address the instruction takes, to call it through a pointer.
    fn address_taken(&self, insn: &Instruction) -> Option<u64> {
        let is_load = matches!(insn.op.as_str(), "lea" | "mov" | "movq" | "add");
        let (symbol, addend) = insn.relocation.as_ref().filter(|_| is_load)?;
        self.resolve(symbol, *addend).filter(|address| self.names.values().any(|a| a == address))
    }

    fn resolve(&self, symbol: &str, addend: i64) -> Option<u64> {
        // Of x86's relative relocations the addend counts from the next instruction.
        let bias = if self.arch == Arch::X86 { 4 } else { 0 };
        let base = if symbol == ".text" { 0 } else { *self.names.get(symbol)? };
        base.checked_add_signed(addend + bias)
    }

    /// Where a jump or call goes.
    fn target(&self, insn: &Instruction) -> Result<Callee> {
        if let Some((symbol, addend)) = &insn.relocation {
            return Ok(self.resolve(symbol, *addend).map_or(Callee::External, Callee::Local));
        }
        let operand = insn.args.rsplit([',', ' ']).find(|word| !word.starts_with('<'));
        Ok(Callee::Local(hex(operand.context("a jump to nowhere")?.trim())?))
    }

    fn flow(&self, insn: &Instruction) -> Result<Flow> {
        let op = insn.op.trim_end_matches('q');
        let jump = |falls_through| Ok(Flow::Jump { to: self.target(insn)?, falls_through });
        match self.arch {
            Arch::X86 => match op {
                "ret" | "ud2" | "hlt" | "int3" => Ok(Flow::End),
                "call" if insn.args.starts_with('*') && insn.relocation.is_none() => {
                    Ok(Flow::Call(Callee::Pointer))
                }
                "call" => Ok(Flow::Call(self.target(insn)?)),
                "jmp" if insn.args.starts_with('*') && insn.relocation.is_none() => Ok(Flow::Table),
                "jmp" => jump(false),
                _ if op.starts_with('j') => jump(true),
                _ => Ok(Flow::Next),
            },
            Arch::Arm => match op {
                "ret" | "udf" | "brk" => Ok(Flow::End),
                "bl" => Ok(Flow::Call(self.target(insn)?)),
                "blr" => Ok(Flow::Call(Callee::Pointer)),
                "br" => Ok(Flow::Table),
                "b" => jump(false),
                "cbz" | "cbnz" | "tbz" | "tbnz" => jump(true),
                _ if op.starts_with("b.") => jump(true),
                _ => Ok(Flow::Next),
            },
        }
    }
}

enum Flow {
    Next,
    End,
    /// Anywhere in the function.
    Table,
    Call(Callee),
    Jump {
        to: Callee,
        falls_through: bool,
    },
}

/// AT&T syntax. `None` for what is not understood.
fn x86_depth(insn: &Instruction, depth: u64, frame_pointer: &mut Option<u64>) -> Option<u64> {
    let immediate = || {
        let text = insn.args.strip_prefix("$0x")?.split(',').next()?;
        u64::from_str_radix(text, 16).ok()
    };
    match (insn.op.trim_end_matches('q'), insn.args.as_str()) {
        ("push", _) => Some(depth + 8),
        ("pop", _) => depth.checked_sub(8),
        ("leave", _) => frame_pointer.as_ref()?.checked_sub(8),
        ("mov", "%rsp,%rbp") => {
            *frame_pointer = Some(depth);
            Some(depth)
        }
        ("mov", "%rbp,%rsp") => *frame_pointer,
        (op, args) if args.ends_with(",%rsp") => match op {
            "sub" => depth.checked_add_signed(immediate()? as i64),
            "add" => depth.checked_add_signed((immediate()? as i64).checked_neg()?),
            // Aligned: at worst all of the alignment is lost.
            "and" => Some(depth + (!immediate()?)),
            "lea" => {
                let (offset, base) = args.strip_suffix("),%rsp")?.split_once('(')?;
                let from = if base == "%rbp" { (*frame_pointer)? } else { depth };
                match offset.strip_prefix("-0x") {
                    Some(down) => Some(from + u64::from_str_radix(down, 16).ok()?),
                    None => from.checked_sub(hex(offset.strip_prefix("0x")?).ok()?),
                }
            }
            _ => None,
        },
        _ => Some(depth),
    }
}

/// `None` for what is not understood.
fn arm_depth(insn: &Instruction, depth: u64, frame_pointer: &mut Option<u64>) -> Option<u64> {
    let args = insn.args.as_str();
    let immediate = || {
        let (_, text) = args.split_once('#')?;
        let (text, shift) = text.split_once(", lsl #12").map_or((text, 0), |(text, _)| (text, 12));
        let text = text.trim_end_matches([']', '!']);
        let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
        let value = text
            .strip_prefix("0x")
            .map_or_else(|| text.parse().ok(), |hex| i64::from_str_radix(hex, 16).ok());
        Some(sign * (value? << shift))
    };
    let down = |bytes: i64| depth.checked_add_signed(bytes);
    match insn.op.as_str() {
        "sub" if args.starts_with("sp, sp, #") => down(immediate()?),
        "add" if args.starts_with("sp, sp, #") => down(-immediate()?),
        "add" if args.starts_with("x29, sp, #") => {
            *frame_pointer = depth.checked_add_signed(-immediate()?);
            Some(depth)
        }
        "mov" if args == "x29, sp" => {
            *frame_pointer = Some(depth);
            Some(depth)
        }
        "mov" if args == "sp, x29" => *frame_pointer,
        "sub" if args.starts_with("sp, x29, #") => {
            (*frame_pointer)?.checked_add_signed(immediate()?)
        }
        // Before and after the access, as stores and loads of pairs and of one have it.
        _ if args.ends_with("]!") && args.contains("[sp, #") => down(-immediate()?),
        _ if args.contains("[sp], #") => down(-immediate()?),
        // Aligned: at worst all of the alignment is lost.
        "and" if args.starts_with("sp, ") => {
            let mask = u64::from_str_radix(args.rsplit_once("#0x")?.1, 16).ok()?;
            Some(depth + !mask)
        }
        _ if args.starts_with("sp, ") => None,
        _ => Some(depth),
    }
}

/// A relocation's symbol and addend.
fn symbol(text: &str) -> Result<(String, i64)> {
    for (sign, separator) in [(1, "+0x"), (-1, "-0x")] {
        if let Some((name, addend)) = text.rsplit_once(separator) {
            let addend = i64::try_from(hex(addend)?)?;
            return Ok((name.to_owned(), sign * addend));
        }
    }
    Ok((text.to_owned(), 0))
}

fn hex(text: &str) -> Result<u64> {
    let digits = text.trim().trim_start_matches("0x");
    match u64::from_str_radix(digits, 16) {
        Ok(number) => Ok(number),
        Err(_) => bail!("`{text}` is no address"),
    }
}
