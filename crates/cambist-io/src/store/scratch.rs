//! An artifact in the making.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use rayon::prelude::*;

use super::{
    Artifact, ArtifactId, FileEntry, Identity, Manifest, ManifestDraft, Result, Runtime, StoreError,
    artifact::{file_entry, file_names},
    manifest::to_pretty_json,
};
use crate::{clock, disk};

/// Written last, so that a folder without it was never finished.
pub(super) const MANIFEST_FILE: &str = "manifest.json";

/// Differs from run to run and is no part of the artifact's contents.
pub(super) const RUNTIME_FILE: &str = "runtime.json";

/// Where an artifact is made and where it will lie.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) goal: PathBuf,
    pub(super) partial: PathBuf,
}

/// An artifact in the making: a folder that nobody else looks into, removed when it is dropped without a commit.
#[derive(Debug)]
pub struct Scratch {
    identity: Identity,
    place: Place,
    began_unix_ms: u64,
    began: Instant,
}

impl Scratch {
    pub(super) fn new(identity: Identity, place: Place) -> Self {
        Self { identity, place, began_unix_ms: clock::now_unix_ms(), began: Instant::now() }
    }

    /// The name that the artifact will have.
    pub fn id(&self) -> ArtifactId {
        self.identity.id()
    }

    /// The folder itself, for writers that bring their own names.
    pub fn folder(&self) -> &Path {
        &self.place.folder
    }

    /// Returns where a file of this name belongs, and makes the folders above it.
    ///
    /// # Errors
    /// [`StoreError::BadName`] when the name leaves the folder or is the store's own.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        let path = self.place.folder.join(name);
        if let Some(folder) = path.parent() {
            disk::create_folder(folder)?;
        }
        Ok(path)
    }

    /// Returns a folder in which a long step keeps what it needs to resume, with [`disk::write_atomic`]: it survives the
    /// process, and is removed when the artifact is committed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn resumable(&self) -> Result<PathBuf> {
        disk::create_folder(&self.place.partial)?;
        Ok(self.place.partial.clone())
    }

    /// Writes a whole file; `name` may hold folders, `checkpoint/config.json`.
    ///
    /// # Errors
    /// As [`Scratch::path`], and when the disk refuses.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(disk::write_new(&self.path(name)?, bytes)?)
    }

    /// Makes the folder an artifact: syncs every file, writes the manifest, renames the folder, syncs the rename.
    ///
    /// When an equal artifact is there already, it is kept and returned.
    ///
    /// # Errors
    /// When the disk refuses; the store then shows nothing, or the whole artifact when only the last sync failed.
    pub fn commit(self, draft: ManifestDraft) -> Result<Artifact> {
        if self.place.goal.exists() {
            return Artifact::read_folder(&self.place.goal);
        }
        let runtime = self.runtime(draft.threads);
        let manifest = Manifest::new(self.identity.clone(), draft, self.sync_files()?);
        let folder = &self.place.folder;
        disk::write_new(&folder.join(RUNTIME_FILE), &to_pretty_json("the timing", &runtime)?)?;
        disk::write_new(&folder.join(MANIFEST_FILE), &to_pretty_json("the manifest", &manifest)?)?;
        disk::sync_folder(folder)?;
        disk::rename(folder, &self.place.goal)?;
        disk::remove_folder(&self.place.partial)?;
        Artifact::read_folder(&self.place.goal)
    }

    fn sync_files(&self) -> Result<BTreeMap<String, FileEntry>> {
        let folder = &self.place.folder;
        let entry = |name: String| {
            check_name(&name)?;
            let path = folder.join(&name);
            disk::sync_file(&path)?;
            for above in path.ancestors().skip(1).take_while(|above| *above != folder) {
                disk::sync_folder(above)?;
            }
            Ok((name, file_entry(&path)?))
        };
        file_names(folder)?.into_par_iter().map(entry).collect()
    }

    fn runtime(&self, threads: usize) -> Runtime {
        let seconds = self.began.elapsed().as_secs_f64();
        Runtime { started_at_unix_ms: self.began_unix_ms, seconds, threads }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // After a commit there is nothing left; otherwise the next run sweeps what cannot be removed now.
        let _ = std::fs::remove_dir_all(&self.place.folder);
    }
}

fn check_name(name: &str) -> Result<()> {
    let is_plain =
        |part: &str| !matches!(part, "" | "." | "..") && !part.contains(|c: char| c == '\\' || c.is_control());
    if name.split('/').all(is_plain) && name != MANIFEST_FILE && name != RUNTIME_FILE {
        return Ok(());
    }
    Err(StoreError::BadName { name: name.to_owned(), what: "a file of an artifact" })
}
