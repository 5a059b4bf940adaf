//! Makes devices.

use std::sync::Arc;

use super::combine::Combiner;
use super::engine::Engine;
use super::fake::FakeEngine;
use super::faulty::{FaultyEngine, Strikes};
use super::host::HostDevice;
use super::null::NullDevice;
use super::onnx_engine::{self, Models};
use super::torch_engine::{self, Loading};
use super::{Device, DeviceError, torch_problem};
use crate::faults::Faults;
use crate::plan::{BackendKind, DeviceId, Plan, Schedule};

/// Makes every device of the schedule, with the members that it holds and the faults that are planned for devices. Weights are read once for
/// all of them. The first member is there then, the others may be on their way: a device that asks for one waits for it.
///
/// # Errors
/// When a device is missing or the weights do not fit.
pub fn open_devices(plan: &Plan, schedule: &Schedule, faults: &Faults) -> Result<Vec<Box<dyn Device>>, DeviceError> {
    if plan.backend == BackendKind::Fake {
        // The stand-in has no use for weights; a trial of everything else shall find the ones that a real run would refuse.
        torch_engine::check_weights(plan)?;
    }
    let (loading, models) = match plan.backend {
        BackendKind::Torch => {
            let problem = |device: &DeviceId| Some((*device, problem(plan, *device)?));
            if let Some((device, detail)) = schedule.devices.iter().find_map(problem) {
                return Err(DeviceError::Missing { device, detail });
            }
            let models =
                if Runtimes::of(plan) == Runtimes::Torch { Models::nothing() } else { Models::read(plan, schedule)? };
            let torch = Runtimes::of(plan) != Runtimes::Onnx;
            (if torch { Loading::start(plan, schedule)? } else { Loading::nothing() }, models)
        }
        BackendKind::Fake | BackendKind::Null => (Loading::nothing(), Models::nothing()),
    };
    let loading = Arc::new(loading);
    let open = |(idx, device): (usize, &DeviceId)| {
        let strikes = Strikes::new(plan, *device, faults);
        open_device(plan, *device, &schedule.assignment.held_by(idx), strikes, (&loading, &models))
    };
    let devices = schedule.devices.iter().enumerate().map(open).collect::<Result<_, _>>()?;
    loading.wait_for_first()?;
    Ok(devices)
}

/// A device of the plan's class that holds no member: it combines what others ran.
///
/// # Errors
/// When the device is missing.
pub fn open_combiner(plan: &Plan, device: DeviceId) -> Result<Box<dyn Device>, DeviceError> {
    open_device(plan, device, &[], None, (&Arc::new(Loading::nothing()), &Models::nothing()))
}

/// What keeps the members of a plan from running on a device, `None` when nothing does.
pub fn problem(plan: &Plan, device: DeviceId) -> Option<String> {
    match (Runtimes::of(plan), device) {
        (Runtimes::Torch, _) => torch_problem(device),
        (Runtimes::Both, DeviceId::Cuda(_)) | (Runtimes::Both | Runtimes::Onnx, DeviceId::CpuTensors) => Some(
            "ONNX models run on cpu, and without members of libtorch beside them on GPUs: name --devices cpu, or make a pipeline of each"
                .into(),
        ),
        (Runtimes::Both, DeviceId::Cpu) => onnx_engine::problem(device).or_else(|| torch_problem(device)),
        (Runtimes::Onnx, DeviceId::Cpu | DeviceId::Cuda(_)) => onnx_engine::problem(device),
    }
}

/// What the members of a plan need. A plan has one sum whatever its devices hold, so this is asked of all of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runtimes {
    Torch,
    Onnx,
    Both,
}

impl Runtimes {
    fn of(plan: &Plan) -> Self {
        let n_onnx = plan.members.iter().filter(|m| m.member.spec.is_onnx()).count();
        match n_onnx {
            0 => Self::Torch,
            n if n == plan.members.len() => Self::Onnx,
            _ => Self::Both,
        }
    }
}

fn open_device(
    plan: &Plan,
    device: DeviceId,
    members: &[usize],
    strikes: Option<Strikes>,
    (loading, models): (&Arc<Loading>, &Models),
) -> Result<Box<dyn Device>, DeviceError> {
    let torch = || {
        let is_known = |member: &usize| !plan.members[*member].member.spec.is_onnx();
        let held: Vec<usize> = members.iter().copied().filter(is_known).collect();
        torch_engine::open(plan, device, &held, loading)
    };
    let engine: Box<dyn Engine> = match (plan.backend, Runtimes::of(plan), device) {
        (BackendKind::Null, ..) => return Ok(Box::new(NullDevice::new(plan, device.in_flight()))),
        (BackendKind::Fake, ..) => Box::new(FakeEngine::new(plan, device)),
        (BackendKind::Torch, Runtimes::Torch, DeviceId::Cpu) => torch()?,
        (BackendKind::Torch, Runtimes::Torch, DeviceId::Cuda(_) | DeviceId::CpuTensors) => {
            return torch_engine::open_device(plan, device, members, strikes, loading);
        }
        (BackendKind::Torch, Runtimes::Onnx, _) => onnx_engine::open(plan, device, members, models, None)?,
        (BackendKind::Torch, Runtimes::Both, _) => onnx_engine::open(plan, device, members, models, Some(torch()?))?,
    };
    let engine = match strikes {
        None => engine,
        Some(strikes) => Box::new(FaultyEngine::new(engine, strikes)),
    };
    Ok(Box::new(HostDevice::new(plan, engine, Combiner::of(plan), device.in_flight())))
}
