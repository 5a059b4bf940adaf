//! Points in the order of a device's work: whether it is past them, and the time between two.
//!
//! On a GPU they are CUDA's events, which tch does not have. The runtime's library is there already, because libtorch is linked with it.

use std::ffi::{c_int, c_uint, c_void};
use std::time::{Duration, Instant};

use libloading::os::unix::{Library, Symbol};
use tch::Device;

/// Makes the points of one device.
#[derive(Debug)]
pub struct Timeline {
    runtime: Option<Runtime>,
}

/// A point in the order of a device's work.
#[derive(Debug)]
pub enum Mark {
    /// On a CPU: work is done when it is asked for.
    At(Instant),
    /// On a GPU.
    Event(Event),
}

impl Timeline {
    /// That of a device.
    ///
    /// # Errors
    /// When it is a GPU and libtorch's CUDA runtime lacks a function.
    pub fn of(device: Device) -> Result<Self, String> {
        let runtime = match device {
            Device::Cuda(number) => Some(Runtime::open(number)?),
            Device::Cpu | Device::Mps | Device::Vulkan => None,
        };
        Ok(Self { runtime })
    }

    /// A point behind all that the device was given so far.
    ///
    /// # Errors
    /// What CUDA says, which may be of work that was given before.
    pub fn mark(&self) -> Result<Mark, String> {
        match &self.runtime {
            None => Ok(Mark::At(Instant::now())),
            Some(runtime) => runtime.record().map(Mark::Event),
        }
    }

    /// Whether the device is past it. It is, if the device has failed: then waiting for it says so.
    pub fn is_past(&self, mark: &Mark) -> bool {
        match (&self.runtime, mark) {
            (Some(runtime), Mark::Event(event)) => runtime.query(event),
            (_, Mark::At(_)) | (None, Mark::Event(_)) => true,
        }
    }

    /// Waits until the device is past it.
    ///
    /// # Errors
    /// What CUDA says, of the work before it.
    pub fn wait(&self, mark: &Mark) -> Result<(), String> {
        match (&self.runtime, mark) {
            (Some(runtime), Mark::Event(event)) => runtime.wait(event),
            (_, Mark::At(_)) | (None, Mark::Event(_)) => Ok(()),
        }
    }

    /// The device's time from one point to a later one; it must be past both.
    pub fn between(&self, from: &Mark, to: &Mark) -> Duration {
        match (&self.runtime, from, to) {
            (Some(runtime), Mark::Event(from), Mark::Event(to)) => runtime.elapsed(from, to).unwrap_or_default(),
            (_, Mark::At(from), Mark::At(to)) => to.duration_since(*from),
            (_, Mark::At(_) | Mark::Event(_), Mark::At(_) | Mark::Event(_)) => Duration::ZERO,
        }
    }
}

/// CUDA's answer that an event is not past yet (`cudaErrorNotReady`).
const NOT_READY: c_int = 600;

/// Whoever waits for an event leaves its core to others (`cudaEventBlockingSync`).
const BLOCKING: c_uint = 1;

/// `cudaEvent_t`.
type Handle = *mut c_void;

/// Functions of the CUDA runtime, as driver_types.h and cuda_runtime_api.h declare them.
#[derive(Debug, Clone)]
struct Runtime {
    device: c_int,
    set_device: Symbol<unsafe extern "C" fn(c_int) -> c_int>,
    create: Symbol<unsafe extern "C" fn(*mut Handle, c_uint) -> c_int>,
    destroy: Symbol<unsafe extern "C" fn(Handle) -> c_int>,
    record: Symbol<unsafe extern "C" fn(Handle, *mut c_void) -> c_int>,
    query: Symbol<unsafe extern "C" fn(Handle) -> c_int>,
    wait: Symbol<unsafe extern "C" fn(Handle) -> c_int>,
    elapsed: Symbol<unsafe extern "C" fn(*mut f32, Handle, Handle) -> c_int>,
    memory: Symbol<unsafe extern "C" fn(*mut usize, *mut usize) -> c_int>,
}

/// A CUDA event, destroyed with it.
#[derive(Debug)]
pub struct Event {
    /// The pointer, which any thread may use.
    handle: usize,
    destroy: Symbol<unsafe extern "C" fn(Handle) -> c_int>,
}

impl Runtime {
    #[expect(unsafe_code, reason = "functions of the CUDA runtime are looked up by name")]
    fn open(number: usize) -> Result<Self, String> {
        let library = Library::this();
        let failed = |e: libloading::Error| format!("libtorch's CUDA runtime lacks a function: {e}");
        // SAFETY: each type is the one that cuda_runtime_api.h gives the function, the same since CUDA 11; what has no mangled name
        // in this process under such names is the runtime that libtorch is linked with.
        unsafe {
            Ok(Self {
                device: c_int::try_from(number).map_err(|e| e.to_string())?,
                set_device: library.get(b"cudaSetDevice\0").map_err(failed)?,
                create: library.get(b"cudaEventCreateWithFlags\0").map_err(failed)?,
                destroy: library.get(b"cudaEventDestroy\0").map_err(failed)?,
                record: library.get(b"cudaEventRecord\0").map_err(failed)?,
                query: library.get(b"cudaEventQuery\0").map_err(failed)?,
                wait: library.get(b"cudaEventSynchronize\0").map_err(failed)?,
                elapsed: library.get(b"cudaEventElapsedTime\0").map_err(failed)?,
                memory: library.get(b"cudaMemGetInfo\0").map_err(failed)?,
            })
        }
    }

    /// An event in the default stream, which is the one that libtorch gives its work to where nobody has set another.
    #[expect(unsafe_code, reason = "functions of the CUDA runtime are called")]
    fn record(&self) -> Result<Event, String> {
        let mut handle: Handle = std::ptr::null_mut();
        // SAFETY: as declared; the device is one that libtorch has found. An event belongs to the thread's current device.
        status("cudaSetDevice", unsafe { (self.set_device)(self.device) })?;
        // SAFETY: `handle` outlives the call.
        status("cudaEventCreateWithFlags", unsafe { (self.create)(&raw mut handle, BLOCKING) })?;
        let event = Event { handle: handle.expose_provenance(), destroy: self.destroy.clone() };
        // SAFETY: the event is new, of this device; a null stream is the default one.
        status("cudaEventRecord", unsafe { (self.record)(handle, std::ptr::null_mut()) })?;
        Ok(event)
    }

    #[expect(unsafe_code, reason = "a function of the CUDA runtime is called")]
    fn query(&self, event: &Event) -> bool {
        // SAFETY: the event lives.
        unsafe { (self.query)(event.raw()) != NOT_READY }
    }

    #[expect(unsafe_code, reason = "a function of the CUDA runtime is called")]
    fn wait(&self, event: &Event) -> Result<(), String> {
        // SAFETY: the event lives.
        status("cudaEventSynchronize", unsafe { (self.wait)(event.raw()) })
    }

    #[expect(unsafe_code, reason = "a function of the CUDA runtime is called")]
    fn elapsed(&self, from: &Event, to: &Event) -> Result<Duration, String> {
        let mut milliseconds = 0.0;
        // SAFETY: both events live, `milliseconds` outlives the call.
        let answer = unsafe { (self.elapsed)(&raw mut milliseconds, from.raw(), to.raw()) };
        status("cudaEventElapsedTime", answer)?;
        Duration::try_from_secs_f32(milliseconds / 1e3).map_err(|e| e.to_string())
    }

    /// Free and total bytes.
    #[expect(unsafe_code, reason = "functions of the CUDA runtime are called")]
    fn memory(&self) -> Result<(u64, u64), String> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: as declared; the device is one that libtorch has found.
        status("cudaSetDevice", unsafe { (self.set_device)(self.device) })?;
        // SAFETY: both numbers outlive the call.
        status("cudaMemGetInfo", unsafe { (self.memory)(&raw mut free, &raw mut total) })?;
        Ok((free as u64, total as u64))
    }
}

impl Event {
    fn raw(&self) -> Handle {
        std::ptr::with_exposed_provenance_mut(self.handle)
    }
}

impl Drop for Event {
    #[expect(unsafe_code, reason = "a function of the CUDA runtime is called")]
    fn drop(&mut self) {
        // SAFETY: the event lives until here. What it answers is of no use: a broken device is noticed by its next work.
        let _status: c_int = unsafe { (self.destroy)(self.raw()) };
    }
}

/// In the words by which failures are told apart.
fn status(function: &str, status: c_int) -> Result<(), String> {
    match status {
        0 => Ok(()),
        2 => Err(format!("CUDA error: out of memory ({function})")),
        _ => Err(format!("CUDA error: {function} fails with error {status}")),
    }
}

/// Free and total bytes of a GPU.
///
/// # Errors
/// When there is none of this number.
pub fn memory(number: usize) -> Result<(u64, u64), String> {
    Runtime::open(number)?.memory()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_that_libtorch_is_linked_with_has_every_function() {
        let runtime = Runtime::open(0).unwrap();
        if super::super::device_count().is_ok_and(|n| n > 0) {
            return;
        }
        // Without a GPU it answers that there is none.
        let error = runtime.record().unwrap_err();
        assert!(error.contains("CUDA error"), "{error}");
    }

    #[test]
    fn on_a_cpu_all_is_past() {
        let timeline = Timeline::of(Device::Cpu).unwrap();
        let (from, to) = (timeline.mark().unwrap(), timeline.mark().unwrap());
        assert!(timeline.is_past(&to) && timeline.wait(&to).is_ok());
        assert!(timeline.between(&to, &from) <= timeline.between(&from, &to));
    }
}
