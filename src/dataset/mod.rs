//! Labelled scenes: images with masks of what is to be seen there.
//!
//! ```text
//! folder or list -> pairs -> survey of each (grids, labels, pixels) -> counts and statistics, or why a pair is no use
//!                         -> split into parts
//! ```
//!
//! Images are read as `swath run` reads scenes, and masks by the same decoders, so that both may be of any size and from anywhere. A value
//! in a mask that stands for nothing refuses the pair: labels that are shifted by one teach a network nonsense, silently.

mod labels;
mod layout;
mod moments;
mod split;
mod survey;

pub use labels::{IGNORED, LabelRule};
pub use layout::{DatasetError, Found, Pair, Part, Stray, find};
pub use moments::Moments;
pub use split::{Grouping, Shares, split};
pub use survey::{Survey, Surveyor};
