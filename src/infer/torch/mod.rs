//! The networks on libtorch.

mod device;
mod engine;
mod loading;
mod member;
mod probe;
mod rates;
mod sum;

use tch::{Device, Kind};

pub use probe::{OutputDrift, Probe};
pub use rates::{device_memory, matmul_rate};

pub(super) use device::open as open_device;
pub(super) use engine::open;
pub(super) use loading::Loading;

use super::DeviceError;
use crate::config::{Precision, Weights};
use crate::plan::{DeviceId, Plan};
use crate::tensor::{self, Gpu};
use crate::weights::{self, WeightsError};
use crate::words::explain;
use crate::zoo::identify;
use crate::zoo::registry;
use crate::zoo::spec::NetworkSpec;

/// The device as tch has it.
fn target(device: DeviceId) -> Device {
    match device {
        DeviceId::Cpu | DeviceId::CpuTensors => Device::Cpu,
        DeviceId::Cuda(n) => Device::Cuda(n),
    }
}

fn kind(precision: Precision) -> Kind {
    match precision {
        Precision::Auto | Precision::F32 | Precision::Tf32 => Kind::Float,
        Precision::F16 => Kind::Half,
        Precision::BF16 => Kind::BFloat16,
    }
}

/// The type that values came in, and as which they are stored.
fn precision_of(kind: Kind) -> Precision {
    if kind == Kind::Half {
        Precision::F16
    } else if kind == Kind::BFloat16 {
        Precision::BF16
    } else {
        Precision::F32
    }
}

/// Why weights were refused by the network of this spec, and which network they do fit.
fn refused(error: WeightsError, spec: &NetworkSpec) -> String {
    let WeightsError::Unfit(unfit) = error else { return explain(&error) };
    // The outline alone knows which shapes follow from classes and bands.
    let outline = registry::outline(spec).ok();
    let error = outline.and_then(|outline| weights::check(&outline, &unfit.path).err());
    let advice = identify::advice(&unfit.path).map_or(String::new(), |text| format!("\n{text}"));
    explain(&error.unwrap_or(WeightsError::Unfit(unfit))) + &advice
}

/// The libtorch that tch is built for.
pub fn libtorch_version() -> Option<String> {
    Some("2.11.0".into())
}

/// Number of GPUs that libtorch can use.
pub fn cuda_devices() -> usize {
    tensor::device_count().map_or(0, |n| usize::try_from(n).unwrap_or(0))
}

/// What the GPU of this number is.
///
/// # Errors
/// When there is none, or the driver does not tell.
pub fn gpu(number: usize) -> Result<Gpu, String> {
    tensor::gpu(number)
}

/// Compares the weights files of a plan with their networks without reading the values: what opening a device would refuse
/// for its shape.
///
/// # Errors
/// The first member whose file does not fit.
pub fn check_weights(plan: &Plan) -> Result<(), DeviceError> {
    // A program is known by its digest alone.
    for planned in plan.members.iter().filter(|m| m.member.spec.script.is_none()) {
        let failed = |detail: String| DeviceError::Weights { member: planned.member.name.clone(), detail };
        if let Weights::File(path) = &planned.member.weights {
            let layout = registry::outline(&planned.member.spec).map_err(|e| failed(e.to_string()))?;
            weights::check(&layout, path).map_err(|e| failed(refused(e, &planned.member.spec)))?;
        }
    }
    Ok(())
}

/// What keeps a device from being used, `None` when nothing does.
pub fn torch_problem(device: DeviceId) -> Option<String> {
    match device {
        DeviceId::Cpu | DeviceId::CpuTensors => None,
        DeviceId::Cuda(n) => match tensor::device_count() {
            Err(detail) => Some(detail),
            Ok(_) if n < cuda_devices() => None,
            Ok(count) => Some(format!("libtorch finds {count} CUDA devices")),
        },
    }
}
