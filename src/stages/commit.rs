//! Gives files their names and records them: the one place where a scene becomes done.
//!
//! What arrives within a second shares one sync of each folder and one transaction. A verdict leaves only after its record is on
//! disk.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::layout::OutputLayout;
use super::message::{Encoded, Finished, Verdict, WrittenFile};
use super::{Board, Failure};
use crate::atomic::{FinishedFile, WriteError, sync_dir};
use crate::flow::{Outbox, Stage};
use crate::journal::{FailureRecord, FileRecord, Journal, JournalError, Record, SceneRecord};
use crate::raster::RasterError;

/// Why nothing can be committed any more.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A file could not be given its name, or its folder not be synced.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The journal could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The only writer of final names and of the journal.
pub struct Commit {
    board: Arc<Board>,
    layout: OutputLayout,
    journal: Arc<Mutex<Journal>>,
    group: Group,
}

/// What has its final name and waits to be recorded.
#[derive(Default)]
struct Group {
    since: Option<Instant>,
    unsynced: BTreeSet<PathBuf>,
    records: Vec<Record>,
    verdicts: Vec<Verdict>,
}

/// A group is closed after this long.
const GROUP_TIME: Duration = Duration::from_secs(1);

/// And at this many records, so that a transaction stays short.
const GROUP_RECORDS: usize = 1024;

impl Commit {
    /// A writer.
    pub fn new(board: Arc<Board>, layout: OutputLayout, journal: Arc<Mutex<Journal>>) -> Self {
        Self { board, layout, journal, group: Group::default() }
    }

    fn scene(&mut self, encoded: Encoded) -> Result<(), WriteError> {
        let Encoded { scene, files } = encoded;
        if self.board.waits(scene) && !self.board.has_failed(scene) {
            return Ok(());
        }
        if !self.board.has_failed(scene) && !self.board.is_unchanged(scene) {
            self.board.fail(scene, "commit", RasterError::Changed.to_string());
        }
        let outcome = match self.board.failure(scene) {
            Some(failure) => Err(failure),
            None => Ok(self.persist(files)?),
        };
        let record = self.record(scene, outcome.as_ref());
        self.group.records.push(record);
        self.group.verdicts.push(Verdict { scene, outcome });
        Ok(())
    }

    fn record(&self, scene: u32, outcome: Result<&Vec<WrittenFile>, &Failure>) -> Record {
        let plan = self.board.plan();
        let name = plan.scenes[scene as usize].name.clone();
        match outcome {
            Ok(files) => {
                let file = |f: &WrittenFile| FileRecord {
                    path: self.layout.relative(&f.path),
                    bytes: f.bytes,
                    sha256: f.sha256.clone(),
                };
                let key = self.board.scene_key(scene);
                Record::Scene(SceneRecord { name, key, files: files.iter().map(file).collect() })
            }
            Err(failure) => Record::Failure(FailureRecord {
                name,
                file: plan.label_of(scene as usize),
                stage: failure.stage.to_owned(),
                cause: failure.cause.clone(),
            }),
        }
    }

    fn persist(&mut self, files: Vec<(FinishedFile, String)>) -> Result<Vec<WrittenFile>, WriteError> {
        let mut written = Vec::new();
        for (file, sha256) in files {
            let bytes = file.bytes();
            let path = file.persist()?;
            self.note_folders(&path);
            written.push(WrittenFile { path, bytes, sha256 });
        }
        Ok(written)
    }

    /// The folders that hold the new name, up to the run directory: some of them may be new as well.
    fn note_folders(&mut self, path: &Path) {
        let above = path.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.layout.dir));
        self.group.unsynced.extend(above.map(PathBuf::from));
    }

    /// Makes the group durable, then tells.
    fn flush(&mut self, out: &Outbox<'_, Verdict>) -> Result<(), CommitError> {
        let Group { unsynced, records, verdicts, .. } = std::mem::take(&mut self.group);
        unsynced.iter().try_for_each(|folder| sync_dir(folder))?;
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).append(&records)?;
        self.board.progress().count_records(records.len());
        for verdict in verdicts {
            out.put(verdict);
        }
        Ok(())
    }
}

impl Stage for Commit {
    type In = Finished;
    type Out = Verdict;
    type Error = CommitError;

    fn patience(&self) -> Option<Duration> {
        let since = self.group.since?;
        Some(GROUP_TIME.saturating_sub(since.elapsed()))
    }

    fn process(&mut self, finished: Finished, out: &Outbox<'_, Verdict>) -> Result<(), CommitError> {
        match finished {
            Finished::Scene(encoded) => self.scene(encoded)?,
            Finished::Kept(artefact) => {
                let path = artefact.file.persist()?;
                self.note_folders(&path);
                self.group.records.push(Record::Artefact(artefact.record));
            }
        }
        let since = *self.group.since.get_or_insert_with(Instant::now);
        let is_due = since.elapsed() >= GROUP_TIME || self.group.records.len() >= GROUP_RECORDS;
        if is_due { self.flush(out) } else { Ok(()) }
    }

    fn idle(&mut self, out: &Outbox<'_, Verdict>) -> Result<(), CommitError> {
        self.flush(out)
    }

    fn finish(&mut self, out: &Outbox<'_, Verdict>) -> Result<(), CommitError> {
        self.flush(out)
    }
}
