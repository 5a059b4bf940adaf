//! A file of weights looked at without its values: for a person, or against a network.

use std::path::{Path, PathBuf};

use super::layout::Layout;
use super::{
    FileTensor, Format, Metadata, Mismatch, Note, Selection, Unfit, WeightsError, WeightsFile, compare, digest,
};

/// What can be said of a file without a network and without its values.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The file or directory.
    pub path: PathBuf,
    /// What its content is.
    pub format: Format,
    /// What was unwrapped, renamed or left out.
    pub notes: Vec<Note>,
    /// What the file says of its weights.
    pub metadata: Metadata,
    /// The tensors that were asked for, in the file's order.
    pub tensors: Vec<FileTensor>,
    /// Names that stand twice.
    pub duplicates: Vec<Mismatch>,
    /// The digest that plans and manifests know it by ([`digest()`]).
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
        metadata: file.metadata().clone(),
        tensors: file.tensors().to_vec(),
        duplicates: file.duplicates().to_vec(),
        digest: digest(path)?,
    })
}

/// What the file `path` says of its weights; nothing where its format has no place for that.
///
/// # Errors
/// When it is no weights file, or its table of contents is broken.
pub fn metadata(path: &Path) -> Result<Metadata, WeightsError> {
    match Format::of(path)? {
        Format::Safetensors | Format::Swz => Ok(WeightsFile::open(path)?.metadata().clone()),
        Format::PthZip | Format::PthLegacy | Format::Huffman => Ok(Metadata::new()),
    }
}

/// Compares the table of contents of the weights file `path` with a network, values aside.
///
/// # Errors
/// When the file cannot be read or does not fit.
pub fn check(layout: &Layout, path: &Path) -> Result<(), WeightsError> {
    let mut file = WeightsFile::open(path)?;
    let expected = layout.shapes();
    file.adopt_shapes(&expected)?;
    let mut mismatches = compare(&expected, file.tensors());
    mismatches.extend_from_slice(file.duplicates());
    if mismatches.is_empty() { Ok(()) } else { Err(Unfit::of(layout, path, mismatches).into()) }
}
