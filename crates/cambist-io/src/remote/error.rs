//! What can go wrong with files that lie elsewhere.

use std::path::PathBuf;

use cambist_core::fault::Fault;

use crate::disk::DiskError;

/// Why a file that lies elsewhere cannot be had. No message holds a token.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The cache cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The address is none.
    #[error("`{address}` is no address: expected {expected}")]
    Address {
        /// What was given.
        address: String,
        /// The forms that are read.
        expected: &'static str,
    },
    /// This program was built without buckets.
    #[error("`{address}` lies in a bucket, and this cambist was built without them: build it with `--features s3`")]
    NoS3 {
        /// What was given.
        address: String,
    },
    /// There is no place for the cache.
    #[error("there is no folder for fetched files: set `HF_HOME` or `HF_HUB_CACHE`")]
    NoCache,
    /// The network may not be used, and the cache has not all of it.
    #[error("`{what}` is not in the cache `{cache}`, and `HF_HUB_OFFLINE` forbids to fetch it: fetch it once without")]
    Offline {
        /// What was looked for.
        what: String,
        /// Where.
        cache: PathBuf,
    },
    /// The server has no such thing, or does not show it.
    #[error("{url} answered {status}: check owner, name, revision and path; what is private or gated needs `HF_TOKEN`")]
    Refused {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
    },
    /// The address leads to no file.
    #[error("nothing in `{repository}` at `{revision}` fits `{path}`, found {found}")]
    NothingThere {
        /// The repository.
        repository: String,
        /// The revision.
        revision: String,
        /// The path or pattern.
        path: String,
        /// Some of what is there.
        found: String,
    },
    /// The server cannot be reached, or fails, again and again.
    #[error("cannot fetch {url}: {reason}; run again, what came so far is kept")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What went wrong last.
        reason: String,
    },
    /// What came is not what was announced.
    #[error("{url} is damaged: found {found}, expected {expected}; run again to fetch it anew")]
    Damaged {
        /// What was asked for.
        url: String,
        /// Length or digest of what came.
        found: String,
        /// Length or digest that the server announced.
        expected: String,
    },
    /// The runtime cannot start.
    #[error("cannot start fetching: {reason}")]
    Runtime {
        /// What the system said.
        reason: String,
    },
}

impl RemoteError {
    /// Whose fault it is: a wrong address or a missing permission is yours, the rest is the world's.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Disk(error) => error.fault(),
            Self::Unreachable { .. } | Self::Damaged { .. } | Self::Runtime { .. } => Fault::World,
            _ => Fault::You,
        }
    }
}
