//! The networks on libtorch.

mod cuda;
mod probe;

use tch::nn::VarStore;
use tch::{Device, Kind, TchError, Tensor};

pub use probe::{OutputDrift, Probe};

use super::DeviceError;
use super::engine::{Engine, Input};
use super::failure::{failure, names_device};
use super::logits::Logits;
use crate::config::{Precision, Weights};
use crate::geom::Size;
use crate::plan::{DeviceId, MemberPlan, Pass, Plan};
use crate::weights::{self, WeightsError};
use crate::zoo::identify;
use crate::zoo::layers::scope::Purpose;
use crate::zoo::registry::{self, Built};
use crate::zoo::script::Program;
use crate::zoo::segmenter::{Segmenter, run};
use crate::zoo::spec::NetworkSpec;
use crate::zoo::store;

/// The networks of one device.
struct TorchEngine {
    device: DeviceId,
    /// By index of the member, those that the device holds.
    members: Vec<Option<TorchMember>>,
}

struct TorchMember {
    spec: NetworkSpec,
    precision: Precision,
    body: Body,
}

/// Where a member's layers come from.
enum Body {
    Known { store: VarStore, network: Box<dyn Segmenter> },
    Program(Program),
}

impl Body {
    fn open(planned: &MemberPlan, device: Device) -> Result<Self, String> {
        let member = &planned.member;
        if let (Some(_), Weights::File(path)) = (member.spec.script, &member.weights) {
            let kind = kind(planned.resolved_precision);
            let program = Program::load(path, &planned.digest, &member.spec, device, kind);
            return program.map(Self::Program).map_err(|e| explain(&e));
        }
        let built = registry::build(&member.spec, Purpose::Inference, device);
        let Built { mut store, layout, network, .. } = built.map_err(|e| e.to_string())?;
        match &member.weights {
            Weights::File(path) => store::load(&store, &layout, path).map_err(|e| refused(e, &member.spec))?,
            Weights::Seed(seed) => store::seeded(&store, &layout, *seed).map_err(|e| explain(&e))?,
        }
        store.freeze();
        convert(&store, planned.resolved_precision).map_err(|e| e.to_string())?;
        Ok(Self::Known { store, network })
    }

    fn network(&self) -> &dyn Segmenter {
        match self {
            Self::Known { network, .. } => network.as_ref(),
            Self::Program(program) => program,
        }
    }

    /// The variables, where they are known.
    fn store(&self) -> Option<&VarStore> {
        match self {
            Self::Known { store, .. } => Some(store),
            Self::Program(_) => None,
        }
    }
}

/// Builds these members on a device and loads their weights.
pub(super) fn open(plan: &Plan, device: DeviceId, held: &[usize]) -> Result<Box<dyn Engine>, DeviceError> {
    if let Some(detail) = torch_problem(device) {
        return Err(DeviceError::Missing { device, detail });
    }
    let threads = i32::try_from(plan.intra_op_threads).unwrap_or(1);
    // Before the first operation: a thread inside an operation and the workers beside it would fight for the cores.
    tch::set_num_threads(threads);
    let open = |(idx, member)| held.contains(&idx).then(|| TorchMember::open(member, plan, device)).transpose();
    let members = plan.members.iter().enumerate().map(open).collect::<Result<_, _>>()?;
    Ok(Box::new(TorchEngine { device, members }))
}

/// The device as tch has it.
fn target(device: DeviceId) -> Device {
    match device {
        DeviceId::Cpu => Device::Cpu,
        DeviceId::Cuda(n) => Device::Cuda(n),
    }
}

impl TorchMember {
    fn open(planned: &MemberPlan, plan: &Plan, device: DeviceId) -> Result<Self, DeviceError> {
        let member = &planned.member;
        // Weights that a device cannot take are not to blame.
        let failed = |detail: String| match names_device(&detail) {
            true => DeviceError::Missing { device, detail },
            false => DeviceError::Weights { member: member.name.clone(), detail },
        };
        let body = Body::open(planned, target(device)).map_err(failed)?;
        let precision = planned.resolved_precision;
        let member = Self { spec: member.spec.clone(), precision, body };
        if let (Body::Program(_), Some(scene)) = (&member.body, plan.scenes.first()) {
            // What a program returns is only known when it runs: once, before work starts.
            member.try_out(scene.grid.crop(), device).map_err(failed)?;
        }
        Ok(member)
    }

    /// Runs it on zeros of the size that a crop is padded to.
    fn try_out(&self, crop: Size, device: DeviceId) -> Result<(), String> {
        let full = self.spec.size_rule().padded(crop);
        let zeros = vec![0.0; full.len() * self.spec.bands as usize];
        self.forward(&zeros, 1, full, device).map(drop).map_err(|e| explain(&e))
    }

    fn forward(&self, input: &[f32], n_tiles: usize, full: Size, device: DeviceId) -> Result<Logits, DeviceError> {
        let failed = |detail: String| match &self.body {
            // What a program says of itself breaks no device.
            Body::Program(_) if !names_device(&detail) => DeviceError::Forward { detail },
            Body::Program(_) | Body::Known { .. } => failure(device, &detail),
        };
        let shape = [n_tiles as i64, i64::from(self.spec.bands), i64::from(full.height), i64::from(full.width)];
        let tensor = Tensor::from_slice(input).f_view(shape).and_then(|t| t.f_to_device(target(device)));
        let tensor = tensor.and_then(|t| t.f_to_kind(kind(self.precision))).map_err(|e| failed(e.to_string()))?;
        let out = run(self.body.network(), &tensor).map_err(|e| failed(e.to_string()))?;
        let given = precision_of(out.values.kind());
        let values = out.values.f_to_kind(Kind::Float).and_then(|t| t.f_to_device(Device::Cpu));
        let values = values.and_then(|t| t.f_contiguous()).map_err(|e| failed(e.to_string()))?;
        let (_, n_classes, height, width) = values.size4().map_err(|e| failed(e.to_string()))?;
        let side = |n: i64| u32::try_from(n).unwrap_or(0);
        let mut host = vec![0.0; values.numel()];
        values.f_copy_data(&mut host, values.numel()).map_err(|e| failed(e.to_string()))?;
        Ok(Logits {
            values: host,
            precision: vec![given; n_tiles],
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

/// Converts every variable that is no integer. `VarStore`'s own way panics where the device has no room.
fn convert(store: &VarStore, precision: Precision) -> Result<(), TchError> {
    for mut variable in store.variables().into_values().filter(Tensor::is_floating_point) {
        let converted = variable.f_to_kind(kind(precision))?;
        variable.f_set_data(&converted)?;
    }
    Ok(())
}

impl Engine for TorchEngine {
    fn forward(&mut self, pass: Pass, input: Input<'_>, precision: Precision) -> Result<Logits, DeviceError> {
        let (device, n_tiles) = (self.device, input.batch.len());
        let Some(member) = &mut self.members[pass.member] else {
            return Err(DeviceError::Forward { detail: "the device does not hold it; this is a bug in swath".into() });
        };
        let run = |member: &TorchMember| member.forward(input.values, n_tiles, input.size, device);
        let planned = member.precision;
        if kind(planned) == kind(precision) {
            return run(member);
        }
        // The stored weights widened: what overflowed was an activation.
        member.convert(precision).map_err(|e| failure(device, &e.to_string()))?;
        let logits = run(member);
        member.convert(planned).map_err(|e| failure(device, &e.to_string()))?;
        logits
    }

    fn can_widen(&self, pass: Pass, precision: Precision) -> bool {
        // A program's weights are not within reach.
        let has_store = self.members[pass.member].as_ref().is_some_and(|member| member.body.store().is_some());
        has_store && kind(precision) != Kind::Float
    }
}

impl TorchMember {
    /// Converts its variables; from here on it runs in that precision.
    fn convert(&mut self, precision: Precision) -> Result<(), TchError> {
        if let Some(store) = self.body.store() {
            convert(store, precision)?;
        }
        self.precision = precision;
        Ok(())
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

/// What the GPU of this number is.
///
/// # Errors
/// When there is none, or the driver does not tell.
pub fn gpu(number: usize) -> Result<crate::infer::Gpu, String> {
    cuda::gpu(number)
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
        DeviceId::Cpu => None,
        DeviceId::Cuda(n) => match cuda::device_count() {
            Err(detail) => Some(detail),
            Ok(_) if n < cuda_devices() => None,
            Ok(count) => Some(format!("libtorch finds {count} CUDA devices")),
        },
    }
}
