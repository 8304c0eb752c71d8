//! What can go wrong with a ledger.

use std::path::{Path, PathBuf};

use cambist_core::fault::Fault;
use rusqlite::{ErrorCode, types::Type};

use crate::disk::DiskError;

/// What a ledger answers with.
pub type Result<T> = std::result::Result<T, LedgerError>;

/// What can go wrong with a ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Another process writes to it and does not end.
    #[error("the ledger `{path}` is in use by another process: wait for it to end")]
    Busy {
        /// The ledger.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("`{path}` is no ledger: move it away, or name another store")]
    NotALedger {
        /// The file.
        path: PathBuf,
    },
    /// Pages of the file contradict each other.
    #[error(
        "the ledger `{path}` is damaged: restore it from a copy, or save what can be read with `sqlite3 {path} .recover`"
    )]
    Damaged {
        /// The ledger.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// It was written by a version of this program with another schema.
    #[error(
        "the ledger `{path}` has schema version {found}, this version reads {supported}: {}",
        if found < supported { "run a recipe in its store once, which brings it up" } else { "use a newer version" }
    )]
    Schema {
        /// The ledger.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that is written.
        supported: u32,
    },
    /// A number that is none was to be kept; a missing score is `None`.
    #[error("{field} of `{key}` is {value}: expected a finite number")]
    NotFinite {
        /// The field.
        field: &'static str,
        /// The record's key.
        key: String,
        /// What was given.
        value: f64,
    },
    /// A field holds what no version of this program writes.
    #[error("the ledger `{path}` was changed by another program: {source}")]
    Foreign {
        /// The ledger.
        path: PathBuf,
        /// Which field holds what.
        source: rusqlite::Error,
    },
    /// Something else that SQLite reported.
    #[error("the ledger `{path}` refuses: {source}")]
    Sqlite {
        /// The ledger.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl LedgerError {
    /// Sorts what SQLite said into a situation.
    pub(super) fn of(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let system = std::io::Error::other;
        if let rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..) = source {
            return Self::Foreign { path, source };
        }
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => DiskError::Full { path, source: system(source) }.into(),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                DiskError::Forbidden { action: "write", path, source: system(source) }.into()
            }
            Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) => {
                DiskError::Other { action: "open", path, source: system(source) }.into()
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            Some(ErrorCode::NotADatabase) => Self::NotALedger { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, source },
            _ => Self::Sqlite { path, source },
        }
    }

    /// Whose fault it is: a foreign file is yours, the disk and other processes are the world's, the rest is ours.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Disk(error) => error.fault(),
            Self::NotALedger { .. } => Fault::You,
            Self::Busy { .. } | Self::Damaged { .. } | Self::Schema { .. } | Self::Foreign { .. } => Fault::World,
            Self::NotFinite { .. } | Self::Sqlite { .. } => Fault::Us,
        }
    }
}

/// What no version of this program writes.
#[derive(Debug, thiserror::Error)]
#[error("found `{found}`, expected {expected}")]
struct ForeignText {
    found: String,
    expected: &'static str,
}

/// Says that a column holds text that no version of this program writes.
pub(super) fn foreign(column: usize, found: &str, expected: &'static str) -> rusqlite::Error {
    let reason = ForeignText { found: found.to_owned(), expected };
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(reason))
}
