//! Tells where libtorch lies: the linker, so that tests find it again, and the launcher, which looks there last. Tells the program which
//! commit it is built from, for figures that are compared later.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    tell_commit();
    hide_sqlite();
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo:rustc-env=SWATH_BUILT_WITH={libtorch}/lib");
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
        // RPATH, not RUNPATH: libtorch_cpu.so's own needs (libcudart, libcupti) are looked up through it as well.
        println!("cargo:rustc-link-arg=-Wl,--disable-new-dtags");
        // But of the program RUNPATH: what the launcher has found comes first.
        println!("cargo:rustc-link-arg-bin=swath-torch=-Wl,--enable-new-dtags");
    }
}

/// The SQLite inside this program is its own affair. Left visible it takes the place of the system's for GDAL, and of some of its functions
/// only for SpatiaLite below that: a GeoPackage then crashes the process.
#[expect(
    clippy::disallowed_methods,
    reason = "the program is not there yet: a file of its build, in a folder of cargo's"
)]
fn hide_sqlite() {
    let is_linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux");
    if let Some(folder) = std::env::var_os("OUT_DIR").filter(|_| is_linux) {
        let list = std::path::Path::new(&folder).join("hidden.map");
        if std::fs::write(&list, "{ local: sqlite3*; };\n").is_ok() {
            println!("cargo:rustc-link-arg=-Wl,--version-script={}", list.display());
        }
    }
}

/// Only to what is measured: whoever works on it need not build anew for every commit. Without git, or outside a clone, there is none.
fn tell_commit() {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    // A package that was unpacked inside another clone is not of its commits.
    let is_clone = std::path::Path::new(".git").exists();
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") && is_clone {
        if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
            println!("cargo:rerun-if-changed={log}");
        }
        if let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) {
            println!("cargo:rustc-env=SWATH_COMMIT={commit}");
        }
    }
}
