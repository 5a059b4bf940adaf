//! Pipeline files: what can change a byte of output, as a person writes it and as the program runs it.
//!
//! `PipelineFile` is the file as written (serde, unknown keys refused); [`Pipeline`] is what it means, checked; where both are the same,
//! there is one type. A weights file may hold one ([`bundle`]). What is wrong is told with its key, by its line or by the setting of the command
//! line that brings it. Run-time facts (devices, workers, memory) are not here: they come from the command line and change no byte.

mod agree;
mod band;
mod batch;
pub mod bundle;
mod bytes;
mod check;
pub mod classes;
pub mod data;
mod duration;
mod fault;
mod file;
mod load;
mod names;
mod number;
mod pipeline;
mod post;
mod source;
pub mod train;

pub use band::Band;
pub use batch::Batch;
pub use bytes::ByteSize;
pub use duration::Span;
pub use load::{bundle_summary, bundled_pipeline};
pub use names::name_fault;
pub use pipeline::{
    Checkpoint, Combine, InputSpec, MaskDepth, Member, NodataRule, Outputs, Package, Pipeline, Precision, Reading,
    Weights,
};
pub use post::{Area, Post};
pub use source::ConfigError;
