//! Gives files their names and records them: the one place where a scene becomes done.
//!
//! What arrives within a second shares one sync of each folder and one transaction. A verdict leaves only after its record is on
//! disk.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Board;
use super::counts::LabelCounts;
use super::message::{Encoded, EncodedOutput, Finished, Verdict};
use super::scenes::SceneState;
use crate::atomic::{WriteError, WrittenFile, sync_dir};
use crate::flow::{Outbox, Stage};
use crate::journal::{FileRecord, Journal, JournalError, OutputRecord, Record, SceneFacts, SceneRecord};
use crate::outputs::OutputLayout;
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
    board: Board,
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
    /// The one writer of a run.
    pub fn new(board: Board, layout: OutputLayout, journal: Arc<Mutex<Journal>>) -> Self {
        Self { board, layout, journal, group: Group::default() }
    }

    fn scene(&mut self, encoded: Encoded) -> Result<(), WriteError> {
        let Encoded { scene, outputs, pixels } = encoded;
        if !self.board.scenes.is_dropped(scene) && !self.board.scenes.is_unchanged(scene) {
            self.board.scenes.fail(scene, "commit", None, RasterError::Changed.to_string());
        }
        let outcome = match self.board.scenes.state(scene) {
            SceneState::Failed(failure) => Err(failure),
            SceneState::Deferred => return Ok(()),
            SceneState::Open | SceneState::DoneBefore => Ok(self.done(scene, outputs, &pixels)?),
        };
        let record = match &outcome {
            Ok(done) => Record::Scene(done.clone()),
            Err(failure) => Record::Failure(failure.clone()),
        };
        self.group.records.push(record);
        self.group.verdicts.push(Verdict { scene, outcome });
        Ok(())
    }

    /// Gives a scene's files their names. What was found out about it when its other outputs were made holds as they do.
    fn done(
        &mut self,
        scene: u32,
        encoded: Vec<EncodedOutput>,
        pixels: &LabelCounts,
    ) -> Result<SceneRecord, WriteError> {
        let Board { scenes, terms, prior, .. } = self.board.clone();
        let milliseconds = u64::try_from(scenes.time_of(scene).as_millis()).unwrap_or(u64::MAX);
        let facts = || SceneFacts { pixels: pixels.occurring(), milliseconds, warnings: scenes.warnings(scene) };
        let (mut outputs, facts) = match scenes.kept(scene) {
            Some(kept) => (kept.outputs.clone(), kept.facts.clone()),
            None => (Vec::new(), facts()),
        };
        // What is made anew for the sake of other outputs may come out as it was.
        let may_be_there = scenes.kept(scene).is_none();
        for EncodedOutput { kind, files } in encoded {
            let files = files.into_iter().map(|file| self.named(file, may_be_there)).collect::<Result<_, _>>()?;
            let key = terms.output_key(&prior.keys, scene, kind);
            outputs.push(OutputRecord { kind: kind.folder().to_owned(), key, files });
        }
        let name = scenes.plan().scenes[scene as usize].name.clone();
        Ok(SceneRecord { name, complete: true, attempt: scenes.attempt(), outputs, facts })
    }

    fn named(&mut self, written: WrittenFile, may_be_there: bool) -> Result<FileRecord, WriteError> {
        let content = written.fingerprint();
        let path = if may_be_there { written.persist_or_keep()? } else { written.file.persist()? };
        self.note_folders(&path);
        Ok(FileRecord { path: self.layout.relative(&path), content })
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
        self.board.progress.counts().records += records.len() as u64;
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
