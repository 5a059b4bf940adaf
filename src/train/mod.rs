//! Training: what is minimised and how.
//!
//! ```text
//! network -> logits -> loss -> gradients -> optimiser, at the rate that the schedule gives
//! ```
//!
//! A loss takes logits at the size of the labels. Labels are class indices, and [`loss::IGNORED`] where nobody knows or nothing is asked.
//! The optimiser owns the trained values: those of a group are views of one flat tensor, and so are their gradients. `check` compares all
//! of it with the numbers of reference implementations.

mod augment;
mod average;
mod batch;
pub mod check;
mod groups;
pub mod loss;
mod objective;
pub mod optimiser;
mod scale;
pub mod schedule;
pub mod smoothing;
mod state;
mod trainer;

pub use batch::Batch;
pub use scale::LossScale;
pub use state::Counters;
pub use trainer::{Moment, StepReport, Trainer, set_threads};
