//! Stands in for ONNX Runtime in builds without it.

use std::path::PathBuf;

use super::DeviceError;
use super::engine::Engine;
use crate::plan::{DeviceId, Plan, Schedule};

const MISSING: &str = "this build of swath cannot run ONNX models; build it with the feature `onnx`";

/// There are none.
pub(super) struct Models;

impl Models {
    pub(super) fn nothing() -> Self {
        Self
    }

    /// Fails: there is no ONNX Runtime.
    pub(super) fn read(_plan: &Plan, schedule: &Schedule) -> Result<Self, DeviceError> {
        let missing = |device: &DeviceId| DeviceError::Missing { device: *device, detail: MISSING.into() };
        schedule.devices.first().map_or(Ok(Self), |device| Err(missing(device)))
    }
}

/// Fails, likewise.
pub(super) fn open(
    _plan: &Plan,
    device: DeviceId,
    _held: &[usize],
    _models: &Models,
    _others: Option<Box<dyn Engine>>,
) -> Result<Box<dyn Engine>, DeviceError> {
    Err(DeviceError::Missing { device, detail: MISSING.into() })
}

/// What keeps ONNX models from running.
pub(super) fn problem(_device: DeviceId) -> Option<String> {
    Some(MISSING.into())
}

/// There is none.
///
/// # Errors
/// Always.
pub fn onnxruntime() -> Result<(String, PathBuf), String> {
    Err(MISSING.into())
}
