//! One writer at a time.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Seek as _, Write as _},
    path::Path,
};

use super::{Result, StoreError};
use crate::disk::DiskError;

/// The store's lock; the system gives it back when the value is dropped or the process ends in any way.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the store at `root` without waiting and leaves this process's id in it.
    pub(super) fn take(root: &Path) -> Result<Self> {
        let path = root.join("lock");
        let failed = |source| DiskError::of("lock", &path, source);
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked_by_another(root, &path)),
            Err(TryLockError::Error(source)) => return Err(failed(source).into()),
        }
        let write_pid = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write_pid(&mut file).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn locked_by_another(root: &Path, path: &Path) -> StoreError {
    let pid = std::fs::read_to_string(path).unwrap_or_default();
    let pid = if pid.trim().is_empty() { "unknown".to_owned() } else { pid.trim().to_owned() };
    StoreError::Locked { path: root.to_owned(), pid }
}
