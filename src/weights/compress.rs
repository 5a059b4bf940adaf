//! Weights files of any format compressed to `.swz`, one by one or together within a budget.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use safetensors::Dtype;

use super::swz::{Allocator, Coding, MAX_METADATA_BYTES, Plan, SourceTensor, SwzFile, encode, metadata_bytes};
use super::{Metadata, Selection, WeightsError, WeightsFile};
use crate::atomic;

/// How small the files become.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// Not more than so many bytes together, at the least expected damage.
    Budget(u64),
    /// About so many bits per weight (1 to 8), for every tensor that is not kept exact.
    Bits(u8),
    /// Bit for bit.
    Lossless,
}

/// A file that was written.
#[derive(Clone, Debug)]
pub struct Compressed {
    /// The file that was written.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Number of values in it.
    pub values: u64,
    /// Root mean square of the error as a share of that of the weights, over all tensors that are not exact; 0 if there are none.
    pub relative_error: f64,
    /// The tensor with the largest such share, and that.
    pub worst: Option<(String, f64)>,
    /// Tensors that were left out: integers, such as PyTorch's batch counters.
    pub left_out: usize,
}

/// The tensors of one file.
struct Source {
    /// Name, type, shape, bytes.
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    metadata: Metadata,
    left_out: usize,
}

impl Source {
    fn read(path: &Path) -> Result<Self, WeightsError> {
        let mut file = WeightsFile::open_selected(path, Selection::Network)?;
        let unusable = |reason: String| WeightsError::Unusable { path: path.to_owned(), reason };
        if let Some(twice) = file.duplicates().first() {
            return Err(unusable(format!("{twice}: there is no telling which is meant")));
        }
        let metadata = file.metadata().clone();
        let n_bytes = metadata_bytes(&metadata);
        if n_bytes > MAX_METADATA_BYTES {
            return Err(unusable(format!(
                "its metadata takes {n_bytes} bytes, and an swz file holds {MAX_METADATA_BYTES}: keep the weights as a safetensors file, or \
                 shorten what it says (swath weights inspect)"
            )));
        }
        let (mut tensors, mut left_out) = (Vec::new(), 0);
        for tensor in file.tensors().to_vec() {
            if tensor.is_shapeless() {
                let how = "export it first as the network that it belongs to: swath models export";
                return Err(unusable(format!("the shape of `{}` is not in the file; {how}", tensor.name)));
            }
            if !tensor.is_readable() {
                left_out += 1;
                continue;
            }
            let bytes = file.read_raw(&tensor)?;
            tensors.push((tensor.name, tensor.dtype, tensor.shape, bytes));
        }
        Ok(Self { tensors, metadata, left_out })
    }

    /// The tensors with `prefix` before their names.
    fn tensors(&self, prefix: &str) -> Result<Vec<SourceTensor<'_>>, WeightsError> {
        let tensor = |(name, dtype, shape, bytes): &'_ (String, Dtype, Vec<usize>, Vec<u8>)| {
            SourceTensor::new(format!("{prefix}{name}"), *dtype, shape, bytes.clone())
        };
        self.tensors.iter().map(tensor).collect()
    }
}

/// Compresses `files` into `out`, each under its own stem with the extension `swz`. What is written is read back and compared with what
/// it was made of.
///
/// A tensor's expected damage is its squared error relative to its energy: for inputs without correlation that is the relative squared error of
/// the layer's output. `sensitivity` says for the position of a file and a tensor's name how much that counts; 1 for all if nothing is known,
/// since the error of any one runs through the whole network.
///
/// # Errors
/// When a file cannot be read, two would have one name, no choice fits the budget, or a file cannot be written.
pub fn compress(
    files: &[PathBuf],
    amount: Amount,
    out: &Path,
    threads: NonZeroUsize,
    sensitivity: impl Fn(usize, &str) -> f64,
) -> Result<Vec<Compressed>, WeightsError> {
    let names = names(files)?;
    let sources = files.iter().map(|path| Source::read(path)).collect::<Result<Vec<_>, _>>()?;
    let encoded = match amount {
        Amount::Budget(budget) => within(&sources, budget, threads, sensitivity)?,
        Amount::Bits(bits) => each(&sources, threads, |tensors| Plan::uniform(tensors, Coding::of_bits(bits)))?,
        Amount::Lossless => each(&sources, threads, |_| Plan::default())?,
    };
    std::fs::create_dir_all(out).map_err(WeightsError::io("make the folder of", out))?;
    let written = sources.iter().zip(names).zip(encoded);
    written.map(|((source, name), content)| write(source, &out.join(name), &content, threads)).collect()
}

/// The files that [`compress`] writes into the folder `out`, in the order of `files`.
///
/// # Errors
/// When two would have one name.
pub fn compressed_files(files: &[PathBuf], out: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    Ok(names(files)?.into_iter().map(|name| out.join(name)).collect())
}

/// Refuses what [`compress`] would refuse whatever the amount, before anything is done.
///
/// # Errors
/// When a file cannot be read as what can be compressed.
pub fn check_compressible(files: &[PathBuf]) -> Result<(), WeightsError> {
    files.iter().try_for_each(|path| Source::read(path).map(drop))
}

/// The names of the files to write.
fn names(files: &[PathBuf]) -> Result<Vec<String>, WeightsError> {
    let mut names: Vec<String> = Vec::new();
    for path in files {
        let name = format!("{}.swz", path.file_stem().unwrap_or_default().to_string_lossy());
        if names.contains(&name) {
            let reason = format!("another file would be written as `{name}` too: rename one of them");
            return Err(WeightsError::Unusable { path: path.clone(), reason });
        }
        names.push(name);
    }
    Ok(names)
}

fn each(
    sources: &[Source],
    threads: NonZeroUsize,
    plan: impl Fn(&[SourceTensor]) -> Plan,
) -> Result<Vec<Vec<u8>>, WeightsError> {
    let one = |source: &Source| {
        let tensors = source.tensors("")?;
        encode(&tensors, &source.metadata, &plan(&tensors), threads)
    };
    sources.iter().map(one).collect()
}

/// All files within `budget` bytes: one choice over all their tensors.
fn within(
    sources: &[Source],
    budget: u64,
    threads: NonZeroUsize,
    sensitivity: impl Fn(usize, &str) -> f64,
) -> Result<Vec<Vec<u8>>, WeightsError> {
    let prefix = |idx: usize| format!("{idx}/");
    let (mut all, mut factors) = (Vec::new(), BTreeMap::new());
    for (idx, source) in sources.iter().enumerate() {
        for tensor in source.tensors(&prefix(idx))? {
            let name = tensor.name().strip_prefix(&prefix(idx)).unwrap_or_default();
            let energy = tensor.energy();
            let factor = if energy > 0.0 { sensitivity(idx, name) / energy } else { 0.0 };
            factors.insert(tensor.name().to_owned(), factor);
            all.push(tensor);
        }
    }
    let sensitivity = |name: &str| factors.get(name).copied().unwrap_or_default();
    let allocator = Allocator::new(&all, threads, sensitivity)?;
    let files = allocator.within(budget, |allocated| {
        let one = |(idx, source): (usize, &Source)| {
            let tensors = source.tensors("")?;
            let mut plan = Plan::default();
            for tensor in &tensors {
                plan.set(tensor.name(), allocated.coding(&format!("{}{}", prefix(idx), tensor.name())));
            }
            encode(&tensors, &source.metadata, &plan, threads)
        };
        sources.iter().enumerate().map(one).collect()
    })?;
    Ok(files.0)
}

/// Writes a file, reads it back and says how far it is from its source.
fn write(source: &Source, path: &Path, content: &[u8], threads: NonZeroUsize) -> Result<Compressed, WeightsError> {
    atomic::write(path, content)?;
    let mut file = SwzFile::open(path)?;
    let decoded = file.read_all(threads)?;
    let (mut errors, mut energy, mut values) = (0.0, 0.0, 0);
    let mut worst: Option<(String, f64)> = None;
    for (tensor, decoded) in source.tensors("")?.iter().zip(decoded) {
        values += decoded.len() as u64;
        let original = tensor.values();
        let squares =
            |difference: &dyn Fn(usize) -> f64| (0..decoded.len()).map(|i| difference(i).powi(2)).sum::<f64>();
        // Values that are not finite are kept bit for bit and have no error.
        let error = squares(&|i| {
            let difference = f64::from(original[i]) - f64::from(decoded[i]);
            if difference.is_finite() { difference } else { 0.0 }
        });
        if error > 0.0 {
            let own = squares(&|i| f64::from(original[i]));
            let share = (error / own).sqrt();
            (errors, energy) = (errors + error, energy + own);
            if worst.as_ref().is_none_or(|(_, most)| share > *most) {
                worst = Some((tensor.name().to_owned(), share));
            }
        }
    }
    let relative_error = if energy > 0.0 { (errors / energy).sqrt() } else { 0.0 };
    let (bytes, left_out) = (content.len() as u64, source.left_out);
    Ok(Compressed { path: path.to_owned(), bytes, values, relative_error, worst, left_out })
}
