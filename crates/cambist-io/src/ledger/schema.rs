//! The tables of a ledger and the way from one version of them to the next.

use std::{path::Path, time::Duration};

use rusqlite::Connection;

use super::{LedgerError, Result};

/// The version of the tables that is written.
pub const LEDGER_SCHEMA: u32 = 1;

/// `CAMB` in ASCII: tells a ledger from any other SQLite file.
const APPLICATION_ID: i32 = 0x4341_4d42;

/// How long a write waits for another process.
const PATIENCE: Duration = Duration::from_secs(5);

/// What leads from each version to the next, from 0, the empty file. A new version adds an entry and changes none.
const MIGRATIONS: [&str; LEDGER_SCHEMA as usize] = ["
    CREATE TABLE calls (
        key                TEXT PRIMARY KEY NOT NULL,
        endpoint           TEXT NOT NULL,
        teacher            TEXT NOT NULL,
        prompt_id          TEXT NOT NULL,
        sample             INTEGER NOT NULL,
        request            TEXT NOT NULL,
        status             TEXT NOT NULL,
        text               TEXT NOT NULL,
        finish_reason      TEXT NOT NULL,
        failure            TEXT,
        tokens_in          INTEGER,
        tokens_out         INTEGER,
        cost_usd           REAL NOT NULL,
        seconds            REAL NOT NULL,
        attempts           INTEGER NOT NULL,
        created_at_unix_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE scores (
        key                TEXT PRIMARY KEY NOT NULL,
        candidate          TEXT NOT NULL,
        arbiter            TEXT NOT NULL,
        value              REAL,
        missing            TEXT,
        cost_usd           REAL NOT NULL,
        seconds            REAL NOT NULL,
        attempts           INTEGER NOT NULL,
        created_at_unix_ms INTEGER NOT NULL
    ) STRICT;
"];

/// Sets what a connection that writes needs.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")
}

/// Brings the tables to [`LEDGER_SCHEMA`], each step in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let failed = |source| LedgerError::of(path, source);
    let from = found_version(connection, path)?;
    for (version, tables) in (1u32..).zip(MIGRATIONS).skip(from as usize) {
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch(tables).map_err(failed)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        transaction.pragma_update(None, "user_version", version).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

/// Refuses tables of another version, for readers, who may not migrate.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<()> {
    let found = found_version(connection, path)?;
    if found == LEDGER_SCHEMA {
        return Ok(());
    }
    Err(LedgerError::Schema { path: path.to_owned(), found, supported: LEDGER_SCHEMA })
}

fn found_version(connection: &Connection, path: &Path) -> Result<u32> {
    let number = |pragma: &str| {
        let read = connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
        read.map_err(|source| LedgerError::of(path, source))
    };
    let (application, version) = (number("application_id")?, number("user_version")?.unsigned_abs());
    let is_fresh = application == 0 && version == 0 && number("schema_version")? == 0;
    if application != APPLICATION_ID && !is_fresh {
        return Err(LedgerError::NotALedger { path: path.to_owned() });
    }
    if version > LEDGER_SCHEMA {
        return Err(LedgerError::Schema { path: path.to_owned(), found: version, supported: LEDGER_SCHEMA });
    }
    Ok(version)
}
