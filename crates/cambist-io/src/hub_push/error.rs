//! What can go wrong on the way to the Hub.

use cambist_core::fault::Fault;

use crate::disk::DiskError;

/// Why a folder is not on the Hub.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// There is no token.
    #[error("no token: set the environment variable `HF_TOKEN` to one with write access")]
    NoToken,
    /// The repository's name is none.
    #[error("the repository `{found}` is not `owner/name`; expected letters, digits, `-`, `_` and `.`")]
    Name {
        /// What was given.
        found: String,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The Hub refuses.
    #[error("the Hub refused `{what}` with status {status}: {reason}{remedy}")]
    Refused {
        /// The route.
        what: String,
        /// The status.
        status: u16,
        /// The Hub's words, without key material.
        reason: String,
        /// What to do, where that is known.
        remedy: &'static str,
    },
    /// The Hub could not be reached, or failed again and again.
    #[error(
        "the Hub did not take `{what}`: {reason}; nothing is committed: run the same command again, what was sent is not sent again"
    )]
    Unreachable {
        /// The route.
        what: String,
        /// Why.
        reason: String,
    },
}

impl PushError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoToken | Self::Name { .. } => Fault::You,
            Self::Disk(error) => error.fault(),
            Self::Refused { .. } | Self::Unreachable { .. } => Fault::World,
        }
    }
}
