//! Tells where libtorch lies: the linker, so that tests find it again, and the launcher, which looks there last.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
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
