//! The ledger: what was paid for once is never paid for again.
//!
//! One SQLite file with write-ahead log and one writer. `synchronous` is FULL: every batch of answers is one
//! transaction and one wait for the disk, which is little beside the calls that made them, and then neither a killed
//! process nor a lost power supply takes a paid answer away.

mod call;
mod error;
mod history;
mod keys;
mod outcome;
mod reply;
mod schema;
mod score;
mod thoughts;

use std::path::{Path, PathBuf};

use cambist_core::digest::Digest;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, Statement};

pub use call::{CallRecord, CallStatus, TeacherTotals, call_key, put_call_name};
pub use error::{LedgerError, Result};
pub use history::{CallHistory, HourlySpending, Latency, Moments, ScoreHistory};
pub use keys::KeySet;
pub use outcome::CallOutcome;
pub use schema::LEDGER_SCHEMA;
pub use score::{ArbiterTotals, ScoreRecord, score_key};
pub use thoughts::ThoughtfulCall;

use crate::disk::{self, DiskError};

/// Every call to a teacher and every verdict of an arbiter that was ever paid for in a store.
#[derive(Debug)]
pub struct Ledger {
    connection: Connection,
    path: PathBuf,
}

impl Ledger {
    /// Opens the ledger at `path` for writing and makes it where there is none.
    ///
    /// # Errors
    /// When the file is no ledger, is damaged, has a newer schema, or the disk refuses.
    pub fn open(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            disk::create_folder(folder)?;
        }
        let failed = |source| LedgerError::of(path, source);
        let mut connection = Connection::open(path).map_err(failed)?;
        schema::configure(&connection).map_err(failed)?;
        schema::migrate(&mut connection, path)?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// Returns an empty ledger that nothing is kept in, for stores that have none yet.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn nowhere() -> Result<Self> {
        let path = PathBuf::from(":memory:");
        let failed = |source| LedgerError::of(&path, source);
        let mut connection = Connection::open_in_memory().map_err(failed)?;
        schema::migrate(&mut connection, &path)?;
        Ok(Self { connection, path })
    }

    /// Opens the ledger at `path` for reading, beside a process that may be writing to it.
    ///
    /// # Errors
    /// When there is none, it is no ledger, is damaged, or has another schema.
    pub fn open_read_only(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(DiskError::Missing { path: path.to_owned() }.into());
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|source| LedgerError::of(path, source))?;
        schema::check(&connection, path)?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// Looks every key up, in the order and number of `keys`.
    fn find_all<T>(&self, sql: &str, keys: &[Digest], read: ReadRecord<T>) -> Result<Vec<Option<T>>> {
        let find = || {
            // One transaction: one look at the state of the file instead of one per key.
            let transaction = self.connection.unchecked_transaction()?;
            let mut select = transaction.prepare_cached(sql)?;
            let mut find = |key: &Digest| select.query_row([key.as_str()], |row| read(key, row)).optional();
            keys.iter().map(&mut find).collect::<rusqlite::Result<Vec<_>>>()
        };
        find().map_err(|source| LedgerError::of(&self.path, source))
    }

    /// Writes every record in one transaction.
    fn put_all<T>(
        &mut self,
        sql: &str,
        records: &[T],
        mut put: impl FnMut(&mut Statement<'_>, &T) -> rusqlite::Result<usize>,
    ) -> Result<()> {
        let mut write = || {
            let transaction = self.connection.transaction()?;
            let mut upsert = transaction.prepare_cached(sql)?;
            for record in records {
                put(&mut upsert, record)?;
            }
            drop(upsert);
            transaction.commit()
        };
        write().map_err(|source| LedgerError::of(&self.path, source))
    }

    /// Returns every row of a query.
    fn all<T>(&self, sql: &str, read: fn(&Row<'_>) -> rusqlite::Result<T>) -> Result<Vec<T>> {
        let read_all =
            || self.connection.prepare_cached(sql)?.query_map([], read)?.collect::<rusqlite::Result<Vec<_>>>();
        read_all().map_err(|source| LedgerError::of(&self.path, source))
    }
}

type ReadRecord<T> = fn(&Digest, &Row<'_>) -> rusqlite::Result<T>;

#[cfg(test)]
mod tests;
