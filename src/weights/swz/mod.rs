//! `.swz`: weights in a file of a few bits per weight.
//!
//! Large tensors are quantised and the levels Huffman-coded; everything that is small and matters (normalisations, biases, small
//! kernels) is kept bit for bit. A [`Plan`] says which tensor is coded how, an [`Allocator`] makes the plan of least damage for
//! a given file size, [`encode`] makes the file, [`SwzFile`] reads it. Equal tensors, metadata and plans give equal files.
//!
//! # The file
//!
//! All numbers are little-endian.
//!
//! ```text
//! file    = 0x89 "swz" CR LF 0x1a LF, version u32, header length u32, CRC-32 of the header u32, header,
//!           the bytes of every tensor in the header's order, SHA-256 of everything before
//! header  = number of tensors u32, then each: name length u16, name, type u8 (f32, f16, bf16), layout u8, number of dimensions u8,
//!           dimensions u32, number of bytes u32, CRC-32 of the bytes u32; from version 2 on number of metadata u32, then each: key
//!           length u32, key, value length u32, value
//! exact   = (layout 0) a plane per byte of a value: 0 and the bytes, or 1, the code of 256 symbols and streams
//! trellis = (layout 2) scales, for both kinds of states the number of levels u16, the levels as f16, their branches as bits, their code;
//!           streams
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
//! in their frequencies. A trellis that takes 3.18 bits for a Gaussian weight errs by 12.9 %, while the rate-distortion function, which no
//! coding beats, is at 2.95 bits for that. Levels without a trellis, layout 1 of the first version, erred by 14.4 % at this size when each
//! got as many bits as it is worth, and k-means clusters by 16 %. On trained weights trellises alone were within 1 % of the best mix of all
//! three from 2 to 6 bits per weight; below 2 bits, where all of them err by more than a fifth, a mix was 10 to 31 % better (2026-11-27). An arithmetic code would be a hundredth shorter than Huffman's, and
//! slower to decode than a hundred million weights per second and core.

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
mod plan;
mod scales;
mod source;
mod streams;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod trellis;
mod viterbi;

pub use allocate::{Allocated, Allocator};
pub use encode::{encode, measure};
pub use file::SwzFile;
pub(super) use header::{MAX_METADATA_BYTES, metadata_bytes};
pub use learned::Cost;
pub use plan::{Coding, Plan, is_kept_exact};
pub use source::SourceTensor;
