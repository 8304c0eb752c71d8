//! A folder as a data set on the Hugging Face Hub: one commit, large files by way of its LFS store.
//!
//! Files that the Hub has already are not sent again, so that a push that broke off goes on where it stopped. The token
//! goes to the Hub itself and to nobody else: not to the store behind it, not into errors.

mod base64;
mod error;
mod http;
mod large;

use std::{
    collections::HashMap,
    fmt, fs,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use cambist_core::digest::Digest;
use serde::Serialize;
use serde_json::{Value, json};

pub use self::error::PushError;
use self::{base64::base64, http::Http};
use crate::disk::{self, DiskError};

/// Files that the Hub is asked about at once.
const CHUNK: usize = 256;

/// Bytes of a file by which the Hub tells text from the rest.
const SAMPLE: u64 = 512;

/// Where to, and in whose name.
#[derive(Clone)]
pub struct PushTarget {
    /// `owner/name`.
    pub repo: String,
    /// Whether a repository that is made now is for its owner alone; one that is there stays as it is.
    pub is_private: bool,
    /// The Hub's address.
    pub endpoint: String,
    /// Key material.
    pub token: String,
    /// What the commit is called.
    pub summary: String,
    /// The first wait after a failure that may pass; it doubles, five attempts in all.
    pub first_wait: Duration,
}

impl fmt::Debug for PushTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushTarget").field("repo", &self.repo).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl PushTarget {
    /// Reads the token from `HF_TOKEN` and the address from `HF_ENDPOINT`, which is `https://huggingface.co` by default.
    ///
    /// # Errors
    /// When there is no token or the name is not `owner/name`.
    pub fn from_environment(repo: &str, is_private: bool) -> Result<Self, PushError> {
        let variable = |name| std::env::var(name).ok().map(|text: String| text.trim().to_owned());
        let token = variable("HF_TOKEN").filter(|token| !token.is_empty()).ok_or(PushError::NoToken)?;
        let endpoint = variable("HF_ENDPOINT").filter(|address| !address.is_empty());
        let target = Self {
            repo: repo.to_owned(),
            is_private,
            endpoint: endpoint.unwrap_or_else(|| "https://huggingface.co".to_owned()),
            token,
            summary: "Upload with cambist".to_owned(),
            first_wait: Duration::from_secs(1),
        };
        target.owner_and_name()?;
        Ok(target)
    }

    fn owner_and_name(&self) -> Result<(&str, &str), PushError> {
        let is_name = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        let parts = self.repo.split_once('/').filter(|(owner, name)| is_name(owner) && is_name(name));
        parts.ok_or_else(|| PushError::Name { found: self.repo.clone() })
    }
}

/// What was pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// The data set's page.
    pub url: String,
    /// The commit, as the Hub names it.
    pub commit: String,
    /// Files of the commit.
    pub n_files: usize,
    /// Of these, large ones.
    pub n_large: usize,
    /// Large ones that had to be sent; the Hub had the others.
    pub n_sent: usize,
    /// Bytes of all files.
    pub n_bytes: u64,
}

/// How the Hub wants each file, by its name.
type Modes = HashMap<String, String>;

/// One file to push.
#[derive(Clone, Debug)]
struct Upload {
    path: PathBuf,
    name: String,
    sha256: Digest,
    n_bytes: u64,
}

/// Uploads the files of `folder` with these names (`/` between folders) as one commit, making the data set where it is
/// not there yet.
///
/// # Errors
/// When a file cannot be read, the token is refused, or the Hub fails five times in a row.
pub fn push_dataset(folder: &Path, names: &[String], target: &PushTarget) -> Result<Pushed, PushError> {
    let uploads = names.iter().map(|name| Upload::open(folder, name)).collect::<Result<Vec<_>, _>>()?;
    let http = Http::open(target)?;
    let (owner, name) = target.owner_and_name()?;
    let create = json!({"type": "dataset", "organization": owner, "name": name, "private": target.is_private});
    http.post("/api/repos/create", &create, &[409])?;
    let modes = modes(&http, &target.repo, &uploads)?;
    let large: Vec<&Upload> = uploads.iter().filter(|upload| upload.is_large(&modes)).collect();
    let n_sent = large::send(&http, &target.repo, &large)?;
    let commit = commit(&http, target, (&uploads, &modes))?;
    Ok(Pushed {
        url: format!("{}/datasets/{}", target.endpoint.trim_end_matches('/'), target.repo),
        commit: commit.get("commitOid").and_then(Value::as_str).unwrap_or_default().to_owned(),
        n_files: uploads.len(),
        n_large: large.len(),
        n_sent,
        n_bytes: uploads.iter().map(|upload| upload.n_bytes).sum(),
    })
}

impl Upload {
    fn open(folder: &Path, name: &str) -> Result<Self, PushError> {
        let path = folder.join(name);
        let n_bytes = fs::metadata(&path).map_err(|source| DiskError::of("read", &path, source))?.len();
        Ok(Self { sha256: disk::digest_file(&path)?, n_bytes, name: name.to_owned(), path })
    }

    fn is_large(&self, modes: &Modes) -> bool {
        modes.get(&self.name).is_some_and(|mode| mode == "lfs")
    }

    fn sample(&self) -> Result<Vec<u8>, PushError> {
        let mut sample = Vec::new();
        let read = fs::File::open(&self.path).and_then(|file| file.take(SAMPLE).read_to_end(&mut sample));
        read.map_err(|source| DiskError::of("read", &self.path, source))?;
        Ok(sample)
    }
}

/// Asks which files go into the commit as they are (`regular`) and which into the store for large ones (`lfs`).
fn modes(http: &Http, repo: &str, uploads: &[Upload]) -> Result<Modes, PushError> {
    let mut modes = HashMap::new();
    for chunk in uploads.chunks(CHUNK) {
        let mut files = Vec::new();
        for upload in chunk {
            files.push(json!({"path": upload.name, "size": upload.n_bytes, "sample": base64(&upload.sample()?)}));
        }
        let reply = http.post(&format!("/api/datasets/{repo}/preupload/main"), &json!({"files": files}), &[])?;
        for file in reply.get("files").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| file.get(name).and_then(Value::as_str).map(str::to_owned);
            if let (Some(path), Some(mode)) = (text("path"), text("uploadMode")) {
                modes.insert(path, mode);
            }
        }
    }
    Ok(modes)
}

fn commit(http: &Http, target: &PushTarget, (uploads, modes): (&[Upload], &Modes)) -> Result<Value, PushError> {
    let mut lines = format!("{}\n", json!({"key": "header", "value": {"summary": target.summary, "description": ""}}));
    for upload in uploads {
        let line = if upload.is_large(modes) {
            let value = json!({"path": upload.name, "algo": "sha256", "oid": upload.sha256, "size": upload.n_bytes});
            json!({"key": "lfsFile", "value": value})
        } else {
            let content = base64(&disk::read(&upload.path)?);
            json!({"key": "file", "value": {"path": upload.name, "encoding": "base64", "content": content}})
        };
        lines.push_str(&format!("{line}\n"));
    }
    http.post_lines(&format!("/api/datasets/{}/commit/main", target.repo), lines)
}
