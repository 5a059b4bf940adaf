//! Makes devices.

use super::combine::Combiner;
use super::engine::Engine;
use super::fake::FakeEngine;
use super::faulty::{FaultyEngine, Strikes};
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
        open_device(plan, *device, &schedule.assignment.held_by(idx), Strikes::new(plan, *device, faults))
    };
    schedule.devices.iter().enumerate().map(open).collect()
}

/// A device of the plan's class that holds no member: it combines what others ran.
///
/// # Errors
/// When the device is missing.
pub fn open_combiner(plan: &Plan, device: DeviceId) -> Result<Box<dyn Device>, DeviceError> {
    open_device(plan, device, &[], None)
}

fn open_device(
    plan: &Plan,
    device: DeviceId,
    members: &[usize],
    strikes: Option<Strikes>,
) -> Result<Box<dyn Device>, DeviceError> {
    let engine: Box<dyn Engine> = match (plan.backend, device) {
        (BackendKind::Null, _) => return Ok(Box::new(NullDevice::new(plan, device.in_flight()))),
        (BackendKind::Fake, _) => Box::new(FakeEngine::new(plan, device)),
        (BackendKind::Torch, DeviceId::Cpu) => torch_engine::open(plan, device, members)?,
        (BackendKind::Torch, DeviceId::Cuda(_) | DeviceId::CpuTensors) => {
            return torch_engine::open_device(plan, device, members, strikes);
        }
    };
    let engine = match strikes {
        None => engine,
        Some(strikes) => Box::new(FaultyEngine::new(engine, strikes)),
    };
    Ok(Box::new(HostDevice::new(plan, engine, Combiner::of(plan), device.in_flight())))
}
