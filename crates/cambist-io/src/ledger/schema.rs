//! The tables of a ledger and the way from one version of them to the next.

use std::{path::Path, time::Duration};

use rusqlite::Connection;

use super::{LedgerError, Result};

/// The version of the tables that is written.
pub const LEDGER_SCHEMA: u32 = 4;

/// `CAMB` in ASCII: tells a ledger from any other SQLite file.
const APPLICATION_ID: i32 = 0x4341_4d42;

/// How long a write waits for another process.
const PATIENCE: Duration = Duration::from_secs(5);

/// What leads from each version to the next, from 0, the empty file. A new version adds an entry and changes none.
pub(super) const MIGRATIONS: [&str; LEDGER_SCHEMA as usize] = [
    "
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
",
    "
    ALTER TABLE calls ADD COLUMN language TEXT NOT NULL DEFAULT '';
    ALTER TABLE calls ADD COLUMN failure_class TEXT;
    ALTER TABLE calls ADD COLUMN reasoning TEXT;
    ALTER TABLE calls ADD COLUMN marks TEXT NOT NULL DEFAULT '';
    ALTER TABLE calls ADD COLUMN reply BLOB;
    ALTER TABLE calls ADD COLUMN costs_unknown INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE calls ADD COLUMN n_maybe_charged INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE calls ADD COLUMN origin TEXT NOT NULL DEFAULT '';
    CREATE INDEX call_costs ON calls (teacher, language, endpoint, status, tokens_in, tokens_out, cost_usd, seconds,
        attempts, costs_unknown, n_maybe_charged);
    CREATE INDEX failed_calls ON calls (key) WHERE status = 'failed';
    ALTER TABLE scores ADD COLUMN prompt_id TEXT NOT NULL DEFAULT '';
    ALTER TABLE scores ADD COLUMN teacher TEXT NOT NULL DEFAULT '';
    ALTER TABLE scores ADD COLUMN language TEXT NOT NULL DEFAULT '';
    ALTER TABLE scores ADD COLUMN failure_class TEXT;
    ALTER TABLE scores ADD COLUMN costs_unknown INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX missing_scores ON scores (key) WHERE value IS NULL;
    CREATE TABLE in_flight (
        endpoint  TEXT PRIMARY KEY NOT NULL,
        n_calls   INTEGER NOT NULL,
        worst_usd REAL NOT NULL
    ) STRICT;
    CREATE TABLE batches (
        id         TEXT PRIMARY KEY NOT NULL,
        endpoint   TEXT NOT NULL,
        sha256     TEXT NOT NULL,
        state      TEXT NOT NULL,
        n_requests INTEGER NOT NULL
    ) STRICT;
",
    "
    ALTER TABLE scores ADD COLUMN tokens_in INTEGER;
    ALTER TABLE scores ADD COLUMN tokens_out INTEGER;
    CREATE INDEX score_costs ON scores (arbiter, language, value, tokens_in, tokens_out);
    CREATE INDEX score_times ON scores (created_at_unix_ms, cost_usd);
    CREATE INDEX call_times ON calls (created_at_unix_ms, cost_usd);
",
    // Within a teacher and language in the order of time: then a batch of answers lies together in the index, where by
    // its tokens it touched as many pages as it has answers.
    "
    DROP INDEX call_costs;
    CREATE INDEX call_costs ON calls (teacher, language, endpoint, status, created_at_unix_ms, tokens_in, tokens_out,
        cost_usd, seconds, attempts, costs_unknown, n_maybe_charged);
    DROP INDEX score_costs;
    CREATE INDEX score_costs ON scores (arbiter, language, created_at_unix_ms, value, tokens_in, tokens_out);
",
];

/// Pages of the log before they go into the file: answers have random names, so that each commit touches many pages,
/// and pages that are touched again soon should not be copied in between.
const LOG_PAGES: u32 = 8192;

/// Memory for pages, in KiB.
const CACHE_KIB: i32 = 65_536;

/// Sets what a connection that writes needs.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
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
