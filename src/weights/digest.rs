//! What files of weights are known by.

use std::path::Path;

use super::{WeightsError, huffman};
use crate::atomic;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_sha256sum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        atomic::write(&path, b"abc").unwrap();
        assert_eq!(digest(&path).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
