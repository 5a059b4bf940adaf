//! Directories of Huffman-coded weights, a form of weight compression after Han et al., "Deep Compression" (ICLR 2016).
//!
//! Tensors whose name contains `weight` are folded to a matrix, stored sparsely by rows (`csr`) or columns (`csc`), and
//! the three arrays of that are Huffman-coded one by one: `<name>_<csr|csc>_<data|indices|indptr>.bin`, each beside its
//! `..._codebook.bin`. Every other tensor is a numpy array, pickled to a file of the tensor's name.
//!
//! Shapes of the folded tensors are not stored. They come from the network ([`HuffmanDir::agrees`]), and bound everything that
//! decoding may allocate.

mod codebook;
mod dump;
mod folded;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::Dtype;

use super::flaw::{Flaw, quoted};
use super::listing::Listing;
use super::{FileTensor, Format, Note, Selection, WeightsError, names};
use codebook::{Codebook, Decoded};
use dump::Dump;
use folded::{Folded, Order, Sparse};

/// Most files of a directory.
const MAX_FILES: usize = 1 << 18;
/// Longest file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// How the name of a codebook ends.
const CODEBOOK: &str = "_codebook.bin";
/// The arrays of a sparse matrix.
const PARTS: [&str; 3] = ["data", "indices", "indptr"];

#[derive(Debug)]
pub(super) struct HuffmanDir {
    path: PathBuf,
    /// By position in the table of contents.
    entries: Vec<Entry>,
}

/// Where a tensor is.
#[derive(Clone, Debug)]
enum Entry {
    /// In a numpy array of this file.
    Dump(String),
    /// In six files whose names begin like this.
    Folded { stem: String, order: Order },
}

/// Whether the directory `path` has a codebook in it.
///
/// # Errors
/// When it cannot be listed.
pub(super) fn is_huffman(path: &Path) -> Result<bool, WeightsError> {
    Ok(file_names(path)?.0.iter().any(|name| name.ends_with(CODEBOOK)))
}

impl HuffmanDir {
    /// Lists the directory and the arrays in it; decodes nothing.
    ///
    /// # Errors
    /// When a file is missing, is no numpy array, or cannot be read.
    pub(super) fn open(path: &Path, selection: Selection) -> Result<(Listing, Self), WeightsError> {
        let (files, mut ignored) = file_names(path)?;
        let mut found = Vec::new();
        for (stem, parts) in group(&files, &mut found) {
            let (name, order) = stem;
            check_complete(path, &format!("{name}_{}", order.suffix()), &parts)?;
            found.push((name.clone(), Entry::Folded { stem: format!("{name}_{}", order.suffix()), order }));
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        let (all, entries): (Vec<String>, Vec<Entry>) = found.into_iter().unzip();
        let (names, mut notes) = match selection {
            Selection::Everything => (all.into_iter().map(Some).collect(), Vec::new()),
            Selection::Network | Selection::Average => names::of_network(all),
        };
        let mut directory = Self { path: path.to_owned(), entries: Vec::new() };
        let mut tensors = Vec::new();
        for (name, entry) in names.into_iter().zip(entries) {
            let idx = directory.entries.len();
            let tensor = match (name, &entry) {
                (None, _) => continue,
                (Some(name), Entry::Folded { .. }) => FileTensor::shapeless(name, Dtype::F32, idx),
                (Some(name), Entry::Dump(file)) => match directory.dump(file)? {
                    Some(dump) => FileTensor::new(name, dump.dtype, dump.layout.shape().to_vec(), idx),
                    None => {
                        ignored.push(format!("{} (no numpy array)", quoted(file)));
                        continue;
                    }
                },
            };
            tensors.push(tensor);
            directory.entries.push(entry);
        }
        if !ignored.is_empty() {
            notes.push(Note::Ignored { entries: ignored });
        }
        Ok((Listing::new(tensors, notes), directory))
    }

    /// Whether the folded tensor at `idx` can have this shape: whether its matrix has as many rows or columns.
    ///
    /// # Errors
    /// When its streams are damaged or cannot be read.
    pub(super) fn agrees(&mut self, idx: usize, shape: &[usize]) -> Result<bool, WeightsError> {
        let Entry::Folded { stem, order } = self.entries[idx].clone() else { return Ok(false) };
        let Some(folded) = Folded::new(shape).filter(|folded| folded.order == order) else { return Ok(false) };
        let counts = self.stream(&stem, "indptr", folded.n_major())?;
        Ok(counts.is_some_and(|counts| counts.len() == folded.n_major()))
    }

    /// The values of the tensor at `idx`, row-major, little-endian. A folded one needs its `shape`.
    ///
    /// # Errors
    /// When its files are damaged or cannot be read, and when a folded tensor has no shape.
    pub(super) fn read(&mut self, idx: usize, shape: Option<&[usize]>) -> Result<Vec<u8>, WeightsError> {
        let (stem, order) = match self.entries[idx].clone() {
            Entry::Dump(file) => {
                let dump = self.dump(&file)?.ok_or_else(|| self.broken(&file, "it is no numpy array"))?;
                return Ok(dump.into_values());
            }
            Entry::Folded { stem, order } => (stem, order),
        };
        let Some(shape) = shape else {
            let reason = format!("the shape of {} is not stored, so it takes a network to read it", quoted(&stem));
            return Err(WeightsError::Unusable { path: self.path.clone(), reason });
        };
        let folded = Folded::new(shape).filter(|folded| folded.order == order);
        let folded = folded.ok_or_else(|| self.broken(&stem, &format!("it does not unfold to {shape:?}")))?;
        let limits = [("data", folded.n_elements()), ("indices", folded.n_elements()), ("indptr", folded.n_major())];
        let mut parts = Vec::new();
        for (part, limit) in limits {
            let stream = self.stream(&stem, part, limit)?;
            parts.push(stream.ok_or_else(|| self.broken(&stem, &format!("it holds more than {shape:?} can")))?);
        }
        let [data, indices, counts] = &parts[..] else { return Ok(Vec::new()) };
        let values = folded.unfold(Sparse { data, indices, counts });
        values.map_err(|reason| self.broken(&stem, &reason))
    }

    /// The symbols of one array, `None` if they are more than `limit`.
    fn stream(&self, stem: &str, part: &str, limit: usize) -> Result<Option<Vec<u32>>, WeightsError> {
        let (codebook, stream) = (format!("{stem}_{part}{CODEBOOK}"), format!("{stem}_{part}.bin"));
        let tree = Codebook::parse(&self.bytes(&codebook)?).map_err(|reason| self.broken(&codebook, &reason))?;
        match tree.decode(&self.bytes(&stream)?, limit).map_err(|reason| self.broken(&stream, &reason))? {
            Decoded::Whole(symbols) => Ok(Some(symbols)),
            Decoded::TooMany => Ok(None),
        }
    }

    /// The array in `file`, `None` if the file is no pickle at all.
    fn dump(&self, file: &str) -> Result<Option<Dump>, WeightsError> {
        let bytes = self.bytes(file)?;
        if bytes.first() != Some(&0x80) {
            return Ok(None);
        }
        let dump = Dump::parse(&bytes).map_err(|flaw| flaw.within(&quoted(file)).of(&self.path, Format::Huffman))?;
        Ok(Some(dump))
    }

    fn bytes(&self, file: &str) -> Result<Vec<u8>, WeightsError> {
        let path = self.path.join(file);
        let mut bytes = Vec::new();
        let opened = fs::File::open(&path).map_err(WeightsError::io("open", &path))?;
        opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(WeightsError::io("read", &path))?;
        match bytes.len() as u64 > MAX_FILE_BYTES {
            true => Err(self.broken(file, "it is longer than the weights of a network")),
            false => Ok(bytes),
        }
    }

    fn broken(&self, file: &str, reason: &str) -> WeightsError {
        Flaw::broken(reason).within(&quoted(file)).of(&self.path, Format::Huffman)
    }
}

/// The digest of a directory: of the lines `<digest>  <name>` of its files, ordered by name, as
/// `LC_ALL=C; sha256sum * | sha256sum` prints it.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn digest(path: &Path) -> Result<String, WeightsError> {
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new();
    for name in file_names(path)?.0 {
        let file = path.join(&name);
        let line = crate::atomic::sha256_of(&file).map_err(WeightsError::io("read", &file))?;
        digest.update(format!("{line}  {name}\n"));
    }
    Ok(crate::hex(&digest.finalize()))
}

/// The files of a directory in order, and what else is in it.
fn file_names(path: &Path) -> Result<(BTreeSet<String>, Vec<String>), WeightsError> {
    let (mut files, mut others) = (BTreeSet::new(), Vec::new());
    let entries = fs::read_dir(path).map_err(WeightsError::io("list", path))?;
    for entry in entries {
        let entry = entry.map_err(WeightsError::io("list", path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if files.len() == MAX_FILES {
            let reason = format!("it has more than {MAX_FILES} files");
            return Err(Flaw::broken(reason).of(path, Format::Huffman));
        }
        // Files may be links to where they really are.
        match fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file())
            && entry.file_name().to_str().is_some()
        {
            true => drop(files.insert(name)),
            false => others.push(format!("{} (no file)", quoted(&name))),
        }
    }
    Ok((files, others))
}

/// A folded tensor's name and order, and which of its six files are there.
type Groups<'a> = BTreeMap<(String, Order), BTreeSet<&'a str>>;

/// Puts the files of each folded tensor together; the others go to `dumps`.
fn group<'a>(files: &'a BTreeSet<String>, dumps: &mut Vec<(String, Entry)>) -> Groups<'a> {
    let mut groups = Groups::new();
    for file in files {
        match split(file) {
            Some((name, order, part)) => drop(groups.entry((name.to_owned(), order)).or_default().insert(part)),
            None => dumps.push((file.clone(), Entry::Dump(file.clone()))),
        }
    }
    groups
}

/// The tensor's name, the order and the rest of a stream's or codebook's name.
fn split(file: &str) -> Option<(&str, Order, &str)> {
    let stem = file.strip_suffix(CODEBOOK).or_else(|| file.strip_suffix(".bin"))?;
    let part = PARTS.iter().find_map(|part| stem.strip_suffix(part)?.strip_suffix('_'))?;
    let (order, name) = [Order::Rows, Order::Columns]
        .into_iter()
        .find_map(|order| Some((order, part.strip_suffix(order.suffix())?.strip_suffix('_')?)))?;
    Some((name, order, &file[part.len()..]))
}

fn check_complete(path: &Path, stem: &str, parts: &BTreeSet<&str>) -> Result<(), WeightsError> {
    for part in PARTS {
        for ending in [".bin", CODEBOOK] {
            if !parts.contains(format!("_{part}{ending}").as_str()) {
                let reason = format!("its file {} is missing", quoted(&format!("{stem}_{part}{ending}")));
                return Err(Flaw::broken(reason).of(path, Format::Huffman));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
