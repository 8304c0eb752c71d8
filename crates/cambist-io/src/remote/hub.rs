//! The Hugging Face Hub.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::{
    HubAddress, HubKind, Places, RemoteError,
    address::{encode, is_inside},
    cache::{Cache, is_commit},
    download::{Expected, Fetcher},
};
use crate::formats::{files_of, is_readable_name, path_fits};

/// A file or folder of a repository, as the Hub lists it.
#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    oid: String,
    size: Option<u64>,
    lfs: Option<Large>,
}

/// A large file: the repository itself has only a pointer to it.
#[derive(Debug, Deserialize)]
struct Large {
    oid: String,
    size: u64,
}

/// Brings what an address names into the cache; returns its path in the snapshot of the commit.
pub(super) fn fetch(address: &HubAddress, places: &Places) -> Result<PathBuf, RemoteError> {
    let cache = Cache::new(&places.cache, address);
    if places.is_offline {
        return cached(address, &cache);
    }
    let fetcher = Fetcher::new(places.token.clone())?;
    let commit = commit_of(address, (&fetcher, &places.hub))?;
    let all = list(address, (&fetcher, &places.hub, &commit))?;
    let wanted: Vec<&Entry> = all.iter().filter(|entry| is_wanted(address, &all, entry)).collect();
    if wanted.is_empty() {
        return Err(nothing_there(address, &all));
    }
    for entry in wanted {
        bring(address, (&fetcher, &cache, &places.hub), (&commit, entry))?;
    }
    cache.note(&address.revision, &commit)?;
    Ok(cache.snapshot(&commit).join(&address.path))
}

/// Looks into the cache alone.
fn cached(address: &HubAddress, cache: &Cache) -> Result<PathBuf, RemoteError> {
    let path = cache.commit(&address.revision).map(|commit| cache.snapshot(&commit).join(&address.path));
    let is_there = |path: &PathBuf| files_of(path).is_ok_and(|files| files.iter().all(|file| file.exists()));
    path.filter(is_there).ok_or_else(|| RemoteError::Offline {
        what: format!("{}/{}@{}/{}", address.kind.plural(), address.repository, address.revision, address.path),
        cache: cache.folder().to_owned(),
    })
}

fn api(address: &HubAddress, hub: &str) -> String {
    format!("{hub}/api/{}/{}", address.kind.plural(), address.repository)
}

fn commit_of(address: &HubAddress, (fetcher, hub): (&Fetcher, &str)) -> Result<String, RemoteError> {
    if is_commit(&address.revision) {
        return Ok(address.revision.clone());
    }
    let url = format!("{}/revision/{}", api(address, hub), encode(&address.revision).replace('/', "%2F"));
    let (answer, _) = fetcher.json(&url)?;
    let commit = answer.get("sha").and_then(Value::as_str).filter(|sha| is_commit(sha));
    commit.map(str::to_owned).ok_or(RemoteError::Unreachable { url, reason: "the answer names no commit".to_owned() })
}

fn list(address: &HubAddress, (fetcher, hub, commit): (&Fetcher, &str, &str)) -> Result<Vec<Entry>, RemoteError> {
    let mut entries = Vec::new();
    let mut next = Some(format!("{}/tree/{commit}?recursive=1", api(address, hub)));
    while let Some(url) = next {
        let (page, after) = fetcher.json(&url)?;
        let unreadable =
            |error: serde_json::Error| RemoteError::Unreachable { url: url.clone(), reason: error.to_string() };
        entries.extend(serde_json::from_value::<Vec<Entry>>(page).map_err(unreadable)?);
        // A page elsewhere would get the token.
        next = after.filter(|after| after.starts_with(&format!("{hub}/")));
    }
    entries.retain(|entry| entry.kind == "file" && is_inside(&entry.path) && !entry.path.is_empty());
    Ok(entries)
}

fn is_wanted(address: &HubAddress, all: &[Entry], entry: &Entry) -> bool {
    let path = address.path.as_str();
    if all.iter().any(|entry| entry.path == path) {
        return entry.path == path;
    }
    let below = if path.is_empty() { Some(entry.path.as_str()) } else { entry.path.strip_prefix(&format!("{path}/")) };
    let is_in_folder = below.is_some_and(|name| !name.contains('/') && is_readable_name(name));
    is_in_folder || path_fits(path, &entry.path)
}

fn nothing_there(address: &HubAddress, all: &[Entry]) -> RemoteError {
    let some: Vec<String> = all.iter().take(10).map(|entry| format!("`{}`", entry.path)).collect();
    let more = if all.len() > 10 { format!(" and {} more", all.len() - 10) } else { String::new() };
    RemoteError::NothingThere {
        repository: address.repository.clone(),
        revision: address.revision.clone(),
        path: address.path.clone(),
        found: if some.is_empty() { "nothing".to_owned() } else { format!("{}{more}", some.join(", ")) },
    }
}

fn bring(
    address: &HubAddress,
    (fetcher, cache, hub): (&Fetcher, &Cache, &str),
    (commit, entry): (&str, &Entry),
) -> Result<(), RemoteError> {
    let name = entry.lfs.as_ref().map_or(&entry.oid, |large| &large.oid);
    if !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let reason = format!("`{}` has the digest `{name}`", entry.path);
        return Err(RemoteError::Unreachable { url: api(address, hub), reason });
    }
    let blob = cache.blob(name);
    if !blob.exists() {
        let of_kind = if address.kind == HubKind::Dataset { "datasets/" } else { "" };
        let url = format!("{hub}/{of_kind}{}/resolve/{commit}/{}", address.repository, encode(&entry.path));
        let size = entry.lfs.as_ref().map(|large| large.size).or(entry.size);
        let sha256 = entry.lfs.as_ref().map(|large| large.oid.as_str());
        fetcher.file(&url, &blob, &Expected { size, sha256 })?;
    }
    cache.link((commit, &entry.path), name)
}
