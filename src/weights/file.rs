//! A safetensors file: its table of contents first, then one tensor at a time.
//!
//! The safetensors crate wants the whole file in memory and keeps one of two tensors with the same name; here the header is
//! read and checked alone, so that a file that does not fit costs nothing, and a name that stands twice is seen.

use std::fmt;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorInfo;
use serde::Deserializer;
use serde::de::{MapAccess, Visitor};

use super::WeightsError;
use super::listing::{Listing, Metadata};
use super::reader::WeightsReader;
use super::tensor::FileTensor;

/// Longest header that is read, in bytes: the safetensors crate's own limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Bytes in front of the header, which hold its length.
const PREFIX_BYTES: u64 = 8;
/// What may be wrong with a file whose header makes no sense.
const CONVERT: &str = "if it comes from PyTorch, save it again (safetensors.torch.save_file)";

/// An open safetensors file whose header has been checked.
#[derive(Debug)]
pub(super) struct SafetensorsFile {
    path: PathBuf,
    file: WeightsReader,
    /// First byte and number of bytes of each tensor's values.
    places: Vec<(u64, usize)>,
}

impl SafetensorsFile {
    /// Reads the header of `file`, which is at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, is of another format, or is shorter or longer than its header says.
    pub(super) fn open(path: &Path, mut file: WeightsReader) -> Result<(Listing, Self), WeightsError> {
        let malformed =
            |reason: String| WeightsError::Malformed { path: path.to_owned(), format: "safetensors", reason };
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
        let (entries, metadata) =
            parse_header(&header).map_err(|e| malformed(format!("its header is broken ({e}); {CONVERT}")))?;

        let tensor = |(idx, (name, info)): (usize, &(String, TensorInfo))| {
            FileTensor::new(name.clone(), info.dtype, info.shape.clone(), idx)
        };
        let listing = Listing::new(entries.iter().enumerate().map(tensor).collect(), Vec::new());
        // With a name twice the file is refused in any case, and the offsets make no sense.
        if listing.duplicates.is_empty() {
            let layout = check_layout(&entries).map_err(|e| malformed(format!("its header is broken ({e})")))?;
            let promised = layout.data_len() as u64 + PREFIX_BYTES + header_bytes;
            if promised != file_bytes {
                return Err(malformed(format!("it has {file_bytes} bytes, its header says {promised}; copy it again")));
            }
        }
        let data_start = PREFIX_BYTES + header_bytes;
        let places = entries.iter().map(|(_, info)| place(info, data_start)).collect();
        Ok((Listing { metadata, ..listing }, Self { path: path.to_owned(), file, places }))
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

fn place(info: &TensorInfo, data_start: u64) -> (u64, usize) {
    let (start, end) = info.data_offsets;
    (data_start.saturating_add(start as u64), end.saturating_sub(start))
}

/// Checks that shapes, types and offsets agree and leave no gap.
fn check_layout(
    entries: &[(String, TensorInfo)],
) -> Result<safetensors::tensor::Metadata, safetensors::SafeTensorError> {
    let mut ordered = entries.to_vec();
    ordered.sort_by_key(|(_, info)| info.data_offsets);
    safetensors::tensor::Metadata::new(None, ordered)
}

fn parse_header(header: &[u8]) -> Result<Header, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(header);
    let entries = json.deserialize_map(HeaderVisitor)?;
    json.end()?;
    Ok(entries)
}

/// The tensors in order, and the metadata.
type Header = (Vec<(String, TensorInfo)>, Metadata);

/// The key beside the names of tensors that metadata stands under.
pub(super) const METADATA_KEY: &str = "__metadata__";

/// Collects the entries of a header in order, duplicates included.
struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut entries, mut metadata) = (Vec::new(), Metadata::new());
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA_KEY {
                metadata.extend(map.next_value::<Option<Metadata>>()?.unwrap_or_default());
            } else {
                entries.push((name, map.next_value()?));
            }
        }
        Ok((entries, metadata))
    }
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;

    use super::super::{Mismatch, WeightsFile};
    use super::*;
    use crate::atomic;

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
        assert_eq!(file.metadata(), &Metadata::from([("format".to_owned(), "pt".to_owned())]));
    }

    #[test]
    fn broken_files_are_refused_with_the_reason() {
        assert!(refusal(ONE, 3).contains("its header says"));
        assert!(refusal(ONE, 5).contains("copy it again"));
        assert!(refusal(r#"{"__metadata__":{"classes":15}}"#, 0).contains("its header is broken"));
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
        // Nobody asks this of a file whose beginning is not that of a safetensors file, unless it has just become another one.
        let error = SafetensorsFile::open(&path, WeightsReader::open(&path).unwrap()).unwrap_err();
        assert!(error.to_string().ends_with("it has only 3 bytes"));
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
}
