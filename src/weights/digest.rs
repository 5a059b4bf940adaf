//! What files of weights are known by.
//!
//! To hash a gigabyte takes a second, and is done for every plan. So digests are kept in the user's cache directory, each with the size, the
//! time and the inode that its file had. Who loads the weights hashes what it reads and finds out where that was too little.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::swz::parallel;
use super::{WeightsError, huffman, onnx};
use crate::atomic;

/// Name of the file of digests.
const FILE: &str = "digests.json";

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    #[serde(flatten)]
    state: FileState,
    sha256: String,
}

/// What a file had when it was hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileState {
    bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    inode: u64,
}

type AllKnown = BTreeMap<PathBuf, Known>;

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
    digests_in(cache().as_deref(), files)
}

/// Where digests are kept, if anywhere.
pub(super) fn cache() -> Option<PathBuf> {
    atomic::cached(FILE)
}

fn digests_in(cache: Option<&Path>, files: &[(&Path, Option<&str>)]) -> Vec<Result<String, WeightsError>> {
    let known = cache.map(all_known).unwrap_or_default();
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let bytes = |(path, _): &(&Path, Option<&str>)| {
        path.metadata().map_or(0, |m| usize::try_from(m.len()).unwrap_or(usize::MAX))
    };
    let found = parallel::map(threads, files, bytes, |(path, expected)| {
        let (place, before) = state(path).unzip();
        let kept =
            place.as_ref().and_then(|place| known.get(place)).filter(|known| Some(&known.state) == before.as_ref());
        // A digest that is not as it should be is looked at twice.
        if let Some(kept) = kept.filter(|kept| expected.is_none_or(|expected| expected == kept.sha256)) {
            return Ok((kept.sha256.clone(), None));
        }
        let sha256 = digest(path)?;
        let fresh = state(path).filter(|(_, after)| Some(after) == before.as_ref());
        let fresh = fresh.map(|(place, state)| (place, Known { state, sha256: sha256.clone() }));
        match expected.filter(|expected| *expected != sha256) {
            None => Ok((sha256, fresh)),
            Some(expected) => Err(WeightsError::other_digest(path, expected, &sha256)),
        }
    });
    let fresh: AllKnown = found.iter().flatten().filter_map(|(_, fresh)| fresh.clone()).collect();
    if let Some(cache) = cache.filter(|_| !fresh.is_empty()) {
        change(cache, |known| known.extend(fresh));
    }
    found.into_iter().map(|found| found.map(|(sha256, _)| sha256)).collect()
}

/// The error of a file that has another digest than it was known to have, which is forgotten.
pub(super) fn other_than_known(path: &Path, expected: &str, found: &str) -> WeightsError {
    if let (Some(cache), Some((place, _))) = (cache(), state(path)) {
        change(&cache, |known| drop(known.remove(&place)));
    }
    WeightsError::Changed { path: path.to_owned(), expected: expected.to_owned(), found: found.to_owned() }
}

/// Where a file really is, and what it has now. Nothing of what is no file, or several.
fn state(path: &Path) -> Option<(PathBuf, FileState)> {
    if onnx::is_onnx(path) && onnx::files(path).map_or(0, |files| files.len()) != 1 {
        return None;
    }
    let place = path.canonicalize().ok()?;
    let metadata = place.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    Some((place, FileState { bytes: metadata.len(), modified, inode: metadata.ino() }))
}

fn all_known(cache: &Path) -> AllKnown {
    let text = std::fs::read(cache).ok();
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Changes what is kept, without files that are gone. What cannot be kept is not worth an error: it is hashed again.
fn change(cache: &Path, change: impl FnOnce(&mut AllKnown)) {
    let mut known = all_known(cache);
    change(&mut known);
    known.retain(|place, _| place.exists());
    if let Ok(text) = serde_json::to_vec_pretty(&known) {
        drop(atomic::write(cache, &text));
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn one(cache: &Path, path: &Path, expected: Option<&str>) -> Result<String, String> {
        digests_in(Some(cache), &[(path, expected)]).remove(0).map_err(|e| e.to_string())
    }

    /// Another digest in place of every one that is kept.
    fn mark(cache: &Path) {
        change(cache, |known| known.values_mut().for_each(|known| known.sha256 = "marked".to_owned()));
    }

    #[test]
    fn the_digest_is_that_of_sha256sum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        atomic::write(&path, b"abc").unwrap();
        assert_eq!(digest(&path).unwrap(), ABC);
    }

    #[test]
    fn a_digest_is_known_until_size_time_or_inode_change() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, path) = (dir.path().join("cache/digests.json"), dir.path().join("abc"));
        atomic::write(&path, b"abc").unwrap();
        assert_eq!(one(&cache, &path, None).unwrap(), ABC);
        mark(&cache);
        assert_eq!(one(&cache, &path, None).unwrap(), "marked");
        // By another name it is the same file.
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(one(&cache, &link, None).unwrap(), "marked");
        // What the pipeline names is believed more.
        assert_eq!(one(&cache, &path, Some(ABC)).unwrap(), ABC);
        assert_eq!(one(&cache, &path, None).unwrap(), ABC);

        let modified = path.metadata().unwrap().modified().unwrap();
        let set_modified = |time| File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
        mark(&cache);
        set_modified(modified + std::time::Duration::from_nanos(1));
        assert_eq!(one(&cache, &path, None).unwrap(), ABC, "another time");
        mark(&cache);
        File::options().append(true).open(&path).unwrap().write_all(b"d").unwrap();
        set_modified(modified + std::time::Duration::from_nanos(1));
        assert_ne!(one(&cache, &path, None).unwrap(), "marked", "another size");
        mark(&cache);
        // Written beside it and renamed, while the old one is still there.
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        atomic::write(&path, b"abcd").unwrap();
        set_modified(modified + std::time::Duration::from_nanos(1));
        assert_ne!(one(&cache, &path, None).unwrap(), "marked", "another inode");
    }

    #[test]
    fn what_is_gone_or_not_as_it_should_be_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, path) = (dir.path().join("digests.json"), dir.path().join("abc"));
        atomic::write(&path, b"abc").unwrap();
        let text = one(&cache, &path, Some("0123")).unwrap_err();
        assert!(text.contains(ABC) && text.contains("0123"), "{text}");
        assert!(!cache.exists());
        one(&cache, &path, None).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(one(&cache, &path, None).unwrap_err().contains("abc"));
        atomic::write(&dir.path().join("other"), b"").unwrap();
        one(&cache, &dir.path().join("other"), None).unwrap();
        assert_eq!(all_known(&cache).len(), 1);
    }
}
