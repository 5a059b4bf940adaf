//! `swath weights`: files of weights, looked at, converted, compressed, compared.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::masks::Truth;
use super::replace::Output;
use super::{Error, JobRequest};
use crate::config::{self, Member, Pipeline, Weights, bundle};
use crate::report::{CompressedFile, CompressedFiles, TensorRow, WeightsDiff, WeightsSheet};
use crate::weights::{self, FileTensor, Metadata};
pub use crate::weights::{Amount, Selection, Target};

/// Where the drift of the outputs is measured that compression causes.
#[derive(Clone, Debug)]
pub struct DriftRequest {
    /// A job whose members' weights are the files to compress; its scenes are looked at, and nothing is written.
    pub job: JobRequest,
    /// Tiles that are run, taken from all over the job.
    pub tiles: usize,
    /// What the masks of the job's scenes are held against, if it is to be known what compression costs in mean IoU.
    pub truth: Option<Truth>,
}

/// How a network's weights are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportForm {
    /// As the reference has them: PyTorch loads the file with `strict=True`.
    Plain,
    /// Batch normalisation folded into the convolutions, without what only training uses.
    Folded,
}

/// What the file `path` holds.
///
/// # Errors
/// When it cannot be read as weights.
pub fn inspect_weights(path: &Path, selection: Selection) -> Result<WeightsSheet, Error> {
    let found = weights::inspect(path, selection)?;
    let n_values = |t: &FileTensor| t.shape.iter().map(|&n| n as u64).product::<u64>();
    let known = found.tensors.iter().filter(|t| !t.is_shapeless());
    let row = |t: &FileTensor| TensorRow {
        name: t.name.clone(),
        dtype: format!("{:?}", t.dtype),
        shape: (!t.is_shapeless()).then(|| t.shape.clone()),
    };
    let duplicates = found.duplicates.iter().map(ToString::to_string);
    Ok(WeightsSheet {
        path: path.display().to_string(),
        format: found.format.to_string(),
        digest: found.digest,
        notes: found.notes.iter().map(ToString::to_string).chain(duplicates).collect(),
        bundle: config::bundle_summary(path, &found.metadata),
        metadata: found.metadata,
        bytes: size_of(path),
        values: known.map(n_values).sum(),
        dtypes: dtypes(&found.tensors),
        fits: fits(&found.tensors),
        tensors: found.tensors.iter().map(row).collect(),
    })
}

/// Bytes of a file, or of the files of a folder; 0 where the system does not tell.
fn size_of(path: &Path) -> u64 {
    let files = walkdir::WalkDir::new(path).follow_links(true).into_iter().filter_map(Result::ok);
    files.filter_map(|entry| entry.metadata().ok()).filter(std::fs::Metadata::is_file).map(|m| m.len()).sum()
}

/// How many tensors have each type.
fn dtypes(tensors: &[FileTensor]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    tensors.iter().for_each(|t| *counts.entry(format!("{:?}", t.dtype)).or_default() += 1);
    counts
}

#[cfg(feature = "torch")]
fn fits(tensors: &[FileTensor]) -> Option<Vec<String>> {
    let describe = |s: crate::zoo::spec::NetworkSpec| format!("{s}, {} classes, {} bands", s.classes, s.bands);
    Some(crate::zoo::identify::identify(tensors).into_iter().map(describe).collect())
}

#[cfg(not(feature = "torch"))]
fn fits(_tensors: &[FileTensor]) -> Option<Vec<String>> {
    None
}

/// The pipeline file in the bundle `path`.
///
/// # Errors
/// When it cannot be read or is none.
pub fn bundled_pipeline(path: &Path) -> Result<String, Error> {
    Ok(config::bundled_pipeline(path)?)
}

/// What a pipeline file and `key=value` on top of it say of the weights `file`, to be written into them.
///
/// # Errors
/// When the pipeline cannot be used, or does not tell which of its members the weights are.
pub fn said_by(pipeline: &Path, settings: &[String], file: &Path) -> Result<Metadata, Error> {
    let loaded = Pipeline::load_as_written(pipeline, settings)?;
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let is_its = |member: &&Member| matches!(&member.weights, Weights::File(own) if real(own) == real(file));
    let member = match (loaded.members.iter().find(is_its), loaded.members.as_slice()) {
        (Some(member), _) | (None, [member]) => member,
        (None, _) => {
            let (file, pipeline) = (file.display(), pipeline.display());
            return Err(Error::Usage(format!(
                "`{file}` is the weights of no member of `{pipeline}`, which has several"
            )));
        }
    };
    bundle::metadata(&loaded, member, None).map_err(|e| Error::Usage(format!("`{}`: {e}", pipeline.display())))
}

/// Writes the tensors of `from`, and what is `said` of them besides what they say, to the safetensors file `to`; returns how many.
///
/// # Errors
/// When `from` cannot be read or `to` may not or cannot be written.
pub fn convert_weights(
    from: &Path,
    selection: Selection,
    target: Target,
    said: Metadata,
    to: &Output,
) -> Result<usize, Error> {
    Ok(weights::convert(from, selection, target, said, to.safetensors(&[from])?)?)
}

/// Compresses `files` into the folder `out`.
///
/// # Errors
/// When a file cannot be read, or may not or cannot be written, or no choice fits the budget.
pub fn compress_weights(files: &[PathBuf], amount: Amount, out: &Output) -> Result<CompressedFiles, Error> {
    check_outputs(files, out)?;
    let compressed = weights::compress(files, amount, &out.path, threads(), |_, _| 1.0)?;
    Ok(CompressedFiles { files: compressed.into_iter().map(row).collect(), miou: None })
}

/// Refuses to replace what may not be replaced by compressed `files`.
pub(super) fn check_outputs(files: &[PathBuf], out: &Output) -> Result<(), Error> {
    let inputs: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    out.check(&weights::compressed_files(files, &out.path)?, &inputs)
}

pub(super) fn threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// What is told of a file whose outputs were not measured.
pub(super) fn row(compressed: weights::Compressed) -> CompressedFile {
    CompressedFile {
        path: compressed.path.display().to_string(),
        bytes: compressed.bytes,
        values: compressed.values,
        relative_error: compressed.relative_error,
        worst: compressed.worst,
        left_out: compressed.left_out,
        answers_error: None,
        masks_agree: None,
    }
}

/// How two files differ, and whether they do.
///
/// # Errors
/// When one cannot be read.
pub fn diff_weights(first: &Path, second: &Path, selection: Selection) -> Result<(WeightsDiff, bool), Error> {
    let found = weights::diff(first, second, selection)?;
    let differs = !found.is_empty();
    let shapes = found.shapes.iter().map(|(name, a, b)| format!("{name}: {a:?} and {b:?}")).collect();
    let dtypes = found.dtypes.iter().map(|(name, a, b)| format!("{name}: {a:?} and {b:?}")).collect();
    let value = |(name, d): &(String, weights::ValueDifference)| {
        format!("{name}: largest absolute difference {:.3e}, RMS {:.3e} of the weights'", d.largest, d.relative)
    };
    let mut stored: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, a, b) in found.stored {
        stored.entry(format!("with the same values, stored as {a:?} and {b:?}")).or_default().push(name);
    }
    let mut differences = vec![
        (format!("only in {}", first.display()), found.only_first),
        (format!("only in {}", second.display()), found.only_second),
        ("of another shape".to_owned(), shapes),
        ("of another type".to_owned(), dtypes),
        ("with other values".to_owned(), found.values.iter().map(value).collect()),
    ];
    differences.extend(stored);
    Ok((WeightsDiff { equal: found.equal, differences }, differs))
}
