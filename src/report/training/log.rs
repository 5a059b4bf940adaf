//! `metrics.jsonl` and the event files beside it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::records::MetricsRecord;
use super::tensorboard::EventFile;
use crate::atomic::{self, WriteError};

/// Keeps what is recorded of a training, in its run directory.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
    events: EventFile,
    classes: Vec<String>,
}

/// How far a training has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reached {
    /// Steps that are done.
    pub step: u64,
    /// Whether they were validated, too.
    pub validated: bool,
}

/// The kind of a record of that.
const VALIDATION: &str = "validation";

/// What a line has beside its record.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    record: &'a MetricsRecord,
    /// What `null` stands for, by name: "NaN", "inf" or "-inf".
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    not_finite: BTreeMap<String, String>,
}

impl MetricsLog {
    /// The name of the file in a run directory.
    pub const FILE: &'static str = "metrics.jsonl";

    /// The folder of event files in a run directory.
    pub const EVENTS: &'static str = "tensorboard";

    /// Opens the log of a training that goes on after `up_to`, or begins: what was recorded of later steps is no more, in
    /// `metrics.jsonl` and for TensorBoard. `classes` are the names of the class table, which the latter shows.
    ///
    /// A training that goes back to an earlier step while it runs opens its log again.
    ///
    /// # Errors
    /// When files cannot be read or written, or `metrics.jsonl` has a line that is no record.
    pub fn open(run: &Path, classes: &[String], up_to: Option<Reached>) -> Result<Self, WriteError> {
        let path = run.join(Self::FILE);
        let old = lines(&path)?;
        atomic::write_with(&path, |file| {
            for (number, line) in old.enumerate() {
                let line = line?;
                if Some(place_of(&line, number)?) <= up_to {
                    file.write_all(&line)?;
                }
            }
            Ok(())
        })?;
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.map_err(|source| WriteError { operation: "open", path: path.clone(), source })?;
        let events = EventFile::begin(&run.join(Self::EVENTS), up_to.map_or(0, |reached| reached.step + 1))?;
        Ok(Self { path, file, events, classes: classes.to_vec() })
    }

    /// Adds a record. A process that is killed afterwards loses nothing of it; a machine that stops may, unless [`Self::sync`] was called.
    ///
    /// # Errors
    /// When the system refuses the write.
    pub fn append(&mut self, record: &MetricsRecord) -> Result<(), WriteError> {
        let scalars = record.scalars(&self.classes);
        let odd = scalars.iter().filter(|(_, value)| !value.is_finite());
        let line = Line { record, not_finite: odd.map(|(name, value)| (name.clone(), value.to_string())).collect() };
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| WriteError { operation: "write", path, source }
        };
        let bytes = serde_json::to_vec(&line).map_err(io::Error::from).map_err(fail(&self.path))?;
        self.file.write_all(&[&bytes[..], b"\n"].concat()).map_err(fail(&self.path))?;
        let shown = match record {
            MetricsRecord::Step(_) | MetricsRecord::Validation(_) => self.events.scalars(record.step(), &scalars),
            MetricsRecord::Note(note) => self.events.words(note.step, &note.text),
        };
        shown.map_err(fail(&self.events.path))
    }

    /// Puts on disk what was added: before a state is saved that a later run goes on from.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn sync(&self) -> Result<(), WriteError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| WriteError { operation: "sync", path, source }
        };
        self.file.sync_data().map_err(fail(&self.path))?;
        self.events.sync().map_err(fail(&self.events.path))
    }
}

/// Whole lines, with their ends: what a killed process left of one is none.
fn lines(path: &Path) -> Result<impl Iterator<Item = io::Result<Vec<u8>>> + use<>, WriteError> {
    let file = match File::open(path) {
        Ok(file) => Some(file),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(source) => return Err(WriteError { operation: "open", path: path.to_owned(), source }),
    };
    let mut from = file.map(BufReader::new);
    Ok(std::iter::from_fn(move || {
        let mut line = Vec::new();
        let read = from.as_mut()?.read_until(b'\n', &mut line);
        read.map(|_| line.ends_with(b"\n").then_some(line)).transpose()
    }))
}

/// What a file has recorded.
pub(super) fn records(path: &Path) -> Result<impl Iterator<Item = io::Result<MetricsRecord>> + use<>, WriteError> {
    let record = |(number, line): (usize, io::Result<Vec<u8>>)| {
        serde_json::from_slice(&line?).map_err(|e| not_a_record(&e, number))
    };
    Ok(lines(path)?.enumerate().map(record))
}

fn place_of(line: &[u8], number: usize) -> io::Result<Reached> {
    #[derive(Deserialize)]
    struct Place {
        step: u64,
        #[serde(default)]
        kind: String,
    }
    let place: Place = serde_json::from_slice(line).map_err(|e| not_a_record(&e, number))?;
    Ok(Reached { step: place.step, validated: place.kind == VALIDATION })
}

fn not_a_record(e: &serde_json::Error, number: usize) -> io::Error {
    let told = format!("line {} is no record of a training ({e}); move the file away", number + 1);
    io::Error::new(ErrorKind::InvalidData, told)
}
