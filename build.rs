//! Asks the target what it has and says it in cfgs.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
