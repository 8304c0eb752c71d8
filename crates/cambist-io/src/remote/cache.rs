//! The cache of one repository, in the layout of the `huggingface_hub` package.
//!
//! `refs/REVISION` holds a commit, `blobs/` the bytes under the server's name for them, `snapshots/COMMIT/` the
//! repository's own names as links to them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{HubAddress, RemoteError};
use crate::disk::{self, DiskError};

/// The cached part of one repository.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(super) fn new(root: &Path, address: &HubAddress) -> Self {
        Self { folder: root.join(address.folder_name()) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The commit that a revision was when it was last asked for.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        let noted = fs::read_to_string(self.folder.join("refs").join(revision)).ok();
        noted.map(|text| text.trim().to_owned()).or_else(|| is_commit(revision).then(|| revision.to_owned()))
    }

    /// Notes which commit a revision is.
    pub(super) fn note(&self, revision: &str, commit: &str) -> Result<(), RemoteError> {
        if revision == commit || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        Ok(disk::write_atomic(&self.folder.join("refs").join(revision), commit.as_bytes())?)
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Where the bytes called `name` lie or will lie.
    pub(super) fn blob(&self, name: &str) -> PathBuf {
        self.folder.join("blobs").join(name)
    }

    /// Gives the bytes called `blob` the repository's own name at a commit.
    pub(super) fn link(&self, (commit, path): (&str, &str), blob: &str) -> Result<(), RemoteError> {
        let goal = self.snapshot(commit).join(path);
        if goal.exists() {
            return Ok(());
        }
        disk::create_folder(goal.parent().unwrap_or(&self.folder))?;
        let up = "../".repeat(path.matches('/').count() + 2);
        let made = make_link(&format!("{up}blobs/{blob}"), (&self.blob(blob), &goal));
        match made {
            Err(error) if !goal.exists() => Err(DiskError::of("create", &goal, error).into()),
            // Another process was faster.
            _ => Ok(()),
        }
    }
}

#[cfg(unix)]
fn make_link(relative: &str, (_, goal): (&Path, &Path)) -> std::io::Result<()> {
    // A dangling link of an interrupted or cleaned cache stands in the way.
    let _ = fs::remove_file(goal);
    std::os::unix::fs::symlink(relative, goal)
}

#[cfg(not(unix))]
fn make_link(_: &str, (blob, goal): (&Path, &Path)) -> std::io::Result<()> {
    fs::copy(blob, goal).map(drop)
}

/// Whether it is the name of a commit.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}
