//! A finished artifact.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use cambist_core::digest::Digest;

use super::{
    FileEntry, MANIFEST_SCHEMA, Manifest, Result, Runtime, StoreError,
    manifest::read_versioned,
    scratch::{MANIFEST_FILE, RUNTIME_FILE},
};
use crate::disk::{self, DiskError};

/// A finished, immutable folder with its manifest.
#[derive(Clone, Debug)]
pub struct Artifact {
    folder: PathBuf,
    manifest: Manifest,
}

impl Artifact {
    /// Reads the manifest of a finished folder.
    pub(super) fn read_folder(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST_FILE);
        let unreadable = |reason: &str| StoreError::Unreadable { path: path.clone(), reason: reason.to_owned() };
        let bytes = match disk::read(&path) {
            Err(DiskError::Missing { .. }) => return Err(unreadable("there is no such file")),
            read => read?,
        };
        let manifest: Manifest = read_versioned(&path, &bytes, MANIFEST_SCHEMA)?;
        if manifest.identity().id() != manifest.id {
            return Err(unreadable("its name is not the digest of its verb, parameters, inputs and seed"));
        }
        Ok(Self { folder: folder.to_owned(), manifest })
    }

    /// Where the artifact lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns where a file lies, for readers that stream.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the manifest does not know the file.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        if self.manifest.files.contains_key(name) {
            return Ok(path);
        }
        Err(StoreError::Corrupt { path, found: "unexpected".into(), expected: "none".into() })
    }

    /// Returns where a file lies after comparing its bytes with the manifest, in pieces.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when they differ or the manifest does not know the file.
    pub fn checked_path(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name)?;
        match file_entry(&path) {
            Ok(found) if self.manifest.files.get(name) == Some(&found) => Ok(path),
            Ok(found) => Err(self.corrupt(name, found.sha256.as_str().to_owned())),
            Err(DiskError::Missing { .. }) => Err(self.corrupt(name, "missing".into())),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the bytes of a file after comparing them with the manifest.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when they differ or the manifest does not know the file.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path(name)?;
        let bytes = match disk::read(&path) {
            Err(DiskError::Missing { .. }) => return Err(self.corrupt(name, "missing".into())),
            read => read?,
        };
        let found = Digest::of_bytes(&bytes);
        if self.manifest.files.get(name).is_some_and(|entry| entry.sha256 == found) {
            return Ok(bytes);
        }
        Err(self.corrupt(name, found.as_str().to_owned()))
    }

    /// Returns how long it took; none when the timing file is not there or not readable.
    pub fn runtime(&self) -> Option<Runtime> {
        serde_json::from_slice(&disk::read(&self.folder.join(RUNTIME_FILE)).ok()?).ok()
    }

    /// Compares every file with the manifest.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for the first file, in the order of names, that differs, is missing or does not belong.
    pub fn verify(&self) -> Result<()> {
        for (name, entry) in &self.manifest.files {
            match file_entry(&self.folder.join(name)) {
                Ok(found) if found == *entry => {}
                Ok(found) => return Err(self.corrupt(name, found.sha256.as_str().to_owned())),
                Err(DiskError::Missing { .. }) => return Err(self.corrupt(name, "missing".into())),
                Err(error) => return Err(error.into()),
            }
        }
        let present = file_names(&self.folder)?;
        let known =
            |name: &String| self.manifest.files.contains_key(name) || name == MANIFEST_FILE || name == RUNTIME_FILE;
        match present.iter().find(|name| !known(name)) {
            None => Ok(()),
            Some(name) => Err(self.corrupt(name, "unexpected".into())),
        }
    }

    fn corrupt(&self, name: &str, found: String) -> StoreError {
        let expected = self.manifest.files.get(name).map_or("none", |entry| entry.sha256.as_str()).to_owned();
        StoreError::Corrupt { path: self.folder.join(name), found, expected }
    }
}

/// Returns the length and digest of a file, read in pieces.
pub(super) fn file_entry(path: &Path) -> disk::Result<FileEntry> {
    let (bytes, sha256) = disk::measure_file(path)?;
    Ok(FileEntry { bytes, sha256 })
}

/// Returns the paths of all files below `folder`, relative to it, with `/` between folders.
pub(super) fn file_names(folder: &Path) -> disk::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(inner) = waiting.pop() {
        for path in disk::entries(&inner)? {
            if path.is_dir() && !path.is_symlink() {
                waiting.push(path);
            } else if let Ok(below) = path.strip_prefix(folder) {
                let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
                names.insert(parts.join("/"));
            }
        }
    }
    Ok(names)
}
