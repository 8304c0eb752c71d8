//! Batches of a Parquet file, decoded ahead of the thread that reads them.

use std::{
    iter,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::rows::guarded;

/// Batches that wait for their reader.
const WAITING: usize = 2;

/// Batches, or why there is none; after an error nothing comes.
pub(super) enum Batches {
    /// Few: read as they are asked for.
    Here(Box<ParquetRecordBatchReader>),
    /// Many: a thread reads ahead, and ends with this.
    Ahead(Receiver<Result<RecordBatch, String>>),
    /// There are no more.
    Over,
}

impl Batches {
    /// Begins to read; with a thread of its own where there is more than one batch.
    pub(super) fn of(mut batches: ParquetRecordBatchReader, is_long: bool) -> Result<Self, String> {
        if !is_long {
            return Ok(Self::Here(Box::new(batches)));
        }
        let (sender, receiver) = sync_channel(WAITING);
        let read = move || send_all(&mut batches, &sender);
        // It ends when the file does, or when nobody reads any more.
        let started = thread::Builder::new().name("cambist-scan".to_owned()).spawn(read);
        started.map(|_detached| Self::Ahead(receiver)).map_err(|error| error.to_string())
    }
}

fn send_all(batches: &mut ParquetRecordBatchReader, sender: &SyncSender<Result<RecordBatch, String>>) {
    for batch in iter::from_fn(|| next_of(batches).transpose()) {
        let is_last = batch.is_err();
        if sender.send(batch).is_err() || is_last {
            return;
        }
    }
}

fn next_of(batches: &mut ParquetRecordBatchReader) -> Result<Option<RecordBatch>, String> {
    guarded(|| batches.next().transpose().map_err(|error| error.to_string()))
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match self {
            Self::Here(batches) => next_of(batches).transpose(),
            Self::Ahead(batches) => batches.recv().ok(),
            Self::Over => None,
        };
        if !matches!(next, Some(Ok(_))) {
            *self = Self::Over;
        }
        next
    }
}
