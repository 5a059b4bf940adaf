//! From a batch of raw crops to class labels.
//!
//! A [`Backend`] is one device with its members. It normalises and pads the raw pixels (`network_input`), runs a member and returns
//! [`Logits`] at the network's own resolution. [`Combiner`] sums them in the plan's order, up-samples once and takes the argmax,
//! fused; it is the one implementation for the class of device whose logits end in host memory.
//!
//! What a failed pass says about its device, `failure` reads from the text that comes with it; `faulty` fails on purpose.
//!
//! A forward pass is known by its [`ForwardKey`]: member and view.

mod backend;
mod batch;
mod combine;
mod failure;
mod fake;
mod faulty;
mod input;
mod logits;

#[cfg(feature = "torch")]
#[path = "torch/mod.rs"]
mod torch_backend;
#[cfg(not(feature = "torch"))]
#[path = "torch_stub.rs"]
mod torch_backend;

pub use backend::{Backend, BackendError, ForwardKey, PassTally, View, combine, keys_of, open_backends};
pub use batch::{RawBatch, TileFault, TileLabels};
pub use combine::Combiner;
pub use input::InputPlan;
pub use logits::Logits;
#[cfg(feature = "torch")]
pub use torch_backend::{OutputDrift, Probe};
pub use torch_backend::{check_weights, cuda_devices, libtorch_version, torch_problem};
