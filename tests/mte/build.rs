//! Links the C library, which rustc leaves to std.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "aarch64") {
        let libraries = "-Wl,-Bstatic,--start-group,-lc,-lgcc,-lgcc_eh,--end-group";
        println!("cargo::rustc-link-arg-bins={libraries}");
    }
}
