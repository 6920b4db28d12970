//! `cargo xtask hypervisor --refusals`: machines that will not do. Each is refused before any
//! guest runs, by one line that says what to do.

use std::path::Path;

use anyhow::{Result, ensure};

use super::boot::{BOARD, DEVICE, Images, PATIENCE, blockdev, watch};
use crate::{
    kernel::{cache::Cache, qemu::Qemu, step::Step},
    results,
    steps::Steps,
};

/// A machine, and what it is refused with.
struct Case {
    name: &'static str,
    board: &'static str,
    options: &'static str,
    /// Bytes of the swap device, if there is one.
    device: Option<u64>,
    image: Image,
    line: &'static str,
}

/// What is given as the guest's image.
enum Image {
    Guest,
    /// Another file, which is too long.
    Swap,
    None,
}

const GOOD: Case = Case {
    name: "",
    board: BOARD,
    options: "frames=96",
    device: Some(DEVICE),
    image: Image::Guest,
    line: "",
};

const CASES: [Case; 8] = [
    Case {
        name: "no MTE",
        board: "virt,virtualization=on,gic-version=3",
        line: "no MTE: start QEMU with -M virt,virtualization=on,mte=on -cpu max",
        ..GOOD
    },
    Case {
        name: "no EL2",
        board: "virt,mte=on,gic-version=3",
        line: "not at EL2: start QEMU with -M virt,virtualization=on",
        ..GOOD
    },
    Case {
        name: "an older interrupt controller",
        board: "virt,virtualization=on,mte=on,gic-version=2",
        line: "no GICv3: start QEMU with -M virt,gic-version=3",
        ..GOOD
    },
    Case {
        name: "no swap device",
        device: None,
        line: "no swap device: start QEMU with -device virtio-blk-device",
        ..GOOD
    },
    Case {
        name: "a swap device without room",
        device: Some(1 << 20),
        line: "the swap device has 256 pages, 1024 are needed",
        ..GOOD
    },
    Case {
        name: "no guest",
        image: Image::None,
        line: "no guest: start QEMU with -initrd",
        ..GOOD
    },
    Case {
        name: "a guest that is too long",
        image: Image::Swap,
        line: "the guest's image is too long",
        ..GOOD
    },
    Case {
        name: "an unknown option",
        options: "frames=many",
        line: "frames=many: no such option",
        ..GOOD
    },
];

/// What is found by trying, not by asking: QEMU 7.2 says that it has MTE.
const ALIASING: Case = Case {
    name: "granules that share tags",
    line: "granules share tags: this QEMU is older than 8.0, use a newer one",
    ..GOOD
};

/// # Errors
/// Where the machines cannot be had.
pub(crate) fn check(images: &Images) -> Result<()> {
    let cache = Cache::open()?;
    let qemu = Qemu::find(&cache)?;
    let mut steps = Steps::new(results::folder())?;
    for case in &CASES {
        steps.check(case.name, || refused(&qemu, images, case));
    }
    match Qemu::broken(&cache)? {
        Some(broken) => steps.check(ALIASING.name, || refused(&broken, images, &ALIASING)),
        None => steps.skip(ALIASING.name, "Debian 12 alone has a QEMU whose do"),
    }
    steps.finish();
    Ok(())
}

fn refused(qemu: &Qemu, images: &Images, case: &Case) -> Result<()> {
    let mut command = qemu.command();
    command
        .args(["-M", case.board, "-cpu", "max", "-smp", "2", "-m", "128"])
        .args(["-nographic", "-no-reboot", "-nic", "none", "-append", case.options])
        .arg("-kernel")
        .arg(&images.hypervisor);
    let swap = images.device("refused.img", case.device.unwrap_or(DEVICE))?;
    let image: Option<&Path> = match case.image {
        Image::Guest => Some(&images.guest),
        Image::Swap => Some(&swap),
        Image::None => None,
    };
    if let Some(image) = image {
        command.arg("-initrd").arg(image);
    }
    if case.device.is_some() {
        command
            .args(["-blockdev", &blockdev(&swap.display().to_string(), false)])
            .args(["-device", "virtio-blk-device,drive=swap"]);
    }
    let step = Step::begin(case.name);
    let lines = watch(&mut command, 0, PATIENCE, &step)?;
    let refused: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("panic: ")).collect();
    ensure!(
        matches!(refused[..], [line] if line.starts_with(case.line)),
        "{:?} expected, but it said {lines:?}",
        case.line
    );
    Ok(())
}
