//! Stands in for the torch backend in builds without it.

use std::sync::Arc;

use super::engine::Engine;
use super::faulty::Strikes;
use super::{Device, DeviceError};
use crate::config::Precision;
use crate::plan::{DeviceId, Plan, Schedule};
use crate::tensor::Gpu;

const MISSING: &str = "this build of swath has no libtorch; build it with the feature `torch`, or use --backend fake";

/// Nothing is ever on its way.
pub(super) struct Loading;

impl Loading {
    /// Fails: there is no libtorch.
    pub(super) fn start(_plan: &Plan, schedule: &Schedule) -> Result<Self, DeviceError> {
        let missing = |device: &DeviceId| DeviceError::Missing { device: *device, detail: MISSING.into() };
        schedule.devices.first().map_or(Ok(Self), |device| Err(missing(device)))
    }

    pub(super) fn nothing() -> Self {
        Self
    }

    pub(super) fn wait_for_first(&self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// Fails, likewise.
pub(super) fn open(
    _plan: &Plan,
    device: DeviceId,
    _held: &[usize],
    _loading: &Arc<Loading>,
) -> Result<Box<dyn Engine>, DeviceError> {
    Err(DeviceError::Missing { device, detail: MISSING.into() })
}

/// Fails, likewise.
pub(super) fn open_device(
    _plan: &Plan,
    device: DeviceId,
    _held: &[usize],
    _strikes: Option<Strikes>,
    _loading: &Arc<Loading>,
) -> Result<Box<dyn Device>, DeviceError> {
    Err(DeviceError::Missing { device, detail: MISSING.into() })
}

/// There is none.
pub fn libtorch_version() -> Option<String> {
    None
}

/// What keeps a device from being used.
pub fn torch_problem(_device: DeviceId) -> Option<String> {
    Some(MISSING.into())
}

/// There are none that could be used.
pub fn cuda_devices() -> usize {
    0
}

/// There is none.
///
/// # Errors
/// Always.
pub fn gpu(_number: usize) -> Result<Gpu, String> {
    Err(MISSING.into())
}

/// Nothing to compare with: only libtorch knows the variables of a network.
///
/// # Errors
/// Never.
pub fn check_weights(_plan: &Plan) -> Result<(), DeviceError> {
    Ok(())
}

/// There is nothing to multiply with.
pub fn matmul_rate(_device: DeviceId, _precision: Precision) -> Option<f64> {
    None
}

/// There is no device with memory of its own.
pub fn device_memory(_device: DeviceId) -> Option<(u64, u64)> {
    None
}
