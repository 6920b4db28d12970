//! Builds the images, boots them, and reads what the console says.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{Args, FRAMES, PRIVATE, SHARED};
use crate::{
    kernel::{cache::Cache, qemu::Qemu, step::Step},
    run::{self, root},
    toolchain::Toolchain,
};

pub(crate) const TARGET: &str = "aarch64-unknown-none-softfloat";
/// The machine it is for.
pub(crate) const BOARD: &str = "virt,virtualization=on,mte=on,gic-version=3";
/// Without a line for so long, it hangs; and where it has to, so long is enough.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const PATIENCE_WHERE_IT_MUST: Duration = Duration::from_secs(30);
/// Bytes of the swap device: more than both guests' pages.
pub(crate) const DEVICE: u64 = 4 << 20;
/// Sectors of a page on it.
const SECTORS: u64 = 8;
/// Slots that fail: the first is used early, and the second, too.
const FAILS_ONCE: u64 = 2;
const FAILS_ALWAYS: u64 = 10;

pub(crate) struct Images {
    folder: PathBuf,
    pub(crate) hypervisor: PathBuf,
    pub(crate) guest: PathBuf,
}

impl Images {
    /// An empty swap device of so many bytes.
    pub(crate) fn device(&self, name: &str, bytes: u64) -> Result<PathBuf> {
        let device = self.folder.join(name);
        let context = || format!("cannot write {}", device.display());
        File::create(&device).and_then(|file| file.set_len(bytes)).with_context(context)?;
        Ok(device)
    }
}

/// What the hypervisor counted, by name.
pub(crate) struct Counts(Vec<(String, u64)>);

impl Counts {
    /// # Errors
    /// Where it was not counted.
    pub(crate) fn get(&self, name: &str) -> Result<u64> {
        let found = self.0.iter().find(|(counted, _)| counted == name);
        found.map(|(_, count)| *count).with_context(|| format!("the hypervisor counted no {name}"))
    }

    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        for (name, count) in &self.0 {
            // Writing to a string cannot fail.
            let _ = writeln!(table, "{:<24} {count:>12}", name.replace('_', " "));
        }
        table
    }
}

/// Both images, as QEMU loads them.
pub(crate) fn build() -> Result<Images> {
    let toolchain = Toolchain::new(Some(TARGET))?;
    let folder = root().join("target/hypervisor");
    let step = Step::begin("building the hypervisor and its guest");
    let variable =
        |what: &str| format!("CARGO_TARGET_{}_{what}", TARGET.to_uppercase().replace('-', "_"));
    run::run(
        toolchain
            .cargo_with_alloc("build")
            .args(["--quiet", "--release", "--manifest-path"])
            .arg(root().join("examples/hypervisor/Cargo.toml"))
            .arg("--target-dir")
            .arg(&folder)
            // Debian's toolchain comes without a linker of its own.
            .env(variable("LINKER"), format!("{}ld", toolchain.prefix))
            .env(variable("RUSTFLAGS"), "-Clinker-flavor=ld -Dwarnings")
            .env_remove("RUSTFLAGS"),
    )?;
    let image = |name: &str| {
        let elf = folder.join(TARGET).join("release").join(name);
        let flat = folder.join(name).with_extension("bin");
        run::run(toolchain.binutil("objcopy").args(["-O", "binary"]).arg(elf).arg(&flat))?;
        anyhow::Ok(flat)
    };
    let (hypervisor, guest) = (image("hypervisor")?, image("guest")?);
    step.done();
    Ok(Images { folder, hypervisor, guest })
}

/// Boots, and returns what was counted.
///
/// # Errors
/// Where it hangs, panics, or ends early.
pub(crate) fn boot(images: &Images, args: &Args) -> Result<Counts> {
    let qemu = match &args.qemu {
        Some(program) => Qemu::named(program)?,
        None => Qemu::find(&Cache::open()?)?,
    };
    let device = images.device("swap.img", DEVICE)?;
    let mut command = qemu.command();
    command
        .args(["-M", BOARD, "-cpu", "max", "-smp", "2", "-m", "128"])
        .args(["-nographic", "-no-reboot", "-nic", "none"])
        .arg("-kernel")
        .arg(&images.hypervisor)
        .arg("-initrd")
        .arg(&images.guest)
        .args(["-append", &options(args)])
        .args(["-blockdev", &blockdev(&device.display().to_string(), args.device_error)])
        .args(["-device", "virtio-blk-device,drive=swap"]);
    let step = Step::begin(&format!("two guests under QEMU {}", qemu.version));
    let patience = if args.unmasked_lock { PATIENCE_WHERE_IT_MUST } else { PATIENCE };
    let lines = watch(&mut command, args.epochs, patience, &step)?;
    let log = images.folder.join("console.log");
    fs::write(&log, lines.join("\n"))?;
    let counts = read(&lines).with_context(|| format!("console in {}", log.display()))?;
    step.done();
    Ok(counts)
}

fn options(args: &Args) -> String {
    let mut options = format!(
        "frames={FRAMES} private={PRIVATE} shared={SHARED} epochs={} steps={} seed={}",
        args.epochs, args.steps, args.seed
    );
    if args.lose_tags {
        options.push_str(" lose-tags");
    }
    if args.unmasked_lock {
        options.push_str(" unmasked-lock");
    }
    options
}

/// The swap device; for `failing`, behind QEMU's blkdebug.
pub(crate) fn blockdev(path: &str, failing: bool) -> String {
    // Commas are doubled in QEMU's options.
    let path = path.replace(',', ",,");
    if !failing {
        return format!("driver=file,node-name=swap,filename={path}");
    }
    let fail = |number: u32, slot: u64, once: &str| {
        let rule = format!("inject-error.{number}");
        let sector = slot * SECTORS;
        format!(
            "{rule}.event=none,{rule}.iotype=read,{rule}.errno=5,{rule}.sector={sector},{rule}.once={once}"
        )
    };
    format!(
        "driver=blkdebug,node-name=swap,image.driver=file,image.filename={path},{},{}",
        fail(0, FAILS_ONCE, "on"),
        fail(1, FAILS_ALWAYS, "off")
    )
}

/// Runs `command` to its end and returns the lines it printed.
pub(crate) fn watch(
    command: &mut Command,
    epochs: u64,
    patience: Duration,
    step: &Step,
) -> Result<Vec<String>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", run::show(command)))?;
    let console = child.stdout.take().context("no console")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(console).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut lines = Vec::new();
    loop {
        match receiver.recv_timeout(patience) {
            Ok(line) => {
                let line = line.trim_end().to_owned();
                if let Some(epoch) = line.strip_prefix("progress ") {
                    step.at(&format!("epoch {epoch} of {epochs}"));
                }
                lines.push(line);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                end(child);
                let last = lines.last().map_or("nothing", String::as_str);
                bail!("the hypervisor hangs; its last line: {last}");
            }
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("QEMU: {status}");
    }
    Ok(lines)
}

fn end(mut child: Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

fn read(lines: &[String]) -> Result<Counts> {
    if let Some(panic) = lines.iter().find_map(|line| line.strip_prefix("panic: ")) {
        bail!("the hypervisor panicked: {panic}");
    }
    if lines.last().map(String::as_str) != Some("done") {
        bail!("the hypervisor ended before it was done");
    }
    for line in lines.iter().filter(|line| line.starts_with("guest ")) {
        eprintln!("         {line}");
    }
    let mut counts = Vec::new();
    let mut seen = BTreeMap::new();
    for line in lines {
        let mut words = line.split(' ');
        if words.next() != Some("count") {
            continue;
        }
        let (Some(name), Some(count), None) = (words.next(), words.next(), words.next()) else {
            bail!("a count that is none: {line}");
        };
        let count = count.parse().with_context(|| format!("a count that is none: {line}"))?;
        if seen.insert(name, count).is_some() {
            bail!("counted twice: {name}");
        }
        counts.push((name.to_owned(), count));
    }
    Ok(Counts(counts))
}
