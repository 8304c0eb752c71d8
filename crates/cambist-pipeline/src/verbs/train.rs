//! `train`: rows to a checkpoint, through the one trainer.

mod comparison;
mod preferences;
mod rows;
mod watch;

use std::{collections::BTreeSet, path::PathBuf};

use cambist_core::prompt::{Message, Role};
use cambist_io::store::{Artifact, ManifestDraft, Scratch};
use cambist_model::{
    Dtype, Head, LocalModel, ModelFiles, Objective, ReferenceSource, RowContent, TrainConfig, TrainRow, TrainSummary,
    Training, run, train_tokenizer,
};

use self::{
    comparison::Comparison,
    preferences::both_kinds,
    rows::read_rows,
    watch::{Logs, Watch},
};
use super::Work;
use crate::{
    checkpoint::{Bases, Checkpoint},
    error::{ModelFault, PipelineError},
    plan::Job,
    recipe::params::{NewModel, TrainParams},
    run::Workshop,
};

/// One line for the objective, then one for each step: loss, rate, gradient norm, loss and metrics per language.
pub(crate) const LOG: &str = "train.jsonl";

/// The same for TensorBoard, which finds event files by their names.
pub(crate) const EVENTS: &str = "events.out.tfevents.0.cambist";

/// Rows that were left out, and why.
pub(crate) const DROPPED: &str = "dropped.jsonl";

/// Makes the artifact.
pub(super) fn make((workshop, job, scratch): Work<'_>, params: &TrainParams) -> Result<Artifact, PipelineError> {
    let Prepared { rows, held_out, mut start, config } = prepare(workshop, job, params)?;
    let objective = objective(job, params)?;
    if params.objective.reads_pairs() {
        workshop.runtime.progress.minimises(&job.label, &objective.formula());
    }
    let needs_reference = objective.needs_reference();
    let comparison = needs_reference.then(|| Comparison::read(workshop, job, &start.model)).transpose()?;
    let cache = comparison.as_ref().map(|comparison| comparison.cache.clone());
    let (mut watch, state) = Watch::begin(workshop, (job, objective.as_ref()), (&scratch, cache))?;
    let training = Training {
        held_out: &held_out,
        resume: state.as_deref(),
        reference: comparison.as_ref().map_or_else(ReferenceSource::default, |comparison| ReferenceSource {
            model: comparison.model.as_ref(),
            known: &comparison.known,
        }),
        ..Training::new(&rows, objective.as_ref())
    };
    let trained = run(&mut start.model, &training, &config, &mut watch);
    let summary = trained.map_err(|error| PipelineError::model(&job.label, error))?;
    let logs = watch.finish()?;
    if summary.stopped {
        return Err(PipelineError::Interrupted);
    }
    write(job, scratch, (&start, rows.len(), params.dtype), (&summary, logs))
}

/// What there is before the first step.
pub(crate) struct Prepared {
    pub rows: Vec<TrainRow>,
    pub held_out: Vec<TrainRow>,
    pub start: Start,
    /// With the seed of the run.
    pub config: TrainConfig,
}

/// Reads rows and the model that training starts from.
pub(crate) fn prepare(workshop: &Workshop<'_>, job: &Job, params: &TrainParams) -> Result<Prepared, PipelineError> {
    let rows = read_rows(workshop, (job, "data"), params)?;
    both_kinds(job, params, &rows)?;
    let held_out = if params.has_held_out() { read_rows(workshop, (job, "held_out"), params)? } else { vec![] };
    keep_apart((job, params), &rows, &held_out)?;
    let seed = job.run.as_ref().and_then(|run| run.seed).unwrap_or(workshop.plan.recipe.seed);
    let mut start = start(workshop, job, params, (&rows, seed))?;
    if objective(job, params)?.head() == Head::Reward {
        // Where it has none yet, the head is new, and the folder of the base is another model.
        start.at = start.at.filter(|_| start.model.head() == Head::Reward);
        start.model = start.model.with_reward_head(seed).map_err(|error| PipelineError::model(&job.label, error))?;
    }
    if let Some(lora) = &params.lora {
        start.model.add_adapter(lora, seed).map_err(|error| PipelineError::model(&job.label, error))?;
    }
    Ok(Prepared { rows, held_out, start, config: TrainConfig { seed, ..params.config.clone() } })
}

/// What a run minimises.
pub(crate) fn objective(job: &Job, params: &TrainParams) -> Result<Box<dyn Objective>, PipelineError> {
    params.checked_objective().ok_or_else(|| {
        PipelineError::Internal(format!("the objective of `{}` passed the check and cannot be made", job.label))
    })
}

/// A row that is learned from says nothing when it is measured.
fn keep_apart(
    (job, params): (&Job, &TrainParams),
    rows: &[TrainRow],
    held_out: &[TrainRow],
) -> Result<(), PipelineError> {
    // Prompts of one recipe have names of their own. Rows of two files may be called alike, and one row two names.
    let of_files = params.data_file.is_some() || params.held_out_file.is_some();
    let name: fn(&TrainRow) -> Vec<&str> =
        if of_files { |row| asked(&row.content) } else { |row| vec![row.id.as_str()] };
    let learned: BTreeSet<Vec<&str>> = rows.iter().map(name).collect();
    let shared: Vec<&str> =
        held_out.iter().filter(|row| learned.contains(&name(row))).map(|row| row.id.as_str()).collect();
    let Some(first) = shared.first() else { return Ok(()) };
    let what = format!("{} of {} held-out rows are learned from, `{first}` first", shared.len(), held_out.len());
    let remedy = match of_files {
        true => "rows with the same prompt count as one: leave them out of one of the two",
        false => "let `held_out` name another split than `data`",
    };
    Err(PipelineError::input(&job.label, what, remedy))
}

/// The turns before a row's answer, or its text where nobody is asked.
fn asked(content: &RowContent) -> Vec<&str> {
    let turns: &[Message] = match content {
        RowContent::Text(text) => return vec![text.as_str()],
        RowContent::Chat(messages) => {
            let answer = messages.iter().rposition(|message| message.role == Role::Assistant);
            &messages[..answer.unwrap_or(messages.len())]
        }
        RowContent::Pair { prompt, .. } | RowContent::Unpaired { prompt, .. } => prompt,
    };
    turns.iter().map(|message| message.content.as_str()).collect()
}

/// The model that training starts from; the adapters of a base are part of it from then on.
fn start(
    workshop: &Workshop<'_>,
    job: &Job,
    params: &TrainParams,
    (rows, seed): (&[TrainRow], u64),
) -> Result<Start, PipelineError> {
    let bases = Bases::of_recipe(&workshop.plan.folder);
    let (checkpoint, name, at) = match (&params.new, &params.base_folder) {
        (Some(new), _) => {
            let model = invent(job, new, (rows, seed))?;
            return Ok(Start { model, base: String::new(), at: None, notes: vec![] });
        }
        (None, Some(folder)) => {
            let at = workshop.plan.folder.join(folder);
            (Checkpoint::of_folder(&at, bases)?, folder.display().to_string(), at)
        }
        (None, None) => {
            let artifact = workshop.artifact(&job.input("base")?.id)?;
            let name = artifact.manifest().id.to_string();
            (Checkpoint::of_artifact(workshop.store, &artifact, bases)?, name, artifact.folder().to_owned())
        }
    };
    let (model, merged) = checkpoint.open().map_err(|error| PipelineError::model(&job.label, error))?;
    let notes = merged.iter().map(|report| format!("the base's adapter was merged first: {report}")).collect();
    // Other trainers read neither an adapter's base for it nor GGUF.
    let is_whole =
        checkpoint.n_adapters() == 0 && checkpoint.base().0.keys().any(|name| name.ends_with(".safetensors"));
    Ok(Start { model, base: name, at: is_whole.then_some(at), notes })
}

/// Where training starts.
pub(crate) struct Start {
    pub model: LocalModel,
    /// What an adapter calls it.
    pub base: String,
    /// Where it lies as a whole model, if it does.
    pub at: Option<PathBuf>,
    pub notes: Vec<String>,
}

impl Start {
    /// Returns what was trained from here as a folder: a whole model in `dtype`, or an adapter with the tokenizer's files.
    pub(crate) fn files_of(&self, model: &LocalModel, dtype: Dtype) -> Result<ModelFiles, ModelFault> {
        if !model.has_adapter() {
            return Ok(model.to_files_in(dtype)?);
        }
        let mut files = model.adapter_files(&self.base)?;
        files.0.extend(model.tokenizer_files().0);
        Ok(files)
    }
}

/// A new model with a tokenizer that is trained on the rows.
fn invent(job: &Job, new: &NewModel, (rows, seed): (&[TrainRow], u64)) -> Result<LocalModel, PipelineError> {
    let texts: Vec<String> = rows.iter().flat_map(|row| texts(&row.content)).collect();
    let tokenizer = train_tokenizer(&texts, new.vocab_size).map_err(|error| PipelineError::model(&job.label, error))?;
    LocalModel::new(&new.shape, &tokenizer, seed).map_err(|error| PipelineError::model(&job.label, error))
}

fn texts(content: &RowContent) -> Vec<String> {
    let said = |messages: &[Message]| messages.iter().map(|message| message.content.clone()).collect::<Vec<_>>();
    match content {
        RowContent::Text(text) => vec![text.clone()],
        RowContent::Chat(messages) => said(messages),
        RowContent::Pair { prompt, chosen, rejected } => {
            said(prompt).into_iter().chain([chosen.clone(), rejected.clone()]).collect()
        }
        RowContent::Unpaired { prompt, completion, .. } => {
            said(prompt).into_iter().chain([completion.clone()]).collect()
        }
    }
}

fn write(
    job: &Job,
    scratch: Scratch,
    (start, n_rows, dtype): (&Start, usize, Dtype),
    (summary, logs): (&TrainSummary, Logs),
) -> Result<Artifact, PipelineError> {
    let model = &start.model;
    let files = start.files_of(model, dtype).map_err(|error| PipelineError::model(&job.label, error))?;
    for (name, bytes) in &files.0 {
        scratch.write(name, bytes)?;
    }
    scratch.write(LOG, logs.lines.as_bytes())?;
    scratch.write(EVENTS, logs.events.as_bytes())?;
    if summary.n_dropped > 0 {
        scratch.write(DROPPED, logs.dropped.as_bytes())?;
    }
    let counts = [
        ("parameters", model.n_parameters() as u64),
        ("rows", n_rows as u64),
        ("steps", summary.n_steps as u64),
        ("tokens", summary.n_tokens as u64),
    ];
    let trained = model.has_adapter().then_some(("trained_parameters", model.n_trained() as u64));
    let kept = (summary.kept_step + 1 != summary.n_steps).then_some(("kept_step", summary.kept_step as u64 + 1));
    let dropped = (summary.n_dropped > 0).then_some(("dropped", summary.n_dropped as u64));
    let counts = counts.into_iter().chain(trained).chain(kept).chain(dropped);
    let draft = ManifestDraft {
        step: job.label.clone(),
        kind: "checkpoint".into(),
        counts: counts.map(|(what, n)| (what.to_owned(), n)).collect(),
        notes: start.notes.clone(),
        ..ManifestDraft::default()
    };
    Ok(scratch.commit(draft)?)
}
