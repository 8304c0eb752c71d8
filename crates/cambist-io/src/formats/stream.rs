//! Tables that are larger than memory: written and read piece by piece.

use std::{
    fs::File,
    io::{BufWriter, Write},
    marker::PhantomData,
    path::{Path, PathBuf},
};

use parquet::arrow::ArrowWriter;
use serde_json::Value;

use super::{
    FormatError, Result, TableRow,
    rows::{RowError, RowStream, open_rows},
    table::{BATCH, encoder, flat_value, read_row, to_batch},
};
use crate::disk::DiskError;

/// Bytes of a row group in memory before it is written out: what a writer needs, whatever the table's length.
const GROUP_BYTES: usize = 24 << 20;

/// Writes a Parquet file row by row; the same rows give the same bytes.
pub struct TableWriter<R> {
    path: PathBuf,
    writer: ArrowWriter<BufWriter<File>>,
    waiting: Vec<Value>,
    n_rows: u64,
    row: PhantomData<fn(&R)>,
}

impl<R: TableRow> TableWriter<R> {
    /// Begins the file at `path`, which must be in a folder of an artifact in the making.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|source| DiskError::of("write", path, source))?;
        let writer = encoder::<R, _>(BufWriter::new(file))?;
        Ok(Self { path: path.to_owned(), writer, waiting: Vec::new(), n_rows: 0, row: PhantomData })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When the row does not fit its declared columns, or the disk refuses.
    pub fn push(&mut self, row: &R) -> Result<()> {
        self.waiting.push(flat_value(row)?);
        self.n_rows += 1;
        if self.waiting.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    /// How many rows were added.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        let mut inner = self.writer.into_inner().map_err(|error| unwritten::<R>(&self.path, error))?;
        Ok(inner.flush().map_err(|source| DiskError::of("write", &self.path, source))?)
    }

    fn flush(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let batch = to_batch(&super::table::schema::<R>(), &self.waiting)
            .map_err(|error| FormatError::Encode { table: R::TABLE, reason: error.to_string() })?;
        self.waiting.clear();
        let unwritten = |error| unwritten::<R>(&self.path, error);
        self.writer.write(&batch).map_err(unwritten)?;
        if self.writer.in_progress_size() > GROUP_BYTES {
            self.writer.flush().map_err(unwritten)?;
        }
        Ok(())
    }
}

/// A full disk reaches the Parquet writer as an error of its own; it is told as what it is.
fn unwritten<R: TableRow>(path: &Path, error: parquet::errors::ParquetError) -> FormatError {
    match error {
        parquet::errors::ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => DiskError::of("write", path, *source).into(),
            Err(other) => FormatError::Encode { table: R::TABLE, reason: other.to_string() },
        },
        other => FormatError::Encode { table: R::TABLE, reason: other.to_string() },
    }
}

/// Rows of a table, read as they are asked for.
pub struct TableScan<R> {
    path: PathBuf,
    rows: Option<RowStream>,
    row: PhantomData<fn() -> R>,
}

/// Reads back rows that were written by this crate, from Parquet or JSONL, in the order of the file and without
/// holding more than a thousand of them.
///
/// # Errors
/// When the file cannot be opened; a file without rows is an empty table, not an error.
pub fn scan_table<R: TableRow>(path: &Path) -> Result<TableScan<R>> {
    let rows = match open_rows(path) {
        Err(FormatError::Empty { .. }) => None,
        rows => Some(rows?),
    };
    Ok(TableScan { path: path.to_owned(), rows, row: PhantomData })
}

impl<R: TableRow> Iterator for TableScan<R> {
    type Item = Result<R>;

    fn next(&mut self) -> Option<Result<R>> {
        let faulty = |fault| FormatError::Rows { path: self.path.clone(), faults: vec![fault], n_faults: 1 };
        Some(match self.rows.as_mut()?.next()? {
            Ok(row) => read_row(row).map_err(faulty),
            Err(RowError::Row(fault)) => Err(faulty(fault)),
            Err(RowError::File(error)) => Err(error),
        })
    }
}
