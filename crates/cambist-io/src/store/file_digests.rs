//! Digests of large files, remembered with the signs by which a change is seen.

use std::{
    collections::BTreeMap,
    fs::Metadata,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use cambist_core::digest::Digest;
use serde::{Deserialize, Serialize};

use super::{
    Result, StoreView,
    manifest::{read_versioned, to_pretty_json},
};
use crate::{
    clock,
    disk::{self, digest_file},
};

/// The version of the file that keeps them.
const DIGESTS_SCHEMA: u32 = 1;

/// Smaller files are read again: that costs less than to remember them.
const N_BYTES_MIN: u64 = 1 << 20;

/// A file that changed this short a time ago may change again without new signs: clocks of file systems tick as slowly
/// as every two seconds.
const UNSETTLED_NS: i128 = 3_000_000_000;

/// Digests of files outside the store, each with what the file system said of the file when it was read. A file that
/// looks as it did then is not read again.
///
/// A file looks the same when length, inode, device and the times of its last change and of its last change of status
/// are the same to the nanosecond; where the system does not tell these, and where a change is too young to be sure,
/// the file is read.
#[derive(Debug, Default)]
pub struct FileDigests(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    files: BTreeMap<PathBuf, Seen>,
    is_changed: bool,
}

/// A file as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    signs: Signs,
    sha256: Digest,
}

/// What the file system says of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Signs {
    bytes: u64,
    /// Nanoseconds since 1970 (UTC), as are all times here.
    modified_ns: i64,
    changed_ns: i64,
    inode: u64,
    device: u64,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    schema_version: u32,
    files: BTreeMap<PathBuf, Seen>,
}

impl FileDigests {
    /// Returns what [`digest_file`] does, without reading a file that looks as it did when it was last read.
    ///
    /// # Errors
    /// As [`digest_file`].
    pub fn digest(&self, path: &Path) -> disk::Result<Digest> {
        let Some((name, before)) = large(path) else { return digest_file(path) };
        if let Some(seen) = self.hold().files.get(&name).filter(|seen| seen.signs == before) {
            return Ok(seen.sha256.clone());
        }
        let sha256 = digest_file(path)?;
        // A file that was written to meanwhile has a digest of nothing in particular.
        if before.is_settled(clock::now_unix_ms()) && large(path).is_some_and(|(_, after)| after == before) {
            let mut known = self.hold();
            known.files.insert(name, Seen { signs: before, sha256: sha256.clone() });
            known.is_changed = true;
        }
        Ok(sha256)
    }

    fn hold(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file's full name and signs; none when it is small, not there, or the system does not tell enough.
fn large(path: &Path) -> Option<(PathBuf, Signs)> {
    let name = path.canonicalize().ok()?;
    let signs = Signs::of(&name.metadata().ok()?)?;
    (signs.bytes >= N_BYTES_MIN).then_some((name, signs))
}

impl Signs {
    #[cfg(unix)]
    fn of(file: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let ns = |seconds: i64, rest: i64| seconds.checked_mul(1_000_000_000)?.checked_add(rest);
        Some(Self {
            bytes: file.len(),
            modified_ns: ns(file.mtime(), file.mtime_nsec())?,
            changed_ns: ns(file.ctime(), file.ctime_nsec())?,
            inode: file.ino(),
            device: file.dev(),
        })
    }

    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Option<Self> {
        None
    }

    /// Whether both changes lie far enough back; one in the future does not.
    fn is_settled(&self, now_ms: u64) -> bool {
        let now_ns = i128::from(now_ms) * 1_000_000;
        [self.modified_ns, self.changed_ns].into_iter().all(|at| now_ns - i128::from(at) > UNSETTLED_NS)
    }
}

impl StoreView {
    /// Returns the digests that this store remembers; what cannot be read is not remembered.
    pub fn file_digests(&self) -> FileDigests {
        let path = self.digests_path();
        let read = disk::read(&path).ok().and_then(|bytes| read_versioned::<Kept>(&path, &bytes, DIGESTS_SCHEMA).ok());
        let files = read.map(|kept| kept.files).unwrap_or_default();
        FileDigests(Mutex::new(Known { files, is_changed: false }))
    }

    /// Remembers digests for the next run, those of files that are still there; nothing is written when all were
    /// remembered before. Of two programs that do this at once the later one wins, and the other reads its files again.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_file_digests(&self, digests: &FileDigests) -> Result<()> {
        let mut known = digests.hold();
        if !std::mem::take(&mut known.is_changed) {
            return Ok(());
        }
        known.files.retain(|path, _| path.exists());
        let kept = Kept { schema_version: DIGESTS_SCHEMA, files: known.files.clone() };
        Ok(disk::write_atomic(&self.digests_path(), &to_pretty_json("the digests of files", &kept)?)?)
    }

    fn digests_path(&self) -> PathBuf {
        self.root().join("digests.json")
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        time::{Duration, SystemTime},
    };

    use super::*;
    use crate::store::Store;

    /// A large file that nobody touched for an hour, as far as its times tell.
    fn write(path: &Path, byte: u8) {
        fs::write(path, vec![byte; 2 << 20]).unwrap();
        age(path);
    }

    fn age(path: &Path) {
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(path).unwrap().set_modified(hour_ago).unwrap();
    }

    fn n_known(digests: &FileDigests) -> usize {
        digests.hold().files.len()
    }

    /// Makes the change of status old too, which no system call can.
    fn forge(digests: &FileDigests, path: &Path) {
        let (name, signs) = large(path).unwrap();
        let sha256 = Digest::of_bytes(b"remembered");
        digests.hold().files.insert(name, Seen { signs, sha256 });
    }

    #[test]
    fn a_file_that_looks_the_same_is_not_read_and_any_change_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prompts.jsonl");
        write(&path, 1);
        let remembered = Digest::of_bytes(b"remembered");
        let digests = FileDigests::default();
        forge(&digests, &path);
        assert_eq!(digests.digest(&path).unwrap(), remembered, "it was read");
        // The same length and the same time: only the change of status tells, in ticks of some milliseconds.
        std::thread::sleep(Duration::from_millis(30));
        let modified = path.metadata().unwrap().modified().unwrap();
        fs::write(&path, vec![2; 2 << 20]).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(digests.digest(&path).unwrap(), digest_file(&path).unwrap());
        // Another file under the same name.
        forge(&digests, &path);
        let other = folder.path().join("other");
        fs::copy(&path, &other).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(digests.digest(&path).unwrap(), digest_file(&path).unwrap());
        assert!(matches!(digests.digest(&folder.path().join("none")), Err(disk::DiskError::Missing { .. })));
    }

    #[test]
    fn a_young_change_and_a_small_file_are_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let (large, small) = (folder.path().join("large"), folder.path().join("small"));
        write(&large, 1);
        fs::write(&small, b"few").unwrap();
        let digests = FileDigests::default();
        for path in [&large, &small] {
            assert_eq!(digests.digest(path).unwrap(), digest_file(path).unwrap());
        }
        assert_eq!(n_known(&digests), 0, "its status changed just now");
        let signs = super::large(&large).unwrap().1;
        assert!(!signs.is_settled(clock::now_unix_ms()));
        assert!(signs.is_settled(clock::now_unix_ms() + 4_000));
        let ahead = Signs { changed_ns: i64::MAX, ..signs };
        assert!(!ahead.is_settled(clock::now_unix_ms()), "a clock that runs ahead");
    }

    #[test]
    fn a_store_remembers_and_forgets_what_is_gone_or_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let (stays, goes) = (folder.path().join("stays"), folder.path().join("goes"));
        let digests = store.file_digests();
        for path in [&stays, &goes] {
            write(path, 7);
            forge(&digests, path);
        }
        store.keep_file_digests(&digests).unwrap();
        assert!(!store.digests_path().exists(), "nothing was read");
        digests.hold().is_changed = true;
        fs::remove_file(&goes).unwrap();
        store.keep_file_digests(&digests).unwrap();
        let again = store.file_digests();
        assert_eq!(n_known(&again), 1);
        assert_eq!(again.digest(&stays).unwrap(), Digest::of_bytes(b"remembered"));
        fs::write(store.digests_path(), b"{").unwrap();
        assert_eq!(n_known(&store.file_digests()), 0);
    }
}
