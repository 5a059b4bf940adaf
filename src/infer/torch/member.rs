//! One member: its network with its weights, on one device.

use tch::{Device, Kind, Tensor};

use super::{kind, precision_of, target};
use crate::config::{Precision, Weights};
use crate::geom::Size;
use crate::infer::DeviceError;
use crate::infer::failure::{failure, names_device};
use crate::infer::logits::Logits;
use crate::plan::{DeviceId, MemberPlan, Plan};
use crate::words::explain;
use crate::zoo::registry::Variables;
use crate::zoo::script::Program;
use crate::zoo::segmenter::{Segmented, Segmenter, run};
use crate::zoo::spec::{NetworkSpec, Upsample};

/// A member on a device.
pub(super) struct TorchMember {
    pub(super) spec: NetworkSpec,
    precision: Precision,
    body: Body,
    device: DeviceId,
    /// The same in f32, where a pass asked for it and none has run since that did not.
    wide: Option<Box<dyn Segmenter>>,
}

/// Where a member's layers come from.
enum Body {
    Known { variables: Variables, network: Box<dyn Segmenter> },
    Program(Program),
}

impl TorchMember {
    /// The network around variables that are there.
    pub(super) fn around(planned: &MemberPlan, variables: Variables, device: DeviceId) -> Result<Self, DeviceError> {
        let MemberPlan { member, resolved_precision, .. } = planned;
        let network = variables.network(&member.spec);
        let network =
            network.map_err(|e| DeviceError::Weights { member: member.name.clone(), detail: e.to_string() })?;
        let body = Body::Known { variables, network };
        Ok(Self { spec: member.spec.clone(), precision: *resolved_precision, body, device, wide: None })
    }

    /// One that comes as a program.
    pub(super) fn program(planned: &MemberPlan, plan: &Plan, device: DeviceId) -> Result<Self, DeviceError> {
        let (member, precision) = (&planned.member, planned.resolved_precision);
        // Weights that a device cannot take are not to blame.
        let failed = |detail: String| match names_device(&detail) {
            true => DeviceError::Missing { device, detail },
            false => DeviceError::Weights { member: member.name.clone(), detail },
        };
        let Weights::File(path) = &member.weights else {
            return Err(failed("it has a seed, no file".to_owned()));
        };
        let program = Program::load(path, &planned.digest, &member.spec, target(device), kind(precision));
        let body = Body::Program(program.map_err(|e| failed(explain(&e)))?);
        let program = Self { spec: member.spec.clone(), precision, body, device, wide: None };
        if let Some(scene) = plan.scenes.first() {
            // What a program returns is only known when it runs: once, before work starts.
            program.try_out(scene.grid.crop()).map_err(failed)?;
        }
        Ok(program)
    }

    /// One whose weights somebody else has set, in this precision, and will set again.
    pub(super) fn of(spec: &NetworkSpec, device: DeviceId, precision: Precision, network: Box<dyn Segmenter>) -> Self {
        let body = Body::Known { variables: Variables::default(), network };
        Self { spec: spec.clone(), precision, body, device, wide: None }
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
        let (network, kind) = match (&self.wide, &self.body) {
            (Some(wide), _) => (wide.as_ref(), Kind::Float),
            (None, Body::Known { network, .. }) => (network.as_ref(), kind(self.precision)),
            (None, Body::Program(program)) => (program as &dyn Segmenter, kind(self.precision)),
        };
        let input = input.f_to_kind(kind).map_err(|e| self.failed(e.to_string()))?;
        run(network, &input).map_err(|e| self.failed(e.to_string()))
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

    /// From here on it runs in this precision: its own, or f32 with its stored weights widened, for what overflowed was an activation.
    /// Devices that share the weights do not notice.
    pub(super) fn in_precision(&mut self, precision: Precision) -> Result<&Self, DeviceError> {
        if kind(self.precision) == kind(precision) {
            self.wide = None;
        } else if let (None, Body::Known { variables, .. }) = (&self.wide, &self.body) {
            let failed = |detail: String| failure(self.device, &detail);
            let wide = variables.widened(&self.spec).map_err(failed)?;
            self.wide = Some(wide.network(&self.spec).map_err(|e| failed(e.to_string()))?);
        }
        Ok(self)
    }

    /// Whether a pass that returned what is no number may do better in f32.
    pub(super) fn can_widen(&self, precision: Precision) -> bool {
        // A program's weights are not within reach.
        matches!(self.body, Body::Known { .. }) && kind(precision) != Kind::Float
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
