//! Class masks as PNG, written and read row by row: memory is one row, whatever the size of the scene.
//!
//! A mask is a grey PNG whose samples, of 8 or 16 bits, are the values of the class table ([`MaskWriter`]). Beside it
//! stands, on request, a palette PNG for people ([`ColorWriter`]). [`MaskReader`] reads masks of any origin back,
//! palette indices taken as values.
//!
//! Both writers go through `atomic`: what [`MaskWriter::finish`] returns is complete, synced and hashed, under a
//! temporary name. The digest is taken while the bytes pass, so that no file is read back for it.

mod constant;
mod error;
mod hashed;
mod labels;
mod read;
mod rows;

pub use constant::constant;
pub(crate) use constant::constant_into;
pub use error::MaskError;
pub(crate) use hashed::Hashed;
pub use labels::{ColorWriter, MaskWriter};
pub use read::MaskReader;
pub use rows::MaskFile;
