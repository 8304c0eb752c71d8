//! Locks that outlive a panic of the code that held them.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; what a panicking thread left is taken as it is, because every change under these locks is whole.
pub(super) fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
