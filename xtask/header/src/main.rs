//! Makes `include/mteswap.h` from `ffi`, and Rust bindings from the header.
//!
//! Apart from xtask, so that only `cargo xtask header` waits for cbindgen and bindgen to be
//! built.

use std::{env, path::Path};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["header", ffi] => header(Path::new(ffi)),
        ["bindings", kind, header] => bindings(kind, header),
        _ => bail!("usage: mteswap-header header FFI | bindings KIND HEADER"),
    }
}

/// Prints the header of the crate in the folder `ffi`.
fn header(ffi: &Path) -> Result<()> {
    let config = cbindgen::Config::from_file(ffi.join("cbindgen.toml"))
        .map_err(anyhow::Error::msg)
        .context("cannot read cbindgen.toml")?;
    let header = cbindgen::Builder::new().with_crate(ffi).with_config(config).generate()?;
    let mut text = Vec::new();
    header.write(&mut text);
    print!("{}", kernel_style(&String::from_utf8(text)?));
    Ok(())
}

/// Tabs, and `/**` only where kernel-doc has something to read.
fn kernel_style(header: &str) -> String {
    let mut styled = String::new();
    let mut lines = header.lines().peekable();
    while let Some(line) = lines.next() {
        let text = line.trim_start_matches(' ');
        let spaces = line.len() - text.len();
        styled.extend(std::iter::repeat_n('\t', spaces / 8));
        styled.extend(std::iter::repeat_n(' ', spaces % 8));
        let next = lines.peek().map_or("", |next| next.trim_start_matches([' ', '*']));
        let is_kernel_doc = next.contains(" - ") || next.starts_with('@');
        styled.push_str(if text == "/**" && !is_kernel_doc { "/*" } else { text });
        styled.push('\n');
    }
    styled
}

/// Prints what a Rust program sees of `header`: its types and constants, or its functions over
/// types that the program has already.
fn bindings(kind: &str, header: &str) -> Result<()> {
    let builder = bindgen::Builder::default().header(header).use_core().layout_tests(false);
    let builder = match kind {
        "types" => builder.allowlist_type("mteswap_.*").allowlist_var("MTESWAP_.*"),
        "functions" => builder
            .allowlist_function("mteswap_.*")
            .blocklist_type("mteswap_.*")
            .enable_function_attribute_detection(),
        _ => bail!("no bindings of {kind}: types or functions"),
    };
    println!("{}", builder.generate()?);
    Ok(())
}
