//! Durable writes: what is reported as written survives a killed process and a lost power supply.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
};

use cambist_core::{
    digest::{Digest, Pieces},
    fault::Fault,
};

/// What went wrong between this program and the disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The disk or the quota is full.
    #[error("no space left on the disk at `{path}`: free some space and run again, finished work is kept")]
    Full {
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system forbids it.
    #[error("may not {action} `{path}`: change its permissions or choose another folder")]
    Forbidden {
        /// What was tried, a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such file or folder.
    #[error("`{path}` does not exist")]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// A folder stands where a file was expected.
    #[error("`{path}` is a folder: expected a file")]
    IsFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A file stands where a folder was expected.
    #[error("cannot {action} `{path}`: a file stands where a folder is expected; move it away or name another folder")]
    IsFile {
        /// What was tried, a verb.
        action: &'static str,
        /// The path, or one below the file.
        path: PathBuf,
    },
    /// The bytes are no text.
    #[error("`{path}` is not UTF-8: line {line} breaks off at byte {byte} of the file: save it as UTF-8")]
    NotText {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The first byte that is no UTF-8, from 0.
        byte: usize,
    },
    /// Something else that the system reported.
    #[error("cannot {action} `{path}`: {source}")]
    Other {
        /// What was tried, a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DiskError {
    /// Sorts what the system said into a situation.
    pub fn of(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full { path, source },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Forbidden { action, path, source },
            ErrorKind::NotFound => Self::Missing { path },
            ErrorKind::IsADirectory => Self::IsFolder { path },
            ErrorKind::NotADirectory => Self::IsFile { action, path },
            _ => Self::Other { action, path, source },
        }
    }

    /// Whose fault it is: a path that is missing or no file is yours, the rest is the world's.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Missing { .. } | Self::IsFolder { .. } | Self::IsFile { .. } | Self::NotText { .. } => Fault::You,
            Self::Full { .. } | Self::Forbidden { .. } | Self::Other { .. } => Fault::World,
        }
    }
}

/// What touches the disk answers with this.
pub type Result<T> = std::result::Result<T, DiskError>;

/// Replaces the file at `path` by `bytes`, or leaves it as it was: readers see the old file or the new one, never a
/// part. Missing folders above it are made.
///
/// # Errors
/// Whatever keeps the disk from being written; the temporary neighbour is then removed as far as the disk lets it.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = parent(path);
    create_folder(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let neighbour = folder.join(name);
    let written = write_new(&neighbour, bytes).and_then(|()| rename(&neighbour, path));
    if written.is_err() {
        // The first error is the one to report; a leftover neighbour does no harm.
        let _ = fs::remove_file(&neighbour);
    }
    written
}

/// Returns the bytes of a whole file.
///
/// # Errors
/// When it is missing, a folder, or cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| DiskError::of("read", path, source))
}

/// Returns the text of a whole file.
///
/// # Errors
/// When it is missing, a folder, cannot be read, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|error| {
        let byte = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..byte].iter().filter(|&&b| b == b'\n').count() + 1;
        DiskError::NotText { path: path.to_owned(), line, byte }
    })
}

/// Returns the digest of a file's bytes, equal to what `sha256sum` prints; the file is streamed.
///
/// # Errors
/// When it is missing, a folder, or cannot be read.
pub fn digest_file(path: &Path) -> Result<Digest> {
    Ok(measure_file(path)?.1)
}

/// Returns the length and the digest of a file's bytes, as they were read.
pub(crate) fn measure_file(path: &Path) -> Result<(u64, Digest)> {
    let measure = || -> io::Result<(u64, Digest)> {
        let mut file = File::open(path)?;
        let (mut pieces, mut n_bytes, mut piece) = (Pieces::default(), 0, vec![0; 1 << 18]);
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok((n_bytes, pieces.digest())),
                Ok(n_read) => {
                    pieces.push(&piece[..n_read]);
                    n_bytes += n_read as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    };
    measure().map_err(|source| DiskError::of("read", path, source))
}

/// Writes a file and waits until it is on the disk; the caller syncs the folder.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        permit()?;
        let mut file = File::create(path)?;
        if let Err(refused) = permit() {
            // A full disk takes a part before it refuses: so does an injected fault.
            file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(refused);
        }
        file.write_all(bytes)?;
        permit()?;
        file.sync_all()
    };
    write().map_err(|source| DiskError::of("write", path, source))
}

/// Adds bytes to the end of a file, `head` first where the file is new or empty, and waits until they are on the disk.
pub(crate) fn append(path: &Path, head: &[u8], bytes: &[u8]) -> Result<()> {
    create_folder(parent(path))?;
    let write = || {
        permit()?;
        let mut file = File::options().append(true).create(true).open(path)?;
        let is_new = file.metadata()?.len() == 0;
        // In one piece, so that two writers do not mix.
        let all = if is_new { [head, bytes].concat() } else { bytes.to_vec() };
        if let Err(refused) = permit() {
            file.write_all(&all[..all.len() / 2])?;
            return Err(refused);
        }
        file.write_all(&all)?;
        file.sync_data()
    };
    write().map_err(|source| DiskError::of("write", path, source))
}

/// Cuts a file to its first bytes.
pub(crate) fn truncate(path: &Path, n_bytes: u64) -> Result<()> {
    let cut = || {
        permit()?;
        File::options().write(true).open(path)?.set_len(n_bytes)
    };
    cut().map_err(|source| DiskError::of("write", path, source))
}

/// Waits until a file that somebody else wrote is on the disk.
pub(crate) fn sync_file(path: &Path) -> Result<()> {
    let sync = || {
        permit()?;
        File::open(path)?.sync_all()
    };
    sync().map_err(|source| DiskError::of("sync", path, source))
}

/// Waits until the names in a folder are on the disk, where the system knows how.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    if cfg!(unix) { sync_file(path) } else { Ok(()) }
}

/// Makes a folder and those above it; one that is there already is fine.
///
/// # Errors
/// When the system refuses, or a file stands in its place.
pub fn create_folder(path: &Path) -> Result<()> {
    let made = permit().and_then(|()| fs::create_dir_all(path));
    made.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => DiskError::IsFile { action: "create", path: path.to_owned() },
        // Not a missing file of the user's: the system has no place for a folder there.
        ErrorKind::NotFound => DiskError::Other { action: "create", path: path.to_owned(), source },
        _ => DiskError::of("create", path, source),
    })
}

/// Gives a file or folder its final name, in one step, and waits until the name is on the disk.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    permit().and_then(|()| fs::rename(from, to)).map_err(|source| DiskError::of("rename to", to, source))?;
    sync_folder(parent(to))
}

/// Removes a folder and all that is in it; one that is not there is fine.
pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    match permit().and_then(|()| fs::remove_dir_all(path)) {
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(()),
        result => result.map_err(|source| DiskError::of("remove", path, source)),
    }
}

/// Returns what is in a folder, sorted by name; a missing folder is empty.
///
/// # Errors
/// When it is no folder or cannot be read.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = match fs::read_dir(folder) {
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|source| DiskError::of("read", folder, source))?,
    };
    let paths: io::Result<Vec<PathBuf>> = read.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(|source| DiskError::of("read", folder, source))?;
    paths.sort();
    Ok(paths)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Lets a disk operation through, unless a test wants this one to fail.
#[cfg(not(test))]
fn permit() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
fn permit() -> io::Result<()> {
    injection::permit()
}

/// Makes the nth disk operation of this thread, and all later ones, fail: a disk that is full stays full.
#[cfg(test)]
pub(crate) mod injection {
    use std::{
        cell::Cell,
        io::{self, ErrorKind},
    };

    thread_local! {
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
        static KIND: Cell<ErrorKind> = const { Cell::new(ErrorKind::StorageFull) };
    }

    /// Runs `work` with a disk that refuses everything after `n_allowed` operations; returns also whether it refused.
    pub(crate) fn failing_after<T>(n_allowed: u32, kind: ErrorKind, work: impl FnOnce() -> T) -> (T, bool) {
        LEFT.set(Some(n_allowed));
        KIND.set(kind);
        let result = work();
        let refused = LEFT.take() == Some(0) && REFUSED.take();
        (result, refused)
    }

    thread_local! {
        static REFUSED: Cell<bool> = const { Cell::new(false) };
    }

    pub(super) fn permit() -> io::Result<()> {
        match LEFT.get() {
            None => Ok(()),
            Some(0) => {
                REFUSED.set(true);
                Err(KIND.get().into())
            }
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_is_all_or_nothing_whichever_operation_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/file.json");
        write_atomic(&path, b"old").unwrap();
        let mut n_failures = 0;
        for n in 0.. {
            let (written, refused) =
                injection::failing_after(n, ErrorKind::StorageFull, || write_atomic(&path, b"newer"));
            let bytes = read(&path).unwrap();
            if !refused {
                written.unwrap();
                assert_eq!(bytes, b"newer");
                break;
            }
            n_failures += 1;
            assert!(matches!(written.unwrap_err(), DiskError::Full { .. }));
            assert!(bytes == b"old" || bytes == b"newer", "{bytes:?}");
            assert_eq!(entries(&folder.path().join("deep")).unwrap(), std::slice::from_ref(&path), "no leftovers");
        }
        assert!(n_failures >= 5, "folder, create, write, sync, rename, sync: {n_failures}");
    }

    #[test]
    fn a_full_device_is_told_apart_from_a_forbidden_one() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            eprintln!("skipped: no /dev/full here");
            return;
        }
        let error = fs::write(full, b"x").map_err(|source| DiskError::of("write", full, source)).unwrap_err();
        assert!(matches!(error, DiskError::Full { .. }), "{error}");
        assert_eq!(error.fault(), Fault::World);
        let error = DiskError::of("write", full, ErrorKind::ReadOnlyFilesystem.into());
        assert!(matches!(error, DiskError::Forbidden { .. }), "{error}");
    }
}
