//! Batches into a Parquet file, beside the thread that makes them.
//!
//! Encoding and compressing a table takes as long as making its rows does. A table of one batch is written where it is
//! finished; from the second batch on a thread of its own writes, in the order of the batches, so that the bytes are the
//! same.

use std::{
    io::Write,
    mem,
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use arrow_array::RecordBatch;
use parquet::{
    arrow::ArrowWriter,
    errors::{ParquetError, Result},
};

/// Bytes of a row group in memory at most, so that long texts need no more memory than short ones.
const GROUP_BYTES: usize = 24 << 20;

/// Batches that wait for the thread.
const WAITING: usize = 2;

/// Writes batches.
pub(super) enum Press<W: Write + Send + 'static> {
    /// Nothing was written yet.
    Idle(Box<ArrowWriter<W>>),
    /// A thread writes.
    Running(SyncSender<RecordBatch>, JoinHandle<Result<ArrowWriter<W>>>),
    /// It failed, and said why.
    Broken,
}

impl<W: Write + Send + 'static> Press<W> {
    pub(super) fn new(writer: ArrowWriter<W>) -> Self {
        Self::Idle(Box::new(writer))
    }

    /// Hands a batch over. What goes wrong with it is said by a later call.
    pub(super) fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let (batches, thread) = match mem::replace(self, Self::Broken) {
            Self::Idle(writer) => started(*writer)?,
            Self::Running(batches, thread) => (batches, thread),
            Self::Broken => return Err(broken()),
        };
        if batches.send(batch).is_ok() {
            *self = Self::Running(batches, thread);
            return Ok(());
        }
        drop(batches);
        joined(thread).and(Err(broken()))
    }

    /// Writes the last batch, completes the file and returns what it was written into.
    pub(super) fn finish(self, last: Option<RecordBatch>) -> Result<W> {
        let mut writer = match self {
            Self::Idle(writer) => *writer,
            Self::Running(batches, thread) => {
                drop(batches);
                joined(thread)?
            }
            Self::Broken => return Err(broken()),
        };
        last.map_or(Ok(()), |batch| put(&mut writer, &batch))?;
        writer.into_inner()
    }
}

type Started<W> = (SyncSender<RecordBatch>, JoinHandle<Result<ArrowWriter<W>>>);

fn started<W: Write + Send + 'static>(mut writer: ArrowWriter<W>) -> Result<Started<W>> {
    let (sender, batches) = sync_channel::<RecordBatch>(WAITING);
    let write = move || {
        batches.iter().try_for_each(|batch| put(&mut writer, &batch))?;
        Ok(writer)
    };
    Ok((sender, thread::Builder::new().name("cambist-table".to_owned()).spawn(write)?))
}

fn put<W: Write + Send>(writer: &mut ArrowWriter<W>, batch: &RecordBatch) -> Result<()> {
    writer.write(batch)?;
    if writer.in_progress_size() > GROUP_BYTES { writer.flush() } else { Ok(()) }
}

fn joined<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(ParquetError::General("the writer of the table panicked".to_owned())))
}

fn broken() -> ParquetError {
    ParquetError::General("an earlier batch could not be written".to_owned())
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use arrow_array::{ArrayRef, Int64Array};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn batch(from: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 4096));
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    }

    /// A disk that is full after some bytes.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or_else(|| io::Error::other("no space left (os error 28)"))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_thread_writes_the_bytes_that_one_batch_after_the_other_has() {
        let of_thread = {
            let mut press = Press::new(ArrowWriter::try_new(Vec::new(), batch(0).schema(), None).unwrap());
            (0..9).for_each(|at| press.write(batch(at * 4096)).unwrap());
            press.finish(Some(batch(9 * 4096))).unwrap()
        };
        let mut writer = ArrowWriter::try_new(Vec::new(), batch(0).schema(), None).unwrap();
        (0..10).for_each(|at| put(&mut writer, &batch(at * 4096)).unwrap());
        assert!(of_thread == writer.into_inner().unwrap());
        let read = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(of_thread)).unwrap();
        assert_eq!(read.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 10 * 4096);
    }

    #[test]
    fn a_full_disk_is_told_once_and_nothing_hangs() {
        let properties = parquet::file::properties::WriterProperties::builder();
        let properties = properties.set_max_row_group_row_count(Some(4096)).build();
        let mut press = Press::new(ArrowWriter::try_new(Full(60_000), batch(0).schema(), Some(properties)).unwrap());
        let told = (0..100).find_map(|at| press.write(batch(at * 4096)).err()).unwrap();
        assert!(told.to_string().contains("os error 28"), "{told}");
        assert!(press.write(batch(0)).is_err());
        assert!(press.finish(None).is_err());
    }
}
