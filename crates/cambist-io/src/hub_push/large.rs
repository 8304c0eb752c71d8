//! Large files: asked for by digest, sent where the Hub says, in parts where it wants that.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{PushError, Upload, http::Http};
use crate::disk::DiskError;

/// Objects that are asked about at once.
const CHUNK: usize = 100;

/// Sends the files that the Hub does not have, and returns how many these were.
pub(super) fn send(http: &Http, repo: &str, uploads: &[&Upload]) -> Result<usize, PushError> {
    let mut n_sent = 0;
    for chunk in uploads.chunks(CHUNK) {
        let objects: Vec<Value> =
            chunk.iter().map(|upload| json!({"oid": upload.sha256, "size": upload.n_bytes})).collect();
        let body = json!({
            "operation": "upload", "transfers": ["basic", "multipart"], "hash_algo": "sha256",
            "ref": {"name": "refs/heads/main"}, "objects": objects,
        });
        let reply = http.post_lfs(&format!("/datasets/{repo}.git/info/lfs/objects/batch"), &body)?;
        for object in reply.get("objects").and_then(Value::as_array).into_iter().flatten() {
            let oid = object.get("oid").and_then(Value::as_str).unwrap_or_default();
            if let Some(upload) = chunk.iter().find(|upload| upload.sha256.as_str() == oid) {
                n_sent += usize::from(send_one(http, upload, object)?);
            }
        }
    }
    Ok(n_sent)
}

/// Sends one file; false when the Hub has it.
fn send_one(http: &Http, upload: &Upload, object: &Value) -> Result<bool, PushError> {
    let name = &upload.name;
    if let Some(error) = object.get("error").filter(|error| !error.is_null()) {
        let status = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
        let reason = error.get("message").and_then(Value::as_str).unwrap_or("no reason").to_owned();
        return Err(PushError::Refused { what: name.clone(), status, reason, remedy: "" });
    }
    let Some(action) = object.pointer("/actions/upload") else { return Ok(false) };
    let missing =
        |what: &str| PushError::Unreachable { what: name.clone(), reason: format!("the reply has no `{what}`") };
    let href = action.get("href").and_then(Value::as_str).ok_or_else(|| missing("href"))?;
    let header = action.get("header").and_then(Value::as_object);
    match header.filter(|header| header.contains_key("chunk_size")) {
        Some(header) => in_parts(http, upload, (href, header))?,
        None => {
            http.put(name, href, &part(upload, 0, upload.n_bytes)?)?;
        }
    }
    if let Some(verify) = object.pointer("/actions/verify/href").and_then(Value::as_str) {
        http.post_lfs(verify, &json!({"oid": upload.sha256, "size": upload.n_bytes}))?;
    }
    Ok(true)
}

fn in_parts(http: &Http, upload: &Upload, (href, header): (&str, &Map<String, Value>)) -> Result<(), PushError> {
    let unfit = |reason: String| PushError::Unreachable { what: upload.name.clone(), reason };
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let size = header.get("chunk_size").and_then(number).filter(|size| *size > 0);
    let size = size.ok_or_else(|| unfit("the reply has no `chunk_size`".to_owned()))?;
    let mut urls: Vec<(u64, &str)> =
        header.iter().filter_map(|(name, url)| Some((name.parse().ok()?, url.as_str()?))).collect();
    urls.sort_unstable();
    let n_parts = upload.n_bytes.div_ceil(size);
    if urls.len() as u64 != n_parts {
        return Err(unfit(format!("found {} addresses, expected {n_parts}", urls.len())));
    }
    let mut parts = Vec::new();
    for (at, (number, url)) in (0..).zip(urls) {
        let bytes = part(upload, at * size, size.min(upload.n_bytes - at * size))?;
        let etag = http.put(&upload.name, url, &bytes)?;
        parts.push(json!({"partNumber": number, "etag": etag}));
    }
    http.post_lfs(href, &json!({"oid": upload.sha256, "parts": parts}))?;
    Ok(())
}

fn part(upload: &Upload, at: u64, n_bytes: u64) -> Result<Bytes, PushError> {
    let failed = |source| DiskError::of("read", &upload.path, source);
    let mut file = File::open(&upload.path).map_err(failed)?;
    file.seek(SeekFrom::Start(at)).map_err(failed)?;
    let mut bytes = vec![0; usize::try_from(n_bytes).unwrap_or(usize::MAX)];
    file.read_exact(&mut bytes).map_err(failed)?;
    Ok(Bytes::from(bytes))
}
