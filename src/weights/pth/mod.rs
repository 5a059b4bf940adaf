//! PyTorch checkpoints, as `torch.save` writes them: a pickled object, and the storages that its tensors are views of.
//!
//! The pickle is read as data ([`super::pickle`]), so a file cannot make the program do anything. Listing a file reads its
//! pickle; values are read when they are asked for. Offsets and steps of views are honoured; files of big-endian machines and
//! TorchScript archives are refused.
//!
//! The containers are described by PyTorch's own `torch/serialization.py`.

mod everything;
mod legacy;
mod unwrap;
mod zipped;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::flaw::{Flaw, quoted};
use super::listing::Listing;
use super::pickle::globals::StorageType;
use super::pickle::heap::{Storage, StoredTensor};
use super::pickle::{Pickle, bytes_of};
use super::reader::WeightsReader;
use super::{FileTensor, Format, Selection, WeightsError, names};

use legacy::{Declared, Legacy, Opened};
use zipped::Zipped;

#[derive(Debug)]
pub(super) struct PthFile {
    path: PathBuf,
    format: Format,
    container: Container,
    /// By position in the table of contents.
    tensors: Vec<StoredTensor>,
}

#[derive(Debug)]
enum Container {
    Zipped(Box<Zipped>),
    Legacy(Legacy),
}

impl PthFile {
    /// Lists the tensors of `file`, which is at `path` and in `format`, without their values.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or has no tensors where [`Selection`] looks for them.
    pub(super) fn open(
        path: &Path,
        file: WeightsReader,
        format: Format,
        selection: Selection,
    ) -> Result<(Listing, Self), WeightsError> {
        let opened = Container::open(file, format).and_then(|(pickle, container)| {
            let (listing, tensors) = list(&pickle, selection)?;
            Ok((listing, Self { path: path.to_owned(), format, container, tensors }))
        });
        opened.map_err(|flaw| flaw.of(path, format))
    }

    /// The values of the tensor at `idx` of the table of contents, row-major, little-endian.
    ///
    /// # Errors
    /// When the system refuses or the file is damaged.
    pub(super) fn read(&mut self, idx: usize) -> Result<Vec<u8>, WeightsError> {
        let tensor = &self.tensors[idx];
        let storage = &tensor.storage;
        let (unit, element) = (unit_bytes(storage), bytes_of(tensor.dtype));
        let span = tensor.layout.span();
        // None of this overflows: the storage is as long as the file says, and the view within it.
        let at = |idx: usize| (storage.offset * unit + idx * element) as u64;
        let range = at(span.start)..at(span.end);
        let bytes = match &mut self.container {
            _ if span.is_empty() => Ok(Vec::new()),
            Container::Zipped(zipped) => zipped.read(&storage.key, (storage.n_elements * unit) as u64, range),
            Container::Legacy(legacy) => legacy.read(&storage.key, range),
        };
        let bytes = bytes.map_err(|flaw| flaw.of(&self.path, self.format))?;
        Ok(tensor.layout.gather(bytes, element))
    }
}

impl Container {
    /// The saved object, and the storages, all of which are there.
    fn open(file: WeightsReader, format: Format) -> Result<(Pickle, Self), Flaw> {
        if format == Format::PthLegacy {
            let (pickle, opened) = Opened::new(file)?;
            let legacy = opened.locate(&declared(&pickle)?)?;
            return Ok((pickle, Self::Legacy(legacy)));
        }
        let (pickle, mut zipped) = Zipped::open(file)?;
        for (key, declared) in declared(&pickle)? {
            let n_bytes = declared.n_elements.checked_mul(declared.element_bytes);
            zipped
                .check(key, n_bytes.ok_or_else(|| Flaw::broken(format!("its storage {} is too long", quoted(key))))?)?;
        }
        Ok((pickle, Self::Zipped(Box::new(zipped))))
    }
}

/// The storages of a pickle by key.
fn declared(pickle: &Pickle) -> Result<BTreeMap<&str, Declared>, Flaw> {
    let mut declared = BTreeMap::new();
    for storage in pickle.heap.storages() {
        let this = Declared { n_elements: storage.n_elements as u64, element_bytes: unit_bytes(storage) as u64 };
        if declared.insert(&*storage.key, this).is_some_and(|other| other != this) {
            return Err(Flaw::broken(format!("its storage {} has two types or lengths", quoted(&storage.key))));
        }
    }
    Ok(declared)
}

/// Bytes of what a storage counts in; 0 where its type is not read.
fn unit_bytes(storage: &Storage) -> usize {
    match storage.stored_as {
        StorageType::Typed(dtype) => bytes_of(dtype),
        StorageType::Untyped => 1,
        StorageType::Foreign => 0,
    }
}

/// The table of contents, and the tensors in its order.
fn list(pickle: &Pickle, selection: Selection) -> Result<(Listing, Vec<StoredTensor>), Flaw> {
    let (named, mut notes) = match selection {
        Selection::Everything => (everything::list(pickle)?, Vec::new()),
        Selection::Network | Selection::Average => unwrap::find(pickle, selection)?,
    };
    let (names, tensors): (Vec<String>, Vec<_>) = named.into_iter().unzip();
    let names = match selection {
        Selection::Everything => names.into_iter().map(Some).collect(),
        Selection::Network | Selection::Average => {
            let (names, more) = names::of_network(names);
            notes.extend(more);
            names
        }
    };
    let (mut listed, mut stored) = (Vec::new(), Vec::new());
    for (name, tensor) in names.into_iter().zip(tensors) {
        if let Some(name) = name {
            listed.push(FileTensor::new(name, tensor.dtype, tensor.layout.shape().to_vec(), stored.len()));
            stored.push(tensor.clone());
        }
    }
    Ok((Listing::new(listed, notes), stored))
}

#[cfg(test)]
mod tests;
