//! `swath eval`.

use std::path::PathBuf;

use super::masks::{Masks, Truth};
use super::{Error, Output};
use crate::atomic;
use crate::config::classes::ClassTable;
use crate::eval::{Distance, Evaluation};
use crate::report::{self, ValueClass};

/// What `swath eval` is asked.
#[derive(Clone, Debug)]
pub struct EvalRequest {
    /// A run directory, the folder of masks, or one.
    pub masks: PathBuf,
    /// What they are held against.
    pub truth: Truth,
    /// A pipeline file whose class table names the values, and which says how truth holds them.
    pub pipeline: Option<PathBuf>,
    /// Values of it that are changed.
    pub settings: Vec<String>,
    /// For boundary IoU, if that is wanted.
    pub boundary: Option<Distance>,
    /// Where a page is to be written.
    pub html: Option<Output>,
}

/// Scores masks; with the class table that names the values, where there is one.
///
/// # Errors
/// When a folder, a plan or the pipeline file cannot be read, no mask has a truth, pictures were given in place of masks, or the page may
/// not or cannot be written.
pub fn eval(request: &EvalRequest) -> Result<(Evaluation, Option<ClassTable>), Error> {
    if let Some(html) = &request.html {
        html.check(&[&html.path], &[&request.masks, &request.truth.path])?;
    }
    let masks = Masks::open(&request.masks, request.pipeline.as_deref(), &request.settings)?;
    let paired = masks.paired(&request.truth)?;
    let evaluation = masks.scored(paired, request.boundary)?;
    if let Some(html) = &request.html {
        let held = [request.masks.as_path(), &request.truth.path];
        let page = report::scores_page(&evaluation, &named(masks.classes()), held);
        let page = page.map_err(|e| Error::Internal(e.to_string()))?;
        atomic::write(&html.path, page.as_bytes())?;
    }
    Ok((evaluation, masks.classes().cloned()))
}

/// What values are called, and their colours.
pub(super) fn named(classes: Option<&ClassTable>) -> Vec<ValueClass> {
    let of_class = classes.into_iter().flat_map(ClassTable::classes);
    of_class.map(|class| ValueClass { value: class.value, name: class.name.clone(), color: class.color.0 }).collect()
}
