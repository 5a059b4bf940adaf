//! What became of a command as an exit code.

use crate::app::Error;
use crate::exit::ExitCode;
use crate::infer::DeviceError;
use crate::lifecycle;
use crate::report::RunReport;
use crate::stages::{GraphError, StageError};

/// The exit code of a run that came to its end.
pub(super) fn of(report: &RunReport) -> ExitCode {
    let is_late = report.deadline.as_ref().is_some_and(|deadline| deadline.missed_by.is_some());
    match (report.missing.is_empty(), report.failed.is_empty(), report.degraded() > 0 || is_late) {
        (false, _, _) => ExitCode::OutOfTime,
        (true, false, _) => ExitCode::ScenesFailed,
        (true, true, false) => ExitCode::Done,
        (true, true, true) => ExitCode::Degraded,
    }
}

/// The exit code of an error.
pub(super) fn code(error: &Error) -> ExitCode {
    if error.is_output_fault() {
        return ExitCode::Output;
    }
    match error {
        Error::Config(_)
        | Error::Scan(_)
        | Error::Plan(_)
        | Error::PlanFile(_)
        | Error::Usage(_)
        | Error::Foreign(_)
        | Error::Eval(_) => ExitCode::Usage,
        Error::Weights { .. } | Error::WeightsFile(_) => ExitCode::Weights,
        Error::Device(e) => of_device(e),
        Error::DeviceLost { .. } | Error::NoDevice { .. } => ExitCode::NoDevice,
        Error::Journal(_) => ExitCode::Unreadable,
        Error::Write(_)
        | Error::Print(_)
        | Error::NoRoom { .. }
        | Error::OutputRefused { .. }
        | Error::Unwritable { .. } => ExitCode::Output,
        Error::Stopped(signal) | Error::Interrupted(signal) => signal.exit_code(),
        Error::Lifecycle(e) => match e {
            lifecycle::Error::Locked { .. } => ExitCode::Locked,
            lifecycle::Error::Write(_) => ExitCode::Output,
            lifecycle::Error::System { .. } | lifecycle::Error::Died { .. } | lifecycle::Error::Stalled { .. } => {
                ExitCode::Internal
            }
        },
        Error::Graph(GraphError::Stage { source, .. }) => of_stage(source),
        Error::Graph(GraphError::Planted { .. } | GraphError::Panic { .. } | GraphError::Spawn { .. })
        | Error::Gdal(_)
        | Error::Mask(_)
        | Error::Package(_)
        | Error::Internal(_) => ExitCode::Internal,
    }
}

fn of_stage(error: &StageError) -> ExitCode {
    match error {
        StageError::Device(e) => of_device(e),
        StageError::Keep(_) | StageError::Commit(_) => ExitCode::Output,
        // What the disk refuses is an output fault, and told before.
        StageError::Encode(_) | StageError::Read(_) => ExitCode::Internal,
    }
}

fn of_device(error: &DeviceError) -> ExitCode {
    match error {
        DeviceError::Weights { .. } => ExitCode::Weights,
        DeviceError::Missing { .. } | DeviceError::OutOfMemory { .. } | DeviceError::Lost { .. } => ExitCode::NoDevice,
        DeviceError::Forward { .. } | DeviceError::Halted => ExitCode::Internal,
    }
}
