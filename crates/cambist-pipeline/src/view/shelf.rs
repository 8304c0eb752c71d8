//! Texts put away in the order they come and taken out one by one: in memory while they are few, in a file beyond.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use cambist_io::disk::DiskError;

use crate::error::PipelineError;

/// Where a text lies on its shelf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    at: u64,
    len: u32,
}

/// Texts in a row.
#[derive(Debug)]
pub(super) struct Shelf {
    name: &'static str,
    limit: usize,
    /// What is not in the file.
    memory: Vec<u8>,
    file: Option<Mutex<File>>,
    /// How much is in the file, from its start; texts are never cut between file and memory.
    in_file: u64,
    path: Option<PathBuf>,
}

impl Shelf {
    /// Returns an empty shelf that holds `limit` bytes in memory and goes to a file in the system's temporary folder
    /// when more come.
    pub(super) fn new(name: &'static str, limit: usize) -> Self {
        Self { name, limit, memory: Vec::new(), file: None, in_file: 0, path: None }
    }

    /// Puts a text at the end.
    ///
    /// # Errors
    /// When the temporary folder refuses.
    pub(super) fn put(&mut self, text: &str) -> Result<Span, PipelineError> {
        let len = u32::try_from(text.len()).map_err(|_| {
            let what = format!("a row of {} bytes is longer than 4 GiB", text.len());
            PipelineError::input(self.name, what, "leave it out of the file that it came from")
        })?;
        let span = Span { at: self.in_file + self.memory.len() as u64, len };
        self.memory.extend_from_slice(text.as_bytes());
        if self.memory.len() > self.limit {
            self.spill()?;
        }
        Ok(span)
    }

    /// Ends the putting away.
    ///
    /// # Errors
    /// When the temporary folder refuses.
    pub(super) fn close(&mut self) -> Result<(), PipelineError> {
        if self.file.is_some() {
            self.spill()?;
            self.memory = Vec::new();
        }
        Ok(())
    }

    /// Takes a text out.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub(super) fn get(&self, span: Span) -> Result<String, PipelineError> {
        self.with(span, |bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Looks at a text where it lies, whether all are put away or more will come.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub(super) fn with<T>(&self, span: Span, look: impl FnOnce(&[u8]) -> T) -> Result<T, PipelineError> {
        let lost = || PipelineError::Internal(format!("{} lost a row", self.name));
        if let Some(behind) = span.at.checked_sub(self.in_file) {
            let from = usize::try_from(behind).unwrap_or(usize::MAX);
            let bytes = from.checked_add(span.len as usize).and_then(|to| self.memory.get(from..to));
            return bytes.map(look).ok_or_else(lost);
        }
        let mut file = self.file.as_ref().ok_or_else(lost)?.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = vec![0; span.len as usize];
        let read = file.seek(SeekFrom::Start(span.at)).and_then(|_| file.read_exact(&mut bytes));
        drop(file);
        read.map_err(|source| self.failed("read", source))?;
        Ok(look(&bytes))
    }

    /// Whether the texts are in a file.
    pub(super) fn is_on_disk(&self) -> bool {
        self.file.is_some()
    }

    fn spill(&mut self) -> Result<(), PipelineError> {
        if self.file.is_none() {
            let path = std::env::temp_dir().join(format!("cambist-view-{}-{}", std::process::id(), self.name));
            // A file of the same name is one that a killed process with this id left behind.
            let _ = fs::remove_file(&path);
            let opened = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
            self.path = Some(path);
            let file = opened.map_err(|source| self.failed("write", source))?;
            // Unix keeps a file without a name until it is closed, so that nothing is left behind even after a kill.
            #[cfg(unix)]
            if let Some(path) = self.path.take_if(|path| fs::remove_file(path).is_ok()) {
                drop(path);
            }
            self.file = Some(Mutex::new(file));
        }
        if let Some(file) = &self.file {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever read last left the file somewhere else.
            let written = file.seek(SeekFrom::Start(self.in_file)).and_then(|_| file.write_all(&self.memory));
            written.map_err(|source| self.failed("write", source))?;
        }
        self.in_file += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }

    fn failed(&self, doing: &'static str, source: std::io::Error) -> PipelineError {
        let path = self.path.clone().unwrap_or_else(std::env::temp_dir);
        DiskError::of(doing, &path, source).into()
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Where Unix did not take the name away before; a file that stays is one in the temporary folder.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_from_memory_and_from_a_file() {
        for (limit, is_on_disk) in [(1 << 20, false), (10, true)] {
            let mut shelf = Shelf::new(if is_on_disk { "test-small" } else { "test-large" }, limit);
            let texts = ["first", "", "zweiter ä", "第三", "a longer one than the limit allows"];
            let spans: Vec<Span> = texts.iter().map(|text| shelf.put(text).unwrap()).collect();
            shelf.close().unwrap();
            assert_eq!(shelf.is_on_disk(), is_on_disk);
            for (text, span) in texts.iter().zip(&spans).rev() {
                assert_eq!(shelf.get(*span).unwrap(), *text);
            }
        }
    }

    #[test]
    fn texts_are_looked_at_while_more_come() {
        let mut shelf = Shelf::new("test-between", 40);
        let text = |n: usize| format!("text {n} {}", "ö".repeat(n % 7));
        let mut spans = Vec::new();
        for n in 0..200 {
            spans.push(shelf.put(&text(n)).unwrap());
            for back in [0, n / 2, n] {
                assert_eq!(shelf.get(spans[back]).unwrap(), text(back), "after {n}");
            }
        }
        assert!(shelf.is_on_disk());
        shelf.close().unwrap();
        assert!((0..200).all(|n| shelf.get(spans[n]).unwrap() == text(n)));
    }
}
