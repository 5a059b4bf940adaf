//! Gathers records into files: without a thread, a clock or a store, so that a simulation can drive it.

use std::time::Duration;

use super::RECORDS_FOLDER;
use super::frame::{self, CLOSED_FILE, Closing, FileHead, HEAD_FILE};
use super::head::{AttemptCounts, AttemptHead};
use crate::journal::Record;

/// A record is written this long after it was made, or sooner: with as much again for the write itself it is out within ten seconds.
pub const PACE: Duration = Duration::from_secs(5);

/// So much is written at once, however young.
const FULL: usize = 4 << 20;

/// A file that is to be put into the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFile {
    /// Its name in the store.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Makes the files of one attempt. Times are since its start.
#[derive(Debug)]
pub struct Batcher {
    head: AttemptHead,
    pace: Duration,
    next: u32,
    lines: Vec<String>,
    bytes: usize,
    since: Option<Duration>,
}

impl Batcher {
    /// Files of this attempt.
    pub fn new(head: AttemptHead) -> Self {
        Self::with_pace(head, PACE)
    }

    /// The same, with records that wait so long.
    pub(super) fn with_pace(head: AttemptHead, pace: Duration) -> Self {
        Self { head, pace, next: 0, lines: Vec::new(), bytes: 0, since: None }
    }

    /// The folder of its files.
    pub fn folder(&self) -> String {
        format!("{RECORDS_FOLDER}/{}", self.head.folder())
    }

    /// The file that says that it began.
    pub fn begin(&self) -> RecordFile {
        self.file(HEAD_FILE, Duration::ZERO, None, &[])
    }

    /// Takes records in. Those that are about a host's own directory (runs, lost devices, the archive) stay there.
    pub fn add(&mut self, now: Duration, records: &[Record]) {
        for record in records {
            match record {
                Record::Scene(_) | Record::Failure(_) | Record::Artefact(_) | Record::Concession(_) => {
                    let line = frame::line(record);
                    self.bytes += line.len();
                    self.lines.push(line);
                    self.since.get_or_insert(now);
                }
                Record::Archive(_) | Record::Run(_) | Record::DeviceFault(_) => {}
            }
        }
    }

    /// When what has gathered must be written; `None` while nothing has.
    pub fn due(&self) -> Option<Duration> {
        let since = self.since?;
        Some(if self.bytes >= FULL { since } else { since + self.pace })
    }

    /// What has gathered, as the next file; `None` where nothing has.
    pub fn take(&mut self, now: Duration) -> Option<RecordFile> {
        self.since.take()?;
        let (lines, name) = (std::mem::take(&mut self.lines), frame::numbered(self.next));
        self.bytes = 0;
        self.next += 1;
        Some(self.file(&name, now, None, &lines))
    }

    /// What has gathered, and the last file: to be put in this order, the last one when all others are in the store.
    pub fn close(mut self, now: Duration, counts: AttemptCounts) -> Vec<RecordFile> {
        let rest = self.take(now);
        let last = self.file(CLOSED_FILE, now, Some(Closing { files: self.next, counts }), &[]);
        rest.into_iter().chain([last]).collect()
    }

    fn file(&self, name: &str, now: Duration, closed: Option<Closing>, lines: &[String]) -> RecordFile {
        let written = self.head.started.saturating_add(now.as_secs());
        let head = FileHead { name: name.to_owned(), written, closed, head: self.head.clone() };
        RecordFile { name: format!("{}/{name}", self.folder()), bytes: frame::encode(&head, lines) }
    }
}
