//! Labelled scenes: images with masks of what is to be seen there.
//!
//! ```text
//! folder or list -> pairs -> survey of each (grids, labels, pixels) -> counts and statistics, or why a pair is no use
//!                         -> split into parts
//!                         -> index of where labels are (one pass over the masks) -> places, drawn by (seed, step, sample)
//!                            -> windows, from scenes that are kept as far as there is room -> crops, in order
//! ```
//!
//! Images are read as `swath run` reads scenes, and masks by the same decoders, so that both may be of any size and from anywhere. A value
//! in a mask that stands for nothing refuses the pair: labels that are shifted by one teach a network nonsense, silently.

mod cache;
mod crop;
mod draw;
mod index;
mod labels;
mod layout;
mod loader;
mod mask;
mod moments;
mod reader;
mod split;
mod survey;
#[cfg(test)]
mod tests;

pub use crop::Crop;
pub use draw::{Drawer, Place};
pub use index::{Index, Refused};
pub use labels::{IGNORED, LabelRule};
pub use layout::{DatasetError, Found, Pair, Part, Stray, exclude, find};
pub(crate) use layout::{IMAGES, listed};
pub use loader::{Feed, LoadError, Loader};
pub(crate) use mask::{MaskFile, Masks, Unknown};
pub use moments::Moments;
pub use reader::{Reader, Setup, allowed, with_readers};
pub use split::{Grouping, Shares, share_out, split};
pub use survey::Survey;
