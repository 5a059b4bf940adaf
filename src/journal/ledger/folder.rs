//! A folder as a store, local or on a network file system.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::store::{Store, StoreError};
use crate::atomic::{self, AtomicFile, FinishedFile, Hashed, WriteError};

/// Files of a run directory.
///
/// A file has a temporary name in the folder that it will be in until it is complete and synced. An attempt's folder has host, process and
/// a drawn number in its name and only that attempt writes there, so that no two hosts ever meet at a name.
#[derive(Clone, Debug)]
pub struct FolderStore {
    dir: PathBuf,
}

impl FolderStore {
    /// That of this run directory.
    pub fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.dir.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whether it is there already, as it should be.
    fn has(&self, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        match self.read(name) {
            Ok(Some(there)) if there == bytes => Ok(true),
            Ok(Some(_)) => Err(StoreError::Different { place: self.locate(name) }),
            Ok(None) => Ok(false),
            Err(source) => Err(StoreError::Read { place: self.locate(name), source }),
        }
    }

    /// Puts a file there with this way to give it its name.
    fn put_by(
        &self,
        name: &str,
        bytes: &[u8],
        rename: impl FnOnce(FinishedFile) -> Result<PathBuf, WriteError>,
    ) -> Result<(), StoreError> {
        let target = self.dir.join(name);
        let folder = target.parent().unwrap_or(&self.dir).to_owned();
        let is_new = !folder.exists();
        if !self.has(name, bytes)? {
            let mut content = Hashed::new(AtomicFile::create(&target)?);
            content.write_all(bytes).map_err(|e| content.fault(e))?;
            if let Err(failed) = rename(content.finish()?.file) {
                // The server may have done it, and its answer be lost.
                if !self.has(name, bytes)? {
                    return Err(failed.into());
                }
            }
        }
        let above = folder.ancestors().take_while(|above| above.starts_with(&self.dir));
        above.take(if is_new { usize::MAX } else { 1 }).try_for_each(atomic::sync_dir)?;
        Ok(())
    }
}

impl Store for FolderStore {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.put_by(name, bytes, FinishedFile::persist)
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(name).map_err(|source| StoreError::Read { place: self.locate(name), source })
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let fail = |source| StoreError::Read { place: self.locate(folder), source };
        let entries = match std::fs::read_dir(self.dir.join(folder)) {
            Ok(entries) => entries,
            Err(e) if is_absent(&e) => return Ok(Vec::new()),
            Err(e) => return Err(fail(e)),
        };
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<io::Result<Vec<_>>>().map_err(fail)?;
        // Temporary files, and what NFS calls files that are removed while somebody reads them.
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        Ok(names)
    }

    fn locate(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

/// Not there, or a client's memory of it is out of date: then it is looked up again.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, FolderStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::of(dir.path());
        (dir, store)
    }

    #[test]
    fn a_file_is_put_once() {
        let (dir, store) = store();
        assert_eq!((store.get("r/a/0").unwrap(), store.list("r").unwrap()), (None, Vec::new()));
        store.put("r/a/1", b"one").unwrap();
        store.put("r/a/0", b"zero").unwrap();
        store.put("r/a/0", b"zero").unwrap();
        let error = store.put("r/a/0", b"other").unwrap_err().to_string();
        assert!(error.contains("r/a/0") && error.contains("other content"), "{error}");
        std::fs::File::create_new(dir.path().join("r/a/.swath-tmp-x")).unwrap();
        assert_eq!(store.get("r/a/0").unwrap().unwrap(), b"zero");
        assert_eq!(
            (store.list("r").unwrap(), store.list("r/a").unwrap()),
            (vec!["a".into()], vec!["0".into(), "1".into()])
        );
    }

    #[test]
    fn a_rename_that_failed_may_have_happened() {
        let (_dir, store) = store();
        let lost = || io::Error::from(io::ErrorKind::NotFound);
        let happens = |file: FinishedFile| {
            let path = file.persist()?;
            Err(WriteError { operation: "rename the finished file to", path, source: lost() })
        };
        store.put_by("r/a", b"one", happens).unwrap();
        assert_eq!(store.get("r/a").unwrap().unwrap(), b"one");
        let fails = |file: FinishedFile| {
            let path = file.target().to_owned();
            Err(WriteError { operation: "rename the finished file to", path, source: lost() })
        };
        assert!(matches!(store.put_by("r/b", b"two", fails), Err(StoreError::Write(e)) if e.path.ends_with("r/b")));
        assert_eq!(store.list("r").unwrap(), ["a"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let (dir, store) = store();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        let error = store.get("a").unwrap_err().to_string();
        assert!(error.contains("`") && error.contains("/a"), "{error}");
    }
}
