//! Opens libtorch's CUDA library when it is there, so that one binary serves machines with and without a GPU.
//!
//! It must happen before anything asks libtorch about CUDA, because the answer is cached.

use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// Number of CUDA devices, or why there are none.
pub(super) fn device_count() -> Result<i64, String> {
    static OPENED: OnceLock<Result<Library, String>> = OnceLock::new();
    let opened = OPENED.get_or_init(open);
    match opened {
        Ok(_) => Ok(tch::Cuda::device_count()),
        Err(detail) => Err(detail.clone()),
    }
}

#[expect(
    unsafe_code,
    reason = "loading a library runs its initialisers; this one is libtorch's own, found through our rpath"
)]
fn open() -> Result<Library, String> {
    // SAFETY: libtorch_cuda.so belongs to the libtorch that this program is linked with; its initialisers only register kernels.
    let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) };
    library.map_err(|e| explain(&super::explain(&e)))
}

/// Why there is no CUDA: the usual reason in three words, any other one as the system tells it.
fn explain(error: &str) -> String {
    match error.contains("libtorch_cuda.so: cannot open") {
        true => "CPU-only libtorch".to_owned(),
        false => format!("libtorch's CUDA library does not load: {error}"),
    }
}
