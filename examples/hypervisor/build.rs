//! Gives each binary the addresses it is linked to; the layout is aarch64-rt's `image.ld`.

fn main() {
    for binary in ["hypervisor", "guest"] {
        let script = format!("src/bin/{binary}/memory.ld");
        println!("cargo::rerun-if-changed={script}");
        println!("cargo::rustc-link-arg-bin={binary}=-Timage.ld");
        println!("cargo::rustc-link-arg-bin={binary}=-T{script}");
    }
}
