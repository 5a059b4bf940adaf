//! Makes devices.

use super::combine::Combiner;
use super::engine::Engine;
use super::fake::FakeEngine;
use super::faulty::FaultyEngine;
use super::host::HostDevice;
use super::null::NullDevice;
use super::{Device, DeviceError, torch_engine};
use crate::faults::Faults;
use crate::plan::{BackendKind, DeviceId, Plan, Schedule};

/// Makes every device of the schedule, with the weights of the members that it holds and the faults that are planned for devices.
///
/// # Errors
/// When a device is missing or the weights do not fit.
pub fn open_devices(plan: &Plan, schedule: &Schedule, faults: &Faults) -> Result<Vec<Box<dyn Device>>, DeviceError> {
    if plan.backend == BackendKind::Fake {
        // The stand-in has no use for weights; a trial of everything else shall find the ones that a real run would refuse.
        torch_engine::check_weights(plan)?;
    }
    let open = |(idx, device): (usize, &DeviceId)| {
        if plan.backend == BackendKind::Null {
            return Ok(Box::new(NullDevice::new(plan, device.in_flight())) as Box<dyn Device>);
        }
        let engine = engine(plan, *device, &schedule.assignment.held_by(idx))?;
        let engine = match faults.is_empty() {
            true => engine,
            false => Box::new(FaultyEngine::new(engine, plan, *device, faults.clone())),
        };
        Ok(host(plan, engine, device.in_flight()))
    };
    schedule.devices.iter().enumerate().map(open).collect()
}

/// A device of the plan's class that holds no member: it combines what others ran.
///
/// # Errors
/// When the device is missing.
pub fn open_combiner(plan: &Plan, device: DeviceId) -> Result<Box<dyn Device>, DeviceError> {
    Ok(host(plan, engine(plan, device, &[])?, 1))
}

fn engine(plan: &Plan, device: DeviceId, members: &[usize]) -> Result<Box<dyn Engine>, DeviceError> {
    match plan.backend {
        // Nothing asks a null device for logits, so there are none to combine.
        BackendKind::Fake | BackendKind::Null => Ok(Box::new(FakeEngine::new(plan))),
        BackendKind::Torch => torch_engine::open(plan, device, members),
    }
}

fn host(plan: &Plan, engine: Box<dyn Engine>, depth: usize) -> Box<dyn Device> {
    Box::new(HostDevice::new(plan, engine, Combiner::of(plan), depth))
}
