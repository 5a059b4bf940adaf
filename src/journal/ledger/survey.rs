//! Reads the records of all attempts, as far as they are seen. A look has no clock, so that whoever waits says for how long.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use super::RECORDS_FOLDER;
use super::claims::{Claims, Conflict};
use super::error::LedgerError;
use super::frame::{self, CLOSED_FILE, Closing, FileHead, HEAD_FILE, Mark, Marked, Unfit};
use super::head::{AttemptCounts, AttemptHead, FolderName};
use super::store::Store;
use crate::journal::Record;

/// How often what is missing is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// An attempt as its files tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptState {
    /// Its first file: who works at what.
    pub head: AttemptHead,
    /// How it ended; `None` while it lives, or if it died.
    pub closed: Option<AttemptCounts>,
    /// Whether it closed and all of its files were read.
    pub is_whole: bool,
    /// Seconds since 1970 by its host's clock when it published last. People alone go by it.
    pub last_seen: u64,
    /// What is wrong with its files. Each costs what was in it.
    pub problems: Vec<String>,
}

impl AttemptState {
    /// Whether it says of each of its units what became of it, and all that it says was read.
    pub fn is_complete(&self) -> bool {
        self.is_whole && self.closed.is_some_and(|counts| counts.complete)
    }
}

/// Reads what attempts at these units of this plan published. Each look reads what was not read before.
#[derive(Debug)]
pub struct Survey {
    plan: String,
    units: Range<u32>,
    attempts: Vec<Reading>,
    known: HashMap<String, usize>,
    strays: BTreeSet<String>,
    claims: Claims,
    seen: HashSet<Mark>,
}

/// What was read of an attempt.
#[derive(Debug)]
struct Reading {
    folder: String,
    head: Option<AttemptHead>,
    closed: Option<Closing>,
    got: BTreeSet<u32>,
    last_seen: u64,
    faults: Vec<Fault>,
}

/// What is wrong with a file as it was seen last.
#[derive(Debug)]
struct Fault {
    text: String,
    /// It may come yet.
    is_late: bool,
}

/// A file that counts.
type Sound = (FileHead, Vec<Marked>);

impl Survey {
    /// Of a plan, by the SHA-256 of the whole, and a run of its units.
    pub fn of(plan: &str, units: Range<u32>) -> Self {
        Self {
            plan: plan.to_owned(),
            units,
            attempts: Vec::new(),
            known: HashMap::new(),
            strays: BTreeSet::new(),
            claims: Claims::default(),
            seen: HashSet::new(),
        }
    }

    /// Reads what has come since the last look, and hands each record on with the number of its attempt in [`Self::attempts`]; those
    /// that are equal to the last letter once. Returns what should be there and is not yet: if there is any, a later look may find it.
    ///
    /// # Errors
    /// When the store refuses to list, there are records of another plan, or records of another format.
    pub fn look(&mut self, store: &dyn Store, mut sink: impl FnMut(usize, Record)) -> Result<Vec<String>, LedgerError> {
        for name in store.list(RECORDS_FOLDER)? {
            self.admit(store, name)?;
        }
        for attempt in 0..self.attempts.len() {
            for record in self.read(store, attempt)? {
                sink(attempt, record);
            }
        }
        let faults = self.attempts.iter().flat_map(|reading| &reading.faults);
        Ok(faults.filter(|fault| fault.is_late).map(|fault| fault.text.clone()).collect())
    }

    /// Looks until all is seen that should be there, or patience is over; what is missing then is among the problems. `waits` hears once of
    /// what is missing.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub fn follow(
        &mut self,
        store: &dyn Store,
        patience: Duration,
        mut sink: impl FnMut(usize, Record),
        waits: impl FnOnce(&[String]),
    ) -> Result<(), LedgerError> {
        let (begun, mut waits) = (Instant::now(), Some(waits));
        loop {
            let missing = self.look(store, &mut sink)?;
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() || missing.is_empty() {
                return Ok(());
            }
            if let Some(waits) = waits.take() {
                waits(&missing);
            }
            std::thread::sleep(left.min(AGAIN));
        }
    }

    /// Notes an attempt's folder, if it matters.
    fn admit(&mut self, store: &dyn Store, name: String) -> Result<(), LedgerError> {
        if self.known.contains_key(&name) {
            return Ok(());
        }
        let Some(parsed) = FolderName::parse(&name) else {
            let place = store.locate(&format!("{RECORDS_FOLDER}/{name}"));
            self.strays.insert(format!("`{place}` is no attempt's and is not looked at"));
            return Ok(());
        };
        if !parsed.is_of(&self.plan) {
            let head = Reading::of(name.clone()).fetch(store, HEAD_FILE, true)?;
            let found = head.map_or(parsed.plan, |(file, _)| file.head.plan);
            return Err(self.other_plan(store, &name, found));
        }
        if parsed.is_about(&self.units) {
            self.known.insert(name.clone(), self.attempts.len());
            self.attempts.push(Reading::of(name));
        }
        Ok(())
    }

    /// Reads what is new of an attempt.
    fn read(&mut self, store: &dyn Store, attempt: usize) -> Result<Vec<Record>, LedgerError> {
        let reading = &mut self.attempts[attempt];
        let files = reading.read(store)?;
        if let Some((file, _)) = files.iter().find(|(file, _)| file.head.plan != self.plan) {
            let (folder, found) = (reading.folder.clone(), file.head.plan.clone());
            return Err(self.other_plan(store, &folder, found));
        }
        let number = u32::try_from(attempt).unwrap_or(u32::MAX);
        let mut fresh = Vec::new();
        for (mark, record) in files.into_iter().flat_map(|(_, records)| records) {
            if self.seen.insert(mark) {
                self.claims.add(number, &record);
                fresh.push(record);
            }
        }
        Ok(fresh)
    }

    fn other_plan(&self, store: &dyn Store, folder: &str, found: String) -> LedgerError {
        let folder = store.locate(&format!("{RECORDS_FOLDER}/{folder}"));
        LedgerError::OtherPlan { folder, found, expected: self.plan.clone() }
    }

    /// The attempts so far, in the order that they were seen in. Of one without a file that can be read nothing is known; it is among
    /// [`Self::problems`], if it should have one.
    pub fn attempts(&self) -> Vec<Option<AttemptState>> {
        self.attempts.iter().map(Reading::state).collect()
    }

    /// What differs among attempts.
    pub fn conflicts(&self) -> Vec<Conflict> {
        self.claims.conflicts(|attempt| self.attempts.get(attempt as usize)?.head.clone())
    }

    /// What is wrong and no attempt's, or that of one of which nothing else is known.
    pub fn problems(&self) -> Vec<String> {
        let unknown = self.attempts.iter().filter(|reading| reading.head.is_none());
        let faults = unknown.flat_map(|reading| &reading.faults).map(|fault| fault.text.clone());
        self.strays.iter().cloned().chain(faults).collect()
    }
}

impl Reading {
    fn of(folder: String) -> Self {
        Self { folder, head: None, closed: None, got: BTreeSet::new(), last_seen: 0, faults: Vec::new() }
    }

    /// Files that were not read before.
    fn read(&mut self, store: &dyn Store) -> Result<Vec<Sound>, LedgerError> {
        self.faults.clear();
        let mut fresh = Vec::new();
        let listed = store.list(&format!("{RECORDS_FOLDER}/{}", self.folder))?;
        let is_listed = |name: &str| listed.iter().any(|listed| listed == name);
        if self.closed.is_none() {
            fresh.extend(self.fetch(store, CLOSED_FILE, is_listed(CLOSED_FILE))?);
        }
        let mut asked = BTreeSet::new();
        for name in &listed {
            match frame::number_of(name) {
                Some(n) if !self.got.contains(&n) => {
                    asked.insert(n);
                    fresh.extend(self.fetch(store, name, true)?);
                }
                None if ![HEAD_FILE, CLOSED_FILE].contains(&name.as_str()) => {
                    let place = self.place(store, name);
                    self.faults.push(Fault { text: format!("`{place}` is no record file"), is_late: false });
                }
                _ => {}
            }
        }
        // A listing may be old: those up to the last one that is known are asked for by name, and the next one after it.
        for n in 0.. {
            let is_promised = n < self.promised();
            if !is_promised && self.closed.is_some() {
                break;
            }
            if self.got.contains(&n) || asked.contains(&n) {
                continue;
            }
            let file = self.fetch(store, &frame::numbered(n), is_promised)?;
            if file.is_none() && !is_promised {
                break;
            }
            fresh.extend(file);
        }
        if self.head.is_none() {
            fresh.extend(self.fetch(store, HEAD_FILE, is_listed(HEAD_FILE))?);
        }
        Ok(fresh)
    }

    /// So many files with records there are at least.
    fn promised(&self) -> u32 {
        let behind_last = self.got.last().map_or(0, |last| last + 1);
        self.closed.map_or(0, |closed| closed.files).max(behind_last)
    }

    /// One file, if it is there and sound. Otherwise it is noted, unless it may well not exist.
    fn fetch(&mut self, store: &dyn Store, name: &str, is_promised: bool) -> Result<Option<Sound>, LedgerError> {
        let place = self.place(store, name);
        let mut fault = |text, is_late| {
            self.faults.push(Fault { text, is_late });
            Ok(None)
        };
        let bytes = match store.get(&format!("{RECORDS_FOLDER}/{}/{name}", self.folder)) {
            Ok(Some(bytes)) => bytes,
            Ok(None) if is_promised => return fault(format!("`{place}` should be there and is not"), true),
            Ok(None) => return Ok(None),
            Err(e) => return fault(format!("{e}{}", cause(&e)), true),
        };
        match frame::decode(&bytes, &self.folder, name) {
            Ok(sound) => {
                self.note(name, &sound.0);
                Ok(Some(sound))
            }
            Err(Unfit::Damaged(reason)) => fault(format!("`{place}` is damaged: {reason}"), false),
            Err(Unfit::Format(reason)) => Err(LedgerError::Format { file: place, reason }),
        }
    }

    fn note(&mut self, name: &str, file: &FileHead) {
        self.last_seen = self.last_seen.max(file.written);
        self.closed = self.closed.or(file.closed);
        self.head.get_or_insert_with(|| file.head.clone());
        self.got.extend(frame::number_of(name));
    }

    fn place(&self, store: &dyn Store, name: &str) -> String {
        store.locate(&format!("{RECORDS_FOLDER}/{}/{name}", self.folder))
    }

    fn state(&self) -> Option<AttemptState> {
        Some(AttemptState {
            head: self.head.clone()?,
            closed: self.closed.map(|closed| closed.counts),
            is_whole: self.closed.is_some_and(|closed| (0..closed.files).all(|n| self.got.contains(&n))),
            last_seen: self.last_seen,
            problems: self.faults.iter().map(|fault| fault.text.clone()).collect(),
        })
    }
}

/// What the system said, if it said something.
fn cause(error: &dyn std::error::Error) -> String {
    error.source().map(|source| format!(": {source}")).unwrap_or_default()
}
