//! What the targets do with an input, and what the test over the found corpus repeats: whatever the bytes, they are read or refused.

use std::path::Path;

use swath::config::Pipeline;
use swath::zoo::weights::{Format, Selection, WeightsFile};

/// Values that are read of one file at most. Files may hold more, and would then be as large.
const MOST_VALUES: usize = 1 << 20;

/// The files that one weight and one bias have in a Huffman directory.
const STREAMS: [&str; 7] = [
    "a.weight_csr_data.bin",
    "a.weight_csr_data_codebook.bin",
    "a.weight_csr_indices.bin",
    "a.weight_csr_indices_codebook.bin",
    "a.weight_csr_indptr.bin",
    "a.weight_csr_indptr_codebook.bin",
    "a.bias",
];

/// A folder in memory, where there is one.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "." }).unwrap()
}

/// The bytes as a file of weights in one of these formats. Returns whether it was sound.
pub(crate) fn weights(data: &[u8], formats: &[Format]) -> bool {
    let dir = folder();
    let path = dir.path().join("w");
    std::fs::write(&path, data).unwrap();
    if !Format::of(&path).is_ok_and(|format| formats.contains(&format)) {
        return false;
    }
    let mut is_sound = false;
    for selection in [Selection::Network, Selection::Average, Selection::Everything] {
        let Ok(mut file) = WeightsFile::open_selected(&path, selection) else { continue };
        is_sound = true;
        let mut left = MOST_VALUES;
        for tensor in file.tensors().to_vec() {
            let n_values = tensor.shape.iter().product::<usize>();
            left = left.saturating_sub(n_values);
            if left == 0 {
                break;
            }
            match file.read(&tensor) {
                Ok(values) => assert!(!tensor.is_readable() || values.len() == n_values),
                Err(_) => is_sound = false,
            }
        }
    }
    is_sound
}

/// The bytes as compressed weights whose checksums are right and whose last tensor ends where the bytes do: what is behind the checks must
/// hold its own. Returns whether they were sound.
pub(crate) fn swz(data: &[u8]) -> bool {
    let mut content = data.to_vec();
    let is_sealed = seal(&mut content).is_some();
    weights(&content, &[Format::Swz]) && is_sealed
}

/// Bytes in front of the header: magic, version, the header's length and its CRC-32.
const PREFIX_BYTES: usize = 20;
/// Bytes behind the last tensor, which [`WeightsFile::read`] does not look at.
const DIGEST_BYTES: usize = 32;

/// Sets the length of the last tensor and every CRC-32. `None` where the header makes no sense.
fn seal(content: &mut [u8]) -> Option<()> {
    let number = |content: &[u8], at: usize, n: usize| {
        let bytes = content.get(at..at.checked_add(n)?)?;
        Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    };
    let end = PREFIX_BYTES.checked_add(number(content, 12, 4)?)?;
    let tensors_end = content.len().checked_sub(DIGEST_BYTES).filter(|e| end <= *e)?;
    let (mut at, mut start) = (PREFIX_BYTES + 4, end);
    while at < end {
        // Name, type, coding, dimensions; then the tensor's length and its CRC-32.
        at = at.checked_add(2 + number(content, at, 2)? + 2)?;
        at = at.checked_add(1 + 4 * number(content, at, 1)?)?;
        if at + 8 >= end {
            let rest = u32::try_from(tensors_end - start).ok()?;
            content.get_mut(at..at + 4)?.copy_from_slice(&rest.to_le_bytes());
        }
        let stop = start.checked_add(number(content, at, 4)?).filter(|stop| *stop <= tensors_end)?;
        let crc = crc32fast::hash(&content[start..stop]);
        content.get_mut(at + 4..at + 8)?.copy_from_slice(&crc.to_le_bytes());
        (at, start) = (at + 8, stop);
    }
    let crc = crc32fast::hash(&content[PREFIX_BYTES..end]);
    content.get_mut(16..PREFIX_BYTES)?.copy_from_slice(&crc.to_le_bytes());
    Some(())
}

/// The bytes as the streams of a Huffman directory: each record (length as u16, bytes) becomes one of its files. Returns whether they
/// were sound.
pub(crate) fn huffman(data: &[u8]) -> bool {
    let dir = folder();
    let mut rest = data;
    for name in STREAMS {
        let Some((length, after)) = rest.split_first_chunk::<2>() else { break };
        let (content, after) = after.split_at(after.len().min(usize::from(u16::from_le_bytes(*length))));
        std::fs::write(dir.path().join(name), content).unwrap();
        rest = after;
    }
    let Ok(mut file) = WeightsFile::open(dir.path()) else { return false };
    let shapes = [("a.weight".to_owned(), vec![6, 8]), ("a.bias".to_owned(), vec![8])];
    file.adopt_shapes(&shapes).is_ok() && file.tensors().to_vec().iter().all(|tensor| file.read(tensor).is_ok())
}

/// The bytes as a pipeline file. Returns whether it was sound.
pub(crate) fn pipeline(data: &[u8]) -> bool {
    let dir = folder();
    let path = dir.path().join("p.toml");
    std::fs::write(&path, data).unwrap();
    Pipeline::load(&path, &[]).is_ok()
}
