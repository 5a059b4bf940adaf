//! `.swz`: weights in a file of a few bits per weight.
//!
//! Large tensors are quantised and the levels Huffman-coded; everything that is small and matters (normalisations, biases, small
//! kernels) is kept bit for bit. A [`Plan`] says which tensor is coded how, an [`Allocator`] makes the plan of least damage for
//! a given file size, [`save`] writes, [`SwzFile`] reads. Equal tensors and plans give equal files.
//!
//! # The file
//!
//! All numbers are little-endian.
//!
//! ```text
//! file    = 0x89 "swz" CR LF 0x1a LF, version u32, header length u32, CRC-32 of the header u32, header,
//!           the bytes of every tensor in the header's order, SHA-256 of everything before
//! header  = number of tensors u32, then each: name length u16, name, type u8 (f32, f16, bf16), layout u8, number of dimensions u8,
//!           dimensions u32, number of bytes u32, CRC-32 of the bytes u32
//! exact   = a plane per byte of a value: 0 and the bytes, or 1, the code of 256 symbols and streams
//! levels  = scales, number of levels u16, the levels as f16, their code, streams
//! trellis = scales, for both kinds of states the number of levels u16, the levels as f16, their branches as bits, their code; streams
//! scales  = 0 and the scale as f32, or 1, the largest as f32 and a plane of eighths of octaves below it, one per channel
//! code    = lengths of a canonical Huffman code, four bits each
//! streams = lengths of one stream or, from 4096 values on, of four, as u32, then the streams
//! ```
//!
//! # What a reader relies on
//!
//! Nothing in a file is trusted. A header has at most 16 MiB, and no more than the file; a tensor has no more values than its bytes
//! have bits, so reading allocates some 32 bytes per byte of the file at most. Codes are complete and streams end where their values do:
//! every file that is read at all has one meaning. A flipped bit is found by a CRC-32, a swapped part by the SHA-256.
//!
//! # Why so
//!
//! Weights have no structure that a general compressor finds: zstd does not gain a tenth on f16. What can be gained lies in the levels and
//! in their frequencies. At a relative error of 13 %, Gaussian weights take 3.40 bits as [`Coding::Clusters`], 3.25 as [`Coding::Steps`] and
//! 3.09 as [`Coding::Trellis`], while the rate-distortion function, which no coding beats, is at 2.95. An arithmetic code would be a
//! hundredth shorter than Huffman's, and slower to decode than a hundred million weights per second and core.

mod allocate;
mod bits;
mod encode;
mod exact;
mod fields;
mod file;
mod header;
mod histogram;
mod huffman;
mod learned;
mod levels;
mod parallel;
mod plan;
mod quantiser;
mod scales;
mod source;
mod streams;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod trellis;
mod viterbi;

use std::io;
use std::path::{Path, PathBuf};

pub use allocate::{Allocated, Allocator, compress};
pub use encode::{Cost, encode, measure, save};
pub use file::SwzFile;
pub use plan::{Coding, Plan, is_kept_exact};
pub use scales::Scaling;
pub use source::SourceTensor;

use crate::atomic::WriteError;
use fields::Broken;

/// Why weights could not be compressed, written or read.
#[derive(Debug, thiserror::Error)]
pub enum SwzError {
    /// The system refused.
    #[error("cannot {operation} the weights `{}`", path.display())]
    Io {
        /// What failed, as a verb: "open", "read".
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("`{}` is not a whole swz file: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A tensor cannot be coded so.
    #[error("cannot compress the tensor `{name}`: {reason}")]
    Unsuitable {
        /// The tensor.
        name: String,
        /// Why not.
        reason: String,
    },
    /// No coding makes the file so small.
    #[error("the weights cannot be compressed to {budget} bytes: {least} is the least")]
    Budget {
        /// What was asked for.
        budget: u64,
        /// The smallest size that every choice together can reach.
        least: u64,
    },
    /// The file could not be written.
    #[error("cannot save the weights")]
    Write(#[from] WriteError),
}

impl SwzError {
    /// A closure that wraps an I/O error of `path`.
    fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }

    /// A closure that names the tensor that something is wrong with.
    fn of_tensor(name: &str) -> impl FnOnce(Broken) -> Self {
        let name = name.to_owned();
        move |Broken(reason)| Self::Unsuitable { name, reason }
    }
}
