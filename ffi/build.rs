//! One page size a build: `MTESWAP_PAGE_SHIFT`, 12 where it is not set.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=MTESWAP_PAGE_SHIFT");
    let shift = std::env::var("MTESWAP_PAGE_SHIFT").unwrap_or_else(|_| "12".to_owned());
    match shift.as_str() {
        "12" | "14" | "16" => println!("cargo::rustc-cfg=mteswap_page_shift=\"{shift}\""),
        _ => println!(
            "cargo::error=MTESWAP_PAGE_SHIFT={shift}: pages are of 4 KiB (12), 16 KiB (14) or 64 KiB (16)"
        ),
    }
}
