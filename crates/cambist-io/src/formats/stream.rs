//! Tables that are larger than memory, read piece by piece.

use std::{
    collections::VecDeque,
    fs::File,
    path::{Path, PathBuf},
};

use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use rayon::prelude::*;
use serde::Deserialize;

use super::{
    FormatError, Place, Problem, Result, RowFault, TableRow,
    ahead::Batches,
    rows::{RowError, RowStream, guarded, not_parquet, open_rows},
    table::{Cell, Cells, data_type, read_row},
};
use crate::disk::DiskError;

/// Rows that are in memory at once.
const BATCH: usize = 1024;

/// Rows of a table, read as they are asked for.
pub struct TableScan<R> {
    path: PathBuf,
    rows: Rows<R>,
}

enum Rows<R> {
    None,
    /// Columns as this crate writes them.
    Columns(Box<ColumnRows<R>>),
    /// Anybody's rows.
    Fields(RowStream),
}

/// Reads back rows that were written by this crate, from Parquet or JSONL, in the order of the file and without
/// holding more than a thousand of them.
///
/// # Errors
/// When the file cannot be opened; a file without rows is an empty table, not an error.
pub fn scan_table<R: TableRow>(path: &Path) -> Result<TableScan<R>> {
    let rows = match ColumnRows::open(path) {
        Some(rows) => Rows::Columns(Box::new(rows)),
        None => match open_rows(path) {
            Err(FormatError::Empty { .. }) => Rows::None,
            rows => Rows::Fields(rows?),
        },
    };
    Ok(TableScan { path: path.to_owned(), rows })
}

impl<R: TableRow> TableScan<R> {
    /// The rows with their faults as they are.
    pub(super) fn rows(mut self) -> impl Iterator<Item = std::result::Result<R, RowError>> {
        std::iter::from_fn(move || self.next_row())
    }

    fn next_row(&mut self) -> Option<std::result::Result<R, RowError>> {
        match &mut self.rows {
            Rows::None => None,
            Rows::Columns(rows) => rows.next(&self.path),
            Rows::Fields(rows) => Some(rows.next()?.and_then(|row| read_row(row).map_err(RowError::Row))),
        }
    }
}

impl<R: TableRow> Iterator for TableScan<R> {
    type Item = Result<R>;

    fn next(&mut self) -> Option<Result<R>> {
        Some(self.next_row()?.map_err(|error| match error {
            RowError::Row(fault) => FormatError::Rows { path: self.path.clone(), faults: vec![fault], n_faults: 1 },
            RowError::File(error) => error,
        }))
    }
}

/// Some rows of a table in columns: what is asked for is read where it lies.
pub struct RowBatch {
    path: PathBuf,
    cells: Cells,
    /// Rows of the table before these.
    n_before: u64,
}

/// Reads the `columns` of a table that this crate wrote as Parquet, a thousand rows at once.
///
/// # Errors
/// When the file cannot be opened or its columns have other types.
pub fn scan_batches(path: &Path, columns: &'static [(&'static str, Cell)]) -> Result<BatchScan> {
    let file = File::open(path).map_err(|source| DiskError::of("read", path, source))?;
    let batches = open_columns(file, columns).map_err(|reason| not_parquet(path, reason))?;
    Ok(BatchScan { path: path.to_owned(), columns, batches, n_rows: 0, is_done: false })
}

/// Batches of a table, read as they are asked for.
pub struct BatchScan {
    path: PathBuf,
    columns: &'static [(&'static str, Cell)],
    batches: Batches,
    n_rows: u64,
    is_done: bool,
}

impl Iterator for BatchScan {
    type Item = Result<RowBatch>;

    fn next(&mut self) -> Option<Result<RowBatch>> {
        if self.is_done {
            return None;
        }
        let cells = self.batches.next()?.and_then(|batch| Cells::of(&batch, self.columns).ok_or_else(changed));
        let n_before = self.n_rows;
        Some(match cells {
            Ok(cells) => {
                self.n_rows += cells.n_rows() as u64;
                Ok(RowBatch { path: self.path.clone(), cells, n_before })
            }
            Err(reason) => {
                self.is_done = true;
                Err(not_parquet(&self.path, reason))
            }
        })
    }
}

impl RowBatch {
    /// How many rows there are.
    pub fn n_rows(&self) -> usize {
        self.cells.n_rows()
    }

    /// Returns a cell of a column of text; none when it is missing, or when the column was not asked for.
    pub fn text(&self, column: &str, at: usize) -> Option<&str> {
        self.cells.text(column, at)
    }

    /// Returns a cell of a column of whole numbers; none when it is missing, or when the column was not asked for.
    pub fn integer(&self, column: &str, at: usize) -> Option<i64> {
        self.cells.integer(column, at)
    }

    /// Returns a cell of a column of numbers; none when it is missing or not finite, or when the column was not asked
    /// for.
    pub fn number(&self, column: &str, at: usize) -> Option<f64> {
        self.cells.number(column, at)
    }

    /// Reads a row by its place in the batch; texts may be borrowed.
    ///
    /// # Errors
    /// When the row does not fit.
    pub fn row<'b, R: Deserialize<'b>>(&'b self, at: usize) -> Result<R> {
        self.cells.row(at).map_err(|error| {
            let fault = unfit(self.n_before + at as u64, &error);
            FormatError::Rows { path: self.path.clone(), faults: vec![fault], n_faults: 1 }
        })
    }
}

fn unfit(n_before: u64, error: &serde_json::Error) -> RowFault {
    RowFault { place: Place::Row(n_before + 1), problem: Problem::Unfit { reason: error.to_string() } }
}

fn changed() -> String {
    "the columns change their types".to_owned()
}

/// Opens the declared columns of a Parquet file; an error when one has another type than this crate writes.
fn open_columns(file: File, columns: &'static [(&'static str, Cell)]) -> std::result::Result<Batches, String> {
    let (batches, is_long) = guarded(|| {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())?;
        let schema = builder.schema();
        let fits = |(name, cell): &(&str, _)| {
            schema.field_with_name(name).map_or(true, |field| *field.data_type() == data_type(*cell))
        };
        if !columns.iter().all(fits) {
            return Err("its columns have other types".to_owned());
        }
        let declared = |name: &str| columns.iter().any(|(declared, _)| *declared == name);
        let wanted = (0..schema.fields().len()).filter(|&at| declared(schema.field(at).name()));
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let is_long = builder.metadata().file_metadata().num_rows() > BATCH as i64;
        let batches = builder.with_projection(mask).with_batch_size(BATCH).build();
        Ok((batches.map_err(|error| error.to_string())?, is_long))
    })?;
    Batches::of(batches, is_long)
}

/// Rows of a Parquet file whose columns have the types that this crate writes.
struct ColumnRows<R> {
    batches: Batches,
    waiting: VecDeque<std::result::Result<R, RowError>>,
    n_rows: u64,
    is_done: bool,
}

impl<R: TableRow> ColumnRows<R> {
    /// Opens a file; none when it is anything else.
    fn open(path: &Path) -> Option<Self> {
        if path.extension().is_none_or(|ending| ending != "parquet") {
            return None;
        }
        let batches = open_columns(File::open(path).ok()?, R::COLUMNS).ok()?;
        Some(Self { batches, waiting: VecDeque::new(), n_rows: 0, is_done: false })
    }

    fn next(&mut self, path: &Path) -> Option<std::result::Result<R, RowError>> {
        while self.waiting.is_empty() && !self.is_done {
            if let Err(reason) = guarded(|| self.fill()) {
                self.is_done = true;
                return Some(Err(RowError::File(not_parquet(path, reason))));
            }
        }
        self.waiting.pop_front()
    }

    /// Reads the next batch.
    fn fill(&mut self) -> std::result::Result<(), String> {
        let Some(batch) = self.batches.next() else {
            self.is_done = true;
            return Ok(());
        };
        let batch = batch?;
        let cells = Cells::of(&batch, R::COLUMNS).ok_or_else(changed)?;
        let before = self.n_rows;
        let read = |at: usize| cells.row(at).map_err(|error| RowError::Row(unfit(before + at as u64, &error)));
        self.waiting = (0..cells.n_rows()).into_par_iter().with_min_len(128).map(read).collect::<Vec<_>>().into();
        self.n_rows += batch.num_rows() as u64;
        Ok(())
    }
}
