//! Weights on disk: files that fit a network exactly, or are refused with everything that is wrong with them.
//!
//! [`WeightsFile`] reads safetensors files, PyTorch checkpoints and Huffman directories; the content decides, not the name. Files
//! are data here: none can make the program run anything, and no length in one is believed before it has been compared with
//! the file.
//!
//! "Exactly" means: every variable of the network is in the file, the file holds nothing else, every shape is equal (nothing
//! is broadcast), every value is finite. Stored as f32, f16 or bf16; widened to f32. PyTorch's `num_batches_tracked` counters
//! are ignored, present or absent. A refused file changes no variable.
//!
//! What a file says of itself ([`Metadata`]) goes with its tensors into every file that is made of it.

mod compress;
mod convert;
mod digest;
mod error;
mod file;
mod fit;
mod flaw;
mod format;
mod huffman;
mod inspect;
pub mod layout;
mod listing;
mod names;
mod notes;
pub mod onnx;
mod open;
mod pickle;
mod pth;
mod reader;
mod selection;
mod strided;
pub mod swz;
mod tensor;

pub use compress::{Amount, Compressed, check_compressible, compress, compressed_files};
pub use convert::{Difference, Target, ValueDifference, convert, diff, rewrite, write_f32};
pub use digest::{digest, digests};
pub use error::WeightsError;
pub use fit::{Mismatch, Unfit, compare, compare_shapes};
pub use format::Format;
pub use inspect::{Inspection, check, inspect, metadata};
pub use listing::{FORM_KEY, Metadata};
pub use notes::Note;
pub use open::WeightsFile;
pub use selection::Selection;
pub use tensor::FileTensor;

#[cfg(feature = "torch")]
pub(crate) use convert::{Content, write};
#[cfg(feature = "torch")]
pub(crate) use fit::is_counter;
