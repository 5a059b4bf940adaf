//! Why a file could not be written through GDAL.

use std::io;
use std::path::Path;

use crate::atomic::WriteError;

/// Why a file could not be written through GDAL.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The file system refuses.
    Write(WriteError),
    /// GDAL has no place in such a file for what the scene is or says, or cannot read what it is made from.
    Refused(String),
}

impl Failure {
    /// What the system has refused to a file.
    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write(WriteError { operation: "write", path: path.to_owned(), source })
    }
}
