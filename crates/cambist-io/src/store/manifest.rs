//! What an artifact says of itself.

use std::{collections::BTreeMap, path::Path};

use cambist_core::digest::Digest;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{ArtifactId, Identity, Input, Result, StoreError};

/// The version of [`Manifest`] that is written.
pub const MANIFEST_SCHEMA: u32 = 1;

/// What an artifact says of itself: all that made it and all that is in it.
///
/// Nothing here depends on the time or the machine, so that a run that was killed and resumed and one that was not
/// write the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_SCHEMA`] of the program that wrote it.
    pub schema_version: u32,
    /// The artifact's name.
    pub id: ArtifactId,
    /// The verb that made it.
    pub verb: String,
    /// The step of the recipe that made it first.
    pub step: String,
    /// What it holds: `prompts`, `completions`, `checkpoint`.
    pub kind: String,
    /// The revision of the verb's meaning.
    pub revision: u32,
    /// The typed parameters, keys sorted.
    pub params: Value,
    /// What went in.
    pub inputs: Vec<Input>,
    /// Where the random numbers came from.
    pub seed: u64,
    /// Every file by its path below the artifact, with `/` between folders; not the manifest and not the timing.
    pub files: BTreeMap<String, FileEntry>,
    /// How many of what: `prompts`, `tokens`, `calls`.
    pub counts: BTreeMap<String, u64>,
    /// How many rows failed, by reason.
    pub failures: BTreeMap<String, u64>,
    /// The version of the program that made it.
    pub cambist_version: String,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// One file of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its length.
    pub bytes: u64,
    /// Its digest, as `sha256sum` prints it.
    pub sha256: Digest,
}

/// What a step knows about its artifact beyond the files; the store adds the rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ManifestDraft {
    /// The step of the recipe.
    pub step: String,
    /// What the artifact holds.
    pub kind: String,
    /// How many of what.
    pub counts: BTreeMap<String, u64>,
    /// How many rows failed, by reason.
    pub failures: BTreeMap<String, u64>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// Threads that worked on it; goes into the timing file only.
    pub threads: usize,
}

/// How long an artifact took; kept beside the manifest because it differs from run to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Runtime {
    /// Milliseconds since 1970 (UTC) when the step began.
    pub started_at_unix_ms: u64,
    /// Seconds from the beginning of the step, or of its last resumption, to its end.
    pub seconds: f64,
    /// Threads that worked on it.
    pub threads: usize,
}

impl Manifest {
    pub(super) fn new(identity: Identity, draft: ManifestDraft, files: BTreeMap<String, FileEntry>) -> Self {
        let id = identity.id();
        let mut params = identity.params;
        params.sort_all_objects();
        Self {
            schema_version: MANIFEST_SCHEMA,
            id,
            verb: identity.verb,
            step: draft.step,
            kind: draft.kind,
            revision: identity.revision,
            params,
            inputs: identity.inputs,
            seed: identity.seed,
            files,
            counts: draft.counts,
            failures: draft.failures,
            cambist_version: env!("CARGO_PKG_VERSION").to_owned(),
            notes: draft.notes,
        }
    }

    /// Returns what decided the artifact's contents; its digest is the artifact's name again.
    pub fn identity(&self) -> Identity {
        Identity {
            verb: self.verb.clone(),
            revision: self.revision,
            params: self.params.clone(),
            inputs: self.inputs.clone(),
            seed: self.seed,
        }
    }
}

/// Reads a record that carries `schema_version`; a new version gets its own arm here and a reader of the old one.
pub(super) fn read_versioned<T: DeserializeOwned>(path: &Path, bytes: &[u8], supported: u32) -> Result<T> {
    let unreadable =
        |error: serde_json::Error| StoreError::Unreadable { path: path.to_owned(), reason: error.to_string() };
    let value: Value = serde_json::from_slice(bytes).map_err(unreadable)?;
    let version = value.get("schema_version");
    if version.and_then(Value::as_u64) == Some(u64::from(supported)) {
        return serde_json::from_value(value).map_err(unreadable);
    }
    let found = version.map_or("none".to_owned(), Value::to_string);
    Err(StoreError::Schema { path: path.to_owned(), found, supported: supported.to_string() })
}

/// Returns the bytes of a record as people read it, ending in a line break.
pub(super) fn to_pretty_json<T: Serialize>(what: &'static str, record: &T) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(record).map_err(|source| StoreError::Encode { what, source })?;
    bytes.push(b'\n');
    Ok(bytes)
}
