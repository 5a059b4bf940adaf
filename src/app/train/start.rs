//! The command.

use std::path::PathBuf;
use std::time::Duration;

use super::follow::Training;
use super::interrupts::Interrupts;
use super::{TrainRequest, Trained, auto};
use crate::app::Error;
use crate::config::Pipeline;
use crate::infer;
use crate::lifecycle::{Clock, Lock};
use crate::plan::DeviceId;
use crate::words::plural;

/// Time that steps have of which nobody says how many there shall be.
const BUDGET: Duration = Duration::from_secs(20 * 60);

/// Trains, or goes on.
///
/// # Errors
/// When the pipeline or the data cannot be used, the run directory is in use, holds another training or cannot be written, the loss is
/// again and again no number, or somebody stops it.
pub fn train(request: &TrainRequest) -> Result<Trained, Error> {
    let clock = Clock::start(request.limits.begun, request.limits.deadline);
    let begun = Begun::at(request)?;
    let interrupts = Interrupts::begin(request)?;
    let request = TrainRequest { input: begun.input, ..request.clone() };
    let training = Training::begin(&request, begun.pipeline, &begun.gpus, &interrupts, &clock);
    let trained = training.and_then(Training::follow).map(|(trained, _)| trained);
    clock.stop();
    trained
}

/// What a training, or several of them, begins with.
pub(super) struct Begun {
    pub(super) pipeline: Pipeline,
    /// Labelled scenes.
    pub(super) input: PathBuf,
    /// The devices, by GPU; none is the CPU.
    pub(super) gpus: Vec<Option<usize>>,
    _lock: Lock,
}

impl Begun {
    /// Takes the run directory, and finds or makes the pipeline.
    ///
    /// # Errors
    /// When the pipeline or the data cannot be used, or the run directory is in use.
    pub(super) fn at(request: &TrainRequest) -> Result<Self, Error> {
        if request.out.exists() && !request.out.is_dir() {
            return Err(Error::Usage(format!("-o `{}` is a file; name a folder", request.out.display())));
        }
        let lock = Lock::take(&request.out, request.break_lock)?;
        let gpus = gpus(request.devices.as_deref())?;
        let (file, input) = match &request.pipeline {
            Some(file) => (file.clone(), request.input.clone()),
            None => auto::pipeline(request, request.budget.unwrap_or(BUDGET), &gpus)?,
        };
        let pipeline = alone(Pipeline::load(&file, &request.settings)?, request.member.as_deref())?;
        Ok(Self { pipeline, input, gpus, _lock: lock })
    }
}

/// The pipeline with the one member that is trained.
fn alone(mut pipeline: Pipeline, name: Option<&str>) -> Result<Pipeline, Error> {
    let names: Vec<String> = pipeline.members.iter().map(|member| format!("`{}`", member.name)).collect();
    match name {
        Some(name) => pipeline.members.retain(|member| member.name == name),
        None if pipeline.members.len() > 1 => {
            let text = format!("the pipeline has several members; say --member with one of {}", names.join(", "));
            return Err(Error::Usage(text));
        }
        None => {}
    }
    if pipeline.members.is_empty() {
        return Err(Error::Usage(format!("--member: there is none of this name; there are {}", names.join(", "))));
    }
    if pipeline.train.is_none() {
        let text =
            "the pipeline has no [train] table; an empty one means the usual, pipelines/train.toml has every key";
        return Err(Error::Usage(text.to_owned()));
    }
    Ok(pipeline)
}

/// The devices that train, by GPU; none is the CPU.
fn gpus(asked: Option<&[DeviceId]>) -> Result<Vec<Option<usize>>, Error> {
    let n = infer::cuda_devices();
    let Some(asked) = asked else { return Ok(vec![(n > 0).then_some(0)]) };
    if let Some(device) = asked.iter().find(|device| device.gpu().is_some_and(|gpu| gpu >= n)) {
        let text = format!("--devices: {device} is not here; there are {}", plural(n as u64, "GPU", "GPUs"));
        return Err(Error::Usage(text));
    }
    Ok(asked.iter().map(|device| device.gpu()).collect())
}
