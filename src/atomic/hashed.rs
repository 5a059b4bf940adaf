//! A writer that hashes what passes and does not forget a failure.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{AtomicFile, FinishedFile, WriteError};

/// Counts and hashes the bytes that `inner` takes.
///
/// It keeps the first failure: png's stream writer writes the last chunks in destructors, which drop errors, and a
/// buffered file that lost bytes this way may well accept the next ones. Whoever finishes a picture asks
/// [`Self::take_fault`].
#[derive(Debug)]
pub(crate) struct Hashed<W> {
    inner: W,
    hasher: Sha256,
    bytes: u64,
    fault: Option<io::Error>,
}

impl<W: Write> Hashed<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256::new(), bytes: 0, fault: None }
    }

    /// The first failure of the writer below.
    pub(crate) fn take_fault(&mut self) -> Option<io::Error> {
        self.fault.take()
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The writer below, the number of bytes it took and their SHA-256.
    pub(crate) fn into_parts(self) -> (W, u64, String) {
        (self.inner, self.bytes, crate::hex(&self.hasher.finalize()))
    }

    fn keep(&mut self, error: io::Error) -> io::Error {
        let kind = error.kind();
        if kind == io::ErrorKind::Interrupted {
            return error;
        }
        self.fault.get_or_insert(error);
        kind.into()
    }
}

impl Hashed<AtomicFile> {
    /// Why a write failed: what the system said where that is known, `error` otherwise.
    pub(crate) fn fault(&mut self, error: io::Error) -> WriteError {
        let fault = self.take_fault().unwrap_or(error);
        self.inner.write_error(fault)
    }

    /// Syncs the file and reads it back.
    ///
    /// # Errors
    /// When a write has failed, the system refuses the sync, or the disk gives back other bytes.
    pub(crate) fn finish(mut self) -> Result<WrittenFile, WriteError> {
        if let Some(fault) = self.take_fault() {
            return Err(self.inner.write_error(fault));
        }
        let (file, _, sha256) = self.into_parts();
        let file = file.finish()?;
        file.verify(&sha256)?;
        Ok(WrittenFile { file, sha256 })
    }
}

/// A file that is complete, synced and read back, still under its temporary name. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct WrittenFile {
    /// The file, which has no final name yet.
    pub file: FinishedFile,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
}

/// What the content of a file is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

impl WrittenFile {
    /// What its content is known by.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint { bytes: self.file.bytes(), sha256: self.sha256.clone() }
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf).map_err(|e| self.keep(e))?;
        self.hasher.update(&buf[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush().map_err(|e| self.keep(e))
    }
}
