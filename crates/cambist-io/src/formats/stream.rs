//! Tables that are larger than memory, read piece by piece.

use std::{
    collections::VecDeque,
    fs::File,
    path::{Path, PathBuf},
};

use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
};
use rayon::prelude::*;

use super::{
    FormatError, Place, Problem, Result, RowFault, TableRow,
    rows::{RowError, RowStream, guarded, not_parquet, open_rows},
    table::{Cells, data_type, read_row},
};

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

/// Rows of a Parquet file whose columns have the types that this crate writes.
struct ColumnRows<R> {
    batches: ParquetRecordBatchReader,
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
        let file = File::open(path).ok()?;
        let batches = guarded(|| {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())?;
            let schema = builder.schema();
            let declared = |name: &str| R::COLUMNS.iter().find(|(declared, _)| *declared == name);
            let fits = |(name, cell): &(&str, _)| {
                schema.field_with_name(name).map_or(true, |field| *field.data_type() == data_type(*cell))
            };
            if !R::COLUMNS.iter().all(fits) {
                return Err("other types".to_owned());
            }
            let wanted = (0..schema.fields().len()).filter(|&at| declared(schema.field(at).name()).is_some());
            let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
            builder.with_projection(mask).with_batch_size(BATCH).build().map_err(|error| error.to_string())
        });
        Some(Self { batches: batches.ok()?, waiting: VecDeque::new(), n_rows: 0, is_done: false })
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
        let batch = batch.map_err(|error| error.to_string())?;
        let cells = Cells::of(&batch, R::COLUMNS).ok_or("the columns change their types")?;
        let before = self.n_rows;
        let read = |at: usize| {
            let unfit = |error: serde_json::Error| RowFault {
                place: Place::Row(before + at as u64 + 1),
                problem: Problem::Unfit { reason: error.to_string() },
            };
            cells.row(at).map_err(|error| RowError::Row(unfit(error)))
        };
        self.waiting = (0..cells.n_rows()).into_par_iter().with_min_len(128).map(read).collect::<Vec<_>>().into();
        self.n_rows += batch.num_rows() as u64;
        Ok(())
    }
}
