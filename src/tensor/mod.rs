//! What touches tensors beside networks: how crops become a network's input, conversion of types, and what tch lacks of CUDA.
//!
//! Runs, evaluation and training share the one normaliser. `input` says what it does, in numbers that need no libtorch.

mod gpu;
mod input;

#[cfg(feature = "torch")]
mod convert;
#[cfg(feature = "torch")]
mod cuda;
#[cfg(feature = "torch")]
mod normalise;
#[cfg(feature = "torch")]
mod staging;
#[cfg(feature = "torch")]
mod timeline;
#[cfg(feature = "torch")]
mod turn;

pub use gpu::Gpu;
pub use input::{Affine, Crops, InputRule};

#[cfg(feature = "torch")]
pub use self::{
    convert::convert,
    cuda::{allow_tf32, device_count, gpu},
    normalise::{Normaliser, Raw},
    staging::{Staging, upload},
    timeline::{Mark, Timeline, memory},
    turn::turn,
};
