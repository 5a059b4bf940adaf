//! A file that is hashed while it is read.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::WeightsError;

/// Bytes that are read at once where nobody asks for them.
const PIECE: usize = 1 << 18;

/// A weights file. What is read in order is hashed as it passes, so that the digest is that of the bytes that were used; what is skipped,
/// for the digest alone; what is read again, once.
#[derive(Debug)]
pub(super) struct WeightsReader {
    file: File,
    hashed: Option<Hashed>,
}

/// The same file, and the digest of its beginning as far as the reader has come.
#[derive(Clone, Debug)]
pub(super) struct Hashed(Arc<(File, Mutex<Beginning>)>);

#[derive(Debug, Default)]
struct Beginning {
    sha256: Sha256,
    bytes: u64,
}

impl WeightsReader {
    /// Opens `path`.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn open(path: &Path) -> Result<Self, WeightsError> {
        Ok(Self { file: File::open(path).map_err(WeightsError::io("open", path))?, hashed: None })
    }

    /// Opens `path`, to be hashed.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn open_hashed(path: &Path) -> Result<(Self, Hashed), WeightsError> {
        let reader = Self::open(path)?;
        let file = reader.file.try_clone().map_err(WeightsError::io("open", path))?;
        let hashed = Hashed(Arc::new((file, Mutex::default())));
        Ok((Self { hashed: Some(hashed.clone()), ..reader }, hashed))
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }
}

impl Hashed {
    /// The digest of the whole file, whatever of it has been read so far.
    pub(super) fn digest(&self) -> io::Result<String> {
        let mut beginning = self.beginning();
        beginning.grow(&self.0.0, u64::MAX)?;
        Ok(crate::hex(&beginning.sha256.clone().finalize()))
    }

    fn beginning(&self) -> MutexGuard<'_, Beginning> {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beginning {
    /// Hashes the file up to a byte, or to its end.
    fn grow(&mut self, file: &File, to: u64) -> io::Result<()> {
        let mut piece = if self.bytes < to { vec![0; PIECE] } else { return Ok(()) };
        while self.bytes < to {
            let wanted = usize::try_from(to - self.bytes).unwrap_or(PIECE).min(PIECE);
            let n = file.read_at(&mut piece[..wanted], self.bytes)?;
            if n == 0 {
                break;
            }
            self.sha256.update(&piece[..n]);
            self.bytes += n as u64;
        }
        Ok(())
    }
}

impl Read for WeightsReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(hashed) = &self.hashed else { return self.file.read(buffer) };
        let at = self.file.stream_position()?;
        let n = self.file.read(buffer)?;
        let mut beginning = hashed.beginning();
        if n > 0 {
            beginning.grow(&self.file, at)?;
        }
        let known = usize::try_from(beginning.bytes.saturating_sub(at)).unwrap_or(usize::MAX);
        if let Some(fresh) = buffer[..n].get(known..) {
            beginning.sha256.update(fresh);
            beginning.bytes += fresh.len() as u64;
        }
        Ok(n)
    }
}

impl Seek for WeightsReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic;

    #[test]
    fn the_digest_is_the_files_however_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let content: Vec<u8> = (0..700_001_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        atomic::write(&path, &content).unwrap();
        let expected = atomic::sha256_of(&path).unwrap();
        // Positions and lengths: in order, with gaps, back, across what is known, to the end, not at all.
        let ways: [&[(u64, usize)]; 5] = [
            &[(0, 8), (8, 100_000), (100_008, 599_993)],
            &[(650_000, 10), (0, 5), (699_000, 1001)],
            &[(0, 1000), (500, 1000), (400, 2000)],
            &[(10, 0), (700_001, 0)],
            &[],
        ];
        for way in ways {
            let (mut reader, hashed) = WeightsReader::open_hashed(&path).unwrap();
            for (at, n) in way {
                let mut buffer = vec![0; *n];
                reader.seek(SeekFrom::Start(*at)).unwrap();
                reader.read_exact(&mut buffer).unwrap();
                assert_eq!(buffer, content[usize::try_from(*at).unwrap()..][..*n]);
            }
            assert_eq!(hashed.digest().unwrap(), expected, "{way:?}");
        }
    }
}
