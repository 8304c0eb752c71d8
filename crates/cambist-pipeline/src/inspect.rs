//! Looking at a store: what is there, what made it, what nobody needs any more.

use std::{collections::BTreeSet, path::PathBuf};

use cambist_io::{
    formats::{self, FormatError},
    store::{Artifact, ArtifactId, Store, StoreError, StoreView},
};
use serde::Serialize;
use serde_json::Value;

use crate::error::PipelineError;

/// An artifact and what went into it, for `cambist why`.
#[derive(Clone, Debug, Serialize)]
pub struct Lineage {
    /// What the reader above calls it: a step, or the role in which it was read.
    pub role: String,
    /// The artifact.
    pub id: ArtifactId,
    /// The step that made it first.
    pub step: String,
    /// How many of what it holds.
    pub counts: Vec<(String, u64)>,
    /// Whether its inputs were listed above already.
    pub seen: bool,
    /// Whether it is no longer in the store.
    pub missing: bool,
    /// What went into it.
    pub inputs: Vec<Lineage>,
}

/// Finds an artifact by `recipe.step`, or by the beginning of its name or digest.
///
/// # Errors
/// When nothing or more than one thing is called so.
pub fn find(store: &StoreView, name: &str) -> Result<Artifact, PipelineError> {
    if let Some((recipe, step)) = name.split_once('.')
        && let Some(run) = store.run(recipe)?
    {
        let of_step = run.steps.iter().find(|made| made.step == step).map(|made| made.artifact.clone());
        let Some(id) = of_step else {
            let known: Vec<&str> = run.steps.iter().map(|made| made.step.as_str()).collect();
            let what = format!("the last run of `{recipe}` made no `{step}`");
            return Err(PipelineError::input(name, what, format!("it made: {}", known.join(", "))));
        };
        let gone = || PipelineError::input(name, format!("`{id}` is not in the store"), "run the recipe again");
        return store.find(&id)?.ok_or_else(gone);
    }
    Ok(store.resolve(name)?)
}

/// Walks from an artifact back to everything that made it; what occurs twice is opened once.
///
/// # Errors
/// When a manifest cannot be read.
pub fn lineage(store: &StoreView, artifact: &Artifact) -> Result<Lineage, PipelineError> {
    let mut seen = BTreeSet::new();
    walk(store, String::new(), &artifact.manifest().id, &mut seen)
}

fn walk(
    store: &StoreView,
    role: String,
    id: &ArtifactId,
    seen: &mut BTreeSet<ArtifactId>,
) -> Result<Lineage, PipelineError> {
    let first_time = seen.insert(id.clone());
    let Some(artifact) = store.find(id)? else {
        let (step, counts, inputs) = (String::new(), Vec::new(), Vec::new());
        return Ok(Lineage { role, id: id.clone(), step, counts, seen: false, missing: true, inputs });
    };
    let manifest = artifact.manifest();
    let inputs = if first_time {
        let mut named: Vec<_> = manifest.inputs.iter().collect();
        named.dedup_by(|a, b| a.id == b.id);
        named.into_iter().map(|input| walk(store, input.name.clone(), &input.id, seen)).collect::<Result<_, _>>()?
    } else {
        Vec::new()
    };
    let counts = manifest.counts.iter().map(|(what, n)| (what.clone(), *n)).collect();
    Ok(Lineage { role, id: id.clone(), step: manifest.step.clone(), counts, seen: !first_time, missing: false, inputs })
}

/// What garbage collection removed, or would remove.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Garbage {
    /// Artifacts that no recipe's last run reaches, with their sizes in bytes.
    pub unreachable: Vec<(ArtifactId, u64)>,
    /// Folders that are no sound artifacts, with the reason.
    pub damaged: Vec<(PathBuf, String)>,
}

/// Returns what no recipe's last run reaches, and what is damaged; `verify` compares every file with its manifest.
///
/// Artifacts of another version of this program are neither.
///
/// # Errors
/// When a run record cannot be read: what it keeps is then unknown.
pub fn find_garbage(store: &StoreView, verify: bool) -> Result<Garbage, PipelineError> {
    let reachable = store.reachable()?;
    let listing = store.list()?;
    let is_damage = |error: &StoreError| !matches!(error, StoreError::Schema { .. });
    let damaged = listing.damaged.iter().filter(|(_, error)| is_damage(error));
    let mut garbage = Garbage {
        damaged: damaged.map(|(folder, error)| (folder.clone(), error.to_string())).collect(),
        ..Garbage::default()
    };
    for artifact in &listing.artifacts {
        let id = &artifact.manifest().id;
        if !reachable.contains(id) {
            garbage.unreachable.push((id.clone(), n_bytes(artifact)));
        } else if verify && let Err(error) = artifact.verify() {
            garbage.damaged.push((artifact.folder().to_owned(), error.to_string()));
        }
    }
    Ok(garbage)
}

/// Removes what no recipe's last run reaches, and what is damaged where `corrupt` says so.
///
/// # Errors
/// When the disk refuses.
pub fn remove_garbage(store: &Store, garbage: &Garbage, corrupt: bool) -> Result<(), PipelineError> {
    for (id, _) in &garbage.unreachable {
        store.remove(id)?;
    }
    for (folder, _) in garbage.damaged.iter().filter(|_| corrupt) {
        store.remove_damaged(folder)?;
    }
    Ok(())
}

/// The size of an artifact's files by its manifest.
pub fn n_bytes(artifact: &Artifact) -> u64 {
    artifact.manifest().files.values().map(|file| file.bytes).sum()
}

/// Returns the first `n_rows` rows of each table of the artifact as JSON text, by the name of its file; a table may be
/// empty.
///
/// # Errors
/// When a table cannot be read.
pub fn first_rows(artifact: &Artifact, n_rows: usize) -> Result<Vec<(String, Vec<String>)>, PipelineError> {
    let tables = artifact.manifest().files.keys().filter(|name| name.ends_with(".parquet"));
    let first = |name: &String| -> Result<_, PipelineError> {
        let rows = match formats::rows::open_rows(&artifact.path(name)?) {
            Err(FormatError::Empty { .. }) => return Ok((name.clone(), Vec::new())),
            rows => rows?.take(n_rows),
        };
        let shown = rows.filter_map(|row| row.ok()).map(|row| Value::Object(row.fields).to_string());
        Ok((name.clone(), shown.collect()))
    };
    tables.map(first).collect()
}
