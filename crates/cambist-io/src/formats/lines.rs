//! JSON lines, written as they come.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{FormatError, Result};
use crate::disk::DiskError;

/// Writes a JSONL file line by line; nothing is held in memory.
pub struct LineWriter {
    path: PathBuf,
    file: BufWriter<File>,
    /// The line in the making.
    line: Vec<u8>,
}

/// Bytes that are written at once.
const BUFFER: usize = 1 << 18;

impl LineWriter {
    /// Begins a file; one that is there is overwritten.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|source| DiskError::of("write", path, source))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::with_capacity(BUFFER, file), line: Vec::new() })
    }

    /// Writes the next line.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn push(&mut self, line: &impl Serialize) -> Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)
            .map_err(|error| FormatError::Encode { table: "lines", reason: error.to_string() })?;
        self.line.push(b'\n');
        let written = self.file.write_all(&self.line);
        Ok(written.map_err(|source| DiskError::of("write", &self.path, source))?)
    }

    /// Completes the file; syncing it is up to the caller.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self) -> Result<()> {
        Ok(self.file.flush().map_err(|source| DiskError::of("write", &self.path, source))?)
    }
}
