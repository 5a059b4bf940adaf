//! What a file of weights is, for a person who looks at it.

use std::path::{Path, PathBuf};

use super::{FileTensor, Format, Mismatch, Note, Selection, WeightsError, WeightsFile, digest};

/// What can be said of a file without a network and without its values.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The file or directory.
    pub path: PathBuf,
    /// What its content is.
    pub format: Format,
    /// What was unwrapped, renamed or left out.
    pub notes: Vec<Note>,
    /// The tensors that were asked for, in the file's order.
    pub tensors: Vec<FileTensor>,
    /// Names that stand twice.
    pub duplicates: Vec<Mismatch>,
    /// The digest that plans and manifests know it by ([`digest`]).
    pub digest: String,
}

/// Looks at the tensors of `path` that `selection` asks for.
///
/// # Errors
/// As [`WeightsFile::open_selected`].
pub fn inspect(path: &Path, selection: Selection) -> Result<Inspection, WeightsError> {
    let file = WeightsFile::open_selected(path, selection)?;
    Ok(Inspection {
        path: path.to_owned(),
        format: file.format(),
        notes: file.notes().to_vec(),
        tensors: file.tensors().to_vec(),
        duplicates: file.duplicates().to_vec(),
        digest: digest(path)?,
    })
}
