//! Labels as PNG, written and read row by row: memory is one row, whatever the size of the scene.

mod constant;
mod labels;
mod read;
mod rows;
mod setting;

pub use constant::constant;
pub(crate) use constant::constant_into;
pub use labels::LabelPng;
pub(crate) use labels::encode_labels;
pub use read::MaskReader;
pub(super) use rows::{FileRows, PixelFormat};
pub(crate) use setting::PngSetting;

use super::OutputError;
