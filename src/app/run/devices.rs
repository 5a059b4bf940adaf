//! Devices that are lost, and how often.
//!
//! A lost device ends its process: the CUDA context is broken for good, and nothing tells what a pass on it would give. The journal
//! counts, and a run that is started again leaves out a device that was lost [`MOST_FAULTS`] times. Once a person starts a run, the
//! count begins anew.

use std::collections::BTreeMap;

use crate::app::Error;
use crate::infer::DeviceError;
use crate::journal::{DeviceFaultRecord, Journal, Record};
use crate::plan::{DeviceId, Schedule};
use crate::stages::{GraphError, StageError};

/// A device is left out after this many faults.
pub(in crate::app) const MOST_FAULTS: usize = 3;

/// What is left of a schedule after these faults.
///
/// # Errors
/// When no device is.
pub(in crate::app) fn without_lost(schedule: &Schedule, faults: &[DeviceFaultRecord]) -> Result<Schedule, Error> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for fault in faults {
        *counts.entry(fault.device.as_str()).or_default() += 1;
    }
    let is_lost = |device: &DeviceId| counts.get(device.to_string().as_str()).is_some_and(|n| *n >= MOST_FAULTS);
    let mut lost: Vec<DeviceId> = schedule.devices.iter().copied().filter(is_lost).collect();
    lost.dedup();
    let none_left = || {
        let cause = faults.last().map(|fault| fault.detail.clone()).unwrap_or_default();
        Error::NoDevice { devices: lost.iter().map(ToString::to_string).collect(), cause }
    };
    schedule.without(&lost).ok_or_else(none_left)
}

/// Counts a lost device. Returns the error that ends the run.
pub(in crate::app) fn count(journal: &mut Journal, fault: DeviceFaultRecord) -> Error {
    let DeviceFaultRecord { device, detail } = fault.clone();
    journal.append(&[Record::DeviceFault(fault)]).map_or_else(Error::from, |()| Error::DeviceLost { device, detail })
}

/// The device that an early end is owed to, if it is.
pub(in crate::app) fn lost_in(error: &GraphError) -> Option<DeviceFaultRecord> {
    let GraphError::Stage { source, .. } = error else { return None };
    match source.as_ref() {
        StageError::Device(error) => lost(error),
        StageError::Read(_) | StageError::Keep(_) | StageError::Encode(_) | StageError::Commit(_) => None,
    }
}

/// The device that could not be opened, where it is known to have been there.
pub(in crate::app) fn lost(error: &DeviceError) -> Option<DeviceFaultRecord> {
    match error {
        DeviceError::Lost { device, detail } | DeviceError::Missing { device, detail } => {
            Some(DeviceFaultRecord { device: device.to_string(), detail: detail.clone() })
        }
        DeviceError::Weights { .. }
        | DeviceError::Forward { .. }
        | DeviceError::OutOfMemory { .. }
        | DeviceError::Halted => None,
    }
}
