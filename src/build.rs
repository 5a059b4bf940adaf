//! Tells the linker where libtorch lies, so that the binary finds it again without `LD_LIBRARY_PATH`.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
        // RPATH, not RUNPATH: libtorch_cpu.so's own needs (libcudart, libcupti) are looked up through it as well.
        println!("cargo:rustc-link-arg=-Wl,--disable-new-dtags");
    }
}
