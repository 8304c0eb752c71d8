//! Parquet, as written by anyone.

use std::{
    any::Any,
    collections::VecDeque,
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use arrow_array::RecordBatch;
use arrow_json::{WriterBuilder, writer::LineDelimited};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use serde_json::{Map, Value};

use super::{FormatError, Place, Result, Row, RowError};
use crate::disk::DiskError;

/// How many rows are held in memory.
const BATCH: usize = 1024;

/// Rows of a Parquet file; missing cells and numbers that are none are null.
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
        let batches = guarded(|| {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())?;
            builder.with_batch_size(BATCH).build().map_err(|error| error.to_string())
        });
        let batches = batches.map_err(|reason| not_parquet(path, reason))?;
        Ok(Self { path: path.to_owned(), batches, waiting: VecDeque::new(), n_rows: 0, is_done: false })
    }

    /// Reads rows until some wait or the file ends.
    fn fill(&mut self) -> std::result::Result<(), String> {
        while self.waiting.is_empty() && !self.is_done {
            match self.batches.next() {
                None => self.is_done = true,
                Some(batch) => self.waiting = to_fields(&batch.map_err(|error| error.to_string())?)?,
            }
        }
        Ok(())
    }
}

/// Runs the Parquet reader, which answers some damaged files with a panic (found by changing every byte of a file).
pub(in crate::formats) fn guarded<T>(
    work: impl FnOnce() -> std::result::Result<T, String>,
) -> std::result::Result<T, String> {
    let reason = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    };
    // What a panic leaves half-done is not looked at again: the stream ends.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(reason(panic)))
}

pub(in crate::formats) fn not_parquet(path: &Path, reason: String) -> FormatError {
    FormatError::NotThatFormat { path: path.to_owned(), expected: "sound Parquet", reason }
}

impl Iterator for ParquetRows {
    type Item = std::result::Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(reason) = guarded(|| self.fill()) {
            self.is_done = true;
            return Some(Err(RowError::File(not_parquet(&self.path, reason))));
        }
        let fields = self.waiting.pop_front()?;
        self.n_rows += 1;
        Some(Ok(Row { place: Place::Row(self.n_rows), fields }))
    }
}

/// Turns a batch into fields by way of JSON text, the one form in which every Arrow type has a usual spelling.
fn to_fields(batch: &RecordBatch) -> std::result::Result<VecDeque<Map<String, Value>>, String> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(batch).and_then(|()| writer.finish()).map_err(|error| error.to_string())?;
    let text = writer.into_inner();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).map_err(|error| error.to_string())).collect()
}
