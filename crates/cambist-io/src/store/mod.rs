//! The artifact store: immutable folders named by what made them.
//!
//! ```text
//! cambist-store/
//!   lock                       held while a run writes; holds its process id
//!   artifacts/<verb>-<12 hex>/ files, manifest.json, runtime.json
//!   scratch/                   artifacts in the making; swept by the next run
//!   partial/<verb>-<12 hex>/   what a long step keeps to resume from
//!   runs/<recipe>/             run.json, probe.json and one link per step
//!   trials.json                what servers showed in small trials, for a day
//!   digests.json               digests of large files that recipes name, with the signs of a change
//!   reference/<model>.rows     log-probabilities under reference models
//!   features/<model>.rows      hidden states of prompts
//!   ledger.sqlite              paid calls
//! ```

mod artifact;
mod blocks;
mod error;
mod feature_cache;
mod file_digests;
mod identity;
mod lock;
mod manifest;
mod probe_record;
mod reference_cache;
mod run_record;
mod scratch;

use std::{
    collections::BTreeSet,
    ops::Deref,
    path::{Path, PathBuf},
};

pub use artifact::Artifact;
pub use error::{Result, StoreError};
pub use feature_cache::{FeatureCache, FeatureRecord};
pub use file_digests::FileDigests;
pub use identity::{ArtifactId, Identity, Input};
pub use manifest::{FileEntry, MANIFEST_SCHEMA, Manifest, ManifestDraft, Runtime};
pub use probe_record::{EndpointProbe, PROBE_SCHEMA, ProbeRecord, TRIALS_HOLD_MS, Trial, Trials};
pub use reference_cache::{ReferenceCache, ReferenceRecord};
pub use run_record::{RUN_SCHEMA, RunRecord, RunStep};
pub use scratch::Scratch;

use self::lock::Lock;
use crate::disk;

/// The folder's usual name.
pub const DEFAULT_FOLDER: &str = "cambist-store";

/// What can be read of a store without its lock; others may be writing to it.
#[derive(Clone, Debug)]
pub struct StoreView {
    root: PathBuf,
}

/// Every artifact folder of a store, whole or not.
#[derive(Debug, Default)]
pub struct Listing {
    /// Those with a readable manifest, in the order of their folder names.
    pub artifacts: Vec<Artifact>,
    /// Folders that are no artifacts, with the reason.
    pub damaged: Vec<(PathBuf, StoreError)>,
}

impl StoreView {
    /// Opens a store for reading, without its lock.
    ///
    /// # Errors
    /// [`StoreError::NoStore`] when there is none.
    pub fn open(root: &Path) -> Result<Self> {
        let view = Self { root: root.to_owned() };
        if view.artifacts_folder().is_dir() { Ok(view) } else { Err(StoreError::NoStore { path: root.to_owned() }) }
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the store's ledger is kept.
    pub fn ledger_path(&self) -> PathBuf {
        self.root.join("ledger.sqlite")
    }

    /// Returns the finished artifact of this name, or none when it has not been made yet.
    ///
    /// Only the manifest is read; [`Artifact::verify`] reads the files.
    ///
    /// # Errors
    /// When the folder is there without a sound manifest, or holds another artifact with the same short name.
    pub fn find(&self, id: &ArtifactId) -> Result<Option<Artifact>> {
        let folder = self.artifact_folder(id);
        if !folder.exists() {
            return Ok(None);
        }
        let artifact = Artifact::read_folder(&folder)?;
        if artifact.manifest().id == *id {
            return Ok(Some(artifact));
        }
        Err(StoreError::WrongIdentity { path: folder, found: artifact.manifest().id.clone(), expected: id.clone() })
    }

    /// Returns the one artifact whose folder name, digest or name of either begins with `prefix`.
    ///
    /// # Errors
    /// [`StoreError::UnknownArtifact`] when there is none, [`StoreError::Ambiguous`] when there are several.
    pub fn resolve(&self, prefix: &str) -> Result<Artifact> {
        let begins = |artifact: &Artifact| {
            let id = &artifact.manifest().id;
            id.full().starts_with(prefix) || id.digest.as_str().starts_with(prefix)
        };
        let mut found: Vec<Artifact> = self.list()?.artifacts.into_iter().filter(begins).collect();
        match (found.pop(), found.is_empty()) {
            (Some(artifact), true) => Ok(artifact),
            (None, _) => Err(StoreError::UnknownArtifact { name: prefix.to_owned(), store: self.root.clone() }),
            (Some(last), false) => {
                let all = found.iter().chain([&last]).map(|artifact| artifact.manifest().id.to_string());
                Err(StoreError::Ambiguous { name: prefix.to_owned(), candidates: all.collect() })
            }
        }
    }

    /// Returns every artifact folder.
    ///
    /// # Errors
    /// When the folder of artifacts cannot be read; a single unsound artifact is listed, not an error.
    pub fn list(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        for folder in disk::entries(&self.artifacts_folder())? {
            match Artifact::read_folder(&folder) {
                Ok(artifact) => listing.artifacts.push(artifact),
                Err(error) => listing.damaged.push((folder, error)),
            }
        }
        Ok(listing)
    }

    /// Returns every artifact that a run record names, and all that went into those; what went into a damaged one is
    /// unknown, and kept as far as the records name it themselves.
    ///
    /// # Errors
    /// When a run record cannot be read: nothing may then be removed, since what it keeps is unknown.
    pub fn reachable(&self) -> Result<BTreeSet<ArtifactId>> {
        let mut waiting: Vec<ArtifactId> =
            self.runs()?.into_iter().flat_map(|run| run.steps).map(|step| step.artifact).collect();
        let mut reached = BTreeSet::new();
        while let Some(id) = waiting.pop() {
            if !reached.insert(id.clone()) {
                continue;
            }
            match self.find(&id) {
                Ok(Some(artifact)) => waiting.extend(artifact.manifest().inputs.iter().map(|input| input.id.clone())),
                Ok(None) | Err(StoreError::Unreadable { .. } | StoreError::WrongIdentity { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(reached)
    }

    fn artifacts_folder(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    fn artifact_folder(&self, id: &ArtifactId) -> PathBuf {
        self.artifacts_folder().join(id.to_string())
    }

    fn scratch_folder(&self) -> PathBuf {
        self.root.join("scratch")
    }

    fn partial_folder(&self, id: &ArtifactId) -> PathBuf {
        self.root.join("partial").join(id.to_string())
    }

    fn runs_folder(&self) -> PathBuf {
        self.root.join("runs")
    }
}

/// A store that this process alone may write to, as long as the value lives.
#[derive(Debug)]
pub struct Store {
    view: StoreView,
    _lock: Lock,
}

impl Deref for Store {
    type Target = StoreView;

    fn deref(&self) -> &StoreView {
        &self.view
    }
}

impl Store {
    /// Opens a store, makes it where there is none, takes its lock and sweeps what killed runs left in `scratch/`.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process writes to it; a disk error when it cannot be written.
    pub fn open(root: &Path) -> Result<Self> {
        let view = StoreView { root: root.to_owned() };
        for folder in [view.artifacts_folder(), view.scratch_folder(), view.runs_folder()] {
            disk::create_folder(&folder)?;
        }
        let lock = Lock::take(root)?;
        for leftover in disk::entries(&view.scratch_folder())? {
            disk::remove_folder(&leftover)?;
        }
        Ok(Self { view, _lock: lock })
    }

    /// Begins to make an artifact in a fresh scratch folder.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn begin(&self, identity: Identity) -> Result<Scratch> {
        let id = identity.id();
        let folder = self.scratch_folder().join(id.to_string());
        disk::remove_folder(&folder)?;
        disk::create_folder(&folder)?;
        let place = scratch::Place { folder, goal: self.artifact_folder(&id), partial: self.partial_folder(&id) };
        Ok(Scratch::new(identity, place))
    }

    /// Removes an artifact, whole or damaged, in one step; one that is not there is fine.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove(&self, id: &ArtifactId) -> Result<()> {
        disk::remove_folder(&self.partial_folder(id))?;
        self.remove_damaged(&self.artifact_folder(id))
    }

    /// Removes a folder that [`Listing::damaged`] names.
    ///
    /// # Errors
    /// When the disk refuses, or the folder is not one of this store's artifact folders.
    pub fn remove_damaged(&self, folder: &Path) -> Result<()> {
        let outside = || StoreError::OutsideStore { path: folder.to_owned(), store: self.root.clone() };
        if folder.parent() != Some(self.artifacts_folder().as_path()) {
            return Err(outside());
        }
        let doomed = self.scratch_folder().join("removed").join(folder.file_name().ok_or_else(outside)?);
        if !folder.exists() {
            return Ok(());
        }
        disk::remove_folder(&doomed)?;
        disk::create_folder(&self.scratch_folder().join("removed"))?;
        disk::rename(folder, &doomed)?;
        Ok(disk::remove_folder(&doomed)?)
    }
}

#[cfg(test)]
mod tests;
