//! What the library's own build script says, for a host; and the checker, where one is asked for.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(mteswap_mte)");
    println!("cargo::rustc-check-cfg=cfg(mteswap_tagmem, values(\"shadow\", \"el0\", \"el1\"))");
    println!("cargo::rustc-cfg=mteswap_tagmem=\"shadow\"");
    let asked = |checker: &str| {
        let feature = format!("CARGO_FEATURE_{}", checker.to_uppercase());
        env::var_os(feature).is_some()
    };
    for checker in ["loom", "shuttle"].into_iter().filter(|checker| asked(checker)) {
        println!("cargo::rustc-cfg={checker}");
    }
}
