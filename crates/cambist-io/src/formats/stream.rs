//! Tables that are larger than memory, read piece by piece.

use std::{
    marker::PhantomData,
    path::{Path, PathBuf},
};

use super::{
    FormatError, Result, TableRow,
    rows::{RowError, RowStream, open_rows},
    table::read_row,
};

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
