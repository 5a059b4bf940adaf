//! Artefact files: a magic number, then zstd frames with checksums, one per result. Where each is, the journal knows.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::record::{ArtefactRecord, EntryRecord, FileRecord, Location};
use super::{KeyHasher, StageKey};
use crate::atomic::{AtomicFile, FinishedFile, Hashed, WriteError};

/// First bytes of an artefact file; the last one is the version of its form.
const MAGIC: &[u8; 8] = b"swathck\x01";

/// Label maps shrink to a few percent at any level; this one costs the least.
const LEVEL: i32 = 1;

/// Why a result cannot be had from an artefact file. It is made anew then.
#[derive(Debug, thiserror::Error)]
#[error("cannot read a checkpoint from `{}`: {detail}", path.display())]
pub struct ArtefactError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub detail: String,
}

/// The artefact files of a run directory.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    dir: PathBuf,
}

/// An artefact file that is complete and synced, under its temporary name, and the record that makes it count.
#[derive(Debug)]
pub struct Artefact {
    /// Complete and synced, under its temporary name.
    pub file: FinishedFile,
    /// What is recorded of it once it has its name.
    pub record: ArtefactRecord,
}

/// An artefact file being written.
#[derive(Debug)]
pub struct ArtefactWriter {
    content: Hashed<AtomicFile>,
    path: String,
    entries: Vec<EntryRecord>,
}

impl Checkpoints {
    /// Name of their folder in a run directory.
    pub const FOLDER: &'static str = "checkpoints";

    /// Those of this run directory.
    pub fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Starts a file for results of these keys. Its name follows from them, so a second attempt has the same one.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn create<'a>(&self, keys: impl IntoIterator<Item = &'a StageKey>) -> Result<ArtefactWriter, WriteError> {
        let name = keys.into_iter().fold(KeyHasher::new("artefact"), KeyHasher::key).finish();
        let (shelf, rest) = name.as_str().split_at(2);
        let path = format!("{}/{shelf}/{}", Self::FOLDER, &rest[..30]);
        let file = AtomicFile::create(self.dir.join(&path))?;
        let mut content = Hashed::new(file);
        content.write_all(MAGIC).map_err(|e| content.fault(e))?;
        Ok(ArtefactWriter { content, path, entries: Vec::new() })
    }

    /// Reads one result, of which at most `limit` bytes are expected.
    ///
    /// # Errors
    /// When the file is not there, is damaged, or holds more than that.
    pub fn read(&self, location: &Location, limit: usize) -> Result<Vec<u8>, ArtefactError> {
        let path = self.dir.join(&location.path);
        let fail = |detail: String| ArtefactError { path: path.clone(), detail };
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(location.offset))?;
            let frame = file.take(location.bytes);
            let mut content = Vec::new();
            zstd::stream::read::Decoder::new(frame)?.single_frame().take(limit as u64 + 1).read_to_end(&mut content)?;
            Ok(content)
        };
        let content = read().map_err(|e| fail(e.to_string()))?;
        if content.len() > limit { Err(fail(format!("it holds more than {limit} bytes"))) } else { Ok(content) }
    }
}

impl ArtefactWriter {
    /// Adds one result, given in pieces.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn add(&mut self, key: StageKey, pieces: &[&[u8]]) -> Result<(), WriteError> {
        let offset = self.content.bytes();
        let compressed = compress(&mut self.content, pieces);
        compressed.map_err(|e| self.content.fault(e))?;
        self.entries.push(EntryRecord { key, offset, bytes: self.content.bytes() - offset });
        Ok(())
    }

    /// Syncs it and reads it back.
    ///
    /// # Errors
    /// When the file system refuses or gives other bytes back.
    pub fn finish(self) -> Result<Artefact, WriteError> {
        let Self { content, path, entries } = self;
        let written = content.finish()?;
        let file = FileRecord { path, content: written.fingerprint() };
        Ok(Artefact { file: written.file, record: ArtefactRecord { file, entries } })
    }
}

fn compress(into: &mut Hashed<AtomicFile>, pieces: &[&[u8]]) -> io::Result<()> {
    let mut encoder = zstd::stream::write::Encoder::new(into, LEVEL)?;
    encoder.include_checksum(true)?;
    pieces.iter().try_for_each(|piece| encoder.write_all(piece))?;
    encoder.finish().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> StageKey {
        KeyHasher::new("test").text(text).finish()
    }

    fn located(artefact: &Artefact, n: usize) -> Location {
        let entry = &artefact.record.entries[n];
        Location { path: artefact.record.file.path.clone(), offset: entry.offset, bytes: entry.bytes }
    }

    #[test]
    fn results_come_back_one_by_one_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(dir.path());
        let mut writer = checkpoints.create([&key("a"), &key("b")]).unwrap();
        writer.add(key("a"), &[&[1; 1000], &[2; 10]]).unwrap();
        let noise: Vec<u8> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        writer.add(key("b"), &[&noise]).unwrap();
        let artefact = writer.finish().unwrap();
        let (a, b) = (located(&artefact, 0), located(&artefact, 1));
        let path = artefact.file.persist().unwrap();
        assert!(artefact.record.file.is_there(dir.path()));
        assert_eq!(checkpoints.read(&a, 1010).unwrap(), [[1; 1000].as_slice(), &[2; 10]].concat());
        assert_eq!(checkpoints.read(&b, 5000).unwrap(), noise);
        assert!(checkpoints.read(&b, 4999).unwrap_err().to_string().contains("more than 4999"));
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = usize::try_from(b.offset + b.bytes / 2).unwrap();
        bytes[middle] ^= 1;
        crate::atomic::write(&path, &bytes).unwrap();
        assert!(checkpoints.read(&b, 5000).is_err());
        assert!(checkpoints.read(&a, 1010).is_ok());
        crate::atomic::write(&path, &bytes[..middle]).unwrap();
        assert!(checkpoints.read(&b, 5000).is_err() && !artefact.record.file.is_there(dir.path()));
    }
}
