//! What became of a run as an exit code.

use crate::exit::ExitCode;
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
