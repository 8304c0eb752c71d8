//! `train`: rows to a checkpoint, through the one trainer.

mod watch;

use std::collections::{BTreeMap, BTreeSet};

use cambist_core::prompt::Message;
use cambist_io::{
    formats::{self, EventFile, SftRow},
    store::{Artifact, ManifestDraft, Scratch},
};
use cambist_model::{
    LocalModel, ModelFiles, Objective, Pretrain, RowContent, Sft, TrainRow, TrainSummary, Training, run,
    train_tokenizer,
};

use self::watch::Watch;
use super::{Work, prompts::read_prompts, select::shards};
use crate::{
    error::PipelineError,
    plan::{Input, Job},
    recipe::params::{NewModel, ObjectiveName, TrainParams},
    run::Workshop,
};

/// One line for each step: loss, rate, gradient norm, loss per language.
pub(crate) const LOG: &str = "train.jsonl";

/// The same for TensorBoard, which finds event files by their names.
const EVENTS: &str = "events.out.tfevents.0.cambist";

/// Makes the artifact.
pub(super) fn make((workshop, job, scratch): Work<'_>, params: &TrainParams) -> Result<Artifact, PipelineError> {
    let rows = read_rows(workshop, (job, "data"), params)?;
    let held_out = if params.held_out.is_some() { read_rows(workshop, (job, "held_out"), params)? } else { vec![] };
    keep_apart(job, &rows, &held_out)?;
    let seed = job.run.as_ref().and_then(|run| run.seed).unwrap_or(workshop.plan.recipe.seed);
    let mut model = start(workshop, job, params, (&rows, seed))?;
    let mut config = params.config.clone();
    config.seed = seed;
    let objective: &dyn Objective = match params.objective {
        ObjectiveName::Pretrain => &Pretrain,
        ObjectiveName::Sft => &Sft,
    };
    let (mut watch, state) = Watch::begin(workshop, job, &scratch)?;
    let training = Training { rows: &rows, objective, held_out: &held_out, resume: state.as_deref() };
    let trained = run(&mut model, &training, &config, &mut watch);
    let summary = trained.map_err(|error| PipelineError::model(&job.label, error))?;
    let log = watch.finish()?;
    if summary.stopped {
        return Err(PipelineError::Interrupted);
    }
    write(job, scratch, (&model, rows.len()), (&summary, log))
}

/// A row that is learned from says nothing when it is measured.
fn keep_apart(job: &Job, rows: &[TrainRow], held_out: &[TrainRow]) -> Result<(), PipelineError> {
    let learned: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let shared: Vec<&str> = held_out.iter().map(|row| row.id.as_str()).filter(|id| learned.contains(id)).collect();
    let Some(first) = shared.first() else { return Ok(()) };
    let what = format!("{} of {} held-out rows are learned from, `{first}` first", shared.len(), held_out.len());
    Err(PipelineError::input(&job.label, what, "let `held_out` name another split than `data`"))
}

/// Reads a checkpoint's model folder out of its artifact.
pub(super) fn read_checkpoint(artifact: &Artifact) -> Result<ModelFiles, PipelineError> {
    let names = artifact.manifest().files.keys().filter(|name| ![LOG, EVENTS].contains(&name.as_str()));
    let read = names.map(|name| Ok((name.clone(), artifact.read(name)?)));
    Ok(ModelFiles(read.collect::<Result<BTreeMap<_, _>, PipelineError>>()?))
}

fn start(
    workshop: &Workshop<'_>,
    job: &Job,
    params: &TrainParams,
    (rows, seed): (&[TrainRow], u64),
) -> Result<LocalModel, PipelineError> {
    let files = match (&params.new, &params.base_folder) {
        (Some(new), _) => return invent(job, new, (rows, seed)),
        (None, Some(folder)) => ModelFiles(formats::read_model_folder(&workshop.plan.folder.join(folder))?),
        (None, None) => read_checkpoint(&workshop.artifact(&job.input("base")?.id)?)?,
    };
    LocalModel::from_files(&files).map_err(|error| PipelineError::model(&job.label, error))
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
    }
}

/// The rows of every input under a role, filtered by language and task.
fn read_rows(
    workshop: &Workshop<'_>,
    (job, role): (&Job, &str),
    params: &TrainParams,
) -> Result<Vec<TrainRow>, PipelineError> {
    let mut rows = Vec::new();
    for input in job.inputs(role) {
        let conversations = match input.id.verb.as_str() {
            "select" => kept_rows(workshop, input)?,
            _ => reference_rows(workshop, job, input)?,
        };
        rows.extend(
            conversations.into_iter().filter(|row| wanted(row, params)).map(|row| to_train_row(row, params.objective)),
        );
    }
    if rows.is_empty() {
        let what = if role == "data" { "no rows are left to train on" } else { "no held-out rows are left" };
        return Err(PipelineError::input(&job.label, what, "check `languages`, `tasks` and what the strategy kept"));
    }
    Ok(rows)
}

struct Conversation {
    id: String,
    language: cambist_core::language::Language,
    task: Option<String>,
    messages: Vec<Message>,
}

fn kept_rows(workshop: &Workshop<'_>, input: &Input) -> Result<Vec<Conversation>, PipelineError> {
    let artifact = workshop.artifact(&input.id)?;
    let rows: Vec<SftRow> = shards::read(&artifact, (&input.part, &format!("{}/sft", input.part)))?;
    let conversation =
        |row: SftRow| Conversation { id: row.id, language: row.language, task: row.task, messages: row.messages };
    Ok(rows.into_iter().map(conversation).collect())
}

/// Prompts whose reference is the answer to learn.
fn reference_rows(workshop: &Workshop<'_>, job: &Job, input: &Input) -> Result<Vec<Conversation>, PipelineError> {
    let prompts = read_prompts(workshop, std::iter::once(input))?;
    let n_prompts = prompts.len();
    let answered = prompts.into_iter().filter_map(|prompt| {
        let mut messages = prompt.messages;
        messages.push(Message::assistant(prompt.reference?));
        Some(Conversation { id: prompt.id, language: prompt.language, task: prompt.task, messages })
    });
    let rows: Vec<Conversation> = answered.collect();
    if rows.len() == n_prompts {
        return Ok(rows);
    }
    let what = format!("{} of {n_prompts} prompts have no reference answer to learn", n_prompts - rows.len());
    Err(PipelineError::input(&job.label, what, "train on the datasets of a `select` step, or give references"))
}

fn wanted(row: &Conversation, params: &TrainParams) -> bool {
    let language_fits = params.languages.is_empty() || params.languages.contains(&row.language);
    let task_fits = params.tasks.is_empty() || row.task.as_ref().is_some_and(|task| params.tasks.contains(task));
    language_fits && task_fits
}

/// Pre-training sees a conversation as text, one turn a line; SFT as a conversation.
fn to_train_row(row: Conversation, objective: ObjectiveName) -> TrainRow {
    match objective {
        ObjectiveName::Sft => TrainRow::chat(row.id, row.language, row.messages),
        ObjectiveName::Pretrain => {
            let turns: Vec<String> = row.messages.into_iter().map(|message| message.content).collect();
            TrainRow::text(row.id, row.language, turns.join("\n"))
        }
    }
}

fn write(
    job: &Job,
    scratch: Scratch,
    (model, n_rows): (&LocalModel, usize),
    (summary, (log, events)): (&TrainSummary, (String, EventFile)),
) -> Result<Artifact, PipelineError> {
    let files = model.to_files().map_err(|error| PipelineError::model(&job.label, error))?;
    for (name, bytes) in &files.0 {
        scratch.write(name, bytes)?;
    }
    scratch.write(LOG, log.as_bytes())?;
    scratch.write(EVENTS, events.as_bytes())?;
    let counts = [
        ("parameters", model.n_parameters() as u64),
        ("rows", n_rows as u64),
        ("steps", summary.n_steps as u64),
        ("tokens", summary.n_tokens as u64),
    ];
    let kept = (summary.kept_step + 1 != summary.n_steps).then_some(("kept_step", summary.kept_step as u64 + 1));
    let counts = counts.into_iter().chain(kept).map(|(what, n)| (what.to_owned(), n)).collect();
    let draft =
        ManifestDraft { step: job.label.clone(), kind: "checkpoint".into(), counts, ..ManifestDraft::default() };
    Ok(scratch.commit(draft)?)
}
