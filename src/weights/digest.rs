//! What files of weights are known by. Who loads the weights hashes what it reads, and finds out where a digest was known too well.

use std::path::Path;

use super::{WeightsError, huffman, onnx};
use crate::atomic::{self, KnownDigests};

/// The SHA-256 of a file, in lower-case hexadecimal; of a directory that of the list of its files' digests, as
/// `LC_ALL=C; sha256sum * | sha256sum` prints it; of an ONNX model with files of tensors beside it likewise, the model first.
///
/// # Errors
/// When the file cannot be read.
pub fn digest(path: &Path) -> Result<String, WeightsError> {
    match path.is_dir() {
        true => huffman::digest(path),
        false if onnx::is_onnx(path) => onnx::digest(path),
        false => atomic::sha256_of(path).map_err(WeightsError::io("read", path)),
    }
}

/// The digests of several files, side by side, each with the one that it shall have if that matters. Those of files that have not changed
/// since they were hashed are known.
///
/// # Errors
/// For each that cannot be read or has another digest.
pub fn digests(files: &[(&Path, Option<&str>)]) -> Vec<Result<String, WeightsError>> {
    let is_alone = |path: &Path| !onnx::is_onnx(path) || onnx::files(path).is_ok_and(|files| files.len() == 1);
    let found = known().of(files, |path| Ok((digest(path)?, is_alone(path))));
    let checked = |(found, (path, expected)): (Result<String, WeightsError>, &(&Path, Option<&str>))| {
        let found = found?;
        match expected.filter(|expected| *expected != found) {
            None => Ok(found),
            Some(expected) => Err(WeightsError::other_digest(path, expected, &found)),
        }
    };
    found.into_iter().zip(files).map(checked).collect()
}

pub(super) fn known() -> KnownDigests {
    KnownDigests::named("digests.json")
}

/// The error of a file that has another digest than it was known to have, which is forgotten.
pub(super) fn other_than_known(path: &Path, expected: &str, found: &str) -> WeightsError {
    known().forget(path);
    WeightsError::Changed { path: path.to_owned(), expected: expected.to_owned(), found: found.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_sha256sum_and_another_is_an_error() {
        const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        atomic::write(&path, b"abc").unwrap();
        assert_eq!(digest(&path).unwrap(), ABC);
        let text = digests(&[(&path, Some("0123"))]).remove(0).unwrap_err().to_string();
        assert!(text.contains(ABC) && text.contains("0123"), "{text}");
    }
}
