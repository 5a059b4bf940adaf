//! Digests of files that were hashed before.
//!
//! To hash a gigabyte takes a second, and is done for every plan. So digests are kept in the user's cache directory, each with what its
//! file had then: size, inode, when it was written, and when anything of it was changed, which nobody can set.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::parallel;

/// The digests that a file of the cache directory holds, if there is such a directory.
#[derive(Debug, Default)]
pub(crate) struct KnownDigests {
    cache: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    #[serde(flatten)]
    state: FileState,
    sha256: String,
}

/// What a file had when it was hashed. Times are seconds and nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileState {
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
}

type AllKnown = BTreeMap<PathBuf, Known>;

/// So many files are hashed before the first digests are kept, and then as many as all before: whoever is interrupted loses half of the
/// work at most, and what is kept is written a few times, however much it is.
const FIRST: usize = 64;

impl KnownDigests {
    pub(crate) fn named(name: &str) -> Self {
        Self { cache: super::cached(name) }
    }

    /// Where they are kept.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.cache.as_deref()
    }

    /// The digests of several files, side by side. `hash` is asked for those that are not known, and where another is expected than is
    /// known; it also says whether what it found is that of this file alone, without which it is not kept.
    pub(crate) fn of<E: Send>(
        &self,
        files: &[(&Path, Option<&str>)],
        hash: impl Fn(&Path) -> Result<(String, bool), E> + Sync,
    ) -> Vec<Result<String, E>> {
        let known = self.all();
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let bytes = |(path, _): &(&Path, Option<&str>)| {
            path.metadata().map_or(0, |m| usize::try_from(m.len()).unwrap_or(usize::MAX))
        };
        let mut found = Vec::with_capacity(files.len());
        while found.len() < files.len() {
            let end = files.len().min(FIRST.max(2 * found.len()));
            let mut fresh = AllKnown::new();
            let look = |(path, expected): &(&Path, Option<&str>)| look(&known, path, *expected, &hash);
            for result in parallel::map(threads, &files[found.len()..end], bytes, look) {
                found.push(result.map(|(sha256, new)| {
                    fresh.extend(new);
                    sha256
                }));
            }
            if !fresh.is_empty() {
                self.change(|known| known.extend(fresh));
            }
        }
        found
    }

    /// Bytes of those files whose digests are not known.
    pub(crate) fn unknown_bytes<'a>(&self, files: impl Iterator<Item = &'a Path>) -> u64 {
        let known = self.all();
        let unknown =
            files.filter_map(state).filter(|(place, state)| known.get(place).is_none_or(|k| k.state != *state));
        unknown.map(|(_, state)| state.bytes).sum()
    }

    /// Forgets what is known of a file.
    pub(crate) fn forget(&self, path: &Path) {
        if let Some((place, _)) = state(path) {
            self.change(|known| drop(known.remove(&place)));
        }
    }

    fn all(&self) -> AllKnown {
        let text = self.cache.as_ref().and_then(|cache| std::fs::read(cache).ok());
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Changes what is kept, without files that are gone. What cannot be kept is not worth an error: it is hashed again.
    fn change(&self, change: impl FnOnce(&mut AllKnown)) {
        let Some(cache) = &self.cache else { return };
        let mut known = self.all();
        change(&mut known);
        known.retain(|place, _| place.exists());
        if let Ok(text) = serde_json::to_vec_pretty(&known) {
            drop(super::write(cache, &text));
        }
    }
}

/// The digest of a file, and what is to be kept of it.
fn look<E>(
    known: &AllKnown,
    path: &Path,
    expected: Option<&str>,
    hash: &impl Fn(&Path) -> Result<(String, bool), E>,
) -> Result<(String, Option<(PathBuf, Known)>), E> {
    let (place, before) = state(path).unzip();
    let kept = place.as_ref().and_then(|place| known.get(place)).filter(|known| Some(&known.state) == before.as_ref());
    let is_as_expected = |sha256: &String| expected.is_none_or(|expected| expected == sha256);
    // A digest that is not as it should be is looked at twice.
    if let Some(kept) = kept.filter(|kept| is_as_expected(&kept.sha256)) {
        return Ok((kept.sha256.clone(), None));
    }
    let (sha256, is_alone) = hash(path)?;
    let fresh = state(path).filter(|(_, after)| Some(after) == before.as_ref() && is_alone && is_as_expected(&sha256));
    let fresh = fresh.map(|(place, state)| (place, Known { state, sha256: sha256.clone() }));
    Ok((sha256, fresh))
}

/// Where a file really is, and what it has now.
fn state(path: &Path) -> Option<(PathBuf, FileState)> {
    let place = path.canonicalize().ok()?;
    let metadata = place.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    Some((place, FileState { bytes: metadata.len(), modified, changed, inode: metadata.ino() }))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::atomic::{self, sha256_of};

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn in_dir(dir: &Path) -> KnownDigests {
        KnownDigests { cache: Some(dir.join("cache/digests.json")) }
    }

    impl KnownDigests {
        fn one(&self, path: &Path, expected: Option<&str>) -> String {
            let hash = |path: &Path| sha256_of(path).map(|sha256| (sha256, true));
            self.of(&[(path, expected)], hash).remove(0).unwrap()
        }

        /// Another digest in place of every one that is kept.
        fn mark(&self) {
            self.change(|known| known.values_mut().for_each(|known| known.sha256 = "marked".to_owned()));
        }
    }

    #[test]
    fn a_digest_is_known_until_size_time_or_inode_change() {
        let dir = tempfile::tempdir().unwrap();
        let (known, path) = (in_dir(dir.path()), dir.path().join("abc"));
        atomic::write(&path, b"abc").unwrap();
        assert_eq!(known.one(&path, None), ABC);
        known.mark();
        assert_eq!(known.one(&path, None), "marked");
        // By another name it is the same file.
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(known.one(&link, None), "marked");
        // What the pipeline names is believed more.
        assert_eq!(known.one(&path, Some(ABC)), ABC);
        assert_eq!(known.one(&path, None), ABC);

        let modified = path.metadata().unwrap().modified().unwrap();
        let set_modified = |time| File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
        known.mark();
        set_modified(modified + std::time::Duration::from_nanos(1));
        assert_eq!(known.one(&path, None), ABC, "another time");
        known.mark();
        File::options().append(true).open(&path).unwrap().write_all(b"d").unwrap();
        set_modified(modified + std::time::Duration::from_nanos(1));
        assert_ne!(known.one(&path, None), "marked", "another size");
        known.mark();
        // Written beside it and renamed, while the old one is still there.
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        atomic::write(&path, b"abcd").unwrap();
        set_modified(modified + std::time::Duration::from_nanos(1));
        assert_ne!(known.one(&path, None), "marked", "another inode");
        known.mark();
        // Another byte in place, and the time as it was.
        let before = path.metadata().unwrap();
        let changed = |meta: &std::fs::Metadata| (meta.ctime(), meta.ctime_nsec());
        while changed(&before) == changed(&path.metadata().unwrap()) {
            File::options().write(true).open(&path).unwrap().write_all_at(b"x", 0).unwrap();
            set_modified(before.modified().unwrap());
        }
        assert_ne!(known.one(&path, None), "marked", "other bytes");
    }

    #[test]
    fn what_is_gone_not_alone_or_not_as_it_should_be_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (known, path) = (in_dir(dir.path()), dir.path().join("abc"));
        atomic::write(&path, b"abc").unwrap();
        assert_eq!(known.one(&path, Some("0123")), ABC);
        let beside = known.of(&[(&path, None)], |path| sha256_of(path).map(|sha256| (sha256, false)));
        assert_eq!(beside[0].as_ref().unwrap(), ABC);
        assert!(known.all().is_empty());
        known.one(&path, None);
        assert_eq!(known.all().len(), 1);
        std::fs::remove_file(&path).unwrap();
        assert!(known.of(&[(&path, None)], |path| sha256_of(path).map(|sha256| (sha256, true)))[0].is_err());
        atomic::write(&dir.path().join("other"), b"").unwrap();
        known.one(&dir.path().join("other"), None);
        assert_eq!(known.all().len(), 1);
    }

    #[test]
    fn many_files_are_hashed_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let known = in_dir(dir.path());
        let paths: Vec<PathBuf> = (0..FIRST * 3).map(|i| dir.path().join(i.to_string())).collect();
        paths.iter().for_each(|path| atomic::write(path, path.to_str().unwrap().as_bytes()).unwrap());
        let files: Vec<(&Path, Option<&str>)> = paths.iter().map(|path| (path.as_path(), None)).collect();
        let hash = |path: &Path| sha256_of(path).map(|sha256| (sha256, true));
        let found: Vec<String> = known.of(&files, hash).into_iter().map(Result::unwrap).collect();
        assert_eq!(found, paths.iter().map(|path| sha256_of(path).unwrap()).collect::<Vec<_>>());
        assert_eq!(known.all().len(), paths.len());
    }
}
