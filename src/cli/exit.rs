//! What became of a command as an exit code.

use crate::app::Error;
use crate::exit::ExitCode;
use crate::infer::BackendError;
use crate::lifecycle;
use crate::report::RunReport;

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
        Error::Config(_) | Error::Scan(_) | Error::Plan(_) | Error::Usage(_) | Error::Foreign(_) | Error::Eval(_) => {
            ExitCode::Usage
        }
        Error::Weights { .. } | Error::WeightsFile(_) => ExitCode::Weights,
        Error::Backend(e) => match e {
            BackendError::Weights { .. } => ExitCode::Weights,
            BackendError::Device { .. } | BackendError::OutOfMemory { .. } | BackendError::Lost { .. } => {
                ExitCode::NoDevice
            }
            BackendError::Forward { .. } | BackendError::Halted => ExitCode::Internal,
        },
        Error::DeviceLost { .. } | Error::NoDevice { .. } => ExitCode::NoDevice,
        Error::Journal(_) => ExitCode::Unreadable,
        Error::Write(_)
        | Error::Print(_)
        | Error::NoRoom { .. }
        | Error::OutputRefused { .. }
        | Error::Unwritable { .. } => ExitCode::Output,
        Error::Stopped(signal) => signal.exit_code(),
        Error::Lifecycle(e) => match e {
            lifecycle::Error::Locked { .. } => ExitCode::Locked,
            lifecycle::Error::Write(_) => ExitCode::Output,
            lifecycle::Error::System { .. } | lifecycle::Error::Died { .. } | lifecycle::Error::Stalled { .. } => {
                ExitCode::Internal
            }
        },
        Error::Gdal(_) | Error::Mask(_) | Error::Package(_) | Error::Graph(_) | Error::Internal(_) => {
            ExitCode::Internal
        }
    }
}
