//! Why a file could not be written through GDAL, which tells that a write failed and not why.

use std::io::{self, Write};
use std::path::Path;

use crate::atomic::{AtomicFile, WriteError};

/// Why a file could not be written through GDAL.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The file system refuses.
    Write(WriteError),
    /// GDAL has no place in such a file for what the scene is or says.
    Refused(String),
}

/// Bytes that are written to find out whether there is room.
const PROBE: usize = 1 << 20;

impl Failure {
    /// What it means that GDAL could not begin a file. To be asked at once.
    pub(super) fn at_begin(file: &AtomicFile, detail: String) -> Self {
        cause(file.target(), &detail).map_or(Self::Refused(detail), Self::Write)
    }

    /// What it means that GDAL could not go on with a file that it had begun. To be asked at once.
    pub(super) fn on_the_way(path: &Path, detail: String) -> Self {
        let known = cause(path, &detail);
        let unknown = || WriteError { operation: "write", path: path.to_owned(), source: io::Error::other(detail) };
        Self::Write(known.unwrap_or_else(unknown))
    }
}

/// What the system can have against a write: no room, quota used up, file too large, disk read-only or broken.
const REASONS: [i32; 5] = [28, 122, 27, 30, 5];

/// What the system has against writing this file: what GDAL repeats of its words, what it said last, or what it says to another file beside
/// this one.
fn cause(path: &Path, detail: &str) -> Option<WriteError> {
    let last = io::Error::last_os_error().raw_os_error();
    let is_told = |reason: &i32| {
        let text = io::Error::from_raw_os_error(*reason).to_string();
        text.split(" (os error").next().is_some_and(|words| detail.contains(words))
    };
    let reason = REASONS.into_iter().find(is_told).or_else(|| REASONS.into_iter().find(|reason| Some(*reason) == last));
    let known = reason.map(io::Error::from_raw_os_error);
    known.map(|source| WriteError { operation: "write", path: path.to_owned(), source }).or_else(|| probe(path).err())
}

fn probe(path: &Path) -> Result<(), WriteError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(&vec![0; PROBE]).map_err(|e| file.write_error(e))?;
    file.finish().map(drop)
}
