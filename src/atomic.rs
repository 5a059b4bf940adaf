//! The one way to write a file: under a temporary name beside the target, synced, then renamed.
//!
//! A reader never sees half a file, and a file at its final name was complete and on disk when it got that name. The
//! temporary name is unique to each attempt, so two live attempts at one target never write into each other.
//! The rename itself is on disk only after [`sync_dir`] of the folder; whoever needs that calls it, once for many files.

mod hashed;
mod known;

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

pub(crate) use hashed::Hashed;
pub use hashed::{Fingerprint, WrittenFile};
pub(crate) use known::KnownDigests;

/// Prefix of every temporary file, so that leftovers of a killed run can be told apart and removed.
pub const TEMP_PREFIX: &str = ".swath-tmp-";

/// Why a file could not be written: the operation and the path.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} `{}`", path.display())]
pub struct WriteError {
    /// What failed, as a verb: "create", "write", "sync", "rename".
    pub operation: &'static str,
    /// The final path of the file, or the folder.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A file being written. Dropped before [`Self::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct AtomicFile {
    target: PathBuf,
    writer: BufWriter<NamedTempFile>,
}

/// A file that is complete and synced, still under its temporary name. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct FinishedFile {
    target: PathBuf,
    temp: NamedTempFile,
    bytes: u64,
}

impl AtomicFile {
    /// Starts a file that will be called `target`, creating the folders above it.
    ///
    /// # Errors
    /// When a folder or the temporary file cannot be created.
    pub fn create(target: impl Into<PathBuf>) -> Result<Self, WriteError> {
        let target = target.into();
        let fail = |operation| {
            let path = target.clone();
            move |source| WriteError { operation, path, source }
        };
        let folder = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(folder).map_err(fail("create the folder of"))?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(TEMP_PREFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // tempfile's own default is 0600, which would hide the masks from everyone else; the umask still applies.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let temp = builder.tempfile_in(folder).map_err(fail("create"))?;
        Ok(Self { writer: BufWriter::with_capacity(1 << 16, temp), target })
    }

    /// The path that the file will have.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Where the content is until [`Self::finish`], for a library that insists on opening the file by name.
    pub fn temp_path(&self) -> &Path {
        self.writer.get_ref().path()
    }

    /// Flushes and syncs the content; the file still has its temporary name.
    ///
    /// # Errors
    /// When the system refuses the write or the sync. Neither is retried: the kernel may have dropped the data.
    pub fn finish(self) -> Result<FinishedFile, WriteError> {
        let Self { target, writer } = self;
        let fail = |operation: &'static str| {
            let path = target.clone();
            move |source| WriteError { operation, path, source }
        };
        let temp = writer.into_inner().map_err(|e| fail("write")(e.into_error()))?;
        temp.as_file().sync_all().map_err(fail("sync"))?;
        let bytes = temp.as_file().metadata().map_err(fail("read the size of"))?.len();
        Ok(FinishedFile { target, temp, bytes })
    }

    /// Takes over what a library wrote under [`Self::temp_path`], whether into this very file or into another one at its place: synced
    /// and hashed.
    ///
    /// # Errors
    /// When the system refuses the sync, or the file cannot be read.
    pub(crate) fn adopt(self) -> Result<WrittenFile, WriteError> {
        let Self { target, writer } = self;
        let fail = |operation: &'static str| {
            let path = target.clone();
            move |source| WriteError { operation, path, source }
        };
        let temp = writer.into_inner().map_err(|e| fail("write")(e.into_error()))?;
        let content = File::open(temp.path()).map_err(fail("open"))?;
        content.sync_all().map_err(fail("sync"))?;
        let bytes = content.metadata().map_err(fail("read the size of"))?.len();
        let sha256 = sha256_of(temp.path()).map_err(fail("read back"))?;
        Ok(WrittenFile { file: FinishedFile { target, temp, bytes }, sha256 })
    }

    /// Takes the file away. Dropped, it goes as well, and nobody hears of it when it stays.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn discard(self) -> Result<(), WriteError> {
        let Self { target, writer } = self;
        let (temp, _) = writer.into_parts();
        temp.close().map_err(|source| WriteError { operation: "remove the temporary file of", path: target, source })
    }

    /// Wraps an I/O error of this file with its path.
    pub fn write_error(&self, source: io::Error) -> WriteError {
        WriteError { operation: "write", path: self.target.clone(), source }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.writer.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, pos: io::SeekFrom) -> io::Result<u64> {
        self.writer.seek(pos)
    }
}

impl FinishedFile {
    /// Where the content can be read before the rename.
    pub fn temp_path(&self) -> &Path {
        self.temp.path()
    }

    /// The path that the file will have.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the content back and compares its SHA-256 with what was written.
    ///
    /// # Errors
    /// When it cannot be read, or is something else.
    fn verify(&self, sha256: &str) -> Result<(), WriteError> {
        let fail = |source| WriteError { operation: "read back", path: self.target.clone(), source };
        let found = sha256_of(self.temp.path()).map_err(fail)?;
        if found == sha256 {
            Ok(())
        } else {
            Err(fail(io::Error::other("the disk gives back other bytes than were written")))
        }
    }

    /// Gives the file its final name, replacing what was there.
    ///
    /// # Errors
    /// When the rename fails; the temporary file is removed.
    pub fn persist(self) -> Result<PathBuf, WriteError> {
        let Self { target, temp, .. } = self;
        match temp.persist(&target) {
            Ok(_) => Ok(target),
            Err(e) => Err(WriteError { operation: "rename the finished file to", path: target, source: e.error }),
        }
    }
}

impl WrittenFile {
    /// Gives the file its final name, unless a file of the same bytes has it: that one stays as it is, so that nobody who looks at it or
    /// copies it sees a change where there is none.
    ///
    /// # Errors
    /// When the rename fails, or the system refuses the sync of the file that stays.
    pub(crate) fn persist_or_keep(self) -> Result<PathBuf, WriteError> {
        let Self { file, sha256 } = self;
        let has_length = file.target.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() == file.bytes);
        if !has_length || !sha256_of(&file.target).is_ok_and(|found| found == sha256) {
            return file.persist();
        }
        let fail = |source| WriteError { operation: "sync", path: file.target.clone(), source };
        File::open(&file.target).and_then(|there| there.sync_all()).map_err(fail)?;
        Ok(file.target)
    }
}

/// SHA-256 of a file's content, hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of(path: &Path) -> io::Result<String> {
    sha256_of_file(path, |_| {})
}

/// The same; `read` is told again and again how many further bytes are read.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of_file(path: &Path, read: impl Fn(usize)) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(crate::hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..n]);
        read(n);
    }
}

/// Makes the renames inside `folder` durable.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_dir(folder: &Path) -> Result<(), WriteError> {
    let fail = |source| WriteError { operation: "sync the folder", path: folder.to_owned(), source };
    File::open(folder).map_err(fail)?.sync_all().map_err(fail)
}

/// Writes a small file at once.
///
/// # Errors
/// As [`AtomicFile`]'s.
pub fn write(target: &Path, content: &[u8]) -> Result<(), WriteError> {
    write_with(target, |file| file.write_all(content))
}

/// The same with what `fill` writes, piece by piece.
///
/// # Errors
/// As [`write()`], and what `fill` returns.
pub fn write_with(target: &Path, fill: impl FnOnce(&mut AtomicFile) -> io::Result<()>) -> Result<(), WriteError> {
    let mut file = AtomicFile::create(target)?;
    fill(&mut file).map_err(|e| file.write_error(e))?;
    file.finish()?.persist()?;
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => sync_dir(folder),
        _ => sync_dir(Path::new(".")),
    }
}

/// Where a small file is that only saves time: in the user's cache directory. Nothing where there is none.
pub(crate) fn cached(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("swath").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn nothing_stands_at_the_target_before_persist() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("sub/a.bin");
        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(b"abc").unwrap();
        assert!(!target.exists());
        let finished = file.finish().unwrap();
        assert_eq!((finished.bytes(), target.exists()), (3, false));
        finished.persist().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"abc");
        assert_eq!(names(target.parent().unwrap()), ["a.bin"]);
    }

    #[test]
    fn an_abandoned_file_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(AtomicFile::create(dir.path().join("a")).unwrap());
        drop(AtomicFile::create(dir.path().join("b")).unwrap().finish().unwrap());
        assert!(names(dir.path()).is_empty());
    }
}
