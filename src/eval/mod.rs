//! Scores of masks against truth.
//!
//! [`Confusion`] counts pairs of values, [`Scores`] is what follows from the counts, [`evaluate`] walks two folders.
//! Counts are pooled over all pixels of all pairs; there is no mean of means, so a small scene weighs as much as its
//! pixels.
//!
//! Values are the masks' own, not class ids: truth and masks of any origin can be compared, as PNG or as GeoTIFF. A class table gives the
//! values names, and tells what is none.

mod confusion;
mod error;
mod folders;
mod geotiff;
mod hints;
mod labels;
mod listing;
mod palette;
mod scores;
mod text;

pub use confusion::Confusion;
pub use error::EvalError;
pub use folders::{Comparison, Evaluation, Mismatch, Palettes, evaluate};
pub use scores::{Matrix, Scores, ValueScore};
