//! Compiles the kernel's xarray from the tree in `MTESWAP_KERNEL_SOURCE`, and the
//! allocator both sides use.

use std::{env, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=MTESWAP_KERNEL_SOURCE");
    println!("cargo::rerun-if-changed=c");
    let Some(tree) = env::var_os("MTESWAP_KERNEL_SOURCE").map(PathBuf::from) else {
        println!("cargo::warning=no kernel source, nothing to link: run `cargo xtask bench`");
        return; // Enough for lints.
    };
    let mut build = cc::Build::new();
    // As the kernel compiles it: -O2, no frame pointers, and calls within a file that may be
    // inlined, which -fPIC forbids.
    build.opt_level(2).debug(true).force_frame_pointer(false).pic(false);
    build.flag("-fPIE").flag("-ffunction-sections");
    build.clone().file("c/slab.c").file("c/pages.c").define("_GNU_SOURCE", None).compile("slab");
    build
        .include("c")
        // As system headers: warnings in them are not ours to mend.
        .flag("-isystem")
        .flag(tree.join("tools/include"))
        .flag("-isystem")
        .flag(&tree)
        .define("_GNU_SOURCE", None)
        // As every kernel with transparent huge pages.
        .define("CONFIG_XARRAY_MULTI", "1")
        .flag("-fno-strict-aliasing")
        .file("c/kernel.c")
        .file(tree.join("tools/lib/find_bit.c"))
        .file(tree.join("tools/lib/bitmap.c"))
        .warnings(false)
        .compile("kernel");
}
