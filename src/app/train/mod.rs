//! `swath train`.
//!
//! ```text
//! pairs -> index -> loader -> trainer, step by step -> generations -> validation (a run over whole scenes) -> best and last bundle
//! ```
//!
//! `data` finds what is trained on, `follow` goes on from what a run directory knows (`standing`) to the last step, `validate` is `swath run`
//! itself on the validation scenes. What is written can be made again from the last generation, bit for bit on a CPU; so a process may die
//! at any moment.

mod data;
mod follow;
mod standing;
mod validate;

use std::path::PathBuf;

use super::run::{Origin, TimeLimits};
use super::{Error, Output};
use crate::config::{ByteSize, Pipeline};
use crate::dataset::Part;
use crate::lifecycle::{Clock, Lock};
use crate::report::{Show, TrainingSummary};

pub use follow::TrainEnd;

/// What `swath train` is asked.
#[derive(Clone, Debug)]
pub struct TrainRequest {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// Values of it that are changed.
    pub settings: Vec<String>,
    /// The member that is trained, by name; none for the only one.
    pub member: Option<String>,
    /// Labelled scenes.
    pub input: PathBuf,
    /// Which of them are trained on, and which validate.
    pub parts: Parts,
    /// Names of pairs that are left out, one a line.
    pub exclude: Option<PathBuf>,
    /// The run directory.
    pub out: PathBuf,
    /// Whether what is there is forgotten.
    pub fresh: bool,
    /// Whether the lock of another host is broken.
    pub break_lock: bool,
    /// The GPU; none for the CPU.
    pub gpu: Option<usize>,
    /// Threads of a CPU; none for all.
    pub threads: Option<usize>,
    /// Threads that read crops; none for a few.
    pub readers: Option<usize>,
    /// Bytes for crops and scenes that are kept; none for a share of what is free.
    pub memory: Option<ByteSize>,
    /// Steps between two generations; none for those of an epoch, or five minutes.
    pub keep_every: Option<u64>,
    /// How long it may take.
    pub limits: TimeLimits,
    /// What it is started by.
    pub origin: Origin,
    /// What is shown on standard error.
    pub show: Show,
}

/// Which pairs are trained on, and which validate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// Those that the layout or the list says: train and val.
    Named,
    /// All but this fold, and this fold.
    Fold(u32),
}

impl Parts {
    /// What a pair of a part is for: `Some(true)` to be trained on, `Some(false)` to validate.
    fn trains(self, part: Part) -> Option<bool> {
        match (self, part) {
            (Self::Named, Part::Train) => Some(true),
            (Self::Named, Part::Val) => Some(false),
            (Self::Fold(own), Part::Fold(fold)) => Some(own != fold),
            (Self::Named, Part::All | Part::Test | Part::Fold(_))
            | (Self::Fold(_), Part::All | Part::Train | Part::Val | Part::Test) => None,
        }
    }
}

/// How a training ended.
#[derive(Clone, Debug)]
pub struct Trained {
    /// In numbers.
    pub summary: TrainingSummary,
    /// Why.
    pub end: TrainEnd,
    /// Pairs that were left out because of what is wrong with them.
    pub n_refused: usize,
}

/// Trains, or goes on.
///
/// # Errors
/// When the pipeline or the data cannot be used, the run directory is in use, holds another training or cannot be written, the loss is
/// again and again no number, or somebody stops it.
pub fn train(request: &TrainRequest) -> Result<Trained, Error> {
    let clock = Clock::start(request.limits.begun, request.limits.deadline);
    let pipeline = Pipeline::load(&request.pipeline, &request.settings)?;
    let pipeline = alone(pipeline, request.member.as_deref())?;
    if request.out.exists() && !request.out.is_dir() {
        return Err(Error::Usage(format!("-o `{}` is a file; name a folder", request.out.display())));
    }
    let _lock = Lock::take(&request.out, request.break_lock)?;
    let trained = follow::Training::begin(request, pipeline, &clock).and_then(follow::Training::follow);
    clock.stop();
    trained
}

/// The pipeline with the one member that is trained.
fn alone(mut pipeline: Pipeline, name: Option<&str>) -> Result<Pipeline, Error> {
    let names: Vec<String> = pipeline.members.iter().map(|member| format!("`{}`", member.name)).collect();
    match name {
        Some(name) => pipeline.members.retain(|member| member.name == name),
        None if pipeline.members.len() > 1 => {
            let text = format!("the pipeline has several members; say --member with one of {}", names.join(", "));
            return Err(Error::Usage(text));
        }
        None => {}
    }
    if pipeline.members.is_empty() {
        return Err(Error::Usage(format!("--member: there is none of this name; there are {}", names.join(", "))));
    }
    if pipeline.train.is_none() {
        let text = "the pipeline has no [train] table; an empty one means the usual, pipelines/train.toml has every key";
        return Err(Error::Usage(text.to_owned()));
    }
    Ok(pipeline)
}
