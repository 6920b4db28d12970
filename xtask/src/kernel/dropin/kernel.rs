//! Which kernel: with the library's drop-in, as it comes, or with both stores; and how it is
//! configured.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{
    kernel::{
        build::{Arch, Kernel},
        cache::Cache,
        overlay::{Overlay, Tree},
        source::Source,
        step::Step,
    },
    library::Library,
    run,
};

/// What arm64's kernel is told to link.
const ARM64: &str = "aarch64-unknown-none-softfloat";
/// What arch/arm64/mm/mteswap.c keeps tags in, and hibernation its own.
const STOCK_SYMBOL: &str = "mte_pages";

/// Which store keeps the tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// The library's, in place of arch/arm64/mm/mteswap.c.
    Dropin,
    /// The kernel's: nothing of ours is compiled.
    Stock,
    /// Both, and faults on request.
    Controls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Config {
    /// PREEMPT_NONE
    PreemptNone,
    /// PREEMPT, DEBUG_ATOMIC_SLEEP, PROVE_LOCKING
    PreemptDebug,
    /// KASAN_HW_TAGS: the kernel's own memory is tagged
    Kasan,
    /// Pages of 16 KiB
    #[value(name = "16k")]
    Pages16k,
}

impl Config {
    fn name(self) -> &'static str {
        match self {
            Self::PreemptNone => "preempt-none",
            Self::PreemptDebug => "preempt-debug",
            Self::Kasan => "kasan",
            Self::Pages16k => "16k",
        }
    }

    fn page_shift(self) -> u32 {
        if self == Self::Pages16k { 14 } else { 12 }
    }
}

/// A copy of `source` that a kernel of each kind is made of.
pub(crate) fn tree(cache: &Cache, source: &Source) -> Result<Tree> {
    overlay()?.lay(cache, source)
}

impl Store {
    fn name(self) -> &'static str {
        match self {
            Self::Dropin => "dropin",
            Self::Stock => "stock",
            Self::Controls => "controls",
        }
    }

    /// The function that warns where the kernel's own store has no memory for tags.
    pub(crate) fn warns(self) -> Option<&'static str> {
        match self {
            Self::Dropin => None,
            Self::Stock => Some("mte_save_tags"),
            Self::Controls => Some("stock_mte_save_tags"),
        }
    }

    /// Builds the kernel, and what it links.
    pub(crate) fn build<'t>(
        self,
        cache: &Cache,
        tree: &'t Tree,
        config: Config,
    ) -> Result<Kernel<'t>> {
        let name = format!("{}-{}", self.name(), config.name());
        let mut kernel = Kernel::new(cache, tree, Arch::Arm64, &name)?;
        if self != Self::Dropin {
            let like = format!("{}-{}", Self::Dropin.name(), config.name());
            kernel.begin_with(cache, &like)?;
        }
        let mut fragments = vec!["guest"];
        match self {
            Self::Stock => {}
            Self::Dropin => fragments.push("dropin"),
            Self::Controls => fragments.extend(["dropin", "controls"]),
        }
        if config != Config::PreemptNone {
            fragments.push(config.name());
        }
        let folder = run::root().join("kunit/configs");
        let fragments: Vec<PathBuf> =
            fragments.iter().map(|name| folder.join(name).with_extension("config")).collect();
        if self == Self::Stock {
            kernel.configure(&fragments)?;
            kernel.build("building the kernel as it comes", &["Image"], &[])?;
        } else {
            let library = Library::new(Some(ARM64.to_owned()), config.page_shift())?;
            let step = Step::begin("building the library for arm64");
            library.build()?;
            step.done();
            let object = library.object();
            kernel.variable("MTESWAP_OBJECT", &object);
            kernel.configure(&fragments)?;
            kernel.build("building the kernel with the library", &["Image"], &[&object])?;
        }
        self.check(&kernel)?;
        Ok(kernel)
    }

    /// The kernel's own store is linked where it is to be, and nowhere else.
    fn check(self, kernel: &Kernel<'_>) -> Result<()> {
        let path = kernel.out.join("System.map");
        let map =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let count =
            |name: &str| map.lines().filter(|line| line.split(' ').nth(2) == Some(name)).count();
        let made = |object: &str| kernel.out.join(object).exists();
        let object = made("arch/arm64/mm/mteswap.o");
        let hibernation = usize::from(made("arch/arm64/kernel/hibernate.o"));
        let stock = count(STOCK_SYMBOL) > hibernation;
        let ours = count("mteswap_prepare_to_swap") == 1;
        let path = path.display();
        match self {
            Self::Dropin => {
                ensure!(!object && !stock, "the kernel's mteswap.c is in {path}");
                ensure!(ours && count("mte_save_tags") == 1, "the library is not in {path}");
            }
            Self::Stock => ensure!(object && stock && !ours, "not the kernel as it comes: {path}"),
            Self::Controls => ensure!(object && stock && ours, "not both stores are in {path}"),
        }
        Ok(())
    }
}

/// `lib/mteswap` with the drop-in, and what calls it or stays out for it.
fn overlay() -> Result<Overlay> {
    let mut overlay = Overlay::library("dropin")?;
    let dropin = run::root().join("kunit/dropin");
    overlay.folder(&dropin, "lib/mteswap".as_ref())?;
    overlay.after(
        "arch/arm64/mm/Makefile",
        "obj-$(CONFIG_ARM64_MTE)\t\t+= mteswap.o",
        "ifdef CONFIG_MTESWAP_DROPIN\n\
         obj-y := $(filter-out mteswap.o,$(obj-y))\n\
         endif\n\
         ifdef CONFIG_MTESWAP_CONTROLS\n\
         include $(srctree)/lib/mteswap/names.mk\n\
         CFLAGS_mteswap.o := $(call mteswap-prefixed,stock)\n\
         obj-y += mteswap.o\n\
         endif\n",
    );
    // Restore and free exchanged, on request.
    let memory = "mm/memory.c";
    overlay.after(
        memory,
        "#include \"swap.h\"",
        "#ifdef CONFIG_MTESWAP_CONTROLS\n\
         #define MTESWAP_EXCHANGED\n\
         #include \"../lib/mteswap/controls.h\"\n\
         #else\n\
         #define mteswap_restore_late(entry, folio)\n\
         #endif\n",
    );
    overlay.after(
        memory,
        "\tif (should_try_to_free_swap(folio, vma, vmf->flags))\n\t\tfolio_free_swap(folio);",
        "\tmteswap_restore_late(folio_swap(entry, folio), folio);\n",
    );
    Ok(overlay)
}
