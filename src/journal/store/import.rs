//! Records from elsewhere, in one transaction that need not fit into memory.

use std::path::Path;

use rusqlite::{Connection, Transaction};

use super::{JournalError, put, sql};
use crate::journal::Record;

/// Records that are being taken in. Dropped without [`Self::commit`], none of them is.
#[derive(Debug)]
pub struct Import<'a> {
    transaction: Transaction<'a>,
    path: &'a Path,
}

impl<'a> Import<'a> {
    pub(super) fn begin(connection: &'a mut Connection, path: &'a Path) -> Result<Self, JournalError> {
        let transaction = connection.transaction().map_err(sql("write", path))?;
        Ok(Self { transaction, path })
    }

    /// Takes one in: of records of one thing the last one counts.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn put(&self, record: &Record) -> Result<(), JournalError> {
        put(&self.transaction, record).map_err(sql("write", self.path))
    }

    /// Forgets all that was given up against plans.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn forget_concessions(&self) -> Result<(), JournalError> {
        self.transaction.execute("DELETE FROM concession", []).map_err(sql("write", self.path)).map(|_| ())
    }

    /// All of them are on disk when this returns.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn commit(self) -> Result<(), JournalError> {
        self.transaction.commit().map_err(sql("write", self.path))
    }
}
