//! What the board and the command line say: the device tree that QEMU leaves in X0.

use core::ptr::NonNull;

use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_pl011_uart::PL011Registers;
use dtoolkit::{Node, Property, fdt::Fdt, standard::NodeStandard};

/// What to do, from the command line: `frames=96 private=192 … lose-tags`.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Frames for the memory of both guests.
    pub frames: usize,
    /// Private pages of each guest.
    pub private: usize,
    /// Pages they share.
    pub shared: usize,
    /// How often they are shared anew.
    pub epochs: usize,
    /// Visits in each epoch.
    pub steps: usize,
    /// Of the guests' random numbers.
    pub seed: usize,
    /// Restore no tags: the guests must notice.
    pub lose_tags: bool,
    /// Mask no interrupts in locks: a handler must come to spin for ever.
    pub unmasked_lock: bool,
}

/// The machine.
pub struct Machine {
    tree: Fdt<'static>,
}

impl Machine {
    /// The machine that the device tree at `tree` describes.
    ///
    /// # Safety
    /// A device tree is there, and stays.
    pub unsafe fn new(tree: *const u8) -> Option<Self> {
        // SAFETY: the caller's promise.
        let tree = unsafe { Fdt::from_raw(tree) }.ok()?;
        Some(Self { tree })
    }

    /// The first PL011.
    pub fn uart(&self) -> Option<NonNull<PL011Registers>> {
        self.devices("arm,pl011").find_map(NonNull::new)
    }

    /// Every place where a virtio device may be.
    pub fn virtio<T>(&self) -> impl Iterator<Item = *mut T> + '_ {
        self.devices("virtio,mmio")
    }

    /// The GICv3's distributor, and the first of its redistributors.
    pub fn gic(&self) -> Option<(NonNull<Gicd>, NonNull<GicrSgi>)> {
        let distributor = self.registers("arm,gic-v3", 0).find_map(NonNull::new)?;
        let redistributors = self.registers("arm,gic-v3", 1).find_map(NonNull::new)?;
        Some((distributor, redistributors))
    }

    fn devices<T>(&self, compatible: &'static str) -> impl Iterator<Item = *mut T> + '_ {
        self.registers(compatible, 0)
    }

    /// Where each such device has its registers; those of several that are numbered `index`.
    fn registers<T>(
        &self,
        compatible: &'static str,
        index: usize,
    ) -> impl Iterator<Item = *mut T> + '_ {
        self.tree.root().children().filter_map(move |node| {
            if !node.is_compatible(compatible) {
                return None;
            }
            let reg = node.reg().ok()??.nth(index)?;
            Some(core::ptr::with_exposed_provenance_mut(reg.address::<u64>().ok()? as usize))
        })
    }

    /// Where the guest's image lies: QEMU calls it the initial RAM disk.
    pub fn image(&self) -> Option<(usize, usize)> {
        let chosen = self.tree.find_node("/chosen")?;
        let address = |name| {
            let property = chosen.property(name)?;
            let bytes = property.value();
            Some(bytes.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)))
        };
        Some((address("linux,initrd-start")?, address("linux,initrd-end")?))
    }

    /// The command line; the word that makes no sense, where one does not.
    pub fn options(&self) -> Result<Options, &str> {
        let mut options = Options {
            frames: 160,
            private: 192,
            shared: 64,
            epochs: 4,
            steps: 1000,
            seed: 1,
            lose_tags: false,
            unmasked_lock: false,
        };
        let line = self
            .tree
            .find_node("/chosen")
            .and_then(|chosen| chosen.property("bootargs")?.value_as::<&'static str>().ok())
            .unwrap_or_default();
        for word in line.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, "1"));
            let number: usize = value.parse().map_err(|_| word)?;
            match name {
                "frames" => options.frames = number,
                "private" => options.private = number,
                "shared" => options.shared = number,
                "epochs" => options.epochs = number,
                "steps" => options.steps = number,
                "seed" => options.seed = number,
                "lose-tags" => options.lose_tags = true,
                "unmasked-lock" => options.unmasked_lock = true,
                _ => return Err(word),
            }
        }
        Ok(options)
    }
}
