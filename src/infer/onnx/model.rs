//! One ONNX model, and its sessions.

use std::sync::{Arc, Mutex, PoisonError};

use half::f16;
use ort::ep;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::{TensorElementType, TensorRef, ValueType};

use super::library;
use crate::config::{Precision, Weights};
use crate::geom::Size;
use crate::infer::DeviceError;
use crate::infer::logits::Logits;
use crate::infer::ports::{Ports, ports};
use crate::plan::{DeviceId, MemberPlan, Plan, Schedule};
use crate::weights::onnx::{self, OnnxBytes};
use crate::words::explain;
use crate::zoo::spec::NetworkSpec;

/// The ONNX models of a plan, read once for all devices.
pub(in crate::infer) struct Models {
    /// By index of the member.
    all: Vec<Option<Arc<Model>>>,
}

/// A model as it was read.
pub(super) struct Model {
    member: String,
    spec: NetworkSpec,
    ports: Ports,
    bytes: OnnxBytes,
    threads: usize,
    allows_tf32: bool,
    /// The session that tried it out, for the first who asks.
    first: Mutex<Option<(DeviceId, Running)>>,
}

pub(super) struct Running(Session);

impl Models {
    /// Reads the models that a schedule's devices hold, and runs each once on zeros of the size of the plan's first crops: what a model
    /// returns is only known for certain then.
    ///
    /// # Errors
    /// When a file is not the one that was planned with, ONNX Runtime refuses it, or it does not return what the pipeline says.
    pub(in crate::infer) fn read(plan: &Plan, schedule: &Schedule) -> Result<Self, DeviceError> {
        let holder = |idx: usize| {
            let is_held = |device: &usize| schedule.assignment.held_by(*device).contains(&idx);
            (0..schedule.devices.len()).find(is_held).map(|device| schedule.devices[device])
        };
        let read = |(idx, planned): (usize, &MemberPlan)| match holder(idx).filter(|_| planned.member.spec.is_onnx()) {
            None => Ok(None),
            Some(device) => {
                let model = Model::read(plan, planned)?;
                let mut first = model.session(device)?;
                if let Some(scene) = plan.scenes.first() {
                    model.try_out(&mut first, scene.grid.crop())?;
                }
                *model.first.lock().unwrap_or_else(PoisonError::into_inner) = Some((device, first));
                Ok(Some(Arc::new(model)))
            }
        };
        Ok(Self { all: plan.members.iter().enumerate().map(read).collect::<Result<_, _>>()? })
    }

    /// None: for plans without, and for a device that holds no member.
    pub(in crate::infer) fn nothing() -> Self {
        Self { all: Vec::new() }
    }

    /// That of a member.
    pub(super) fn of(&self, member: usize) -> Option<Arc<Model>> {
        self.all.get(member).cloned().flatten()
    }
}

impl Model {
    fn read(plan: &Plan, planned: &MemberPlan) -> Result<Self, DeviceError> {
        let member = planned.member.name.clone();
        let failed = |detail: String| DeviceError::Weights { member: member.clone(), detail };
        let ports = ports(plan, planned)?;
        let Weights::File(path) = &planned.member.weights else { return Err(failed("it has no file".to_owned())) };
        let bytes = onnx::load(path, &planned.digest).map_err(|e| failed(explain(&e)))?;
        Ok(Self {
            spec: planned.member.spec.clone(),
            ports,
            bytes,
            threads: plan.intra_op_threads as usize,
            allows_tf32: planned.resolved_precision == Precision::Tf32,
            first: Mutex::default(),
            member,
        })
    }

    fn failed(&self, detail: String) -> DeviceError {
        DeviceError::Weights { member: self.member.clone(), detail }
    }

    /// A session for a device: the one that is there, or one more.
    pub(super) fn running(&self, device: DeviceId) -> Result<Running, DeviceError> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take_if(|(of, _)| *of == device);
        first.map_or_else(|| self.session(device), |(_, running)| Ok(running))
    }

    fn session(&self, device: DeviceId) -> Result<Running, DeviceError> {
        let env = library::environment().map_err(|detail| DeviceError::Missing { device, detail })?;
        let build = || {
            let mut builder = self.on(device, Session::builder(env)?)?;
            for (name, bytes) in &self.bytes.data {
                builder = builder.with_external_initializer_file_in_memory(name, Arc::clone(bytes))?;
            }
            builder.commit_from_memory(&self.bytes.model)
        };
        build().map(Running).map_err(|e: ort::Error| self.failed(format!("ONNX Runtime refuses it: {}", told(&e))))
    }

    /// How it runs. Threads that wait for work do not spin beside the other workers', and a device other than the CPU never hands a part of
    /// the graph back.
    fn on(&self, device: DeviceId, builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        let builder = builder
            .with_intra_threads(self.threads)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_deterministic_compute(true)?
            // Crops of several sizes: plans for one are of no use to the next, and stay.
            .with_memory_pattern(false)?;
        Ok(match device.gpu() {
            None => builder.with_execution_providers([ep::CPU::default().with_arena_allocator(true).build()])?,
            Some(number) => {
                let number = i32::try_from(number).unwrap_or(i32::MAX);
                let cuda = ep::CUDA::default().with_device_id(number).with_tf32(self.allows_tf32);
                let cuda = cuda.with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic);
                builder.with_execution_providers([cuda.build().error_on_failure()])?.with_disable_cpu_fallback()?
            }
        })
    }

    fn try_out(&self, running: &mut Running, crop: Size) -> Result<(), DeviceError> {
        let full = self.spec.size_rule().padded(crop);
        let zeros = vec![0.0; self.spec.bands as usize * full.len()];
        running.run(self, &zeros, 1, full).map(drop).map_err(|text| self.failed(text))
    }
}

impl Running {
    /// Runs it on `[tile][band][row][column]`.
    pub(super) fn run(&mut self, model: &Model, values: &[f32], n_tiles: usize, full: Size) -> Result<Logits, String> {
        let spec = &model.spec;
        let at_once = if model.ports.one_by_one { 1 } else { n_tiles };
        let (side, per_tile) = (spec.logit_size(full), spec.bands as usize * full.len());
        let wanted = [at_once, spec.classes as usize, side.height as usize, side.width as usize];
        let mut logits = Vec::with_capacity(n_tiles * wanted[1] * side.len());
        for tiles in values.chunks_exact((at_once * per_tile).max(1)) {
            let shape = [at_once, spec.bands as usize, full.height as usize, full.width as usize];
            self.run_tiles(&model.ports, (shape, tiles), (wanted, spec.logit_stride()), &mut logits)?;
        }
        Ok(Logits::of_f32(logits, n_tiles, wanted[1], side, full, spec.upsample()))
    }

    fn run_tiles(
        &mut self,
        ports: &Ports,
        (shape, values): ([usize; 4], &[f32]),
        (wanted, stride): ([usize; 4], u32),
        logits: &mut Vec<f32>,
    ) -> Result<(), String> {
        let told = |e: ort::Error| format!("ONNX Runtime: {}", self::told(&e));
        let half: Vec<f16>;
        let input = if ports.takes_half {
            half = values.iter().map(|value| f16::from_f32(*value)).collect();
            TensorRef::from_array_view((shape, &*half)).map(|tensor| tensor.into_dyn())
        } else {
            TensorRef::from_array_view((shape, values)).map(|tensor| tensor.into_dyn())
        };
        let input = input.map_err(told)?;
        let outputs = self.0.run(ort::inputs![ports.input.as_str() => input]).map_err(told)?;
        let output = outputs.get(&ports.output).ok_or_else(|| format!("it returned no `{}`", ports.output))?;
        let ValueType::Tensor { ty, shape: found, .. } = output.dtype() else {
            return Err(format!("it returned `{}`, which is no tensor", ports.output));
        };
        let is_wanted = found.len() == 4 && found.iter().zip(wanted).all(|(n, m)| usize::try_from(*n) == Ok(m));
        if !is_wanted {
            return Err(format!(
                "it returned {found:?} for tiles of {} x {}, not {wanted:?}, which {} classes and `upsampling` = {stride} ask for: set \
                 `upsampling` to the pixels per logit",
                shape[3], shape[2], wanted[1]
            ));
        }
        if *ty == TensorElementType::Float16 {
            let (_, values) = output.try_extract_tensor::<f16>().map_err(told)?;
            logits.extend(values.iter().map(|value| f32::from(*value)));
        } else {
            let (_, values) = output.try_extract_tensor::<f32>().map_err(told)?;
            logits.extend_from_slice(values);
        }
        Ok(())
    }
}

/// What ONNX Runtime says, on one line.
fn told(error: &ort::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
