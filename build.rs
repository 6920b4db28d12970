//! Asks the target what it has and says it in cfgs.
//!
//! | cfg | says |
//! |---|---|
//! | `mteswap_mte` | the target can be given MTE instructions: aarch64 |
//! | `mteswap_tagmem="…"` | what `tagmem::NativePage` is: `shadow`, `el0` or `el1` |
//!
//! Bare metal runs at EL1 or above and gets LDGM and STGM. Anything hosted gets the shadow: a
//! processor without MTE would stop at the first LDG. `MTESWAP_TAGMEM` says otherwise.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=MTESWAP_TAGMEM");
    println!("cargo::rustc-check-cfg=cfg(mteswap_mte)");
    println!("cargo::rustc-check-cfg=cfg(mteswap_tagmem, values(\"shadow\", \"el0\", \"el1\"))");

    let target = |what: &str| env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    let mte = target("ARCH") == "aarch64" && target("ENDIAN") == "little";
    if mte {
        println!("cargo::rustc-cfg=mteswap_mte");
    }

    let wanted = env::var("MTESWAP_TAGMEM").ok();
    let tagmem = match wanted.as_deref() {
        None | Some("") if mte && target("OS") == "none" => "el1",
        None | Some("" | "shadow") => "shadow",
        Some(level @ ("el0" | "el1")) if mte => level,
        Some(other) => {
            println!(
                "cargo::error=MTESWAP_TAGMEM={other}: this target has shadow{}",
                if mte { ", el0 and el1" } else { " only" }
            );
            return;
        }
    };
    println!("cargo::rustc-cfg=mteswap_tagmem=\"{tagmem}\"");
}
