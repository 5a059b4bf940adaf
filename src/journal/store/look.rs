//! A journal that is only looked at: nothing is written, not even beside it, so that a folder without the right to write will do.
//!
//! What SQLite needs for that depends on what lies beside the file. Without a log (`run.db-wal`) the file is all there is, and is read as
//! one that nobody writes. With a log and its index (`run.db-shm`) a run is at work or was killed, and SQLite reads both under its locks.
//! With a log alone SQLite would have to make an index, so both files are read from a copy.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::{JOURNAL_FILE, Journal, JournalError, State, be_patient, sql};

/// How a journal is seen that is only looked at.
#[derive(Debug)]
pub(super) enum View {
    /// Under the locks of SQLite, all of it as it was at one moment.
    Shared,
    /// Without locks: it had no log, and looked like this.
    Still(Look),
    /// In a copy, which goes with this.
    Copy { _folder: TempDir },
}

/// What tells whether somebody has written: the file's size and time, and the size of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    bytes: u64,
    modified: Option<SystemTime>,
    log_bytes: u64,
}

impl Look {
    fn at(path: &Path) -> Self {
        let file = std::fs::metadata(path).ok();
        Self {
            bytes: file.as_ref().map_or(0, std::fs::Metadata::len),
            modified: file.and_then(|f| f.modified().ok()),
            log_bytes: std::fs::metadata(beside(path, "-wal")).map_or(0, |log| log.len()),
        }
    }
}

impl Journal {
    /// Opens the journal of a run directory to look at it, without writing a byte; `None` when there is none, or an empty one.
    ///
    /// # Errors
    /// When it cannot be read, or is of another format.
    pub fn open_read_only(dir: &Path) -> Result<Option<Self>, JournalError> {
        let path = dir.join(JOURNAL_FILE);
        if !path.exists() {
            return Ok(None);
        }
        check_readable(&path)?;
        let look = Look::at(&path);
        let (log, index) = (beside(&path, "-wal"), beside(&path, "-shm"));
        let (connection, view) = match (look.log_bytes > 0, index.exists()) {
            (false, _) => (open(&path, &path, "immutable=1")?, View::Still(look)),
            (true, true) => {
                check_readable(&log).and_then(|()| check_readable(&index))?;
                (open_shared(&path)?, View::Shared)
            }
            (true, false) => {
                check_readable(&log)?;
                open_copy(&path)?
            }
        };
        let journal = Self { connection, path, view: Some(view), publishing: None };
        if journal.is_empty()? {
            return Ok(None);
        }
        journal.check_format()?;
        Ok(Some(journal))
    }

    /// Everything in a journal that was opened to be looked at, read again if somebody wrote meanwhile.
    pub(super) fn seen(&self, read: Result<State, JournalError>) -> Result<State, JournalError> {
        let Some(View::Still(look)) = &self.view else { return read };
        if Look::at(&self.path) == *look {
            return read;
        }
        match Self::open_read_only(self.path.parent().unwrap_or(Path::new("")))? {
            Some(again) => again.state(),
            None => Ok(State::default()),
        }
    }
}

/// The file that SQLite keeps beside a journal under this suffix.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// SQLite says only that it cannot open a file; the system says why.
fn check_readable(path: &Path) -> Result<(), JournalError> {
    std::fs::File::open(path).map(drop).map_err(|e| unreadable(path, e))
}

fn unreadable(path: &Path, source: io::Error) -> JournalError {
    JournalError::Unreadable { path: path.to_owned(), source }
}

fn open(path: &Path, at: &Path, how: &str) -> Result<Connection, JournalError> {
    let uri = uri(at, how).map_err(|e| unreadable(path, e))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags).map_err(sql("open", path))?;
    be_patient(&connection).map_err(sql("open", path))?;
    Ok(connection)
}

/// Opens a journal that has a log and its index. The index is left as it is where that suffices; where a run is at work it may not.
fn open_shared(path: &Path) -> Result<Connection, JournalError> {
    let begin = |how: &str| {
        let connection = open(path, path, how)?;
        // One transaction, never ended: what is read later is of the same moment.
        let begun = connection.execute_batch("BEGIN; SELECT count(*) FROM sqlite_master;");
        begun.map_err(sql("read", path)).map(|()| connection)
    };
    begin("readonly_shm=1").or_else(|_| begin("mode=ro"))
}

/// Opens a copy of a journal and its log.
fn open_copy(path: &Path) -> Result<(Connection, View), JournalError> {
    let folder = tempfile::tempdir().map_err(|e| unreadable(path, e))?;
    let copy = folder.path().join(JOURNAL_FILE);
    for suffix in ["", "-wal"] {
        let from = beside(path, suffix);
        std::fs::copy(&from, beside(&copy, suffix)).map_err(|e| unreadable(&from, e))?;
    }
    // Copies have the rights of what they are copies of.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&copy, flags).map_err(sql("open a copy of", path))?;
    Ok((connection, View::Copy { _folder: folder }))
}

/// A path as SQLite takes it with settings.
fn uri(path: &Path, how: &str) -> io::Result<String> {
    let path = std::path::absolute(path)?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b);
    let encode = |&b: &u8| if is_plain(b) { char::from(b).to_string() } else { format!("%{b:02x}") };
    let path: String = path.as_os_str().as_encoded_bytes().iter().map(encode).collect();
    Ok(format!("file://{path}?{how}"))
}
