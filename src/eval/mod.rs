//! Scores of masks against truth.
//!
//! ```text
//! folders, or a run and labelled scenes -> Pairs -> rows of values, truth through a rule where it has one
//!      -> Confusion, boundaries, reliability: of each pair, and summed over all -> Scores -> Evaluation: text, JSON, page
//! ```
//!
//! [`Confusion`] counts pairs of values, [`Scores`] is what follows from the counts, [`evaluate`] goes through pairs.
//! Counts are pooled over all pixels of all pairs; there is no mean of means, so a small scene weighs as much as its
//! pixels.
//!
//! Values are the masks' own, not class ids: truth and masks of any origin can be compared, as PNG or as GeoTIFF. A class table gives the
//! values names, and tells what is none; a [`crate::dataset::LabelRule`] makes class values of truth in another form.

mod boundary;
mod calibration;
mod confusion;
mod error;
mod geotiff;
mod hints;
mod labels;
mod listing;
mod pairs;
mod palette;
mod ruled;
mod scores;
mod text;

pub use boundary::{Boundaries, Distance};
pub use calibration::{Calibration, ReliabilityBin};
pub use confusion::Confusion;
pub use error::EvalError;
pub(crate) use labels::{EXTENSIONS, Labels, Opener, Row};
pub(crate) use listing::listing;
pub use listing::pairs_of;
pub use pairs::{Evaluation, Measures, Mismatch, PairFiles, Pairs, Palettes, SceneScores, evaluate};
pub use scores::{Matrix, Scores, ValueScore};
