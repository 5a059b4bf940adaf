//! One member: its network with its weights, on one device.

use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::{explain, kind, precision_of, refused, target};
use crate::config::{Precision, Weights};
use crate::geom::Size;
use crate::infer::DeviceError;
use crate::infer::failure::{failure, names_device};
use crate::infer::logits::Logits;
use crate::plan::{DeviceId, MemberPlan, Plan};
use crate::tensor::convert;
use crate::zoo::layers::kernels::Kernels;
use crate::zoo::layers::scope::Purpose;
use crate::zoo::registry;
use crate::zoo::script::Program;
use crate::zoo::segmenter::{Segmented, Segmenter, run};
use crate::zoo::spec::{NetworkSpec, Upsample};
use crate::zoo::store;

/// A member on a device.
pub(super) struct TorchMember {
    pub(super) spec: NetworkSpec,
    precision: Precision,
    body: Body,
    device: DeviceId,
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
        let mut built = registry::build(&member.spec, Purpose::Inference, device).map_err(|e| e.to_string())?;
        match &member.weights {
            Weights::File(path) => {
                store::load(&built.store, &built.layout, path).map_err(|e| refused(e, &member.spec))?;
            }
            Weights::Seed(seed) => store::seeded(&built.store, &built.layout, *seed).map_err(|e| explain(&e))?,
        }
        built.store.freeze();
        convert(&built.store, kind(planned.resolved_precision)).map_err(|e| e.to_string())?;
        built.prepare(Kernels::named(planned.resolved_kernels, device))?;
        Ok(Self::Known { store: built.store, network: built.network })
    }

    fn network(&self) -> &dyn Segmenter {
        match self {
            Self::Known { network, .. } => network.as_ref(),
            Self::Program(program) => program,
        }
    }
}

impl TorchMember {
    /// Builds a member and loads its weights.
    pub(super) fn open(planned: &MemberPlan, plan: &Plan, device: DeviceId) -> Result<Self, DeviceError> {
        let member = &planned.member;
        // Weights that a device cannot take are not to blame.
        let failed = |detail: String| match names_device(&detail) {
            true => DeviceError::Missing { device, detail },
            false => DeviceError::Weights { member: member.name.clone(), detail },
        };
        let body = Body::open(planned, target(device)).map_err(failed)?;
        let member = Self { spec: member.spec.clone(), precision: planned.resolved_precision, body, device };
        if let (Body::Program(_), Some(scene)) = (&member.body, plan.scenes.first()) {
            // What a program returns is only known when it runs: once, before work starts.
            member.try_out(scene.grid.crop()).map_err(failed)?;
        }
        Ok(member)
    }

    /// One whose weights somebody else has set and will set again.
    pub(super) fn of(spec: &NetworkSpec, device: DeviceId, store: VarStore, network: Box<dyn Segmenter>) -> Self {
        let body = Body::Known { store, network };
        Self { spec: spec.clone(), precision: Precision::F32, body, device }
    }

    /// The variables, where they are known.
    pub(super) fn store(&self) -> Option<&VarStore> {
        match &self.body {
            Body::Known { store, .. } => Some(store),
            Body::Program(_) => None,
        }
    }

    /// Runs it on zeros of the size that a crop is padded to.
    fn try_out(&self, crop: Size) -> Result<(), String> {
        let full = self.spec.size_rule().padded(crop);
        let shape = [1, i64::from(self.spec.bands), i64::from(full.height), i64::from(full.width)];
        let zeros = Tensor::f_zeros(shape, (Kind::Float, target(self.device))).map_err(|e| e.to_string())?;
        self.run(&zeros).map(drop).map_err(|e| explain(&e))
    }

    /// What an error of libtorch during a pass means.
    pub(super) fn failed(&self, detail: String) -> DeviceError {
        match &self.body {
            // What a program says of itself breaks no device.
            Body::Program(_) if !names_device(&detail) => DeviceError::Forward { detail },
            Body::Program(_) | Body::Known { .. } => failure(self.device, &detail),
        }
    }

    /// Runs it on `[tiles, bands, rows, columns]`, f32, on its device.
    pub(super) fn run(&self, input: &Tensor) -> Result<Segmented, DeviceError> {
        let input = input.f_to_kind(kind(self.precision)).map_err(|e| self.failed(e.to_string()))?;
        run(self.body.network(), &input).map_err(|e| self.failed(e.to_string()))
    }

    /// The same from and to the machine's own memory.
    pub(super) fn forward(&self, input: &[f32], n_tiles: usize, full: Size) -> Result<Logits, DeviceError> {
        let shape = [n_tiles as i64, i64::from(self.spec.bands), i64::from(full.height), i64::from(full.width)];
        let failed = |e: tch::TchError| self.failed(e.to_string());
        let tensor = Tensor::from_slice(input).f_view(shape).and_then(|t| t.f_to_device(target(self.device)));
        let out = self.run(&tensor.map_err(failed)?)?;
        let precision = vec![precision_of(out.values.kind()); n_tiles];
        host_logits(&out.values, precision, full, out.upsample).map_err(failed)
    }

    /// Runs `work` with its weights in this precision.
    pub(super) fn with_precision<T>(
        &mut self,
        precision: Precision,
        work: impl FnOnce(&Self) -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        let planned = self.precision;
        if kind(planned) == kind(precision) {
            return work(self);
        }
        // The stored weights widened: what overflowed was an activation. Kernels that keep weights of their own have f32 only.
        self.convert(precision)?;
        let outcome = work(self);
        self.convert(planned)?;
        outcome
    }

    /// Converts its variables; from here on it runs in that precision.
    pub(super) fn convert(&mut self, precision: Precision) -> Result<(), DeviceError> {
        if let Some(store) = self.store() {
            convert(store, kind(precision)).map_err(|e| failure(self.device, &e.to_string()))?;
        }
        self.precision = precision;
        Ok(())
    }

    /// Whether a pass that returned what is no number may do better in f32.
    pub(super) fn can_widen(&self, precision: Precision) -> bool {
        // A program's weights are not within reach.
        self.store().is_some() && kind(precision) != Kind::Float
    }
}

/// `[tiles, classes, rows, columns]` brought into the machine's own memory.
pub(super) fn host_logits(
    values: &Tensor,
    precision: Vec<Precision>,
    full: Size,
    upsample: Option<Upsample>,
) -> Result<Logits, tch::TchError> {
    let (n_tiles, n_classes, height, width) = values.size4()?;
    let values = values.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut host = vec![0.0; values.numel()];
    values.f_copy_data(&mut host, values.numel())?;
    let side = |n: i64| u32::try_from(n).unwrap_or(0);
    Ok(Logits {
        values: host,
        precision,
        n_tiles: side(n_tiles) as usize,
        n_classes: side(n_classes) as usize,
        size: Size::new(side(width), side(height)),
        full,
        upsample,
    })
}
