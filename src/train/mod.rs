//! A network in training, one step after the other.
//!
//! ```text
//! windows -> augment -> crops -> network -> logits -> objective -> gradients -> optimiser -> values -> average
//!            on the device that trains      and sides  losses                   at the schedule's rate
//! ```
//!
//! [`Trainer`] owns all of it and takes steps; where windows come from and when to stop is `app`'s affair. What is drawn in a step follows
//! from the seed and the step's number; so a trainer that is put back where another one was ([`Trainer::restore`]) goes on as that one.
//!
//! A loss takes logits at the size of the labels. Labels are class indices, and [`loss::IGNORED`] where nobody knows or nothing is asked.
//! The optimiser owns the trained values: those of a group are views of one flat tensor, and so are their gradients. The recipe is data of
//! [`crate::config::train`]. `check` compares losses, schedules and steps with the numbers of reference implementations.

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
mod teacher;
mod trainer;

pub use batch::Batch;
pub use scale::LossScale;
pub use state::Counters;
pub use teacher::Teacher;
pub use trainer::{Moment, StepReport, Trainer, set_threads};
