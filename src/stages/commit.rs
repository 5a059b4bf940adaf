//! Gives files their names: the one place where a scene becomes done.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Board;
use super::message::{Encoded, Verdict, WrittenFile};
use crate::atomic::{FinishedFile, WriteError, sync_dir};
use crate::flow::{Outbox, Stage};
use crate::raster::{Identity, RasterError};

/// The only writer of final names.
pub struct Commit {
    board: Arc<Board>,
    unsynced: BTreeSet<PathBuf>,
    synced_at: Instant,
}

/// Renames wait this long for a common sync of their folder.
const SYNC_EVERY: Duration = Duration::from_secs(1);

impl Commit {
    /// A writer.
    pub fn new(board: Arc<Board>) -> Self {
        Self { board, unsynced: BTreeSet::new(), synced_at: Instant::now() }
    }

    fn is_changed(&self, scene: u32) -> bool {
        let plan = self.board.plan();
        let planned = plan.scenes[scene as usize].identity.as_ref();
        planned.is_some_and(|planned| Identity::of(&plan.path_of(scene as usize)).as_ref() != Ok(planned))
    }

    fn persist(&mut self, files: Vec<(FinishedFile, String)>) -> Result<Vec<WrittenFile>, WriteError> {
        let mut written = Vec::new();
        for (file, sha256) in files {
            let bytes = file.bytes();
            let path = file.persist()?;
            self.unsynced.extend(path.parent().map(PathBuf::from));
            written.push(WrittenFile { path, bytes, sha256 });
        }
        if self.synced_at.elapsed() > SYNC_EVERY {
            self.sync()?;
        }
        Ok(written)
    }

    fn sync(&mut self) -> Result<(), WriteError> {
        for folder in std::mem::take(&mut self.unsynced) {
            sync_dir(&folder)?;
        }
        self.synced_at = Instant::now();
        Ok(())
    }
}

impl Stage for Commit {
    type In = Encoded;
    type Out = Verdict;
    type Error = WriteError;

    fn process(&mut self, encoded: Encoded, out: &Outbox<'_, Verdict>) -> Result<(), WriteError> {
        let Encoded { scene, files } = encoded;
        if !self.board.has_failed(scene) && self.is_changed(scene) {
            self.board.fail(scene, "commit", RasterError::Changed.to_string());
        }
        let outcome = match self.board.failure(scene) {
            Some(failure) => Err(failure),
            None => Ok(self.persist(files)?),
        };
        out.put(Verdict { scene, outcome });
        Ok(())
    }

    fn finish(&mut self, _out: &Outbox<'_, Verdict>) -> Result<(), WriteError> {
        self.sync()
    }
}
