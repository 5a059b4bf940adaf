//! How a training is watched: what is recorded of it, and where that goes.
//!
//! ```text
//! trainer -> MetricsRecord -> MetricsLog   -> RUN/metrics.jsonl, RUN/tensorboard/events.out.tfevents.*
//!                          -> TrainingBars -> standard error (`training_bars.rs`)
//! ```
//!
//! A [`MetricsRecord`] is plain numbers; the trainer gives each to the log and to the bars. `metrics.jsonl` is what remains: it is cut back to
//! the step that a training goes on from, so that of an interrupted one it says the same as of one that was not, but for times. The page
//! (`html/training.rs`) reads it, line by line: nothing of it grows with the number of steps.

mod curves;
mod folds;
mod log;
mod records;
mod standing;
mod summary;
mod tensorboard;
#[cfg(test)]
mod tests;

pub(super) use curves::{Curve, Curves};
pub use folds::{FoldsSummary, PostChoice, folds_summary};
pub use log::{MetricsLog, Reached};
pub use records::{MetricsRecord, NoteRecord, StepRecord, StepTime, ValidationRecord, ValidationTime};
pub use standing::TrainingStanding;
pub use summary::{BestMetric, TrainingSummary, training_summary};
