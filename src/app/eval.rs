//! `swath eval`.

use std::path::PathBuf;

use super::Error;
use crate::config::Pipeline;
use crate::config::classes::ClassTable;
use crate::eval::{Evaluation, evaluate};

/// What `swath eval` is asked.
#[derive(Clone, Debug)]
pub struct EvalRequest {
    /// The folder of masks.
    pub masks: PathBuf,
    /// The folder of true masks.
    pub truth: PathBuf,
    /// A value of the truth that is left out.
    pub ignore: Option<u16>,
    /// A pipeline file whose class table names the values.
    pub pipeline: Option<PathBuf>,
}

/// Scores a folder of masks; with the class table that names the values, where one was asked for.
///
/// # Errors
/// When a folder or the pipeline file cannot be read, or no mask has a truth.
pub fn eval(request: &EvalRequest) -> Result<(Evaluation, Option<ClassTable>), Error> {
    let pipeline = request.pipeline.as_ref().map(|path| Pipeline::load(path, &[])).transpose()?;
    let evaluation = evaluate(&request.masks, &request.truth, request.ignore)?;
    Ok((evaluation, pipeline.map(|p| p.classes)))
}
