//! What can go wrong with a store.

use std::path::PathBuf;

use cambist_core::fault::Fault;

use super::ArtifactId;
use crate::disk::DiskError;

/// What a store answers with.
pub type Result<T> = std::result::Result<T, StoreError>;

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no store in this folder.
    #[error("there is no store at `{path}`: run a recipe first, or name the store's folder")]
    NoStore {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Another process writes to the store.
    #[error("the store `{path}` is in use by process {pid}: wait for it to end, or use another store")]
    Locked {
        /// The store.
        path: PathBuf,
        /// The other process as the lock file names it; `unknown` while it is just starting.
        pid: String,
    },
    /// A file of an artifact is not what its manifest says.
    #[error(
        "`{path}` is damaged: its SHA-256 is {found}, expected {expected}; remove the artifact with \
         `cambist gc --corrupt` and run again"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Its digest now; `missing` when it is gone, `unexpected` when the manifest does not know it.
        found: String,
        /// Its digest when it was made; `none` when the manifest does not know it.
        expected: String,
    },
    /// A manifest or a run record cannot be read as one.
    #[error("`{path}` is damaged: {reason}; remove it with `cambist gc --corrupt` and run again")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was written by a version of this program with another schema.
    #[error(
        "`{path}` has schema version {found}, this version reads {supported}: use a matching version or a new store"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its schema version; `none` when it has none.
        found: String,
        /// The versions that can be read.
        supported: String,
    },
    /// A folder holds another artifact than its name says.
    #[error("`{path}` holds `{}`, expected `{}`: remove it with `cambist gc --corrupt` and run again", found.full(), expected.full())]
    WrongIdentity {
        /// The folder.
        path: PathBuf,
        /// What its manifest says it is.
        found: ArtifactId,
        /// What its name stands for.
        expected: ArtifactId,
    },
    /// No artifact has this name.
    #[error("no artifact `{name}` in the store `{store}`: `cambist show` lists them")]
    UnknownArtifact {
        /// What was asked for.
        name: String,
        /// Where.
        store: PathBuf,
    },
    /// Several artifacts begin with this name.
    #[error("`{name}` names several artifacts: {}; write more of the name", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The names that begin with it.
        candidates: Vec<String>,
    },
    /// A name cannot be a file's name here.
    #[error("`{name}` cannot name {what}: expected a plain name without `/`, `\\`, `..` or control characters")]
    BadName {
        /// What was given.
        name: String,
        /// What it should have named.
        what: &'static str,
    },
    /// A path outside the store was to be changed.
    #[error("`{path}` is no artifact folder of the store `{store}`")]
    OutsideStore {
        /// The path.
        path: PathBuf,
        /// The store.
        store: PathBuf,
    },
    /// The kept log-probabilities of a reference model are not what was written.
    #[error("`{path}` is damaged at byte {at}: remove the file, what it held is computed again")]
    DamagedCache {
        /// The file.
        path: PathBuf,
        /// The first byte of the part that cannot be read, from 0.
        at: usize,
    },
    /// A record cannot be written as JSON.
    #[error("cannot write {what} as JSON: {source}")]
    Encode {
        /// The record.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

impl StoreError {
    /// Whose fault it is: names are yours, the state of the disk is the world's, the rest is ours.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Disk(error) => error.fault(),
            Self::NoStore { .. } | Self::UnknownArtifact { .. } | Self::Ambiguous { .. } | Self::BadName { .. } => {
                Fault::You
            }
            Self::Locked { .. }
            | Self::Corrupt { .. }
            | Self::Unreadable { .. }
            | Self::Schema { .. }
            | Self::DamagedCache { .. }
            | Self::WrongIdentity { .. } => Fault::World,
            Self::OutsideStore { .. } | Self::Encode { .. } => Fault::Us,
        }
    }
}
