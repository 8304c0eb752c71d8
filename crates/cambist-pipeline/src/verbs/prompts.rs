//! `prompts`: reads or makes prompts, gives each a language, removes duplicates, makes disjoint splits.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use cambist_core::{
    identify::identify,
    polyglot::{self, PolyglotSpec, Task},
    prompt::Prompt,
    split::{remove_duplicates, split_by_source},
};
use cambist_io::{
    formats::{self, RawPrompt},
    store::{Artifact, ManifestDraft, Scratch},
};
use serde_json::{Value, json};

use super::{
    Work,
    tables::{read_table, write_table},
};
use crate::{
    error::PipelineError,
    plan::{Input, Job},
    recipe::params::{PolyglotParams, PromptsParams},
    run::Workshop,
};

/// The set of a `prompts` step without splits.
const WHOLE: &str = "prompts";

/// Makes the artifact.
pub(super) fn make((workshop, job, scratch): Work<'_>, params: &PromptsParams) -> Result<Artifact, PipelineError> {
    let seed = workshop.plan.recipe.seed;
    let mut dropped = Dropped::default();
    let prompts = match (&params.polyglot, &params.file) {
        (Some(task), _) => invent(job, params, (task, seed))?,
        (None, Some(file)) => from_file(&workshop.plan.folder.join(file), params, &mut dropped)?,
        (None, None) => Vec::new(),
    };
    let (prompts, duplicates) = remove_duplicates(prompts);
    for duplicate in &duplicates {
        dropped.add(&duplicate.id, "duplicate", json!({ "same_as": duplicate.same_as }));
    }
    if prompts.is_empty() {
        let what = format!("no prompts are left ({} were dropped)", dropped.lines.len());
        return Err(PipelineError::input(&job.label, what, "check the file and `languages`"));
    }
    let sets = sets(job, &prompts, (params, seed))?;
    write(job, scratch, &sets, &dropped)
}

/// Reads the prompts of all `inputs`, in their order.
pub(super) fn read_prompts<'a>(
    workshop: &Workshop<'_>,
    inputs: impl Iterator<Item = &'a Input>,
) -> Result<Vec<Prompt>, PipelineError> {
    let mut prompts = Vec::new();
    let mut seen = BTreeSet::new();
    for input in inputs.filter(|input| seen.insert((input.id.clone(), input.part.clone()))) {
        let artifact = workshop.artifact(&input.id)?;
        prompts.extend(read_table::<Prompt>(&artifact, &file_of(&input.part))?);
    }
    Ok(prompts)
}

/// The file of a set in a `prompts` artifact.
pub(crate) fn file_of(set: &str) -> String {
    format!("{}.parquet", if set.is_empty() { WHOLE } else { set })
}

fn invent(
    job: &Job,
    params: &PromptsParams,
    (task, seed): (&PolyglotParams, u64),
) -> Result<Vec<Prompt>, PipelineError> {
    let parse = |name: &String| {
        let remedy = format!("known here: {}", Task::ALL.map(Task::name).join(", "));
        Task::parse(name).map_err(|error| PipelineError::input(&job.label, error.to_string(), remedy))
    };
    let spec = PolyglotSpec {
        languages: if params.languages.is_empty() { polyglot::languages() } else { params.languages.clone() },
        tasks: task.tasks.iter().map(parse).collect::<Result<_, _>>()?,
        n_sources: task.sources.unwrap_or_else(|| params.splits.values().sum()),
        seed,
    };
    if spec.n_sources == 0 {
        return Err(PipelineError::input(&job.label, "`polyglot` makes no sources", "set `sources`, or name `splits`"));
    }
    Ok(polyglot::generate(&spec)?)
}

fn from_file(path: &Path, params: &PromptsParams, dropped: &mut Dropped) -> Result<Vec<Prompt>, PipelineError> {
    let stem =
        path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('.').next()).unwrap_or("file");
    let mut prompts = Vec::new();
    for (at, raw) in formats::read_prompts(path, &params.columns)?.into_iter().enumerate() {
        let name = format!("{stem}-{at}");
        let id = raw.id.clone().unwrap_or_else(|| name.clone());
        let Some(language) = raw.language.clone().or_else(|| params.language.clone()).or_else(|| guess(&raw)) else {
            dropped.add(&id, "no_language", json!({ "place": raw.place.to_string() }));
            continue;
        };
        if !params.languages.is_empty() && !params.languages.contains(&language) {
            dropped.add(&id, "other_language", json!({ "language": language }));
            continue;
        }
        let mut prompt = raw.into_prompt(language, name);
        if prompt.source.is_empty() {
            prompt.source = stem.to_owned();
        }
        prompts.push(prompt);
    }
    Ok(prompts)
}

/// The language of the user's last turn, as far as its letters tell.
fn guess(raw: &RawPrompt) -> Option<cambist_core::language::Language> {
    raw.messages.iter().rev().find_map(|message| identify(&message.content)).map(|found| found.language)
}

/// The named sets, each cut to `limit` sources.
fn sets(
    job: &Job,
    prompts: &[Prompt],
    (params, seed): (&PromptsParams, u64),
) -> Result<BTreeMap<String, Vec<Prompt>>, PipelineError> {
    let mut sets = if params.splits.is_empty() {
        BTreeMap::from([(WHOLE.to_owned(), prompts.to_vec())])
    } else {
        split_by_source(prompts, &params.splits, seed)
            .map_err(|error| PipelineError::input(&job.label, error.to_string(), "see `splits`"))?
    };
    if let Some(limit) = params.limit {
        for set in sets.values_mut() {
            let mut kept: BTreeSet<String> = BTreeSet::new();
            set.retain(|prompt| {
                kept.contains(&prompt.source_id) || (kept.len() < limit && kept.insert(prompt.source_id.clone()))
            });
        }
    }
    Ok(sets)
}

fn write(
    job: &Job,
    scratch: Scratch,
    sets: &BTreeMap<String, Vec<Prompt>>,
    dropped: &Dropped,
) -> Result<Artifact, PipelineError> {
    let mut draft = ManifestDraft { step: job.label.clone(), kind: "prompts".into(), ..ManifestDraft::default() };
    for (name, prompts) in sets {
        write_table(&scratch, &file_of(name), prompts)?;
        draft.counts.insert(name.clone(), prompts.len() as u64);
    }
    scratch.write("dropped.jsonl", dropped.lines.concat().as_bytes())?;
    draft.failures = dropped.reasons.clone();
    Ok(scratch.commit(draft)?)
}

/// Prompts that were left out, and why.
#[derive(Default)]
struct Dropped {
    lines: Vec<String>,
    reasons: BTreeMap<String, u64>,
}

impl Dropped {
    fn add(&mut self, id: &str, reason: &str, detail: Value) {
        self.lines.push(format!("{}\n", json!({ "id": id, "reason": reason, "detail": detail })));
        *self.reasons.entry(reason.to_owned()).or_default() += 1;
    }
}
