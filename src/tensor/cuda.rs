//! Opens libtorch's CUDA library when it is there, so that one binary serves machines with and without a GPU, and asks the driver what a
//! GPU is, which tch does not tell.
//!
//! The library must be opened before anything asks libtorch about CUDA, because the answer is cached.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LOCAL, RTLD_NOW, Symbol};

use super::Gpu;

/// Number of CUDA devices.
///
/// # Errors
/// Why there are none.
pub fn device_count() -> Result<i64, String> {
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
    library.map_err(|e| explain(&with_source(&e)))
}

/// Whether a GPU may round the operands of f32 products to 19 bits, in convolutions and matrix products, of this whole process. libtorch
/// does so in convolutions unless it is told not to; tch has no word for it.
///
/// # Errors
/// When libtorch lacks the function.
#[expect(unsafe_code, reason = "functions of libtorch are called")]
pub fn allow_tf32(allow: bool) -> Result<(), String> {
    let library = Library::this();
    let failed = |e: libloading::Error| format!("libtorch has no switch for TF32: {e}");
    // SAFETY: `at::Context &at::globalContext()` and two of that class's methods, `void (bool)`, as ATen/Context.h of libtorch 2.11 declares
    // them: a method is a function whose first argument is its object.
    let (context, convolutions, products) = unsafe {
        let context: Symbol<unsafe extern "C" fn() -> *mut c_void> =
            library.get(b"_ZN2at13globalContextEv\0").map_err(failed)?;
        let convolutions: Symbol<unsafe extern "C" fn(*mut c_void, bool)> =
            library.get(b"_ZN2at7Context17setAllowTF32CuDNNEb\0").map_err(failed)?;
        let products: Symbol<unsafe extern "C" fn(*mut c_void, bool)> =
            library.get(b"_ZN2at7Context18setAllowTF32CuBLASEb\0").map_err(failed)?;
        (context, convolutions, products)
    };
    // SAFETY: the context lives as long as the process.
    unsafe {
        let context = context();
        convolutions(context, allow);
        products(context, allow);
    }
    Ok(())
}

/// Why there is no CUDA: the usual reason in three words, any other one as the system tells it.
fn explain(error: &str) -> String {
    match error.contains("libtorch_cuda.so: cannot open") {
        true => "CPU-only libtorch".to_owned(),
        false => format!("libtorch's CUDA library does not load: {error}"),
    }
}

/// What the GPU of this number is, as libtorch counts them.
///
/// # Errors
/// When there is none, or the driver does not tell.
pub fn gpu(number: usize) -> Result<Gpu, String> {
    match device_count()? {
        count if usize::try_from(count).is_ok_and(|count| number < count) => {}
        count => return Err(format!("libtorch finds {count} CUDA devices")),
    }
    let cudnn = if tch::Cuda::cudnn_is_available() { tch::utils::version_cudnn() } else { 0 };
    let number = c_int::try_from(number).map_err(|e| e.to_string())?;
    let driver = Driver::open()?;
    let device = driver.device(number)?;
    Ok(Gpu {
        name: driver.name(device)?,
        capability: (driver.attribute(device, MAJOR)?, driver.attribute(device, MINOR)?),
        multiprocessors: driver.attribute(device, MULTIPROCESSORS)?,
        cudnn,
    })
}

/// Attributes of a device, by the numbers that cuda.h gives them.
const MULTIPROCESSORS: c_int = 16;
const MAJOR: c_int = 75;
const MINOR: c_int = 76;

/// Bytes of a device's name, the end included.
const NAME: usize = 256;

/// The NVIDIA driver's own interface. Its numbers of devices are those of libtorch: both heed CUDA_VISIBLE_DEVICES.
struct Driver {
    library: Library,
}

impl Driver {
    #[expect(unsafe_code, reason = "the driver's library is opened and its first function called")]
    fn open() -> Result<Self, String> {
        // SAFETY: libcuda.so.1 is the driver's; libtorch's CUDA library, which is open by now, depends on it.
        let library = unsafe { Library::open(Some("libcuda.so.1"), RTLD_NOW | RTLD_LOCAL) };
        let driver = Self { library: library.map_err(|e| with_source(&e))? };
        // SAFETY: as cuda.h declares it; it may be called more than once.
        let init: Symbol<unsafe extern "C" fn(c_uint) -> c_int> = unsafe { driver.function(b"cuInit\0") }?;
        // SAFETY: the flags must be 0.
        status("cuInit", unsafe { init(0) })?;
        Ok(driver)
    }

    #[expect(unsafe_code, reason = "a function of the driver is called")]
    fn device(&self, number: c_int) -> Result<c_int, String> {
        let mut device = 0;
        // SAFETY: as cuda.h declares it.
        let get: Symbol<unsafe extern "C" fn(*mut c_int, c_int) -> c_int> = unsafe { self.function(b"cuDeviceGet\0") }?;
        // SAFETY: `device` outlives the call.
        status("cuDeviceGet", unsafe { get(&raw mut device, number) })?;
        Ok(device)
    }

    #[expect(unsafe_code, reason = "a function of the driver is called")]
    fn attribute(&self, device: c_int, attribute: c_int) -> Result<i32, String> {
        let mut value = 0;
        // SAFETY: as cuda.h declares it; an enumeration is passed as an int.
        let get: Symbol<unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int> =
            unsafe { self.function(b"cuDeviceGetAttribute\0") }?;
        // SAFETY: `value` outlives the call.
        status("cuDeviceGetAttribute", unsafe { get(&raw mut value, attribute, device) })?;
        Ok(value)
    }

    #[expect(unsafe_code, reason = "a function of the driver is called")]
    fn name(&self, device: c_int) -> Result<String, String> {
        let mut name = [0 as c_char; NAME];
        let length = c_int::try_from(NAME).unwrap_or_default();
        // SAFETY: as cuda.h declares it.
        let get: Symbol<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int> =
            unsafe { self.function(b"cuDeviceGetName\0") }?;
        // SAFETY: `name` has `length` bytes and outlives the call, which ends what it writes with a zero.
        status("cuDeviceGetName", unsafe { get(name.as_mut_ptr(), length, device) })?;
        // SAFETY: a zero is within the array: it was written, or is still there from the start.
        let text = unsafe { CStr::from_ptr(name.as_ptr()) };
        Ok(text.to_string_lossy().into_owned())
    }

    /// # Safety
    /// `T` must be the type that cuda.h gives the function of this name, which ends with a zero.
    #[expect(unsafe_code, reason = "the caller knows the type")]
    unsafe fn function<T>(&self, name: &[u8]) -> Result<Symbol<T>, String> {
        // SAFETY: as the caller promises.
        unsafe { self.library.get(name) }.map_err(|e| with_source(&e))
    }
}

fn status(function: &str, status: c_int) -> Result<(), String> {
    if status == 0 { Ok(()) } else { Err(format!("the NVIDIA driver's {function} fails with error {status}")) }
}

/// An error of the loader with the system's own words.
fn with_source(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn libtorch_has_the_switch_for_tf32() {
        // Without a GPU nothing follows from it.
        super::allow_tf32(true).unwrap();
        super::allow_tf32(false).unwrap();
    }
}
