//! The command.

use super::follow::Training;
use super::{TrainRequest, Trained};
use crate::app::Error;
use crate::config::Pipeline;
use crate::lifecycle::{Clock, Lock};

/// Trains, or goes on.
///
/// # Errors
/// When the pipeline or the data cannot be used, the run directory is in use, holds another training or cannot be written, the loss is
/// again and again no number, or somebody stops it.
pub fn train(request: &TrainRequest) -> Result<Trained, Error> {
    let clock = Clock::start(request.limits.begun, request.limits.deadline);
    let pipeline = Pipeline::load(&request.pipeline, &request.settings)?;
    let pipeline = alone(pipeline, request.member.as_deref())?;
    if request.out.exists() && !request.out.is_dir() {
        return Err(Error::Usage(format!("-o `{}` is a file; name a folder", request.out.display())));
    }
    let _lock = Lock::take(&request.out, request.break_lock)?;
    let trained = Training::begin(request, pipeline, &clock).and_then(Training::follow);
    clock.stop();
    trained
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
