//! What ends a run, by the stage that it comes from.

use std::convert::Infallible;

use super::CommitError;
use crate::atomic::WriteError;
use crate::flow;
use crate::infer::DeviceError;
use crate::outputs::OutputError;
use crate::raster::RasterError;

/// The dataflow of these stages.
pub type Graph = flow::Graph<StageError>;

/// Why it ended before its work did.
pub type GraphError = flow::GraphError<StageError>;

/// Why a stage cannot go on. Whoever looks at it names every kind: a new one is looked at everywhere.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// What reads scenes is not to be had.
    #[error(transparent)]
    Read(#[from] RasterError),
    /// A device that answers no more, or not as it should.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Logits or labels that cannot be kept.
    #[error(transparent)]
    Keep(#[from] WriteError),
    /// A file of a scene.
    #[error(transparent)]
    Encode(#[from] OutputError),
    /// Final names, or the journal.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl From<Infallible> for StageError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
