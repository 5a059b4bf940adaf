//! What a run directory knows of its training: generations, each with all that the next step depends on, and the best so far.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::app::Error;
use crate::atomic;
use crate::journal::TRAINING_FILE;
use crate::report::{MetricsLog, Reached};
use crate::train::Counters;
use crate::weights;

/// Bundles of the best validation's weights, and of the last step's.
pub(super) const BEST: &str = "best.safetensors";
pub(super) const LAST: &str = "last.safetensors";

/// The pipeline file of the snapshots, and the folder of their bundles.
pub(super) const SNAPSHOTS: &str = "snapshots.toml";
const SNAPSHOTS_FOLDER: &str = "snapshots";

/// The bundle of the weights at the end of an epoch.
pub(super) fn snapshot(epoch: u32) -> String {
    format!("{SNAPSHOTS_FOLDER}/epoch-{epoch:04}.safetensors")
}

/// What else lies in the directory.
const LEFT: [&str; 6] = [BEST, LAST, SNAPSHOTS, MetricsLog::FILE, "report.html", "report.json"];

/// The folder of generations.
const FOLDER: &str = "checkpoints";
/// The format, which a later version may change.
const FORMAT: u32 = 1;
/// Generations that are kept: the last, and one before it.
const KEPT: usize = 2;

/// What a training is: a directory goes on only with the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// The network, its normalisation, the classes, how scenes and labels are read: digest.
    pub(super) network: String,
    /// The table [train]: digest.
    pub(super) recipe: String,
    /// What is trained on: digest.
    pub(super) train: String,
    /// What validates: digest.
    pub(super) val: String,
}

/// Where it is done: another place may round in another way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) swath: String,
    pub(super) device: String,
    pub(super) threads: usize,
}

/// The best validation so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    pub(super) step: u64,
    pub(super) value: f64,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Steps that are done.
    pub(super) step: u64,
    /// The step of the last validation.
    pub(super) validated: Option<u64>,
    pub(super) best: Option<Best>,
    /// Validations since.
    pub(super) since_best: u32,
    /// How often it went back because a loss was no number: other crops are drawn from there on.
    pub(super) detours: u32,
    /// And how often since it last got past where that was, and where.
    pub(super) detours_in_a_row: u32,
    pub(super) troubled: u64,
    /// Seconds of training.
    pub(super) seconds: f64,
    pub(super) counters: Counters,
}

impl Progress {
    pub(super) fn reached(&self) -> Reached {
        Reached { step: self.step, validated: self.validated == Some(self.step) }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Generation {
    file: String,
    sha256: String,
    progress: Progress,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    format: u32,
    identity: Identity,
    place: Place,
    /// The newest first.
    generations: Vec<Generation>,
}

/// The record of a run directory.
#[derive(Debug)]
pub(super) struct Standing {
    dir: PathBuf,
    record: Record,
}

/// A generation that can be gone on from.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) file: PathBuf,
    pub(super) progress: Progress,
    /// What is wrong with those that came after it.
    pub(super) damaged: Vec<String>,
}

impl Standing {
    /// The record of a directory, or a new one. With a word for what a person should know: where it went on elsewhere.
    ///
    /// # Errors
    /// When it holds another training, or cannot be read.
    pub(super) fn open(
        dir: &Path,
        identity: Identity,
        place: Place,
        fresh: bool,
    ) -> Result<(Self, Option<String>), Error> {
        let path = dir.join(TRAINING_FILE);
        let new = Record { format: FORMAT, identity, place, generations: Vec::new() };
        let text = match std::fs::read(&path) {
            Ok(text) if !fresh => text,
            Ok(_) => {
                forget(dir)?;
                return Ok((Self { dir: dir.to_owned(), record: new }, None));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let foreign: Vec<&str> = LEFT.into_iter().filter(|name| dir.join(name).exists()).collect();
                if foreign.is_empty() {
                    return Ok((Self { dir: dir.to_owned(), record: new }, None));
                }
                return Err(Error::Usage(format!(
                    "`{}` holds what no training there has written: {}; name another -o, or move it away",
                    dir.display(),
                    foreign.join(", ")
                )));
            }
            Err(e) => return Err(Error::Usage(format!("cannot read `{}`: {e}", path.display()))),
        };
        let again = "--fresh begins anew there";
        let old: Record = serde_json::from_slice(&text)
            .map_err(|e| Error::Usage(format!("`{}` is no record of this version: {e}; {again}", path.display())))?;
        let (a, b) = (&old.identity, &new.identity);
        let differs: Vec<&str> = [
            ("the network, its input or the classes", a.network == b.network),
            ("the table [train]", a.recipe == b.recipe),
            ("the scenes that are trained on", a.train == b.train),
            ("the scenes that validate", a.val == b.val),
        ]
        .into_iter()
        .filter_map(|(what, is_same)| (!is_same).then_some(what))
        .collect();
        if !differs.is_empty() {
            return Err(Error::Usage(format!(
                "`{}` holds another training: {} are not what they were; name another -o, or {again}",
                dir.display(),
                differs.join(", ")
            )));
        }
        let told = (old.place != new.place && !old.generations.is_empty()).then(|| {
            let of =
                |place: &Place| format!("swath {} on {} with {} threads", place.swath, place.device, place.threads);
            format!("goes on with {} what began with {}: sums may round in another way", of(&new.place), of(&old.place))
        });
        Ok((Self { dir: dir.to_owned(), record: Record { place: new.place, ..old } }, told))
    }

    /// The newest generation whose file is what it was.
    pub(super) fn newest(&self) -> Option<Kept> {
        let mut damaged = Vec::new();
        for generation in &self.record.generations {
            let file = self.dir.join(FOLDER).join(&generation.file);
            match weights::digest(&file) {
                Ok(digest) if digest == generation.sha256 => {
                    return Some(Kept { file, progress: generation.progress.clone(), damaged });
                }
                Ok(_) => damaged.push(format!("`{}` is damaged", file.display())),
                Err(e) => damaged.push(crate::words::explain(&e)),
            }
        }
        None
    }

    /// Gives up the newest generation if it is of this step, and there is another one.
    pub(super) fn discard(&mut self, step: u64) {
        let generations = &mut self.record.generations;
        if generations.len() > 1 && generations[0].progress.step == step {
            generations.remove(0);
        }
    }

    /// Whether there was a generation, usable or not.
    pub(super) fn has_begun(&self) -> bool {
        !self.record.generations.is_empty()
    }

    /// Keeps a generation that `save` writes to a file; older ones go.
    ///
    /// # Errors
    /// When something cannot be written.
    pub(super) fn keep(
        &mut self,
        progress: &mut Progress,
        save: impl FnOnce(&Path) -> Result<Counters, Error>,
    ) -> Result<(), Error> {
        let file = format!("step-{:08}-{}.safetensors", progress.step, progress.detours);
        let generations = &mut self.record.generations;
        match generations.first_mut().filter(|newest| newest.file == file) {
            // Of the same step: only what is known of it is new.
            Some(newest) => {
                progress.counters.clone_from(&newest.progress.counters);
                newest.progress = progress.clone();
            }
            None => {
                let path = self.dir.join(FOLDER).join(&file);
                progress.counters = save(&path)?;
                let sha256 = weights::digest(&path)?;
                generations.retain(|generation| generation.file != file);
                generations.insert(0, Generation { file, sha256, progress: progress.clone() });
                generations.truncate(KEPT);
            }
        }
        let text = serde_json::to_vec_pretty(&self.record).map_err(|e| Error::Internal(e.to_string()))?;
        atomic::write(&self.dir.join(TRAINING_FILE), &text)?;
        let is_kept = |name: &str| self.record.generations.iter().any(|generation| generation.file == name);
        // What cannot be removed is no harm.
        for entry in std::fs::read_dir(self.dir.join(FOLDER)).into_iter().flatten().flatten() {
            if !is_kept(&entry.file_name().to_string_lossy()) {
                drop(std::fs::remove_file(entry.path()));
            }
        }
        Ok(())
    }
}

/// Forgets a training.
///
/// # Errors
/// When something cannot be removed.
pub(super) fn forget(dir: &Path) -> Result<(), Error> {
    // The record first: without it nothing else is anybody's.
    let gone = |removed: std::io::Result<()>| match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        Ok(()) | Err(_) => Ok(()),
    };
    let folders = [FOLDER, SNAPSHOTS_FOLDER];
    let removed = std::fs::remove_file(dir.join(TRAINING_FILE))
        .and_then(|()| folders.iter().try_for_each(|name| gone(std::fs::remove_dir_all(dir.join(name)))))
        .and_then(|()| LEFT.iter().try_for_each(|name| gone(std::fs::remove_file(dir.join(name)))));
    removed.map_err(|e| Error::Usage(format!("cannot remove what `{}` holds: {e}", dir.display())))
}
