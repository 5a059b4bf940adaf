//! From a batch of raw crops to class labels.
//!
//! Two seams. A [`Device`] takes [`Work`] and gives it back: it normalises and pads the raw pixels, runs forward passes, sums their
//! [`Logits`] in the plan's order, up-samples once and takes the argmax. An *engine* only runs a network: torch, ONNX Runtime, or the stand-in. The sum
//! (`combine`) is the device's, and a plan has one: stored logits and those of other devices go through it like a device's own.
//!
//! `host` is the device whose logits end in the machine's own memory. What a failed pass says about its device, `failure` reads from the
//! text that comes with it; `faulty` fails on purpose. `null` is the device that does nothing, to
//! measure what feeds it.

mod batch;
mod blend;
mod combine;
mod device;
mod engine;
mod error;
mod failure;
mod fake;
mod faulty;
mod host;
mod input;
mod logits;
mod null;
mod open;
mod ports;

#[cfg(feature = "torch")]
#[path = "torch/mod.rs"]
mod torch_engine;
#[cfg(not(feature = "torch"))]
#[path = "torch_stub.rs"]
mod torch_engine;

#[cfg(feature = "onnx")]
#[path = "onnx/mod.rs"]
mod onnx_engine;
#[cfg(not(feature = "onnx"))]
#[path = "onnx_stub.rs"]
mod onnx_engine;

pub use batch::{RawBatch, TileFault, TileResult};
pub use blend::{Blender, Window};
pub use device::{Device, Done, Known, PassRan, PassWork, Wanted, Work};
pub use error::DeviceError;
pub use logits::Logits;
pub use onnx_engine::onnxruntime;
pub use open::{open_combiner, open_devices, problem};
pub use ports::check_onnx;
#[cfg(feature = "torch")]
pub use torch_engine::{OutputDrift, Probe};
pub use torch_engine::{check_weights, cuda_devices, device_memory, gpu, libtorch_version, matmul_rate, torch_problem};
