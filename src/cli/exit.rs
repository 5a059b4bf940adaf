//! Exit codes. The table stands in README as well.

use crate::app::{self, Error};
use crate::infer::DeviceError;
use crate::report::RunReport;

/// All that was asked is done.
pub(super) const DONE: u8 = 0;
/// A bug.
pub(super) const INTERNAL: u8 = 1;
/// Arguments, pipeline or plan.
pub(super) const USAGE: u8 = 2;
/// Done, but some scenes have no mask.
pub(super) const SCENES_FAILED: u8 = 3;
/// Done, but time was too short for every member to see every scene, or too short altogether.
pub(super) const DEGRADED: u8 = 4;
/// Time was up before all scenes were done.
pub(super) const SCENES_MISSING: u8 = app::OUT_OF_TIME;
/// Another run is at work in the run directory.
pub(super) const LOCKED: u8 = 11;
/// Weights do not fit or cannot be read.
pub(super) const WEIGHTS: u8 = 12;
/// An output could not be written.
pub(super) const OUTPUT: u8 = 13;
/// A device that was asked for is not there, or was lost.
pub(super) const NO_DEVICE: u8 = 14;

/// The run directory cannot be read, by this version or at all.
pub(super) const UNREADABLE: u8 = 20;

/// The exit code of a run that came to its end.
pub(super) fn of(report: &RunReport) -> u8 {
    let is_late = report.deadline.as_ref().is_some_and(|deadline| deadline.missed_by.is_some());
    match (report.missing.is_empty(), report.failed.is_empty(), report.degraded() > 0 || is_late) {
        (false, _, _) => SCENES_MISSING,
        (true, false, _) => SCENES_FAILED,
        (true, true, false) => DONE,
        (true, true, true) => DEGRADED,
    }
}

/// The exit code of an error.
pub(super) fn code(error: &Error) -> u8 {
    if error.is_output_fault() {
        return OUTPUT;
    }
    match error {
        Error::Config(_) | Error::Scan(_) | Error::Plan(_) | Error::Usage(_) | Error::Foreign(_) | Error::Eval(_) => {
            USAGE
        }
        Error::Weights { .. } | Error::WeightsFile(_) => WEIGHTS,
        Error::Device(e) => match e {
            DeviceError::Weights { .. } => WEIGHTS,
            DeviceError::Missing { .. } | DeviceError::OutOfMemory { .. } | DeviceError::Lost { .. } => NO_DEVICE,
            DeviceError::Forward { .. } | DeviceError::Halted => INTERNAL,
        },
        Error::DeviceLost { .. } | Error::NoDevice { .. } => NO_DEVICE,
        Error::Journal(_) => UNREADABLE,
        Error::Write(_)
        | Error::Print(_)
        | Error::NoRoom { .. }
        | Error::OutputRefused { .. }
        | Error::Unwritable { .. } => OUTPUT,
        Error::Locked { .. } => LOCKED,
        Error::Stopped(signal) => signal.exit_code(),
        Error::Gdal(_)
        | Error::Mask(_)
        | Error::Package(_)
        | Error::Graph(_)
        | Error::System { .. }
        | Error::Internal(_)
        | Error::Died { .. }
        | Error::Stalled { .. } => INTERNAL,
    }
}
