//! `swath train`.
//!
//! ```text
//! pairs -> index -> loader -> trainer, step by step -> generations -> validation (a run over whole scenes) -> best and last bundle
//! ```
//!
//! `data` finds what is trained on, `follow` goes on from what a run directory knows (`standing`) to the last step, `validate` is `swath run`
//! itself on the validation scenes, and `folds` does all of it once for each of several parts. What is written can be made again from the last generation, bit for bit on a CPU; so a process may die
//! at any moment.

#[cfg(feature = "torch")]
mod auto;
#[cfg(feature = "torch")]
mod data;
#[cfg(feature = "torch")]
mod folds;
#[cfg(feature = "torch")]
mod follow;
#[cfg(feature = "torch")]
mod interrupts;
#[cfg_attr(not(feature = "torch"), expect(dead_code, reason = "without networks nothing is trained"))]
mod page;
#[cfg(feature = "torch")]
mod standing;
#[cfg(feature = "torch")]
mod start;
#[cfg(feature = "torch")]
mod teacher;
#[cfg(feature = "torch")]
mod validate;

use std::path::PathBuf;
use std::time::Duration;

use super::run::{Origin, TimeLimits};
use crate::config::ByteSize;
use crate::exit::ExitCode;
use crate::plan::DeviceId;
use crate::report::{FoldsSummary, Show, TrainingSummary};

#[cfg(feature = "torch")]
pub use folds::train_folds;
#[cfg(feature = "torch")]
pub use start::train;

/// What `swath train` is asked.
#[derive(Clone, Debug)]
pub struct TrainRequest {
    /// The pipeline file; none to have one written that follows from the data.
    pub pipeline: Option<PathBuf>,
    /// How long steps may take that it is written for; none for twenty minutes.
    pub budget: Option<Duration>,
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
    /// Where, a share of each batch on each; none for the first GPU, or else the CPU.
    pub devices: Option<Vec<DeviceId>>,
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
    /// The same, of so many that the pairs are shared out into, unless the list does it.
    FoldOf(u32, u32),
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

/// What a directory of trainings holds that leave out one fold after the other.
pub(super) struct FoldsLayout {
    /// The directory.
    pub(super) dir: PathBuf,
}

impl FoldsLayout {
    /// The pipeline file of all networks together.
    pub(super) fn ensemble(&self) -> PathBuf {
        self.dir.join("ensemble.toml")
    }

    /// What networks made of scenes that they had not seen.
    pub(super) fn unseen(&self) -> PathBuf {
        self.dir.join("out-of-fold")
    }

    /// Those masks.
    pub(super) fn masks(&self) -> PathBuf {
        self.unseen().join("masks")
    }

    /// The run directory that those of a fold are from.
    pub(super) fn run(&self, fold: u32) -> PathBuf {
        self.unseen().join(Self::name(fold))
    }

    /// What a fold is called.
    pub(super) fn name(fold: u32) -> String {
        format!("fold{fold}")
    }
}

/// How trainings ended that leave out one fold after the other.
#[derive(Clone, Debug)]
pub struct FoldsTrained {
    /// In numbers.
    pub summary: FoldsSummary,
    /// Why.
    pub end: TrainEnd,
    /// Pairs that were left out because of what is wrong with them.
    pub n_refused: usize,
}

/// Why a training is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainEnd {
    /// All steps are done.
    Done,
    /// So many validations were no better.
    NoBetter(u32),
    /// Time is up.
    OutOfTime,
}

impl TrainEnd {
    /// How it ends for the shell, where so many pairs were left out.
    pub fn exit(self, n_refused: usize) -> ExitCode {
        match self {
            Self::OutOfTime => ExitCode::Degraded,
            Self::Done | Self::NoBetter(_) if n_refused > 0 => ExitCode::ScenesFailed,
            Self::Done | Self::NoBetter(_) => ExitCode::Done,
        }
    }
}

impl std::fmt::Display for TrainEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => f.write_str("all steps are done"),
            Self::NoBetter(n) => write!(f, "no better for {n} validations"),
            Self::OutOfTime => f.write_str("time is up"),
        }
    }
}
