//! A `.swz` file: its table of contents first, then one tensor at a time or all at once.

use std::io::{Read, Seek, SeekFrom};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::fields::{Broken, Fields};
use super::header::{self, DIGEST_BYTES, Entry, Layout, MAX_HEADER_BYTES, PREFIX_BYTES};
use super::{exact, source, trellis};
use crate::parallel;
use crate::weights::reader::WeightsReader;
use crate::weights::tensor::{FileTensor, widen};
use crate::weights::{Metadata, WeightsError};

/// What errors call a file.
const FORMAT: &str = "swz";
/// What to do with a file that has changed.
const COPY_AGAIN: &str = "copy the file again";

/// An open `.swz` file whose table of contents has been checked.
#[derive(Debug)]
pub struct SwzFile {
    path: PathBuf,
    file: WeightsReader,
    n_bytes: usize,
    tensors: Vec<FileTensor>,
    metadata: Metadata,
    /// First byte of each tensor.
    pub(super) starts: Vec<usize>,
    /// In the order of `tensors`.
    entries: Vec<Entry>,
}

/// The values of a tensor as they come out of its bytes.
enum Decoded {
    /// Bytes of the tensor's type.
    Exact(Vec<u8>),
    Quantised(Vec<f32>),
}

impl SwzFile {
    /// Opens `path` and reads its table of contents.
    ///
    /// # Errors
    /// When the file cannot be read, is of another format or version, or is shorter or longer than its header says.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        Self::of(path, WeightsReader::open(path)?)
    }

    /// The same of `file`, which is at `path`.
    pub(in crate::weights) fn of(path: &Path, mut file: WeightsReader) -> Result<Self, WeightsError> {
        let malformed = |Broken(reason)| WeightsError::Malformed { path: path.to_owned(), format: FORMAT, reason };
        let n_bytes = file.metadata().map_err(WeightsError::io("read the size of", path))?.len();
        let n_bytes = usize::try_from(n_bytes).map_err(|_| malformed(Broken::new("it is too large")))?;
        if n_bytes < PREFIX_BYTES + DIGEST_BYTES {
            return Err(malformed(Broken::new(format!("it has only {n_bytes} bytes"))));
        }
        let mut prefix = [0; PREFIX_BYTES];
        file.read_exact(&mut prefix).map_err(WeightsError::io("read", path))?;
        let header_prefix = header::read_prefix(&prefix).map_err(malformed)?;
        let header_bytes = header_prefix.n_bytes;
        if header_bytes > MAX_HEADER_BYTES.min(n_bytes - PREFIX_BYTES - DIGEST_BYTES) {
            return Err(malformed(Broken::new(format!("its header ends behind it; {COPY_AGAIN}"))));
        }
        let mut header = vec![0; header_bytes];
        file.read_exact(&mut header).map_err(WeightsError::io("read", path))?;
        let (entries, metadata) = header::read(&header, header_prefix).map_err(malformed)?;
        let mut end = PREFIX_BYTES + header_bytes;
        let (mut tensors, mut starts) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
        for entry in &entries {
            tensors.push(FileTensor::new(entry.name.clone(), entry.dtype, entry.shape.clone(), tensors.len()));
            starts.push(end);
            end = end.saturating_add(entry.n_bytes);
        }
        let promised = end.saturating_add(DIGEST_BYTES);
        if promised != n_bytes {
            return Err(malformed(Broken::new(format!(
                "it has {n_bytes} bytes, its header says {promised}; {COPY_AGAIN}"
            ))));
        }
        Ok(Self { path: path.to_owned(), file, n_bytes, tensors, metadata, starts, entries })
    }

    /// The table of contents, in the file's order. The type is that of the tensor that was compressed.
    pub fn tensors(&self) -> &[FileTensor] {
        &self.tensors
    }

    /// What the file says of its weights.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The values of `tensor`, one of [`Self::tensors`], as f32.
    ///
    /// # Errors
    /// When the system refuses the read, or its bytes are not those that were written.
    pub fn read(&mut self, tensor: &FileTensor) -> Result<Vec<f32>, WeightsError> {
        Ok(match self.decode_one(tensor)? {
            Decoded::Exact(bytes) => widen(tensor.dtype, &bytes),
            Decoded::Quantised(values) => values,
        })
    }

    /// The values of `tensor`, one of [`Self::tensors`], as bytes of its type: those that were compressed, if it was kept exact.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_bytes(&mut self, tensor: &FileTensor) -> Result<Vec<u8>, WeightsError> {
        Ok(match self.decode_one(tensor)? {
            Decoded::Exact(bytes) => bytes,
            Decoded::Quantised(values) => source::narrow(tensor.dtype, &values),
        })
    }

    /// The values of all tensors as f32, in the order of [`Self::tensors`], decoded on `threads` threads. The digest is compared too.
    ///
    /// # Errors
    /// When the system refuses the read, or any byte of the file is not the one that was written.
    pub fn read_all(&mut self, threads: NonZeroUsize) -> Result<Vec<Vec<f32>>, WeightsError> {
        self.read_many(&self.tensors.clone(), threads)
    }

    /// The same of some of [`Self::tensors`], in their order.
    ///
    /// # Errors
    /// As [`Self::read_all`].
    pub fn read_many(&mut self, tensors: &[FileTensor], threads: NonZeroUsize) -> Result<Vec<Vec<f32>>, WeightsError> {
        let content = self.content()?;
        let indices = tensors.iter().map(|tensor| self.position(tensor).map(Some));
        let jobs = indices.chain([Ok(None)]).collect::<Result<Vec<Option<usize>>, WeightsError>>()?;
        // The digest is computed beside the tensors; its job weighs as much as the file has bytes.
        let size = |job: &Option<usize>| job.map_or(self.n_bytes, |idx| self.entries[idx].n_values());
        let decoded = parallel::map(threads, &jobs, size, |job| match job {
            None => self.check_digest(&content).map(|()| vec![]),
            Some(idx) => {
                let bytes = content.get(self.starts[*idx]..).and_then(|rest| rest.get(..self.entries[*idx].n_bytes));
                Ok(match self.decode(*idx, bytes.unwrap_or_default())? {
                    Decoded::Exact(bytes) => widen(self.entries[*idx].dtype, &bytes),
                    Decoded::Quantised(values) => values,
                })
            }
        });
        let mut values = decoded.into_iter().collect::<Result<Vec<_>, WeightsError>>()?;
        values.truncate(tensors.len());
        Ok(values)
    }

    fn content(&mut self) -> Result<Vec<u8>, WeightsError> {
        let mut content = vec![0; self.n_bytes];
        self.file.seek(SeekFrom::Start(0)).map_err(WeightsError::io("read", &self.path))?;
        self.file.read_exact(&mut content).map_err(WeightsError::io("read", &self.path))?;
        Ok(content)
    }

    fn check_digest(&self, content: &[u8]) -> Result<(), WeightsError> {
        let (content, digest) = content.split_at(content.len() - DIGEST_BYTES);
        if Sha256::digest(content)[..] == *digest {
            Ok(())
        } else {
            Err(self.malformed(format!("its content has another SHA-256 than it ends in; {COPY_AGAIN}")))
        }
    }

    fn decode_one(&mut self, tensor: &FileTensor) -> Result<Decoded, WeightsError> {
        let idx = self.position(tensor)?;
        let mut bytes = vec![0; self.entries[idx].n_bytes];
        let start = SeekFrom::Start(self.starts[idx] as u64);
        self.file.seek(start).map_err(WeightsError::io("read", &self.path))?;
        self.file.read_exact(&mut bytes).map_err(WeightsError::io("read", &self.path))?;
        self.decode(idx, &bytes)
    }

    fn position(&self, tensor: &FileTensor) -> Result<usize, WeightsError> {
        let position = self.tensors.iter().position(|t| t.name == tensor.name);
        position.ok_or_else(|| self.malformed(format!("it has no tensor `{}`", tensor.name)))
    }

    fn decode(&self, idx: usize, bytes: &[u8]) -> Result<Decoded, WeightsError> {
        let entry = &self.entries[idx];
        decode(entry, bytes)
            .map_err(|Broken(reason)| self.malformed(format!("the tensor `{}`: {reason}; {COPY_AGAIN}", entry.name)))
    }

    fn malformed(&self, reason: String) -> WeightsError {
        WeightsError::Malformed { path: self.path.clone(), format: FORMAT, reason }
    }
}

/// The values that the bytes of an entry stand for.
fn decode(entry: &Entry, bytes: &[u8]) -> Result<Decoded, Broken> {
    if bytes.len() != entry.n_bytes || crc32fast::hash(bytes) != entry.crc {
        return Err(Broken::new("its bytes have changed since it was written"));
    }
    let (n, n_rows) = (entry.n_values(), entry.shape.first().copied().unwrap_or(1));
    let mut fields = Fields(bytes);
    let values = match entry.layout {
        Layout::Exact => Decoded::Exact(exact::decode(&mut fields, n, header::width(entry.dtype).unwrap_or(1))?),
        Layout::Trellis => Decoded::Quantised(trellis::decode(&mut fields, n, n_rows)?),
    };
    fields.end()?;
    Ok(values)
}
