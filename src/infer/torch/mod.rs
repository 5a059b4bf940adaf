//! The networks on libtorch.

mod cuda;
mod probe;

use tch::nn::VarStore;
use tch::{Device, Kind, TchError, Tensor};

pub use probe::Probe;

use super::backend::{Backend, BackendError, ForwardKey};
use super::batch::RawBatch;
use super::failure::{failure, names_device};
use super::input::InputPlan;
use super::logits::Logits;
use crate::config::{Precision, Weights};
use crate::geom::Size;
use crate::plan::{BackendKind, DeviceId, MemberPlan, Plan};
use crate::zoo::identify;
use crate::zoo::layers::scope::Purpose;
use crate::zoo::registry::{self, Built};
use crate::zoo::script::Script;
use crate::zoo::segmenter::{Segmenter, run};
use crate::zoo::spec::NetworkSpec;
use crate::zoo::weights::{self, WeightsError};

/// One device that holds every member of the plan.
struct TorchBackend {
    device: DeviceId,
    members: Vec<TorchMember>,
    input: Vec<f32>,
}

struct TorchMember {
    spec: NetworkSpec,
    input: InputPlan,
    precision: Precision,
    body: Body,
}

/// Where a member's layers come from.
enum Body {
    Known { store: VarStore, network: Box<dyn Segmenter> },
    Program(Script),
}

impl Body {
    fn open(planned: &MemberPlan, device: Device) -> Result<Self, String> {
        let member = &planned.member;
        if let (Some(_), Weights::File(path)) = (member.spec.script, &member.weights) {
            let script = Script::load(path, &planned.digest, &member.spec, device);
            return script.map(Self::Program).map_err(|e| explain(&e));
        }
        let built = registry::build(&member.spec, Purpose::Inference, device);
        let Built { mut store, layout, network } = built.map_err(|e| e.to_string())?;
        match &member.weights {
            Weights::File(path) => weights::load(&store, &layout, path).map_err(|e| refused(&e))?,
            Weights::Seed(seed) => weights::seeded(&store, &layout, *seed).map_err(|e| explain(&e))?,
        }
        store.freeze();
        Ok(Self::Known { store, network })
    }

    fn network(&self) -> &dyn Segmenter {
        match self {
            Self::Known { network, .. } => network.as_ref(),
            Self::Program(script) => script,
        }
    }

    fn convert(&mut self, precision: Precision) -> Result<(), String> {
        match self {
            Self::Known { store, .. } => convert(store, precision).map_err(|e| e.to_string()),
            Self::Program(script) => script.to_kind(kind(precision)),
        }
    }
}

/// Builds the members on a device and loads their weights.
pub(super) fn open(plan: &Plan, device: DeviceId) -> Result<Box<dyn Backend>, BackendError> {
    if let Some(detail) = torch_problem(device) {
        return Err(BackendError::Device { device, detail });
    }
    let threads = i32::try_from(plan.intra_op_threads).unwrap_or(1);
    // Before the first operation: a thread inside an operation and the workers beside it would fight for the cores.
    tch::set_num_threads(threads);
    let members = plan.members.iter().map(|m| TorchMember::open(m, plan, device));
    let members = members.collect::<Result<_, _>>()?;
    Ok(Box::new(TorchBackend { device, members, input: Vec::new() }))
}

/// The device as tch has it.
fn target(device: DeviceId) -> Device {
    match device {
        DeviceId::Cpu => Device::Cpu,
        DeviceId::Cuda(n) => Device::Cuda(n),
    }
}

impl TorchMember {
    fn open(planned: &MemberPlan, plan: &Plan, device: DeviceId) -> Result<Self, BackendError> {
        let member = &planned.member;
        // Weights that a device cannot take are not to blame.
        let failed = |detail: String| match names_device(&detail) {
            true => BackendError::Device { device, detail },
            false => BackendError::Weights { member: member.name.clone(), detail },
        };
        let mut body = Body::open(planned, target(device)).map_err(failed)?;
        let precision = planned.resolved_precision;
        body.convert(precision).map_err(failed)?;
        let input = InputPlan::new(&member.input, &plan.bands, member.spec.size_rule(), plan.pipeline.tiling.border);
        Ok(Self { spec: member.spec.clone(), input, precision, body })
    }

    fn forward(&self, input: &[f32], n_tiles: usize, full: Size, device: DeviceId) -> Result<Logits, BackendError> {
        let failed = |detail: String| failure(device, &detail);
        let shape = [n_tiles as i64, i64::from(self.spec.bands), i64::from(full.height), i64::from(full.width)];
        let tensor = Tensor::from_slice(input).f_view(shape).and_then(|t| t.f_to_device(target(device)));
        let tensor = tensor.and_then(|t| t.f_to_kind(kind(self.precision))).map_err(|e| failed(e.to_string()))?;
        let out = run(self.body.network(), &tensor).map_err(|e| failed(e.to_string()))?;
        let values = out.values.f_to_kind(Kind::Float).and_then(|t| t.f_to_device(Device::Cpu));
        let values = values.and_then(|t| t.f_contiguous()).map_err(|e| failed(e.to_string()))?;
        let (_, n_classes, height, width) = values.size4().map_err(|e| failed(e.to_string()))?;
        let side = |n: i64| u32::try_from(n).unwrap_or(0);
        let mut host = vec![0.0; values.numel()];
        values.f_copy_data(&mut host, values.numel()).map_err(|e| failed(e.to_string()))?;
        Ok(Logits {
            values: host,
            n_tiles,
            n_classes: side(n_classes) as usize,
            size: Size::new(side(width), side(height)),
            full,
            upsample: out.upsample,
        })
    }
}

fn kind(precision: Precision) -> Kind {
    match precision {
        Precision::Auto | Precision::F32 => Kind::Float,
        Precision::F16 => Kind::Half,
        Precision::BF16 => Kind::BFloat16,
    }
}

/// Converts every variable that is no integer. `VarStore`'s own way panics where the device has no room.
fn convert(store: &VarStore, precision: Precision) -> Result<(), TchError> {
    for mut variable in store.variables().into_values().filter(Tensor::is_floating_point) {
        let converted = variable.f_to_kind(kind(precision))?;
        variable.f_set_data(&converted)?;
    }
    Ok(())
}

impl Backend for TorchBackend {
    fn forward(&mut self, batch: &RawBatch, key: ForwardKey) -> Result<Logits, BackendError> {
        let member = &self.members[key.member];
        member.input.fill(batch, &mut self.input);
        member.forward(&self.input, batch.len(), member.input.padded(batch.crop), self.device)
    }

    fn forward_f32(&mut self, batch: &RawBatch, key: ForwardKey) -> Option<Result<Logits, BackendError>> {
        let member = &mut self.members[key.member];
        let precision = member.precision;
        if kind(precision) == Kind::Float {
            return None;
        }
        // The stored weights widened: what overflowed was an activation.
        let widened = member.body.convert(Precision::F32);
        member.precision = Precision::F32;
        let logits = widened.map_err(|e| failure(self.device, &e)).and_then(|()| self.forward(batch, key));
        let member = &mut self.members[key.member];
        let narrowed = member.body.convert(precision).map_err(|e| failure(self.device, &e));
        member.precision = precision;
        Some(narrowed.and(logits))
    }
}

/// Why weights were refused, and which network they do fit.
fn refused(error: &WeightsError) -> String {
    let advice = if let WeightsError::Unfit(unfit) = error { identify::advice(&unfit.path) } else { None };
    explain(error) + &advice.map_or(String::new(), |text| format!("\n{text}"))
}

/// An error with its sources, in one line.
fn explain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |e| e.source()).fold(error.to_string(), |text, e| format!("{text}: {e}"))
}

/// The libtorch that tch is built for.
pub fn libtorch_version() -> Option<String> {
    Some("2.11.0".into())
}

/// Number of GPUs that libtorch can use.
pub fn cuda_devices() -> usize {
    cuda::device_count().map_or(0, |n| usize::try_from(n).unwrap_or(0))
}

/// Compares the weights files of a plan with their networks without reading the values: what opening a device would refuse
/// for its shape.
///
/// # Errors
/// The first member whose file does not fit.
pub fn check_weights(plan: &Plan) -> Result<(), BackendError> {
    if plan.backend == BackendKind::Fake {
        return Ok(());
    }
    // A program is known by its digest alone.
    for planned in plan.members.iter().filter(|m| m.member.spec.script.is_none()) {
        let failed = |detail: String| BackendError::Weights { member: planned.member.name.clone(), detail };
        let layout = registry::outline(&planned.member.spec).map_err(|e| failed(e.to_string()))?;
        if let Weights::File(path) = &planned.member.weights {
            weights::check(&layout, path).map_err(|e| failed(refused(&e)))?;
        }
    }
    Ok(())
}

/// What keeps a device from being used, `None` when nothing does.
pub fn torch_problem(device: DeviceId) -> Option<String> {
    match device {
        DeviceId::Cpu => None,
        DeviceId::Cuda(n) => match cuda::device_count() {
            Err(detail) => Some(detail),
            Ok(_) if n < cuda_devices() => None,
            Ok(count) => Some(format!("libtorch finds {count} CUDA devices")),
        },
    }
}
