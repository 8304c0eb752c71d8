//! Requests out, in parts that a runner takes.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use cambist_core::digest::{Digest, Pieces};
use serde::Serialize;
use serde_json::{Value, json};

use super::NAME_DIGITS;
use crate::{
    dialect::batch::batch_line,
    disk::{DiskError, Result},
};

/// How a file of requests is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchForm {
    /// A line of JSON for each request, as OpenAI, vLLM and gateways read it.
    OpenAi,
    /// One JSON document with all requests: the body of `POST /v1/messages/batches`.
    Anthropic,
}

impl BatchForm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::OpenAi, Self::Anthropic];

    /// The word for the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai-batch",
            Self::Anthropic => "anthropic-batch",
        }
    }

    /// The ending of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::OpenAi => "jsonl",
            Self::Anthropic => "json",
        }
    }

    /// How large one file may be: 50,000 requests and 200 MB for OpenAI, 100,000 and 256 MB for Anthropic.
    pub fn limits(self) -> BatchLimits {
        match self {
            Self::OpenAi => BatchLimits { n_requests: 50_000, n_bytes: 200_000_000 },
            Self::Anthropic => BatchLimits { n_requests: 100_000, n_bytes: 256_000_000 },
        }
    }

    fn brackets(self) -> (&'static str, &'static str) {
        match self {
            Self::OpenAi => ("", ""),
            Self::Anthropic => ("{\"requests\":[\n", "]}\n"),
        }
    }

    fn line(self, custom_id: &str, (url, body): (&str, &Value)) -> String {
        match self {
            Self::OpenAi => batch_line(custom_id, url, body),
            Self::Anthropic => json!({"custom_id": custom_id, "params": body}).to_string(),
        }
    }
}

/// How large one file may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Requests, at most.
    pub n_requests: u64,
    /// Bytes, at most; a request that is larger alone still gets a file of its own.
    pub n_bytes: u64,
}

/// One file that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchPart {
    /// Where it is.
    pub path: PathBuf,
    /// Requests in it.
    pub n_requests: u64,
    /// Bytes of it.
    pub n_bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

/// Writes requests into one file, and into further ones when it is full: `in.jsonl`, `in-2.jsonl`, ...
pub struct BatchWriter {
    path: PathBuf,
    form: BatchForm,
    limits: BatchLimits,
    names: HashSet<[u8; NAME_DIGITS]>,
    open: Option<Open>,
    done: Vec<BatchPart>,
}

impl BatchWriter {
    /// Prepares to write to `path`; nothing is made before the first request.
    pub fn new(path: PathBuf, form: BatchForm) -> Self {
        Self::with_limits(path, form, form.limits())
    }

    /// As [`BatchWriter::new`], for a runner with other limits.
    pub fn with_limits(path: PathBuf, form: BatchForm, limits: BatchLimits) -> Self {
        Self { path, form, limits, names: HashSet::new(), open: None, done: Vec::new() }
    }

    /// Writes one request under the first [`NAME_DIGITS`] digits of its name; one that was written before is left out,
    /// since runners refuse a name that comes twice. Returns whether it was written.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn push(&mut self, key: &Digest, (url, body): (&str, &Value)) -> Result<bool> {
        let (name, _) = key.as_str().split_at(NAME_DIGITS);
        if let Some(digits) = name.as_bytes().first_chunk()
            && !self.names.insert(*digits)
        {
            return Ok(false);
        }
        let line = self.form.line(name, (url, body));
        let is_full = |open: &Open| {
            let room = self.limits.n_bytes.saturating_sub(self.form.brackets().1.len() as u64);
            open.n_requests >= self.limits.n_requests || open.n_bytes + line.len() as u64 + 2 > room
        };
        if self.open.as_ref().is_some_and(is_full) {
            self.close()?;
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open::create(self.part_path(), self.form.brackets().0)?,
        };
        let between = match self.form {
            BatchForm::Anthropic if open.n_requests > 0 => ",",
            _ => "",
        };
        open.write(&format!("{between}{line}\n"))?;
        open.n_requests += 1;
        self.open = Some(open);
        Ok(true)
    }

    /// Closes the last file and returns all of them.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self) -> Result<Vec<BatchPart>> {
        self.close()?;
        Ok(self.done)
    }

    fn close(&mut self) -> Result<()> {
        let end = self.form.brackets().1;
        if let Some(mut open) = self.open.take() {
            open.write(end)?;
            self.done.push(open.close()?);
        }
        Ok(())
    }

    fn part_path(&self) -> PathBuf {
        let n = self.done.len() + 1;
        if n == 1 {
            return self.path.clone();
        }
        let part =
            |of: Option<&std::ffi::OsStr>| of.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
        let (stem, end) = (part(self.path.file_stem()), part(self.path.extension()));
        let dot = if end.is_empty() { "" } else { "." };
        self.path.with_file_name(format!("{stem}-{n}{dot}{end}"))
    }
}

/// A file in the making.
struct Open {
    path: PathBuf,
    partial: PathBuf,
    file: BufWriter<File>,
    hashed: Pieces,
    n_requests: u64,
    n_bytes: u64,
}

impl Open {
    fn create(path: PathBuf, start: &str) -> Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let partial = path.with_file_name(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| DiskError::of("create", folder, source))?;
        }
        let file = File::create(&partial).map_err(|source| DiskError::of("create", &partial, source))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        let mut open = Self { path, partial, file, hashed: Pieces::default(), n_requests: 0, n_bytes: 0 };
        open.write(start)?;
        Ok(open)
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.file.write_all(text.as_bytes()).map_err(|source| DiskError::of("write", &self.partial, source))?;
        self.hashed.push(text.as_bytes());
        self.n_bytes += text.len() as u64;
        Ok(())
    }

    fn close(mut self) -> Result<BatchPart> {
        let failed = |path: &Path, source| DiskError::of("write", path, source);
        self.file.flush().map_err(|source| failed(&self.partial, source))?;
        self.file.get_ref().sync_all().map_err(|source| failed(&self.partial, source))?;
        std::fs::rename(&self.partial, &self.path).map_err(|source| DiskError::of("rename to", &self.path, source))?;
        let sha256 = self.hashed.digest();
        Ok(BatchPart { path: self.path, n_requests: self.n_requests, n_bytes: self.n_bytes, sha256 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Digest {
        Digest::of_bytes(&n.to_le_bytes())
    }

    #[test]
    fn requests_go_into_parts_and_none_is_written_twice() {
        let folder = tempfile::tempdir().unwrap();
        let limits = BatchLimits { n_requests: 3, n_bytes: 10_000 };
        let mut writer = BatchWriter::with_limits(folder.path().join("in.jsonl"), BatchForm::OpenAi, limits);
        let body = json!({"model": "m"});
        for n in 0..7 {
            assert!(writer.push(&key(n), ("/v1/chat/completions", &body)).unwrap());
            assert!(!writer.push(&key(n), ("/v1/chat/completions", &body)).unwrap());
        }
        let parts = writer.finish().unwrap();
        let names: Vec<_> = parts.iter().map(|part| part.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["in.jsonl", "in-2.jsonl", "in-3.jsonl"]);
        assert_eq!(parts.iter().map(|part| part.n_requests).collect::<Vec<_>>(), [3, 3, 1]);
        for part in &parts {
            let bytes = std::fs::read(&part.path).unwrap();
            assert_eq!((bytes.len() as u64, Digest::of_bytes(&bytes)), (part.n_bytes, part.sha256.clone()));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "nothing half-written stays");
    }

    #[test]
    fn no_part_is_larger_than_the_limit() {
        for form in BatchForm::ALL {
            let folder = tempfile::tempdir().unwrap();
            let limits = BatchLimits { n_requests: 1000, n_bytes: 500 };
            let mut writer = BatchWriter::with_limits(folder.path().join("in"), form, limits);
            for n in 0..20 {
                writer.push(&key(n), ("/v1/messages", &json!({"n": n}))).unwrap();
            }
            let parts = writer.finish().unwrap();
            assert!(parts.len() > 1 && parts.iter().all(|part| part.n_bytes <= 500), "{parts:?}");
            assert_eq!(parts.iter().map(|part| part.n_requests).sum::<u64>(), 20);
        }
    }

    #[test]
    fn anthropic_takes_the_file_as_a_body() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = BatchWriter::new(folder.path().join("in.json"), BatchForm::Anthropic);
        for n in 0..3 {
            writer.push(&key(n), ("/v1/messages", &json!({"n": n}))).unwrap();
        }
        let parts = writer.finish().unwrap();
        let body: Value = serde_json::from_slice(&std::fs::read(&parts[0].path).unwrap()).unwrap();
        assert_eq!(body["requests"].as_array().unwrap().len(), 3);
        assert_eq!(body["requests"][2]["params"], json!({"n": 2}));
    }
}
