//! A safetensors file: its table of contents first, then one tensor at a time.
//!
//! The safetensors crate wants the whole file in memory and keeps one of two tensors with the same name; here the header is
//! read and checked alone, so that a file that does not fit costs nothing, and a name that stands twice is seen.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use super::open::Listing;
use super::{Mismatch, WeightsError, huffman};
use crate::atomic;

/// Longest header that is read, in bytes: the safetensors crate's own limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Bytes in front of the header, which hold its length.
const PREFIX_BYTES: u64 = 8;
/// What may be wrong with a file whose header makes no sense.
const CONVERT: &str = "if it comes from PyTorch, save it again (safetensors.torch.save_file)";

/// An entry of a file's table of contents.
#[derive(Clone, Debug)]
pub struct FileTensor {
    /// Name.
    pub name: String,
    /// Type of the values.
    pub dtype: Dtype,
    /// Shape, row-major; empty where [`Self::is_shapeless`].
    pub shape: Vec<usize>,
    is_shapeless: bool,
    /// Position among what its file has.
    idx: usize,
}

impl FileTensor {
    /// An entry of a format that stores shapes, `idx`-th of its file.
    pub(super) fn new(name: String, dtype: Dtype, shape: Vec<usize>, idx: usize) -> Self {
        Self { name, dtype, shape, is_shapeless: false, idx }
    }

    /// An entry of a format that stores no shapes.
    pub(super) fn shapeless(name: String, dtype: Dtype, idx: usize) -> Self {
        Self { name, dtype, shape: Vec::new(), is_shapeless: true, idx }
    }

    /// Whether the file does not tell the shape and [`WeightsFile::adopt_shapes`](super::WeightsFile::adopt_shapes) has not given
    /// it one.
    pub fn is_shapeless(&self) -> bool {
        self.is_shapeless
    }

    /// The shape, if there is one.
    pub fn known_shape(&self) -> Option<&[usize]> {
        (!self.is_shapeless).then_some(&self.shape)
    }

    pub(super) fn adopt(&mut self, shape: &[usize]) {
        self.shape = shape.to_vec();
        self.is_shapeless = false;
    }

    pub(super) fn idx(&self) -> usize {
        self.idx
    }

    /// Whether [`WeightsFile::read`](super::WeightsFile::read) can widen the values to f32.
    pub fn is_readable(&self) -> bool {
        [Dtype::F32, Dtype::F16, Dtype::BF16].contains(&self.dtype)
    }
}

/// An open safetensors file whose header has been checked.
#[derive(Debug)]
pub(super) struct SafetensorsFile {
    path: PathBuf,
    file: File,
    /// First byte and number of bytes of each tensor's values.
    places: Vec<(u64, usize)>,
}

impl SafetensorsFile {
    /// Opens `path` and reads its header.
    ///
    /// # Errors
    /// When the file cannot be read, is of another format, or is shorter or longer than its header says.
    pub(super) fn open(path: &Path) -> Result<(Listing, Self), WeightsError> {
        let malformed = |reason: String| WeightsError::Malformed { path: path.to_owned(), reason };
        let mut file = File::open(path).map_err(WeightsError::io("open", path))?;
        let file_bytes = file.metadata().map_err(WeightsError::io("read the size of", path))?.len();
        if file_bytes < PREFIX_BYTES {
            return Err(malformed(format!("it has only {file_bytes} bytes")));
        }
        let mut prefix = [0; 8];
        file.read_exact(&mut prefix).map_err(WeightsError::io("read", path))?;
        let header_bytes = u64::from_le_bytes(prefix);
        if header_bytes > MAX_HEADER_BYTES.min(file_bytes - PREFIX_BYTES) {
            return Err(malformed(format!("its first 8 bytes are not the length of a header; {CONVERT}")));
        }
        let mut header = Vec::new();
        (&mut file).take(header_bytes).read_to_end(&mut header).map_err(WeightsError::io("read", path))?;
        let entries = parse_header(&header).map_err(|e| malformed(format!("its header is broken ({e}); {CONVERT}")))?;

        let names = || entries.iter().map(|(name, _)| name.as_str());
        // With a name twice the file is refused in any case, and the offsets make no sense.
        if duplicates(names()).is_empty() {
            let metadata = check_layout(&entries).map_err(|e| malformed(format!("its header is broken ({e})")))?;
            let promised = metadata.data_len() as u64 + PREFIX_BYTES + header_bytes;
            if promised != file_bytes {
                return Err(malformed(format!("it has {file_bytes} bytes, its header says {promised}; copy it again")));
            }
        }
        let data_start = PREFIX_BYTES + header_bytes;
        let places = entries.iter().map(|(_, info)| place(info, data_start)).collect();
        let tensor =
            |(idx, (name, info)): (usize, (String, TensorInfo))| FileTensor::new(name, info.dtype, info.shape, idx);
        let tensors = entries.into_iter().enumerate().map(tensor).collect();
        Ok((Listing::new(tensors, Vec::new()), Self { path: path.to_owned(), file, places }))
    }

    /// The values of the tensor at `idx` of the table of contents, row-major, little-endian.
    ///
    /// # Errors
    /// When the system refuses the read.
    pub(super) fn read(&mut self, idx: usize) -> Result<Vec<u8>, WeightsError> {
        let (start, n_bytes) = self.places[idx];
        self.file.seek(SeekFrom::Start(start)).map_err(WeightsError::io("read", &self.path))?;
        let mut bytes = vec![0; n_bytes];
        self.file.read_exact(&mut bytes).map_err(WeightsError::io("read", &self.path))?;
        Ok(bytes)
    }
}

/// The SHA-256 of a file, in lower-case hexadecimal; of a directory that of the list of its files' digests, as
/// `LC_ALL=C; sha256sum * | sha256sum` prints it.
///
/// # Errors
/// When the file cannot be read.
pub fn digest(path: &Path) -> Result<String, WeightsError> {
    if path.is_dir() { huffman::digest(path) } else { atomic::sha256_of(path).map_err(WeightsError::io("read", path)) }
}

/// The same, if it is `expected`.
///
/// # Errors
/// When the file cannot be read or has another digest.
pub fn digest_as(path: &Path, expected: Option<&str>) -> Result<String, WeightsError> {
    let found = digest(path)?;
    match expected.filter(|expected| *expected != found) {
        None => Ok(found),
        Some(expected) => Err(WeightsError::other_digest(path, expected, &found)),
    }
}

/// The values of a type that is readable as f32.
pub(super) fn widen(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let pairs = || bytes.as_chunks::<2>().0.iter();
    if dtype == Dtype::F32 {
        bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
    } else if dtype == Dtype::F16 {
        pairs().map(|&b| f16::from_le_bytes(b).to_f32()).collect()
    } else if dtype == Dtype::BF16 {
        pairs().map(|&b| bf16::from_le_bytes(b).to_f32()).collect()
    } else {
        vec![f32::NAN; bytes.len()]
    }
}

fn place(info: &TensorInfo, data_start: u64) -> (u64, usize) {
    let (start, end) = info.data_offsets;
    (data_start.saturating_add(start as u64), end.saturating_sub(start))
}

/// The names that stand more than once.
pub(super) fn duplicates<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Mismatch> {
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<&str> = names.filter(|name| !seen.insert(*name)).collect();
    twice.into_iter().map(|name| Mismatch::Duplicate { name: name.to_owned() }).collect()
}

/// Checks that shapes, types and offsets agree and leave no gap.
fn check_layout(entries: &[(String, TensorInfo)]) -> Result<Metadata, safetensors::SafeTensorError> {
    let mut ordered = entries.to_vec();
    ordered.sort_by_key(|(_, info)| info.data_offsets);
    Metadata::new(None, ordered)
}

fn parse_header(header: &[u8]) -> Result<Vec<(String, TensorInfo)>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(header);
    let entries = json.deserialize_map(HeaderVisitor)?;
    json.end()?;
    Ok(entries)
}

/// Collects the entries of a header in order, duplicates included.
struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Vec<(String, TensorInfo)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
            } else {
                entries.push((name, map.next_value()?));
            }
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::super::WeightsFile;
    use super::*;

    /// A file of this header and `n_bytes` zeros.
    fn written(header: &str, n_bytes: usize) -> (tempfile::TempDir, PathBuf) {
        let mut content = (header.len() as u64).to_le_bytes().to_vec();
        content.extend(header.as_bytes());
        content.resize(content.len() + n_bytes, 0);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        atomic::write(&path, &content).unwrap();
        (dir, path)
    }

    fn refusal(header: &str, n_bytes: usize) -> String {
        let (_dir, path) = written(header, n_bytes);
        let text = WeightsFile::open(&path).unwrap_err().to_string();
        assert!(text.contains("w.safetensors"), "{text}");
        text
    }

    const ONE: &str = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#;

    #[test]
    fn a_header_is_read_without_the_values() {
        let (_dir, path) = written(ONE, 4);
        let mut file = WeightsFile::open(&path).unwrap();
        let tensor = file.tensors()[0].clone();
        assert_eq!((tensor.name.as_str(), &tensor.shape[..], tensor.dtype), ("a", &[2][..], Dtype::F16));
        assert_eq!(file.read(&tensor).unwrap(), [0.0, 0.0]);
    }

    #[test]
    fn broken_files_are_refused_with_the_reason() {
        assert!(refusal(ONE, 3).contains("its header says"));
        assert!(refusal(ONE, 5).contains("copy it again"));
        assert!(refusal("{", 0).contains("its header is broken"));
        assert!(
            refusal(r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8).contains("its header is broken")
        );
        let huge = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#;
        assert!(refusal(huge, 8).contains("its header is broken"));
        let gap = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
        assert!(refusal(gap, 8).contains("its header is broken"));
    }

    #[test]
    fn a_senseless_header_is_refused_before_anything_is_allocated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.bin");
        atomic::write(&path, b"\0\0\0\0\0\0\0\x40{ and so on").unwrap();
        let text = WeightsFile::open(&path).unwrap_err().to_string();
        assert!(text.contains("model.bin") && text.contains("save_file"), "{text}");
        atomic::write(&path, b"abc").unwrap();
        assert!(SafetensorsFile::open(&path).unwrap_err().to_string().ends_with("it has only 3 bytes"));
    }

    #[test]
    fn a_name_that_stands_twice_is_seen() {
        let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        let (_dir, path) = written(twice, 4);
        let mut file = WeightsFile::open(&path).unwrap();
        assert_eq!(file.duplicates(), [Mismatch::Duplicate { name: "a".to_owned() }]);
        let tensor = file.tensors()[0].clone();
        assert!(file.read(&tensor).unwrap_err().to_string().contains("listed twice: a"));
    }

    #[test]
    fn the_digest_is_that_of_sha256sum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        atomic::write(&path, b"abc").unwrap();
        assert_eq!(digest(&path).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn sixteen_bit_floats_are_widened_exactly() {
        let values = [1.5f32, -0.25, 65504.0, 6e-8];
        let halves: Vec<u8> = values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
        assert_eq!(widen(Dtype::F16, &halves), values.map(|v| f16::from_f32(v).to_f32()));
        let brains: Vec<u8> = values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect();
        assert_eq!(widen(Dtype::BF16, &brains), values.map(|v| bf16::from_f32(v).to_f32()));
    }
}
