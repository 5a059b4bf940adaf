//! `swath eval`.

use std::path::{Path, PathBuf};

use super::Error;
use crate::config::Pipeline;
use crate::config::classes::ClassTable;
use crate::eval::{Comparison, Evaluation, evaluate};
use crate::journal::JOURNAL_FILE;
use crate::outputs::OutputKind;
use crate::outputs::color::ColorPicture;
use crate::outputs::mask::Mask;

/// What `swath eval` is asked.
#[derive(Clone, Debug)]
pub struct EvalRequest {
    /// The folder of masks.
    pub masks: PathBuf,
    /// The folder of true masks.
    pub truth: PathBuf,
    /// Values of the truth that are left out.
    pub ignore: Vec<u16>,
    /// A pipeline file whose class table names the values.
    pub pipeline: Option<PathBuf>,
}

/// Scores a folder of masks; with the class table that names the values, where one was asked for.
///
/// # Errors
/// When a folder or the pipeline file cannot be read, no mask has a truth, or pictures were given in place of masks.
pub fn eval(request: &EvalRequest) -> Result<(Evaluation, Option<ClassTable>), Error> {
    [&request.masks, &request.truth].into_iter().try_for_each(|path| refuse_pictures(path))?;
    let pipeline = request.pipeline.as_ref().map(|path| Pipeline::load(path, &[])).transpose()?;
    let remap = pipeline.as_ref().map(Pipeline::remapped_values).unwrap_or_default();
    let classes = pipeline.map(|p| p.classes);
    let (masks, truth, ignore) = (&request.masks, &request.truth, &request.ignore);
    let evaluation = evaluate(&Comparison { masks, truth, ignore, classes: classes.as_ref(), remap: &remap })?;
    Ok((evaluation, classes))
}

/// Refuses the colour pictures of a run directory: their values are class ids, whatever the masks hold.
fn refuse_pictures(path: &Path) -> Result<(), Error> {
    let is_color =
        |folder: &&Path| folder.ends_with(ColorPicture.folder()) && folder.with_file_name(JOURNAL_FILE).is_file();
    let Some(folder) = path.ancestors().find(is_color) else { return Ok(()) };
    let masks = folder.with_file_name(Mask.folder()).join(path.strip_prefix(folder).unwrap_or(Path::new("")));
    let masks = masks.components().collect::<PathBuf>();
    Err(Error::Usage(format!(
        "`{}` holds pictures of masks: their values are indices of a palette, not class values; give `{}`",
        path.display(),
        masks.display()
    )))
}
