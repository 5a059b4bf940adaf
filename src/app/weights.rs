//! `swath weights` and `swath models export`: files of weights, looked at, converted, compared.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

#[cfg(feature = "torch")]
use super::damage::Trial;
use super::replace::Output;
use super::{Error, JobRequest};
use crate::infer::Damage;
use crate::report::{self, CompressedFile, CompressedFiles, TensorRow, WeightsDiff, WeightsSheet};
use crate::weights::{self, FileTensor};
pub use crate::weights::{Amount, Selection, Target};
use crate::zoo::spec::{NetworkSpec, SpecTable};

#[cfg(feature = "torch")]
use with_torch as networks;
#[cfg(not(feature = "torch"))]
use without_torch as networks;
#[cfg(not(feature = "torch"))]
use without_torch::Trial;

/// Where the damage that compression does is measured.
#[derive(Clone, Debug)]
pub struct DamageRequest {
    /// A job whose members' weights are the files to compress; its scenes are looked at, and nothing is written.
    pub job: JobRequest,
    /// Tiles that are run, taken from all over the job.
    pub tiles: usize,
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

/// Writes the tensors of `from` to the safetensors file `to`; returns how many.
///
/// # Errors
/// When `from` cannot be read or `to` may not or cannot be written.
pub fn convert_weights(from: &Path, selection: Selection, target: Target, to: &Output) -> Result<usize, Error> {
    Ok(weights::convert(from, selection, target, to.safetensors(&[from])?)?)
}

/// Loads the weights file `from` into the network called `name` and writes them to the safetensors file `to`. Returns the network.
///
/// # Errors
/// When there is no such network, the file does not fit it, or `to` may not or cannot be written.
pub fn export_model(name: &str, from: &Path, form: ExportForm, to: &Output) -> Result<NetworkSpec, Error> {
    check_name(name)?;
    networks::export_model(name, from, form, to.safetensors(&[from])?)
}

/// Writes to the safetensors file `to` what training the network called `name` for `classes` classes starts from: the weights file `from`,
/// of other classes or of the backbone alone, and seeded values for what that does not give.
///
/// # Errors
/// When there is no such network, the file is neither, or `to` may not or cannot be written.
pub fn start_model(name: &str, classes: u32, from: &Path, seed: u64, to: &Output) -> Result<networks::Started, Error> {
    check_name(name)?;
    networks::start_model(name, classes, from, seed, to.safetensors(&[from])?)
}

/// Refuses a name that no network has, in any build.
fn check_name(name: &str) -> Result<(), Error> {
    SpecTable::named(name).map(drop).map_err(|e| Error::Usage(e.to_string()))
}

/// Powers to which a measured sensitivity is raised, one after the other: 0 counts all tensors alike. Small errors say how much a tensor
/// matters, but not how the large ones of a tight budget add up, so the power that does least damage is found by trying.
const POWERS: [f64; 4] = [0.0, 0.25, 0.5, 1.0];

/// Compresses `files` into the folder `out`. With `data`, what each tensor's error does to the answers is measured, the budget is spent in
/// several ways that follow from it, the best of which stays, and it is told what became of the masks.
///
/// # Errors
/// When a file cannot be read, or may not or cannot be written, no choice fits the budget, or the damage cannot be measured.
pub fn compress_weights(
    files: &[PathBuf],
    amount: Amount,
    out: &Output,
    data: Option<&DamageRequest>,
) -> Result<CompressedFiles, Error> {
    let inputs: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    out.check(&weights::compressed_files(files, &out.path)?, &inputs)?;
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let compress = |known: &[BTreeMap<String, f64>], power: f64| {
        // What the network does not run with has no sensitivity.
        let of = |file: &BTreeMap<String, f64>, name: &str| file.get(name).map_or(0.0, |known| known.powf(power));
        let sensitivity = |file: usize, name: &str| known.get(file).map_or(1.0, |file| of(file, name));
        weights::compress(files, amount, &out.path, threads, sensitivity)
    };
    let row = |(c, damage): (weights::Compressed, Option<Damage>)| CompressedFile {
        path: c.path.display().to_string(),
        bytes: c.bytes,
        values: c.values,
        relative_error: c.relative_error,
        worst: c.worst,
        left_out: c.left_out,
        answers_error: damage.map(|damage| damage.relative.sqrt()),
        masks_agree: damage.map(|damage| damage.agreement),
    };
    let rows = |files: Vec<weights::Compressed>, damages: Vec<Option<Damage>>| CompressedFiles {
        files: files.into_iter().zip(damages).map(row).collect(),
    };
    let Some(data) = data else {
        let files = compress(&[], 0.0)?;
        let nothing = vec![None; files.len()];
        return Ok(rows(files, nothing));
    };
    // Before anything is measured, which takes long.
    weights::check_compressible(files)?;
    let trial = Trial::new(data, files)?;
    let attempt = |known: &[BTreeMap<String, f64>], power: f64| -> Result<_, Error> {
        let files = compress(known, power)?;
        let damage = |(idx, file): (usize, &weights::Compressed)| trial.damage(idx, &file.path);
        let damages = files.iter().enumerate().map(damage).collect::<Result<Vec<Damage>, Error>>()?;
        Ok((files, damages))
    };
    if !matches!(amount, Amount::Budget(_)) {
        let (files, damages) = attempt(&[], 0.0)?;
        return Ok(rows(files, damages.into_iter().map(Some).collect()));
    }
    let known = (0..files.len()).map(|file| trial.sensitivities(file)).collect::<Result<Vec<_>, Error>>()?;
    let mut tried = Vec::new();
    for power in POWERS {
        let (_, damages) = attempt(&known, power)?;
        let sum: f64 = damages.iter().map(|damage| damage.relative).sum();
        let text = format!("sensitivity to the power of {power}: answers {:.2} % off", sum.sqrt() * 100.0);
        report::tell(&report::Event::Note { text: &text });
        tried.push((sum, power));
    }
    let best = tried.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0.0, |(_, power)| power);
    let (files, damages) = attempt(&known, best)?;
    Ok(rows(files, damages.into_iter().map(Some).collect()))
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

#[cfg(feature = "torch")]
mod with_torch {
    use std::path::Path;

    use super::{Error, ExportForm};
    use crate::zoo::export::{self, ExportError};
    use crate::zoo::spec::NetworkSpec;
    use crate::zoo::start;
    pub(super) use crate::zoo::start::Started;

    pub(super) fn export_model(name: &str, from: &Path, form: ExportForm, to: &Path) -> Result<NetworkSpec, Error> {
        let exported = match form {
            ExportForm::Plain => export::plain(name, from, to),
            ExportForm::Folded => export::folded(name, from, to),
        };
        exported.map_err(failed)
    }

    pub(super) fn start_model(name: &str, classes: u32, from: &Path, seed: u64, to: &Path) -> Result<Started, Error> {
        start::without_classifier(name, classes, from, seed, to).map_err(failed)
    }

    fn failed(error: ExportError) -> Error {
        match error {
            ExportError::Weights(e) => e.into(),
            ExportError::Spec(_) | ExportError::Unknown(_) => Error::Usage(error.to_string()),
        }
    }
}

#[cfg(not(feature = "torch"))]
mod without_torch {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::{Damage, DamageRequest, Error, ExportForm};
    use crate::zoo::spec::NetworkSpec;

    const NO_NETWORKS: &str = "this build has no networks: build with the feature `torch`";

    /// Starting weights that were written: never in this build.
    #[derive(Debug)]
    pub struct Started {
        /// The network.
        pub spec: NetworkSpec,
        /// Tensors that the file had.
        pub taken: usize,
        /// Names of those that start afresh.
        pub fresh: Vec<String>,
    }

    /// Measures nothing.
    pub(super) enum Trial {}

    impl Trial {
        pub(super) fn new(_: &DamageRequest, _: &[PathBuf]) -> Result<Self, Error> {
            Err(Error::Usage(NO_NETWORKS.to_owned()))
        }

        pub(super) fn sensitivities(&self, _: usize) -> Result<BTreeMap<String, f64>, Error> {
            match *self {}
        }

        pub(super) fn damage(&self, _: usize, _: &Path) -> Result<Damage, Error> {
            match *self {}
        }
    }

    pub(super) fn export_model(_: &str, _: &Path, _: ExportForm, _: &Path) -> Result<NetworkSpec, Error> {
        Err(Error::Usage(NO_NETWORKS.to_owned()))
    }

    pub(super) fn start_model(_: &str, _: u32, _: &Path, _: u64, _: &Path) -> Result<Started, Error> {
        Err(Error::Usage(NO_NETWORKS.to_owned()))
    }
}
