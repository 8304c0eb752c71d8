//! Rows put aside on the disk between two passes, each at hand by its number.

use std::{
    fs::{self, File},
    io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use super::Result;
use crate::disk::DiskError;

/// Rows on the disk, in memory eight bytes for each; the file is removed when the spool is dropped.
pub struct Spool {
    path: PathBuf,
    writer: BufWriter<File>,
    reader: File,
    /// Where each row ends.
    ends: Vec<u64>,
    length: u64,
    /// How much of it the reader sees.
    flushed: u64,
    bytes: Vec<u8>,
}

impl Spool {
    /// Begins an empty spool in a file of its own.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create(path: &Path) -> Result<Self> {
        let failed = |source| DiskError::of("write", path, source);
        let file = File::create(path).map_err(failed)?;
        let reader = File::open(path).map_err(failed)?;
        let writer = BufWriter::with_capacity(1 << 18, file);
        Ok(Self { path: path.to_owned(), writer, reader, ends: Vec::new(), length: 0, flushed: 0, bytes: Vec::new() })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns a row as [`Spool::push`] takes it, so that many can be made ready side by side.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn encode(row: &impl Serialize) -> Result<Vec<u8>> {
        let unfit = |error: serde_json::Error| super::FormatError::Encode { table: "spool", reason: error.to_string() };
        serde_json::to_vec(row).map_err(unfit)
    }

    /// Puts the next row aside; rows are numbered from 0.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn push(&mut self, row: &[u8]) -> Result<()> {
        self.writer.write_all(row).map_err(|source| DiskError::of("write", &self.path, source))?;
        self.length += row.len() as u64;
        self.ends.push(self.length);
        Ok(())
    }

    /// Returns a row by its number.
    ///
    /// # Errors
    /// When there is no such row or the disk does not give it back.
    pub fn get<T: DeserializeOwned>(&mut self, number: usize) -> Result<T> {
        self.get_many(number, 1, |mut rows| rows.pop())?.ok_or_else(|| damaged("a row is missing"))
    }

    /// Reads up to `n_rows` rows from number `from` on with one access and hands them to `take`.
    ///
    /// # Errors
    /// When the disk does not give them back.
    pub fn get_many<T: DeserializeOwned, O>(
        &mut self,
        from: usize,
        n_rows: usize,
        take: impl FnOnce(Vec<T>) -> O,
    ) -> Result<O> {
        if self.flushed < self.length {
            self.writer.flush().map_err(|source| DiskError::of("write", &self.path, source))?;
            self.flushed = self.length;
        }
        let failed = |source| DiskError::of("read", &self.path, source);
        let end_of = |number: usize| number.checked_sub(1).and_then(|at| self.ends.get(at)).copied().unwrap_or(0);
        let until = (from + n_rows).min(self.ends.len());
        let (start, end) = (end_of(from), end_of(until));
        self.bytes.resize(end.saturating_sub(start) as usize, 0);
        self.reader.seek(SeekFrom::Start(start)).map_err(failed)?;
        self.reader.read_exact(&mut self.bytes).map_err(failed)?;
        let slice =
            |number: usize| &self.bytes[(end_of(number) - start) as usize..(end_of(number + 1) - start) as usize];
        let rows = (from..until).map(|number| serde_json::from_slice(slice(number)));
        rows.collect::<std::result::Result<Vec<T>, _>>().map(take).map_err(|error| damaged(&error.to_string()))
    }
}

fn damaged(reason: &str) -> super::FormatError {
    super::FormatError::Encode { table: "spool", reason: reason.to_owned() }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // It lies in a scratch folder, which is swept anyway.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_by_number_and_the_file_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = Spool::create(&path).unwrap();
        for number in 0..100 {
            spool.push(&Spool::encode(&"x".repeat(number)).unwrap()).unwrap();
        }
        assert_eq!(spool.get::<String>(7).unwrap().len(), 7);
        let lengths = spool.get_many(97, 9, |rows: Vec<String>| rows.iter().map(String::len).collect::<Vec<_>>());
        assert_eq!(lengths.unwrap(), [97, 98, 99]);
        assert!(spool.get::<String>(100).is_err());
        drop(spool);
        assert!(!path.exists());
    }
}
