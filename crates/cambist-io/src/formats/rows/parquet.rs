//! Parquet, as written by anyone.

use std::{
    collections::VecDeque,
    fs::File,
    path::{Path, PathBuf},
};

use arrow_array::RecordBatch;
use arrow_json::LineDelimitedWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use serde_json::{Map, Value};

use super::{FormatError, Place, Result, Row, RowError};
use crate::disk::DiskError;

/// How many rows are held in memory.
const BATCH: usize = 1024;

/// Rows of a Parquet file; null cells are left out, numbers that are none are null.
pub(super) struct ParquetRows {
    path: PathBuf,
    batches: ParquetRecordBatchReader,
    waiting: VecDeque<Map<String, Value>>,
    n_rows: u64,
    is_done: bool,
}

impl ParquetRows {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| DiskError::of("read", path, source))?;
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| FormatError::parquet(path, &error))?;
        let batches = builder.with_batch_size(BATCH).build().map_err(|error| FormatError::parquet(path, &error))?;
        Ok(Self { path: path.to_owned(), batches, waiting: VecDeque::new(), n_rows: 0, is_done: false })
    }

    fn broken(&mut self, reason: String) -> RowError {
        self.is_done = true;
        RowError::File(FormatError::NotThatFormat { path: self.path.clone(), expected: "sound Parquet", reason })
    }
}

impl Iterator for ParquetRows {
    type Item = std::result::Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.waiting.is_empty() && !self.is_done {
            match self.batches.next()? {
                Err(error) => return Some(Err(self.broken(error.to_string()))),
                Ok(batch) => match to_fields(&batch) {
                    Ok(rows) => self.waiting = rows,
                    Err(reason) => return Some(Err(self.broken(reason))),
                },
            }
        }
        let fields = self.waiting.pop_front()?;
        self.n_rows += 1;
        Some(Ok(Row { place: Place::Row(self.n_rows), fields }))
    }
}

/// Turns a batch into fields by way of JSON text, the one form in which every Arrow type has a usual spelling.
fn to_fields(batch: &RecordBatch) -> std::result::Result<VecDeque<Map<String, Value>>, String> {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(batch).and_then(|()| writer.finish()).map_err(|error| error.to_string())?;
    let text = writer.into_inner();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).map_err(|error| error.to_string())).collect()
}
