//! Results in: which line of which file answers which call.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use cambist_core::digest::Digest;

use super::{BATCH_ORIGIN, NAME_DIGITS};
use crate::{
    dialect::batch::{BatchResult, read_batch_line},
    disk::{DiskError, Result, digest_file},
    exchange::{Failure, HttpReply},
};

/// Broken lines and unknown names that are shown, at most; all are counted.
const SHOWN: usize = 10;

/// What a result file says about one call.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchReply {
    /// The reply, to be decoded as any other; or why none came.
    pub reply: std::result::Result<HttpReply, Failure>,
    /// Where it stands: `batch:out.jsonl@<digest>:<line>`.
    pub origin: String,
}

/// Result files and error files of batch jobs, by the names of their lines.
#[derive(Debug)]
pub struct BatchResults {
    files: Vec<ResultFile>,
    places: HashMap<[u8; NAME_DIGITS], Place>,
    n_lines: u64,
    n_duplicates: u64,
    n_foreign: u64,
    foreign: Vec<String>,
    n_broken: u64,
    broken: Vec<String>,
}

#[derive(Debug)]
struct ResultFile {
    path: PathBuf,
    sha256: Digest,
    file: File,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    file: u32,
    line: u32,
    at: u64,
    n_bytes: u64,
    is_answer: bool,
}

impl BatchResults {
    /// Looks through files in any order. Of several results for one call the first answer holds, else the first.
    ///
    /// # Errors
    /// When a file cannot be read. Lines that are no results are counted, not errors.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        let mut results = Self {
            files: Vec::new(),
            places: HashMap::new(),
            n_lines: 0,
            n_duplicates: 0,
            n_foreign: 0,
            foreign: Vec::new(),
            n_broken: 0,
            broken: Vec::new(),
        };
        paths.iter().try_for_each(|path| results.index(path))?;
        Ok(results)
    }

    /// Lines that hold something.
    pub fn n_lines(&self) -> u64 {
        self.n_lines
    }

    /// Lines about a call that another line is about too.
    pub fn n_duplicates(&self) -> u64 {
        self.n_duplicates
    }

    /// How many lines are no results, and what is wrong with the first ten.
    pub fn broken(&self) -> (u64, &[String]) {
        (self.n_broken, &self.broken)
    }

    /// Takes out what the files say about a call; none when they say nothing or it was taken before.
    ///
    /// # Errors
    /// When the file cannot be read any more or changed meanwhile.
    pub fn take(&mut self, key: &Digest) -> Result<Option<BatchReply>> {
        let Some(place) = self.places.remove(&name_of(key)) else { return Ok(None) };
        let ResultFile { path, sha256, file } = &mut self.files[place.file as usize];
        let failed = |source| DiskError::of("read", path, source);
        let mut line = vec![0; usize::try_from(place.n_bytes).unwrap_or(usize::MAX)];
        file.seek(SeekFrom::Start(place.at)).and_then(|_| file.read_exact(&mut line)).map_err(failed)?;
        let changed = || std::io::Error::other("the file changed while it was read");
        let text = String::from_utf8(line).map_err(|_| failed(changed()))?;
        let BatchResult { reply, .. } = read_batch_line(&text).map_err(|_| failed(changed()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Some(BatchReply { reply, origin: format!("{BATCH_ORIGIN}{name}@{sha256}:{}", place.line) }))
    }

    /// Passes over a call; true when the files say something about it.
    pub fn pass(&mut self, key: &Digest) -> bool {
        self.places.remove(&name_of(key)).is_some()
    }

    /// How many names nobody took or passed over, and ten of them in order.
    pub fn unknown(&self) -> (u64, Vec<String>) {
        let mut left: Vec<String> = self.places.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let n_left = left.len() as u64;
        left.sort();
        let shown = self.foreign.iter().cloned().chain(left).take(SHOWN).collect();
        (self.n_foreign + n_left, shown)
    }

    fn index(&mut self, path: &Path) -> Result<()> {
        let failed = |source| DiskError::of("read", path, source);
        let sha256 = digest_file(path)?;
        let mut reader = BufReader::with_capacity(1 << 20, File::open(path).map_err(failed)?);
        let (mut line, mut at, mut number) = (Vec::new(), 0, 0);
        loop {
            line.clear();
            let n_bytes = reader.read_until(b'\n', &mut line).map_err(failed)? as u64;
            if n_bytes == 0 {
                break;
            }
            number += 1;
            let file = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
            self.note(path, &line, Place { file, line: number, at, n_bytes, is_answer: false });
            at += n_bytes;
        }
        let file = reader.into_inner();
        self.files.push(ResultFile { path: path.to_owned(), sha256, file });
        Ok(())
    }

    fn note(&mut self, path: &Path, line: &[u8], place: Place) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        self.n_lines += 1;
        let read = std::str::from_utf8(line).map_err(|error| format!("not UTF-8: {error}"));
        let result = match read.and_then(|line| read_batch_line(line).map_err(|error| error.to_string())) {
            Ok(result) => result,
            Err(reason) => {
                self.n_broken += 1;
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                keep(&mut self.broken, format!("{name}:{}: {reason}", place.line));
                return;
            }
        };
        let Ok(name) = <[u8; NAME_DIGITS]>::try_from(result.custom_id.as_bytes()) else {
            self.n_foreign += 1;
            keep(&mut self.foreign, result.custom_id.chars().take(64).collect());
            return;
        };
        let place = Place { is_answer: result.reply.is_ok_and(|reply| reply.is_success()), ..place };
        let known = self.places.entry(name);
        if let std::collections::hash_map::Entry::Occupied(_) = &known {
            self.n_duplicates += 1;
        }
        let kept = known.or_insert(place);
        if place.is_answer && !kept.is_answer {
            *kept = place;
        }
    }
}

fn keep(shown: &mut Vec<String>, text: String) {
    if shown.len() < SHOWN {
        shown.push(text);
    }
}

fn name_of(key: &Digest) -> [u8; NAME_DIGITS] {
    key.as_str().as_bytes().first_chunk().copied().unwrap_or([b'0'; NAME_DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_over_an_error_and_over_later_answers() {
        let folder = tempfile::tempdir().unwrap();
        let (out, errors) = (folder.path().join("out.jsonl"), folder.path().join("errors.jsonl"));
        let key = Digest::of_bytes(b"one");
        let id = &key.as_str()[..NAME_DIGITS];
        let line = |status: u16, text: &str| {
            format!(r#"{{"custom_id":"{id}","response":{{"status_code":{status},"body":{{"t":"{text}"}}}}}}"#)
        };
        std::fs::write(&errors, format!("{}\n", line(500, "no"))).unwrap();
        std::fs::write(
            &out,
            format!(
                "\n{}\r\n{}\nnonsense\n{{\"custom_id\":\"x\",\"error\":{{}}}}",
                line(200, "first"),
                line(200, "second")
            ),
        )
        .unwrap();
        let mut results = BatchResults::open(&[errors, out.clone()]).unwrap();
        assert_eq!((results.n_lines(), results.n_duplicates(), results.broken().0), (5, 2, 1));
        let taken = results.take(&key).unwrap().unwrap();
        assert_eq!(taken.reply.unwrap().body, br#"{"t":"first"}"#);
        let digest = digest_file(&out).unwrap();
        assert_eq!(taken.origin, format!("batch:out.jsonl@{digest}:2"));
        assert_eq!(results.take(&key).unwrap(), None, "once");
        assert_eq!(results.unknown(), (1, vec!["x".to_owned()]));
        assert!(results.broken().1[0].starts_with("out.jsonl:4: no line of a batch result"), "{:?}", results.broken());
    }
}
