//! One request after another over HTTP, each until it is whole.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tokio::runtime::{Builder, Runtime};

use super::{RemoteError, Secret};
use crate::disk::{self, DiskError};

/// How often one thing is asked for.
const ATTEMPTS: u32 = 5;

/// Before the second attempt; doubles after each.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest silence of a server.
const SILENCE: Duration = Duration::from_secs(60);

/// A client that waits for its answers.
pub(super) struct Fetcher {
    client: Client,
    runtime: Runtime,
    token: Option<Secret>,
}

/// What will be kept of a download.
pub(super) struct Expected<'a> {
    /// Bytes.
    pub(super) size: Option<u64>,
    /// Lower-case hexadecimal.
    pub(super) sha256: Option<&'a str>,
}

/// Why an attempt failed.
enum Attempt {
    /// Another one may succeed.
    Again(String),
    /// No other will.
    Never(RemoteError),
}

impl From<reqwest::Error> for Attempt {
    fn from(error: reqwest::Error) -> Self {
        // The address is told beside it.
        let error = error.without_url();
        let source = std::error::Error::source(&error).map_or(String::new(), |source| format!(": {source}"));
        Self::Again(format!("{error}{source}"))
    }
}

impl Fetcher {
    pub(super) fn new(token: Option<Secret>) -> Result<Self, RemoteError> {
        // Somebody else may have chosen one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("cambist/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(SILENCE)
            .build()
            .map_err(|error| RemoteError::Runtime { reason: error.to_string() })?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| RemoteError::Runtime { reason: error.to_string() })?;
        Ok(Self { client, runtime, token })
    }

    /// Returns a JSON answer, and the address of its next page if there is one.
    pub(super) fn json(&self, url: &str) -> Result<(serde_json::Value, Option<String>), RemoteError> {
        self.persist(url, || {
            self.runtime.block_on(async {
                let response = checked(url, self.get(url).send().await?)?;
                let link = response.headers().get("link").and_then(|value| value.to_str().ok()).and_then(next_page);
                let bytes = response.bytes().await?;
                let value = serde_json::from_slice(&bytes)
                    .map_err(|error| Attempt::Again(format!("the answer is no JSON: {error}")))?;
                Ok((value, link))
            })
        })
    }

    /// Fetches a file to `goal`, going on where an earlier attempt, of this process or another, stopped.
    pub(super) fn file(&self, url: &str, goal: &Path, expected: &Expected<'_>) -> Result<(), RemoteError> {
        let mut partial = goal.as_os_str().to_owned();
        partial.push(".incomplete");
        let partial = PathBuf::from(partial);
        disk::create_folder(goal.parent().unwrap_or(Path::new(".")))?;
        self.persist(url, || self.runtime.block_on(self.piece((url, expected.size), &partial)))?;
        if let Err(error) = check(url, &partial, expected) {
            let _ = fs::remove_file(&partial);
            return Err(error);
        }
        disk::sync_file(&partial)?;
        Ok(disk::rename(&partial, goal)?)
    }

    /// Appends what is missing of a file.
    async fn piece(&self, (url, size): (&str, Option<u64>), partial: &Path) -> Result<(), Attempt> {
        let failed = |source| Attempt::Never(DiskError::of("write", partial, source).into());
        let there = fs::metadata(partial).map_or(0, |entry| entry.len());
        if size == Some(there) {
            return Ok(());
        }
        let mut request = self.get(url);
        if there > 0 {
            request = request.header("range", format!("bytes={there}-"));
        }
        let response = request.send().await?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            fs::remove_file(partial).map_err(failed)?;
            return Err(Attempt::Again("the server has fewer bytes than were kept".to_owned()));
        }
        let mut response = checked(url, response)?;
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT;
        let mut file = if goes_on { OpenOptions::new().append(true).open(partial) } else { File::create(partial) }
            .map_err(failed)?;
        while let Some(bytes) = response.chunk().await? {
            file.write_all(&bytes).map_err(failed)?;
        }
        Ok(())
    }

    fn get(&self, url: &str) -> RequestBuilder {
        let request = self.client.get(url);
        match &self.token {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        }
    }

    fn persist<T>(&self, url: &str, attempt: impl Fn() -> Result<T, Attempt>) -> Result<T, RemoteError> {
        let mut wait = FIRST_WAIT;
        let mut reason = String::new();
        for n in 0..ATTEMPTS {
            if n > 0 {
                std::thread::sleep(wait);
                wait *= 2;
            }
            match attempt() {
                Ok(value) => return Ok(value),
                Err(Attempt::Never(error)) => return Err(error),
                Err(Attempt::Again(said)) => reason = said,
            }
        }
        Err(RemoteError::Unreachable { url: url.to_owned(), reason })
    }
}

fn checked(url: &str, response: Response) -> Result<Response, Attempt> {
    let status = response.status();
    if status.is_success() {
        Ok(response)
    } else if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        Err(Attempt::Again(format!("it answered {}", status.as_u16())))
    } else {
        Err(Attempt::Never(RemoteError::Refused { url: url.to_owned(), status: status.as_u16() }))
    }
}

fn check(url: &str, path: &Path, expected: &Expected<'_>) -> Result<(), RemoteError> {
    let damaged = |found: String, expected: String| RemoteError::Damaged { url: url.to_owned(), found, expected };
    let length = fs::metadata(path).map_err(|source| DiskError::of("read", path, source))?.len();
    if let Some(size) = expected.size.filter(|size| *size != length) {
        return Err(damaged(format!("{length} bytes"), size.to_string()));
    }
    if let Some(wanted) = expected.sha256 {
        let found = disk::digest_file(path)?;
        if found.as_str() != wanted {
            return Err(damaged(format!("SHA-256 {found}"), wanted.to_owned()));
        }
    }
    Ok(())
}

/// The address in `<...>; rel="next"`.
fn next_page(link: &str) -> Option<String> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    Some(next.split_once('<')?.1.split_once('>')?.0.to_owned())
}
