//! Real kernels: their source, our directory laid into it, built, booted and listened to.
//!
//! | file | holds |
//! |---|---|
//! | `cache` | the folder where all of it is kept, and how a thing gets in whole |
//! | `step` | a line with its time for each long piece of work |
//! | `apt` | Debian packages unpacked into the cache, not installed |
//! | `source` | a Linux 6.12 tree: Debian's, or the user's |
//! | `overlay` | a copy of it with our files in, and a few lines of its own changed |
//! | `build` | configuration and make, in a folder outside of the tree |
//! | `rust` | what a kernel with CONFIG_RUST=y is made with |
//! | `qemu` | a QEMU whose MTE works |
//! | `initramfs` | what a guest finds when it starts |
//! | `guest` | a boot, until the guest says how it ended |
//! | `kunit` | the suites in all of these |
//! | `dropin` | the library in place of a kernel's own store, and programs that swap |
//! | `payload` | what else swaps there: the kernel's selftests, programs with a tagged heap |
//! | `checkpatch` | the tree's checkpatch.pl over our C |
//! | `faults` | the suites again, with faults that they must notice |

pub(crate) mod apt;
pub(crate) mod build;
pub(crate) mod cache;
pub(crate) mod checkpatch;
pub(crate) mod dropin;
pub(crate) mod faults;
pub(crate) mod guest;
pub(crate) mod initramfs;
pub(crate) mod kunit;
pub(crate) mod overlay;
pub(crate) mod payload;
pub(crate) mod qemu;
pub(crate) mod rust;
pub(crate) mod source;
pub(crate) mod step;
