//! Buckets that speak S3, configured by the usual `AWS_` variables.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use cambist_core::digest::Digest;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, aws::AmazonS3Builder, path::Path as Key};

use super::{Places, RemoteError, address::is_inside};
use crate::{
    disk::{self, DiskError},
    formats::{is_readable_name, path_fits},
};

const EXPECTED: &str = "`s3://BUCKET/KEY`";

/// Bytes asked for at once.
const PIECE: u64 = 8 << 20;

/// Brings the objects of an address into the cache. Their folder is named by their names and versions, so that changed
/// objects are fetched anew.
pub(super) fn fetch(address: &str, places: &Places) -> Result<PathBuf, RemoteError> {
    let wrong = || RemoteError::Address { address: address.to_owned(), expected: EXPECTED };
    let (bucket, key) = address.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
    let key = key.trim_matches('/');
    if bucket.is_empty() || !is_inside(bucket) || !is_inside(key) {
        return Err(wrong());
    }
    let failed = |reason: String| RemoteError::Unreachable { url: address.to_owned(), reason };
    let said = |error: object_store::Error| failed(error.to_string());
    let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build().map_err(said)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RemoteError::Runtime { reason: error.to_string() })?;
    runtime.block_on(async {
        let found = list(&store, key).await.map_err(said)?;
        if found.is_empty() {
            let (repository, path) = (bucket.to_owned(), key.to_owned());
            let found = "nothing that does".to_owned();
            return Err(RemoteError::NothingThere { repository, revision: "now".to_owned(), path, found });
        }
        let names: Vec<String> =
            found.iter().map(|object| format!("{:?}", (&object.location, &object.e_tag))).collect();
        let version = Digest::of_parts(names.iter().map(String::as_bytes));
        let folder = places.cache.join(format!("buckets--{bucket}")).join(version.short());
        for object in &found {
            bring(&store, object, &folder.join(object.location.as_ref())).await.map_err(|error| error.told(address))?;
        }
        Ok(folder.join(key))
    })
}

/// The object called `key`, or those right below it, or those that fit it.
async fn list(store: &dyn ObjectStore, key: &str) -> object_store::Result<Vec<ObjectMeta>> {
    let is_pattern = key.contains(['*', '?']);
    if !is_pattern && let Ok(object) = store.head(&Key::from(key)).await {
        return Ok(vec![object]);
    }
    let plain: Vec<&str> = key.split('/').take_while(|part| !part.contains(['*', '?'])).collect();
    let below = store.list_with_delimiter(Some(&Key::from(plain.join("/")))).await?;
    let is_wanted = |object: &ObjectMeta| {
        let name = object.location.as_ref();
        if is_pattern { path_fits(key, name) } else { is_readable_name(name.rsplit('/').next().unwrap_or(name)) }
    };
    let mut found: Vec<ObjectMeta> = below.objects.into_iter().filter(is_wanted).collect();
    found.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(found)
}

/// What went wrong with one object.
enum Broken {
    Disk(DiskError),
    Store(object_store::Error),
}

impl Broken {
    fn told(self, address: &str) -> RemoteError {
        match self {
            Self::Disk(error) => error.into(),
            Self::Store(error) => RemoteError::Unreachable { url: address.to_owned(), reason: error.to_string() },
        }
    }
}

async fn bring(store: &dyn ObjectStore, object: &ObjectMeta, goal: &Path) -> Result<(), Broken> {
    if goal.exists() {
        return Ok(());
    }
    disk::create_folder(goal.parent().unwrap_or(Path::new("."))).map_err(Broken::Disk)?;
    let partial = goal.with_added_extension("incomplete");
    let failed = |source| Broken::Disk(DiskError::of("write", &partial, source));
    let mut at = fs::metadata(&partial).map_or(0, |entry| entry.len()).min(object.size);
    let mut file = File::options().create(true).append(true).open(&partial).map_err(failed)?;
    while at < object.size {
        let end = (at + PIECE).min(object.size);
        let bytes = store.get_range(&object.location, at..end).await.map_err(Broken::Store)?;
        file.write_all(&bytes).map_err(failed)?;
        at = end;
    }
    file.sync_all().map_err(failed)?;
    disk::rename(&partial, goal).map_err(Broken::Disk)
}
