//! Reads a finished archive back.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use zip::result::ZipError;
use zip::{ZipArchive, ZipReadOptions};

use super::PackageError;
use crate::atomic::sha256_of_file;

/// An entry as it was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// Whether `file` is an archive of exactly these entries, whole; errors call it `target`.
pub(super) fn verify(file: &Path, target: &Path, entries: &[Written], alive: &dyn Fn()) -> Result<(), PackageError> {
    let fail = |at: &str, source| PackageError::Verify { path: target.to_owned(), at: at.to_owned(), source };
    let directory = |source| fail("its directory", source);
    let opened = File::open(file).map_err(|e| directory(e.into()))?;
    let mut archive = ZipArchive::new(BufReader::new(opened)).map_err(directory)?;
    if archive.len() != entries.len() {
        return Err(directory(ZipError::InvalidArchive(
            format!("{} entries where {} were written", archive.len(), entries.len()).into(),
        )));
    }
    for (idx, entry) in entries.iter().enumerate() {
        verify_entry(&mut archive, idx, entry, alive).map_err(|source| fail(&format!("`{}`", entry.name), source))?;
    }
    Ok(())
}

fn verify_entry(
    archive: &mut ZipArchive<BufReader<File>>,
    idx: usize,
    entry: &Written,
    alive: &dyn Fn(),
) -> Result<(), ZipError> {
    let options = ZipReadOptions::new().enforce_header_consistency(true);
    let mut found = archive.by_index_with_options(idx, options)?;
    if found.name_raw() != entry.name.as_bytes() || found.size() != entry.bytes {
        let name = String::from_utf8_lossy(found.name_raw());
        let what = format!("`{name}` of {} bytes where {} bytes were written", found.size(), entry.bytes);
        return Err(ZipError::InvalidArchive(what.into()));
    }
    // Reading to the end compares the CRC.
    io::copy(&mut found, &mut Nowhere(alive))?;
    Ok(())
}

/// Takes bytes and calls something.
struct Nowhere<'a>(&'a dyn Fn());

impl io::Write for Nowhere<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (self.0)();
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// SHA-256 of a file.
pub(super) fn digest(file: &Path, target: &Path, alive: &dyn Fn()) -> Result<String, PackageError> {
    let fail =
        |e: io::Error| PackageError::Verify { path: target.to_owned(), at: "its bytes".into(), source: e.into() };
    sha256_of_file(file, |_| alive()).map_err(fail)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::*;

    fn archive(dir: &Path) -> (PathBuf, Vec<Written>) {
        let mut zip = ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, byte) in [("a", 1), ("b", 2)] {
            let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            zip.start_file(name, stored).unwrap();
            zip.write_all(&[byte; 100]).unwrap();
        }
        let path = dir.join("x.zip");
        crate::atomic::write(&path, &zip.finish().unwrap().into_inner()).unwrap();
        let written = |name: &str| Written { name: name.into(), bytes: 100 };
        (path, vec![written("a"), written("b")])
    }

    #[test]
    fn a_flipped_byte_is_found_and_its_entry_named() {
        let dir = tempfile::tempdir().unwrap();
        let (path, entries) = archive(dir.path());
        verify(&path, &path, &entries, &|| ()).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let second = bytes.windows(100).position(|w| w == [2; 100]).unwrap();
        bytes[second + 50] ^= 1;
        crate::atomic::write(&path, &bytes).unwrap();
        let error = verify(&path, &path, &entries, &|| ()).unwrap_err();
        assert!(matches!(&error, PackageError::Verify { at, .. } if at == "`b`"), "{error}");
    }

    #[test]
    fn another_set_of_names_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut entries) = archive(dir.path());
        entries[1].name = "c".into();
        assert!(verify(&path, &path, &entries, &|| ()).is_err());
        entries.truncate(1);
        assert!(verify(&path, &path, &entries, &|| ()).is_err());
    }

    #[test]
    fn a_cut_archive_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (path, entries) = archive(dir.path());
        let bytes = std::fs::read(&path).unwrap();
        for n in 0..bytes.len() {
            crate::atomic::write(&path, &bytes[..n]).unwrap();
            assert!(verify(&path, &path, &entries, &|| ()).is_err(), "cut at {n}");
        }
    }
}
