//! Which artifacts hold the prompts, answers, scores and decisions behind one artifact.

use std::collections::BTreeSet;

use cambist_core::gates::Gates;
use cambist_io::store::{Artifact, StoreView};

use crate::{
    error::PipelineError,
    verbs::{SCORES, file_of},
};

/// The verbs whose artifacts can be viewed, the one worth most to a reader first.
pub(super) const VIEWABLE: [&str; 4] = ["select", "fuse", "score", "generate"];

/// What a view is read from.
#[derive(Debug)]
pub(super) struct Sources {
    /// The artifact that was named.
    pub artifact: Artifact,
    /// Files of prompts with the artifacts that hold them.
    pub prompts: Vec<(Artifact, String)>,
    /// Artifacts that hold answers.
    pub answers: Vec<Artifact>,
    /// Artifacts that hold scores.
    pub scores: Vec<Artifact>,
    /// What an answer must pass.
    pub gates: Gates,
}

impl Sources {
    /// Finds them by what the artifact's manifest names.
    ///
    /// # Errors
    /// When the artifact holds no answers, or something behind it is gone or not readable.
    pub(super) fn of(store: &StoreView, artifact: Artifact) -> Result<Self, PipelineError> {
        let verb = artifact.manifest().verb.clone();
        let gates = match verb.as_str() {
            "select" | "fuse" => gates_of(&artifact)?,
            "score" | "generate" => Gates::default(),
            _ => return Err(not_viewable(&artifact)),
        };
        // What was fused is read beside its candidates.
        let mut answers: Vec<Artifact> =
            ["generate", "fuse"].contains(&verb.as_str()).then(|| artifact.clone()).into_iter().collect();
        if verb != "generate" {
            answers.extend(behind(store, &artifact, "from")?);
        }
        let own = if verb == "score" { vec![artifact.clone()] } else { behind(store, &artifact, "scores")? };
        let is_scored = |answers: &&Artifact| answers.manifest().files.contains_key(SCORES);
        let n_beside = if own.is_empty() { answers.len() } else { usize::from(verb == "fuse") };
        let beside = answers.iter().take(n_beside).filter(is_scored).cloned();
        let scores = own.iter().cloned().chain(beside).collect();
        let mut prompts = Vec::new();
        let mut seen = BTreeSet::new();
        for holder in std::iter::once(&artifact).chain(&answers) {
            for (artifact, part) in parts(store, holder, "prompts")? {
                if seen.insert((artifact.manifest().id.to_string(), part.clone())) {
                    prompts.push((artifact, file_of(&part)));
                }
            }
        }
        Ok(Self { artifact, prompts, answers, scores, gates })
    }
}

fn gates_of(artifact: &Artifact) -> Result<Gates, PipelineError> {
    let manifest = artifact.manifest();
    let gates = manifest.params.pointer(&format!("/{}/gates", manifest.verb)).cloned();
    gates.map_or_else(|| Ok(Gates::default()), serde_json::from_value).map_err(|error| {
        let name = artifact.manifest().id.to_string();
        PipelineError::input(&name, format!("its gates are not readable: {error}"), "run the recipe again")
    })
}

fn not_viewable(artifact: &Artifact) -> PipelineError {
    let manifest = artifact.manifest();
    let what = format!("a `{}` artifact holds no candidates", manifest.verb);
    PipelineError::input(&manifest.id.to_string(), what, format!("name one of {}", VIEWABLE.join(", ")))
}

/// The artifacts that one went into under a role.
fn behind(store: &StoreView, artifact: &Artifact, role: &str) -> Result<Vec<Artifact>, PipelineError> {
    Ok(parts(store, artifact, role)?.into_iter().map(|(artifact, _)| artifact).collect())
}

/// The same with the part of each that was read.
fn parts(store: &StoreView, artifact: &Artifact, role: &str) -> Result<Vec<(Artifact, String)>, PipelineError> {
    let inputs = artifact.manifest().inputs.iter().filter_map(|input| {
        let rest = input.name.strip_prefix(role)?;
        let part = if rest.is_empty() { rest } else { rest.strip_prefix(' ')? };
        Some((input, part))
    });
    // A strategy's own answers, `from NAME`, are not shared; the parts of prompts are.
    let inputs = inputs.filter(|(_, part)| role == "prompts" || part.is_empty());
    let found = inputs.map(|(input, part)| {
        let gone = || {
            let name = artifact.manifest().id.to_string();
            PipelineError::input(
                &name,
                format!("`{}`, which it was made from, is gone", input.id),
                "run the recipe again",
            )
        };
        Ok((store.find(&input.id)?.ok_or_else(gone)?, part.to_owned()))
    });
    found.collect()
}
