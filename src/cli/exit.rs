//! Exit codes. The table stands in README as well.

use crate::app::Error;
use crate::atomic::WriteError;
use crate::flow::GraphError;
use crate::infer::BackendError;
use crate::journal::JournalError;
use crate::masks::MaskError;
use crate::report::RunReport;
use crate::stages::{CommitError, InferError};
use crate::zoo::weights::WeightsError;
use crate::zoo::weights::swz::SwzError;

/// All that was asked is done.
pub(super) const DONE: u8 = 0;
/// A bug.
pub(super) const INTERNAL: u8 = 1;
/// Arguments, pipeline or plan.
pub(super) const USAGE: u8 = 2;
/// Done, but some scenes have no mask.
pub(super) const SCENES_FAILED: u8 = 3;
/// Done, but time was too short for every member to see every scene.
pub(super) const DEGRADED: u8 = 4;
/// Time was up before all scenes were done.
pub(super) const SCENES_MISSING: u8 = 5;
/// Another run is at work in the run directory.
pub(super) const LOCKED: u8 = 11;
/// Weights do not fit or cannot be read.
pub(super) const WEIGHTS: u8 = 12;
/// An output could not be written.
pub(super) const OUTPUT: u8 = 13;
/// A device that was asked for is not there, or was lost.
pub(super) const NO_DEVICE: u8 = 14;

/// The run directory is of a format that this version cannot read.
pub(super) const UNREADABLE: u8 = 20;

/// The exit code of a run that came to its end.
pub(super) fn of(report: &RunReport) -> u8 {
    match (report.missing.is_empty(), report.failed.is_empty(), report.degraded()) {
        (false, _, _) => SCENES_MISSING,
        (true, false, _) => SCENES_FAILED,
        (true, true, 0) => DONE,
        (true, true, _) => DEGRADED,
    }
}

/// The exit code of an error.
pub(super) fn code(error: &Error) -> u8 {
    match error {
        Error::Config(_) | Error::Scan(_) | Error::Plan(_) | Error::Usage(_) | Error::Foreign(_) | Error::Eval(_) => {
            USAGE
        }
        Error::WeightsFile(WeightsError::Write(_) | WeightsError::Swz(SwzError::Write(_))) => OUTPUT,
        Error::Weights { .. } | Error::WeightsFile(_) => WEIGHTS,
        Error::Backend(e) => match e {
            BackendError::Weights { .. } => WEIGHTS,
            BackendError::Device { .. } | BackendError::OutOfMemory { .. } | BackendError::Lost { .. } => NO_DEVICE,
            BackendError::Forward { .. } => INTERNAL,
        },
        Error::DeviceLost { .. } | Error::NoDevice { .. } => NO_DEVICE,
        Error::Write(_) | Error::NoRoom { .. } => OUTPUT,
        Error::Mask(e) => output_or_bug(e.is_output_fault()),
        Error::Package(e) => output_or_bug(e.is_output_fault()),
        Error::Journal(e) => journal(e),
        Error::Locked { .. } => LOCKED,
        Error::Graph(e) => graph(e),
        Error::Stopped(signal) => signal.exit_code(),
        Error::Gdal(_) | Error::System { .. } | Error::Internal(_) | Error::Died { .. } | Error::Stalled { .. } => {
            INTERNAL
        }
    }
}

fn output_or_bug(is_output_fault: bool) -> u8 {
    if is_output_fault { OUTPUT } else { INTERNAL }
}

fn journal(error: &JournalError) -> u8 {
    if error.is_output_fault() { OUTPUT } else { UNREADABLE }
}

fn graph(error: &GraphError) -> u8 {
    match error {
        GraphError::Stage { source, .. } => {
            let keep = source.downcast_ref::<InferError>().is_some_and(|e| matches!(e, InferError::Write(_)));
            let write = keep || source.is::<WriteError>() || source.is::<CommitError>();
            let mask = source.downcast_ref::<MaskError>().is_some_and(MaskError::is_output_fault);
            output_or_bug(write || mask)
        }
        GraphError::Panic { .. } | GraphError::Spawn { .. } => INTERNAL,
    }
}
