//! Rows to learn from, out of what earlier steps made.

use cambist_core::{language::Language, prompt::Message};
use cambist_io::formats::SftRow;
use cambist_io::remote::locate;
use cambist_model::{RowContent, TrainRow};

use super::preferences;
use crate::{
    error::PipelineError,
    plan::{Input, Job},
    recipe::params::{ObjectiveName, TrainParams},
    row_file::{self, FileRow},
    run::Workshop,
    verbs::{prompts::read_prompts, select::shards},
};

/// The rows of every input under a role, filtered by language and task.
pub(super) fn read_rows(
    workshop: &Workshop<'_>,
    (job, role): (&Job, &str),
    params: &TrainParams,
) -> Result<Vec<TrainRow>, PipelineError> {
    let mut rows = Vec::new();
    for input in job.inputs(role) {
        match (params.objective.reads_pairs(), input.id.verb.as_str()) {
            (true, _) => rows.extend(preferences::of_input(&workshop.artifact(&input.id)?, input, params)?),
            (false, "select") => rows.extend(told(kept_rows(workshop, input)?, params)),
            (false, _) => rows.extend(told(reference_rows(workshop, job, input)?, params)),
        }
    }
    if let Some(file) = if role == "data" { &params.data_file } else { &params.held_out_file } {
        let read = row_file::read(&locate(&workshop.plan.folder, file)?)?;
        rows.extend(read.into_iter().filter(|row| fits(row.task.as_ref(), params)).map(|row| of_file(row, params)));
    }
    if params.objective == ObjectiveName::Kto {
        rows = preferences::taken_apart(rows);
    }
    rows.retain(|row| params.languages.is_empty() || params.languages.contains(&row.language));
    if rows.is_empty() {
        let what = if role == "data" { "no rows are left to train on" } else { "no held-out rows are left" };
        return Err(PipelineError::input(
            &job.label,
            what,
            "check `languages`, `tasks` and what the rows are taken from",
        ));
    }
    Ok(rows)
}

struct Conversation {
    id: String,
    language: Language,
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

/// Pre-training sees a conversation as text, one turn a line; SFT as a conversation.
fn told(rows: Vec<Conversation>, params: &TrainParams) -> impl Iterator<Item = TrainRow> {
    rows.into_iter().filter(|row| fits(row.task.as_ref(), params)).map(|row| match params.objective {
        ObjectiveName::Pretrain => TrainRow::text(row.id, row.language, as_text(row.messages)),
        _ => TrainRow::chat(row.id, row.language, row.messages),
    })
}

/// Whether a row is of a task that is trained on.
pub(super) fn fits(task: Option<&String>, params: &TrainParams) -> bool {
    params.tasks.is_empty() || task.is_some_and(|task| params.tasks.contains(task))
}

fn of_file(FileRow { row, .. }: FileRow, params: &TrainParams) -> TrainRow {
    match (row.content, params.objective) {
        (RowContent::Chat(messages), ObjectiveName::Pretrain) => {
            TrainRow { content: RowContent::Text(as_text(messages)), ..row }
        }
        (content, _) => TrainRow { content, ..row },
    }
}

fn as_text(messages: Vec<Message>) -> String {
    messages.into_iter().map(|message| message.content).collect::<Vec<_>>().join("\n")
}
