//! What a failed pass says about its device.

use super::DeviceError;
use crate::plan::DeviceId;

/// What libtorch and ONNX Runtime say when there is not enough memory, the device's or the machine's. cuDNN and cuBLAS say it in their own words: the
/// one finds no algorithm whose workspace fits, the other cannot allocate its handle.
const OUT_OF_MEMORY: [&str; 8] = [
    "out of memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
    "can't allocate memory",
    "not enough memory",
    "Unable to find a valid cuDNN algorithm",
    "Failed to allocate memory",
    "bad_alloc",
];

/// And when a CUDA context is broken for good: every later call of this process fails.
const LOST: [&str; 10] = [
    "CUDA error",
    "CUDA failure",
    "CUDA driver error",
    "cuDNN",
    "CUDNN_STATUS",
    "CUBLAS",
    "device-side assert",
    "unspecified launch failure",
    "ECC error",
    "Xid",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    OutOfMemory,
    Lost,
}

/// The class that a text names, if it names one. Memory goes first: "CUDA error: out of memory" breaks nothing.
fn class(text: &str) -> Option<Class> {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match (says(&OUT_OF_MEMORY), says(&LOST)) {
        (true, _) => Some(Class::OutOfMemory),
        (false, true) => Some(Class::Lost),
        (false, false) => None,
    }
}

/// The message without libtorch's list of stack frames, in which other words occur.
fn message(text: &str) -> String {
    let head = text.split("Exception raised from").next().unwrap_or(text);
    head.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a text speaks of the device rather than of what was asked of it.
#[cfg(feature = "torch")]
pub(super) fn names_device(text: &str) -> bool {
    class(&message(text)).is_some()
}

/// The failure of a pass on a device by the text that came with it. What is not known has lost a GPU, whose context may be broken, and
/// cost a CPU the one batch.
pub(super) fn failure(device: DeviceId, text: &str) -> DeviceError {
    let detail = message(text);
    match (class(&detail), device) {
        (Some(Class::OutOfMemory), _) => DeviceError::OutOfMemory { detail },
        (Some(Class::Lost), _) | (None, DeviceId::Cuda(_)) => DeviceError::Lost { device, detail },
        (None, DeviceId::Cpu | DeviceId::CpuTensors) => DeviceError::Forward { detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_libtorch_say_what_became_of_the_device() {
        let memory = [
            "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.15 GiB of which 1.12 GiB is free.",
            "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
            "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
            "Unable to find a valid cuDNN algorithm to run convolution",
            "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate \
             8589934592 bytes. Error code 12 (Cannot allocate memory)",
        ];
        let lost = [
            "CUDA error: an illegal memory access was encountered\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side \
             assertions.",
            "CUDA error: device-side assert triggered",
            "CUDA error: unspecified launch failure",
            "CUDA error: uncorrectable ECC error encountered",
            "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb, m, n, k)`",
            "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
            "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus",
        ];
        for device in [DeviceId::Cpu, DeviceId::Cuda(1)] {
            for text in memory {
                assert!(matches!(failure(device, text), DeviceError::OutOfMemory { .. }), "{text}");
            }
            for text in lost {
                assert!(matches!(failure(device, text), DeviceError::Lost { .. }), "{text}");
            }
        }
    }

    #[test]
    fn an_unknown_text_loses_a_gpu_and_costs_a_cpu_one_batch() {
        let text = "Internal torch error: The size of tensor a (3) must match the size of tensor b (4) at dimension 1\nException \
                    raised from infer_size_impl at ../aten/src/ATen/ExpandUtils.cpp:36 (most recent call first):\nframe #0: \
                    c10::cuda::CUDACachingAllocator, cuDNN";
        let detail =
            "Internal torch error: The size of tensor a (3) must match the size of tensor b (4) at dimension 1"
                .to_owned();
        assert_eq!(failure(DeviceId::Cpu, text), DeviceError::Forward { detail: detail.clone() });
        assert_eq!(failure(DeviceId::Cuda(0), text), DeviceError::Lost { device: DeviceId::Cuda(0), detail });
    }
}
