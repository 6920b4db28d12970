//! `cargo xtask lib`: the C library, for this machine or another.
//!
//! What is linked is one object, `mteswap.o`: the Rust code that the exported functions
//! reach, everything else local or gone. The kernel links that; `libmteswap.a` has it with
//! the hosted hooks beside it, which a program that brings its own does not pull in.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    install,
    run::{self, show},
    toolchain::Toolchain,
};

/// The page sizes a build can have, as `MTESWAP_PAGE_SHIFT`.
pub(crate) const PAGE_SHIFTS: [u32; 3] = [12, 14, 16];

/// The names a host supplies.
pub(crate) const HOOKS: [&str; 8] = [
    "mteswap_host_alloc",
    "mteswap_host_enter",
    "mteswap_host_exit",
    "mteswap_host_free",
    "mteswap_host_panic",
    "mteswap_host_wait",
    "mteswap_host_wake",
    "mteswap_host_warn",
];

/// A processor with MTE is of Armv8.4 or later, and has what came before: atomics of one instruction
/// (FEAT_LSE, 8.1), not loops of exclusive accesses, and loads that acquire without waiting for the
/// releasing stores before them (FEAT_LRCPC, 8.3).
const LSE: &str = "-Ctarget-feature=+lse,+rcpc";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build for this Rust target, as aarch64-unknown-none-softfloat
    #[arg(long)]
    target: Option<String>,
    /// Page size: 12 (4 KiB), 14 (16 KiB) or 16 (64 KiB)
    #[arg(long, value_name = "SHIFT", default_value_t = 12)]
    page_shift: u32,
    /// Call neither mteswap_host_enter() nor _exit(): for callers of whom none begins a call on a CPU
    /// where another is within one (tasks of a kernel without preemption, threads; no handlers)
    #[arg(long, conflicts_with = "prefix")]
    no_enter: bool,
    /// Print what a C compiler needs, and nothing else, on stdout
    #[arg(long)]
    flags: bool,
    /// Install header, libraries and pkg-config file below this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["target", "flags"])]
    prefix: Option<PathBuf>,
    /// Install each page size and run a C program that pkg-config's flags have built
    #[arg(long, conflicts_with_all = ["target", "no_enter", "flags", "prefix"])]
    check: bool,
}

impl Args {
    fn library(&self) -> Result<Library> {
        let library = Library::new(self.target.clone(), self.page_shift)?;
        Ok(if self.no_enter { library.without_enter() } else { library })
    }
}

pub(crate) fn run(args: Args) -> Result<()> {
    if args.check {
        return install::check();
    }
    let library = args.library()?;
    library.build()?;
    if let Some(prefix) = args.prefix {
        install::install(&library, &prefix)?;
        println!("installed below {}", prefix.display());
    } else if args.flags {
        println!("{}", library.flags().join(" "));
    } else {
        for file in library.files() {
            println!("{}", file.display());
        }
    }
    Ok(())
}

/// One build of the library: a target and a page size.
pub(crate) struct Library {
    target: Option<String>,
    shift: u32,
    /// A feature of `ffi`.
    feature: Option<&'static str>,
}

impl Library {
    pub(crate) fn new(target: Option<String>, shift: u32) -> Result<Self> {
        ensure!(PAGE_SHIFTS.contains(&shift), "no page size has a shift of {shift}: 12, 14 or 16");
        Ok(Self { target, shift, feature: None })
    }

    /// The library that calls neither of the hooks that keep a CPU to the caller.
    pub(crate) fn without_enter(self) -> Self {
        Self { feature: Some("no-enter"), ..self }
    }

    /// The library with a fault in it that checks must notice.
    pub(crate) fn with_fault(shift: u32) -> Self {
        Self { target: None, shift, feature: Some("negative-control") }
    }

    /// Where the library is built: `target/mteswap`, with the target, a page size other than 4 KiB
    /// and a feature as folders below.
    pub(crate) fn dir(&self) -> PathBuf {
        let mut dir = run::root().join("target/mteswap");
        dir.extend(&self.target);
        if self.shift != PAGE_SHIFTS[0] {
            dir.push(format!("ps{}", self.shift));
        }
        dir.extend(self.feature);
        dir
    }

    /// The partially linked object.
    pub(crate) fn object(&self) -> PathBuf {
        self.dir().join("mteswap.o")
    }

    pub(crate) fn archive(&self) -> PathBuf {
        self.dir().join("libmteswap.a")
    }

    /// What [`build`](Self::build) makes.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.archive(), self.object()];
        if self.target.is_none() {
            files.extend(["libmteswap.so", "mteswap.pc"].map(|name| self.dir().join(name)));
        }
        files
    }

    /// The flags that compile and link a C program.
    pub(crate) fn flags(&self) -> Vec<String> {
        vec![
            format!("-I{}", run::root().join("include").display()),
            self.page_size_flag(),
            self.archive().display().to_string(),
        ]
    }

    /// What tells the header this library's page size.
    pub(crate) fn page_size_flag(&self) -> String {
        format!("-DMTESWAP_PAGE_SHIFT={}", self.shift)
    }

    /// Builds what is missing or out of date.
    pub(crate) fn build(&self) -> Result<()> {
        let tools = Toolchain::new(self.target.as_deref())?;
        let rust = self.cargo(&tools)?;
        let ffi = run::root().join("ffi");
        let host = ffi.join("hosted/host.c");
        let sources = [&rust, &symbols_file(), &host, &std::env::current_exe()?];
        if self.files().iter().all(|file| is_newer(file, &sources)) {
            return Ok(());
        }
        self.link(&tools, &rust)?;
        let mut members = vec![self.object()];
        if self.target.is_none() {
            members.push(self.hosted(&host)?);
        }
        let archive = self.archive();
        remove(&archive)?;
        run::run(tools.binutil("ar").arg("rcsD").arg(&archive).args(&members))
    }

    /// Builds the Rust part; returns cargo's archive.
    fn cargo(&self, tools: &Toolchain) -> Result<PathBuf> {
        let root = run::root();
        let dir = self.dir().join("cargo");
        let mut command = tools.cargo_build();
        command
            .args(["--config", &format!("build.rustflags={:?}", self.rustflags())])
            .args(["--release", "--locked", "--quiet", "--manifest-path"])
            .arg(root.join("ffi/Cargo.toml"))
            .arg("--target-dir")
            .arg(&dir)
            .args(self.feature.map(|feature| format!("--features={feature}")))
            .env("MTESWAP_PAGE_SHIFT", self.shift.to_string())
            .current_dir(&root)
            .stderr(Stdio::piped());
        let built = command.output().with_context(|| format!("cannot start {}", show(&command)))?;
        eprint!("{}", without_strict_align(&String::from_utf8_lossy(&built.stderr)));
        ensure!(built.status.success(), "{} failed: {}", show(&command), built.status);
        let mut built = dir;
        built.extend(&self.target);
        Ok(built.join("release/libmteswap_ffi.a"))
    }

    /// Flags of every build of the Rust part.
    fn rustflags(&self) -> Vec<&'static str> {
        // Hooks are called directly, not through pointers of the GOT: rustc does so unless
        // relocations are all read-only at start.
        let mut flags = vec!["-Crelro-level=off"];
        if self.target.as_deref().is_some_and(|target| target.starts_with("aarch64")) {
            // The target is made for machines whose MMU may be off, where words that are not
            // aligned trap: each is read and written byte by byte. Linux has its MMU on, and its own
            // C code is compiled so.
            flags.push("-Ctarget-feature=-strict-align");
        }
        if self.needs_mte() {
            flags.push(LSE);
        }
        let arch = self.target.as_deref().unwrap_or(std::env::consts::ARCH);
        if arch.starts_with("x86_64") {
            // Loops begin where they come, as in Linux's own code (arch/x86/Makefile: -falign-loops=1):
            // what fills the gaps is 4 % of the text, and is run through.
            flags.push("-Cllvm-args=-align-loops=1");
        }
        flags
    }

    /// True if what is built is for processors with MTE, as bare metal's is (`build.rs`).
    pub(crate) fn needs_mte(&self) -> bool {
        self.target.as_deref().is_some_and(|target| target.starts_with("aarch64-unknown-none"))
    }

    /// Links the Rust object partially: only what the exports reach, only they and the hooks
    /// global.
    fn link(&self, tools: &Toolchain, rust: &Path) -> Result<()> {
        let dir = self.dir();
        let exports = exports()?;
        // The compiler's own helpers are left out: what they would be wanted for, such as
        // memcpy, is the host's to supply, and `cargo xtask symbols` sees anything else.
        let members = run::output(tools.binutil("ar").arg("t").arg(rust))?;
        let member = members
            .lines()
            .find(|member| member.starts_with("mteswap_ffi"))
            .with_context(|| format!("{} holds no object of mteswap-ffi", rust.display()))?;
        run::run(
            tools.binutil("ar").current_dir(&dir).args(["x", "--output=."]).arg(rust).arg(member),
        )?;
        let rust_object = dir.join("mteswap-rust.o");
        fs::rename(dir.join(member), &rust_object)?;

        let linked = dir.join("mteswap-linked.o");
        let mut ld = tools.binutil("ld");
        ld.args(["-r", "--gc-sections", "-T"]).arg(run::root().join("ffi/merge.lds"));
        for export in &exports {
            ld.args(["-u", export]);
        }
        run::run(ld.arg("-o").arg(&linked).arg(&rust_object))?;

        let keep = dir.join("keep.txt");
        fs::write(&keep, exports.join("\n") + "\n")?;
        let mut objcopy = tools.binutil("objcopy");
        objcopy.arg(format!("--keep-global-symbols={}", keep.display()));
        run::run(objcopy.arg(&linked).arg(self.object()))?;
        for file in [rust_object, linked, keep] {
            fs::remove_file(file)?;
        }
        Ok(())
    }

    /// Compiles the hosted hooks, and makes the shared library of them and the object, with
    /// its pkg-config file. Returns the hooks' object.
    fn hosted(&self, source: &Path) -> Result<PathBuf> {
        let dir = self.dir();
        let cc = compiler()?;
        let hooks = dir.join("host.o");
        run::run(
            Command::new(&cc)
                .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2", "-fPIC"])
                .args(&self.flags()[..2])
                .arg("-c")
                .arg(source)
                .arg("-o")
                .arg(&hooks),
        )?;
        let script = dir.join("exports.map");
        fs::write(&script, "{ global: mteswap_*; local: *; };\n")?;
        let soname = install::soname()?;
        run::run(
            Command::new(&cc)
                .args(["-shared", "-Wl,-z,defs"])
                .arg(format!("-Wl,-soname,{soname}"))
                .arg(format!("-Wl,--version-script={}", script.display()))
                .args([&self.object(), &hooks])
                .arg("-o")
                .arg(dir.join("libmteswap.so")),
        )?;
        fs::remove_file(script)?;
        install::link("libmteswap.so", &dir.join(soname))?;
        fs::write(dir.join("mteswap.pc"), self.pkg_config())?;
        Ok(hooks)
    }

    /// For programs that use the library where it was built.
    fn pkg_config(&self) -> String {
        install::pkg_config(
            &format!("libdir={}", self.dir().display()),
            &self.flags()[..2].join(" "),
            "-L${libdir} -Wl,-rpath,${libdir} -lmteswap",
        )
    }
}

/// What cargo says but for rustc's warning that it does not know the feature, whose name is
/// LLVM's.
fn without_strict_align(stderr: &str) -> String {
    const KNOWN: &str = "warning: unknown and unstable feature specified for `-Ctarget-feature`: \
                         `strict-align`";
    stderr.split_inclusive("\n\n").filter(|message| !message.starts_with(KNOWN)).collect()
}

/// The exported functions, as committed.
pub(crate) fn exports() -> Result<Vec<String>> {
    let path = symbols_file();
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

pub(crate) fn symbols_file() -> PathBuf {
    run::root().join("ffi/symbols.txt")
}

/// The C compiler: `CC`, or `cc`.
pub(crate) fn compiler() -> Result<String> {
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    if run::output(Command::new(&cc).arg("--version")).is_err() {
        bail!("no C compiler `{cc}`: apt-get install gcc libc6-dev, or name one in CC");
    }
    Ok(cc)
}

/// True where `file` is there and no older than any of `sources`.
fn is_newer(file: &Path, sources: &[&PathBuf]) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let Some(built) = modified(file) else { return false };
    sources.iter().all(|source| modified(source).unwrap_or(SystemTime::UNIX_EPOCH) <= built)
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn options_choose_what_is_built_and_where() {
        let library = |words: &str| {
            let cli = Cli::try_parse_from(["lib"].into_iter().chain(words.split_whitespace()));
            cli.map_err(|error| error.kind()).map(|cli| cli.args.library().unwrap())
        };
        let dir = |words| library(words).unwrap().dir();
        let all = run::root().join("target/mteswap");
        assert_eq!(dir(""), all);
        assert_eq!(dir("--no-enter"), all.join("no-enter"));
        assert_eq!(dir("--page-shift 14 --no-enter"), all.join("ps14/no-enter"));
        assert_eq!(dir("--target aarch64-unknown-none"), all.join("aarch64-unknown-none"));
        assert!(library("--no-enter --prefix /tmp").is_err());
        assert_eq!(library("--no-enter").unwrap().feature, Some("no-enter"));

        let lse = |words| library(words).unwrap().rustflags().contains(&LSE);
        assert!(lse("--target aarch64-unknown-none-softfloat"));
        assert!(!lse("--target aarch64-unknown-linux-gnu") && !lse(""));
    }
}
