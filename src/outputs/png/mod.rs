//! Labels as PNG, written and read row by row: memory is one row, whatever the size of the scene.

mod constant;
mod labels;
mod read;
mod rows;

pub use constant::constant;
pub(crate) use constant::constant_into;
pub use labels::LabelPng;
pub use read::MaskReader;
pub(super) use rows::PixelFormat;

use super::OutputError;
