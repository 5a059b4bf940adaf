//! The journal in SQLite.

mod import;
mod look;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ledger::{AttemptCounts, LedgerError};
use super::publishing::Publishing;
use super::record::{
    ArchiveRecord, ArtefactRecord, ConcessionRecord, DeviceFaultRecord, FailureRecord, FileRecord, Location, Record,
    RunRecord, SceneRecord,
};
use super::{EntryRecord, StageKey};
use crate::atomic::WriteError;
pub use import::Import;
use look::View;

/// Name of the journal in a run directory.
pub const JOURNAL_FILE: &str = "run.db";

/// What the directory of a training has in its place.
pub const TRAINING_FILE: &str = "training.json";

/// Version of the tables. Another one is refused; the content of the records is versioned by their keys.
const FORMAT: u32 = 3;

/// Another process may hold the file for a moment: `swath status` beside a run.
const BUSY: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
CREATE TABLE scene (name TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE failure (name TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE artefact (path TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entry (key TEXT PRIMARY KEY, path TEXT NOT NULL, offset INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE archive (id INTEGER PRIMARY KEY CHECK (id = 1), record TEXT NOT NULL);
CREATE TABLE run (id INTEGER PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE concession (id INTEGER PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE device_fault (id INTEGER PRIMARY KEY, record TEXT NOT NULL);
";

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// What is recorded cannot be published.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// SQLite or the file system refuses.
    #[error("cannot {operation} the journal `{}`", path.display())]
    Sql {
        /// What failed, as a verb.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// It is there, and the system does not let it be read.
    #[error("cannot read the journal `{}`", path.display())]
    Unreadable {
        /// The journal, or what SQLite keeps beside it.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is of another format, or no journal at all.
    #[error("the journal `{}` is unreadable: {reason}; run with the version of swath that wrote it, or start over with --fresh", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
}

/// Whether SQLite says with this error that the disk is full. It is what [`JournalError`] has as its source, so that it is found in a chain
/// of errors that hand their sources through.
pub fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let code = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    code == Some(rusqlite::ErrorCode::DiskFull)
}

/// Everything a journal holds, by what it is looked up by.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Scenes with outputs by name.
    pub scenes: BTreeMap<String, SceneRecord>,
    /// Failed scenes by name.
    pub failures: BTreeMap<String, FailureRecord>,
    /// Where stage results are, by key.
    pub entries: HashMap<StageKey, Location>,
    /// Artefact files by path.
    pub artefacts: BTreeMap<String, FileRecord>,
    /// The archive.
    pub archive: Option<ArchiveRecord>,
    /// The run that began last, as it began or ended.
    pub run: Option<RunRecord>,
    /// What was given up against this plan or that, in order.
    pub concessions: Vec<ConcessionRecord>,
    /// Devices that were lost since a person started a run, in order.
    pub device_faults: Vec<DeviceFaultRecord>,
}

/// An open journal. One process writes.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    /// How it is seen, if it is only looked at.
    view: Option<View>,
    /// Who is told what is recorded.
    publishing: Option<Publishing>,
}

impl Journal {
    /// Opens the journal of a run directory, making it if there is none.
    ///
    /// # Errors
    /// When SQLite refuses, or the file is of another format.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join(JOURNAL_FILE);
        let connection = Connection::open(&path).map_err(sql("open", &path))?;
        let journal = Self { connection, path, view: None, publishing: None };
        journal.prepare()?;
        Ok(journal)
    }

    /// Whether nothing is in it: it was being made when its run was killed.
    fn is_empty(&self) -> Result<bool, JournalError> {
        let tables = "SELECT count(*) FROM sqlite_master";
        let n_tables = self.connection.query_row(tables, [], |row| row.get::<_, i64>(0));
        n_tables.map(|n| n == 0).map_err(|e| self.no_journal(e))
    }

    fn prepare(&self) -> Result<(), JournalError> {
        let fail = || sql("prepare", &self.path);
        be_patient(&self.connection).map_err(fail())?;
        let is_empty = self.is_empty()?;
        self.connection.pragma_update(None, "journal_mode", "WAL").map_err(fail())?;
        self.connection.pragma_update(None, "synchronous", "FULL").map_err(fail())?;
        if is_empty {
            let schema = format!("BEGIN; {SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;");
            self.connection.execute_batch(&schema).map_err(fail())?;
        }
        self.check_format()
    }

    fn check_format(&self) -> Result<(), JournalError> {
        let version = self.connection.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0));
        match version.map_err(|e| self.no_journal(e))? {
            FORMAT => Ok(()),
            found => Err(self.format(format!("it has format {found}, this version reads {FORMAT}"))),
        }
    }

    /// A file that SQLite does not know as its own is of an unreadable format; anything else is the system's refusal.
    fn no_journal(&self, error: rusqlite::Error) -> JournalError {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                self.format(error.to_string())
            }
            _ => sql("read", &self.path)(error),
        }
    }

    fn format(&self, reason: String) -> JournalError {
        JournalError::Format { path: self.path.clone(), reason }
    }

    /// Records these, all or none; they are on disk when this returns.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn append(&mut self, records: &[Record]) -> Result<(), JournalError> {
        if records.is_empty() {
            return Ok(());
        }
        let fail = sql("write", &self.path);
        let mut write = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction()?;
            records.iter().try_for_each(|record| put(&transaction, record))?;
            transaction.commit()
        };
        write().map_err(fail)?;
        self.publishing.as_ref().map_or(Ok(()), |publishing| publishing.tell(records)).map_err(Into::into)
    }

    /// Takes in records from elsewhere one by one, all or none of them, and publishes none.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn import(&mut self) -> Result<Import<'_>, JournalError> {
        Import::begin(&mut self.connection, &self.path)
    }

    /// Publishes what is recorded from here on.
    pub fn publish(&mut self, publishing: Publishing) {
        self.publishing = Some(publishing);
    }

    /// Publishes how it ends, where it publishes anything.
    ///
    /// # Errors
    /// When what was recorded could not be published.
    pub fn publish_end(&mut self, counts: AttemptCounts) -> Result<(), JournalError> {
        self.publishing.take().map_or(Ok(()), |publishing| publishing.close(counts)).map_err(Into::into)
    }

    /// Writes a copy of it, of one file, which must not be there.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn copy_to(&self, copy: &Path) -> Result<(), JournalError> {
        let into = copy.to_string_lossy();
        self.connection.execute("VACUUM INTO ?1", [into.as_ref()]).map_err(sql("copy", &self.path)).map(|_| ())
    }

    /// Forgets artefact files and what was in them.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn forget_artefacts(&mut self, paths: &[String]) -> Result<(), JournalError> {
        let fail = sql("write", &self.path);
        let mut write = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction()?;
            for path in paths {
                transaction.execute("DELETE FROM entry WHERE path = ?1", [path])?;
                transaction.execute("DELETE FROM artefact WHERE path = ?1", [path])?;
            }
            transaction.commit()
        };
        write().map_err(fail)
    }

    /// Forgets the archive, which no longer matches the masks.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn forget_archive(&mut self) -> Result<(), JournalError> {
        self.connection.execute("DELETE FROM archive", []).map_err(sql("write", &self.path)).map(|_| ())
    }

    /// Forgets that fewer passes run on units of this plan.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn forget_fewer_passes(&mut self, plan: &str) -> Result<(), JournalError> {
        let query = "DELETE FROM concession WHERE json_extract(record, '$.conceded') = 'fewer-passes'
                     AND json_extract(record, '$.plan') = ?1";
        self.connection.execute(query, [plan]).map_err(sql("write", &self.path)).map(|_| ())
    }

    /// Forgets that devices were lost: a person has seen to it.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn forget_device_faults(&mut self) -> Result<(), JournalError> {
        self.connection.execute("DELETE FROM device_fault", []).map_err(sql("write", &self.path)).map(|_| ())
    }

    /// Forgets that these scenes are done, that any has failed, and these stage results; of other scenes no more holds than this.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn forget_stale(
        &mut self,
        scenes: &[String],
        results: &[StageKey],
        reduced: Vec<SceneRecord>,
    ) -> Result<(), JournalError> {
        let fail = sql("write", &self.path);
        let write = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction()?;
            transaction.execute("DELETE FROM failure", [])?;
            for name in scenes {
                transaction.prepare_cached("DELETE FROM scene WHERE name = ?1")?.execute([name])?;
            }
            for key in results {
                transaction.prepare_cached("DELETE FROM entry WHERE key = ?1")?.execute([key.as_str()])?;
            }
            reduced.into_iter().try_for_each(|scene| put(&transaction, &Record::Scene(scene)))?;
            transaction.commit()
        };
        write().map_err(fail)
    }

    /// Removes the journal of a run directory, readable or not.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove(dir: &Path) -> Result<(), WriteError> {
        // Its log first: alone it would be nothing, and with another journal it would be wrong.
        for suffix in ["-wal", "-shm", ""] {
            let path = dir.join(format!("{JOURNAL_FILE}{suffix}"));
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(WriteError { operation: "remove the old", path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the journal of this directory knows a run. Without one it was left by what could not begin.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn knows_a_run(dir: &Path) -> Result<bool, JournalError> {
        let Some(journal) = Self::open_read_only(dir)? else { return Ok(false) };
        let found = journal.connection.query_row("SELECT EXISTS (SELECT 1 FROM run)", [], |row| row.get(0));
        found.map_err(sql("read", &journal.path))
    }

    /// All that is recorded, in one reading: a run asks once.
    ///
    /// # Errors
    /// When SQLite refuses, or a record is of an unreadable format.
    pub fn state(&self) -> Result<State, JournalError> {
        self.seen(self.read())
    }

    fn read(&self) -> Result<State, JournalError> {
        let scenes: Vec<SceneRecord> = self.records("SELECT record FROM scene")?;
        let failures: Vec<FailureRecord> = self.records("SELECT record FROM failure")?;
        let artefacts: Vec<FileRecord> = self.records("SELECT record FROM artefact")?;
        Ok(State {
            scenes: scenes.into_iter().map(|s| (s.name.clone(), s)).collect(),
            failures: failures.into_iter().map(|f| (f.name.clone(), f)).collect(),
            entries: self.entries()?,
            artefacts: artefacts.into_iter().map(|f| (f.path.clone(), f)).collect(),
            archive: self.records("SELECT record FROM archive")?.pop(),
            run: self.records("SELECT record FROM run ORDER BY id DESC LIMIT 1")?.pop(),
            concessions: self.records("SELECT record FROM concession ORDER BY id")?,
            device_faults: self.records("SELECT record FROM device_fault ORDER BY id")?,
        })
    }

    fn entries(&self) -> Result<HashMap<StageKey, Location>, JournalError> {
        let fail = || sql("read", &self.path);
        let query = "SELECT key, path, offset, bytes FROM entry";
        let mut statement = self.connection.prepare(query).map_err(fail())?;
        statement.query_map([], entry).map_err(fail())?.collect::<rusqlite::Result<_>>().map_err(fail())
    }

    /// Where the results of these keys are, as far as they are stored.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn locate(
        &self,
        keys: impl IntoIterator<Item = StageKey>,
    ) -> Result<HashMap<StageKey, Location>, JournalError> {
        let fail = || sql("read", &self.path);
        let query = "SELECT key, path, offset, bytes FROM entry WHERE key = ?1";
        let mut statement = self.connection.prepare(query).map_err(fail())?;
        let find = |key: StageKey| statement.query_row([key.as_str()], entry).optional().transpose();
        keys.into_iter().filter_map(find).collect::<rusqlite::Result<_>>().map_err(fail())
    }

    fn records<T: DeserializeOwned>(&self, query: &str) -> Result<Vec<T>, JournalError> {
        let fail = || sql("read", &self.path);
        let mut statement = self.connection.prepare(query).map_err(fail())?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).map_err(fail())?;
        let parse = |text: rusqlite::Result<String>| {
            let text = text.map_err(fail())?;
            serde_json::from_str(&text).map_err(|e| self.format(format!("a record cannot be read: {e}")))
        };
        rows.map(parse).collect()
    }

    /// Whether a pragma that finds damage finds none.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn is_sound(&self) -> Result<bool, JournalError> {
        let check = self.connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).optional();
        Ok(check.map_err(|e| self.no_journal(e))?.is_some_and(|answer| answer == "ok"))
    }
}

/// Lets it wait while another process holds the file.
fn be_patient(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)
}

fn sql(operation: &'static str, path: &Path) -> impl FnOnce(rusqlite::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Sql { operation, path, source }
}

fn put(transaction: &Transaction<'_>, record: &Record) -> rusqlite::Result<()> {
    match record {
        Record::Scene(scene) => {
            transaction.prepare_cached("DELETE FROM failure WHERE name = ?1")?.execute([&scene.name])?;
            replace(transaction, "scene", "name", &scene.name, scene)
        }
        Record::Failure(failure) => {
            transaction.prepare_cached("DELETE FROM scene WHERE name = ?1")?.execute([&failure.name])?;
            replace(transaction, "failure", "name", &failure.name, failure)
        }
        Record::Artefact(artefact) => {
            replace(transaction, "artefact", "path", &artefact.file.path, &artefact.file)?;
            artefact.entries.iter().try_for_each(|entry| put_entry(transaction, artefact, entry))
        }
        Record::Archive(archive) => {
            let query = "INSERT OR REPLACE INTO archive (id, record) VALUES (1, ?1)";
            transaction.execute(query, [json(archive)?]).map(|_| ())
        }
        Record::Run(run) => {
            let query = "INSERT OR REPLACE INTO run (id, record) VALUES (?1, ?2)";
            transaction.execute(query, params![signed(run.attempt), json(run)?]).map(|_| ())
        }
        Record::Concession(concession) => insert(transaction, "concession", concession),
        Record::DeviceFault(fault) => insert(transaction, "device_fault", fault),
    }
}

fn put_entry(transaction: &Transaction<'_>, artefact: &ArtefactRecord, entry: &EntryRecord) -> rusqlite::Result<()> {
    let query = "INSERT OR REPLACE INTO entry (key, path, offset, bytes) VALUES (?1, ?2, ?3, ?4)";
    let (offset, bytes) = (signed(entry.offset), signed(entry.bytes));
    transaction
        .prepare_cached(query)?
        .execute(params![entry.key.as_str(), artefact.file.path, offset, bytes])
        .map(|_| ())
}

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<(StageKey, Location)> {
    let location = Location { path: row.get(1)?, offset: unsigned(row.get(2)?), bytes: unsigned(row.get(3)?) };
    Ok((StageKey::stored(row.get(0)?), location))
}

fn insert(transaction: &Transaction<'_>, table: &str, record: &impl Serialize) -> rusqlite::Result<()> {
    transaction.execute(&format!("INSERT INTO {table} (record) VALUES (?1)"), [json(record)?]).map(|_| ())
}

fn replace(
    transaction: &Transaction<'_>,
    table: &str,
    column: &str,
    key: &str,
    record: &impl Serialize,
) -> rusqlite::Result<()> {
    let query = format!("INSERT OR REPLACE INTO {table} ({column}, record) VALUES (?1, ?2)");
    transaction.prepare_cached(&query)?.execute(params![key, json(record)?]).map(|_| ())
}

fn json(record: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(record).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

/// SQLite's integers are signed; offsets are far from that.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic::Fingerprint;
    use crate::journal::{KeyHasher, OutputRecord, SceneFacts};

    fn key(text: &str) -> StageKey {
        KeyHasher::new("test").text(text).finish()
    }

    fn file(path: &str) -> FileRecord {
        FileRecord { path: path.into(), content: Fingerprint { bytes: 3, sha256: "00".into() } }
    }

    fn scene(name: &str) -> Record {
        Record::Scene(SceneRecord {
            name: name.into(),
            complete: true,
            attempt: 1,
            outputs: vec![OutputRecord { kind: "masks".into(), key: key(name), files: vec![file("masks/a.png")] }],
            facts: SceneFacts::default(),
        })
    }

    fn failure(name: &str) -> Record {
        let text = || "x".to_owned();
        let (name, unit, attempt) = (name.into(), Some(3), 1);
        Record::Failure(FailureRecord { name, file: text(), stage: text(), unit, attempt, cause: text() })
    }

    #[test]
    fn a_full_disk_is_recognised_by_whoever_walks_the_sources() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        let pages: i64 = journal.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        journal.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
        let many: Vec<Record> = (0..1000).map(|i| scene(&format!("s{i}"))).collect();
        let error = journal.append(&many).unwrap_err();
        assert!(matches!(error, JournalError::Sql { .. }));
        assert!(std::error::Error::source(&error).is_some_and(is_disk_full), "{error}");
        assert!(journal.state().unwrap().scenes.is_empty());
        let other = Journal::open(&dir.path().join("not/there")).unwrap_err();
        assert!(!std::error::Error::source(&other).is_some_and(is_disk_full), "{other}");
    }

    #[test]
    fn what_was_appended_is_there_after_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        let artefact = Record::Artefact(ArtefactRecord {
            file: file("checkpoints/a"),
            entries: vec![EntryRecord { key: key("e"), offset: 8, bytes: 5 }],
        });
        Journal::open(dir.path()).unwrap().append(&[scene("a"), scene("b"), failure("b"), artefact]).unwrap();
        let state = Journal::open_read_only(dir.path()).unwrap().unwrap().state().unwrap();
        assert_eq!(state.scenes.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(state.failures.keys().collect::<Vec<_>>(), ["b"]);
        assert_eq!(state.entries[&key("e")], Location { path: "checkpoints/a".into(), offset: 8, bytes: 5 });
        let mut journal = Journal::open(dir.path()).unwrap();
        assert_eq!(journal.locate([key("e"), key("never stored")]).unwrap(), state.entries);
        journal.append(&[scene("b")]).unwrap();
        journal.forget_artefacts(&["checkpoints/a".into()]).unwrap();
        let state = journal.state().unwrap();
        assert_eq!(
            (state.scenes.len(), state.failures.len(), state.entries.len(), state.artefacts.len()),
            (2, 0, 0, 0)
        );
        assert!(journal.is_sound().unwrap());
    }

    #[test]
    fn another_format_and_another_file_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Journal::open_read_only(dir.path()).unwrap().is_none());
        Journal::open(dir.path()).unwrap().connection.pragma_update(None, "user_version", 99).unwrap();
        let error = Journal::open(dir.path()).unwrap_err();
        assert!(matches!(error, JournalError::Format { .. }) && error.to_string().contains("format 99"), "{error}");
        let other = tempfile::tempdir().unwrap();
        crate::atomic::write(&other.path().join(JOURNAL_FILE), &[7; 5000]).unwrap();
        let error = Journal::open(other.path()).unwrap_err();
        assert!(matches!(error, JournalError::Format { .. }), "{error}");
    }
}
