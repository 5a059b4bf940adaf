//! Keeps two commands off one run directory: a courtesy to people, no part of the commit.
//!
//! The lock is a file that says who holds it, held by the system as well: a dead process holds nothing. Another host's lock cannot
//! be checked from here, so it takes a person to break it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Error, machine};
use crate::atomic::WriteError;

/// Name of the lock in a run directory.
const LOCK_FILE: &str = ".lock";

/// A run directory that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
    /// The folder was made for the lock; it goes with it if nothing else came into it.
    made_folder: bool,
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    pub(crate) host: String,
}

impl Holder {
    fn this() -> Self {
        Self { pid: std::process::id(), host: machine::host() }
    }
}

impl Lock {
    /// Takes the lock of a run directory, which is made if there is none.
    ///
    /// # Errors
    /// When another run holds it, or the file system refuses.
    pub(crate) fn take(dir: &Path, break_other: bool) -> Result<Self, Error> {
        let path = dir.join(LOCK_FILE);
        let fail = |operation| {
            let path = path.clone();
            move |source| WriteError { operation, path, source }
        };
        let made_folder = !dir.exists();
        std::fs::create_dir_all(dir).map_err(fail("create the folder of"))?;
        loop {
            let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = options.map_err(fail("open"))?;
            let holder = holder_in(&mut file);
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(locked(dir, holder)),
                Err(TryLockError::Error(source)) => return Err(fail("lock")(source).into()),
            }
            // Whoever held it may have removed the file between our open and our lock.
            if file.metadata().map_err(fail("look at"))?.nlink() == 0 {
                continue;
            }
            match holder_in(&mut file) {
                Some(other) if other.host != Holder::this().host && !break_other => {
                    return Err(locked(dir, Some(other)));
                }
                _ => {}
            }
            let text = serde_json::to_vec(&Holder::this()).unwrap_or_default();
            let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&text));
            written.map_err(fail("write"))?;
            return Ok(Self { file, path, made_folder });
        }
    }

    /// Who holds the lock of a run directory, if somebody alive on this host does.
    pub(crate) fn holder(dir: &Path) -> Option<Holder> {
        let mut file = File::open(dir.join(LOCK_FILE)).ok()?;
        let holder = holder_in(&mut file);
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)).then_some(holder).flatten()
    }

    /// Who would keep a run off a run directory now: somebody alive on this host, or somebody on another one, who cannot be checked.
    pub(crate) fn in_the_way(dir: &Path) -> Option<Holder> {
        let is_elsewhere = |holder: &Holder| holder.host != Holder::this().host;
        let recorded = || File::open(dir.join(LOCK_FILE)).ok().and_then(|mut file| holder_in(&mut file));
        Self::holder(dir).or_else(|| recorded().filter(is_elsewhere))
    }
}

fn holder_in(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn locked(dir: &Path, holder: Option<Holder>) -> Error {
    Error::Locked { dir: dir.to_owned(), holder: holder.map_or_else(|| "another run".into(), |h| h.to_string()) }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is still held: nobody can take over a file that is about to go. What fails here, the next run takes over.
        drop(std::fs::remove_file(&self.path));
        if let (true, Some(folder)) = (self.made_folder, self.path.parent()) {
            // Refused where anything is in it.
            drop(std::fs::remove_dir(folder));
        }
        drop(self.file.unlock());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_refused_with_its_holder_and_a_dropped_one_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path(), false).unwrap();
        let text = Lock::take(dir.path(), false).unwrap_err().to_string();
        assert!(text.contains(&std::process::id().to_string()), "{text}");
        assert_eq!(Lock::holder(dir.path()), Some(Holder::this()));
        drop(lock);
        assert_eq!(Lock::holder(dir.path()), None);
        drop(Lock::take(dir.path(), false).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_dead_process_holds_nothing_and_another_hosts_lock_must_be_broken() {
        let dir = tempfile::tempdir().unwrap();
        let write = |holder: &Holder| {
            crate::atomic::write(&dir.path().join(LOCK_FILE), &serde_json::to_vec(holder).unwrap()).unwrap();
        };
        write(&Holder { pid: 1, ..Holder::this() });
        drop(Lock::take(dir.path(), false).unwrap());
        write(&Holder { pid: 1, host: "elsewhere".into() });
        assert_eq!(Lock::in_the_way(dir.path()).map(|h| h.host), Some("elsewhere".into()));
        let text = Lock::take(dir.path(), false).unwrap_err().to_string();
        assert!(text.contains("process 1 on elsewhere") && text.contains("--break-lock"), "{text}");
        drop(Lock::take(dir.path(), true).unwrap());
    }
}
