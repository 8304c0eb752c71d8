//! Rows to learn from, out of what earlier steps made.

use std::collections::BTreeMap;

use cambist_core::{
    language::Language,
    prompt::{Message, Role},
};
use cambist_io::formats::{PreferenceRow, SftRow};
use cambist_model::TrainRow;

use crate::{
    error::PipelineError,
    plan::{Input, Job},
    recipe::params::{ObjectiveName, TrainParams},
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
            (true, _) => rows.extend(pairs(workshop, input)?),
            (false, "select") => rows.extend(told(kept_rows(workshop, input)?, params)),
            (false, _) => rows.extend(told(reference_rows(workshop, job, input)?, params)),
        }
    }
    rows.retain(|row| params.languages.is_empty() || params.languages.contains(&row.language));
    if rows.is_empty() {
        let what = if role == "data" { "no rows are left to train on" } else { "no held-out rows are left" };
        return Err(PipelineError::input(&job.label, what, "check `languages`, `tasks` and what the strategy kept"));
    }
    Ok(rows)
}

struct Conversation {
    id: String,
    language: Language,
    task: Option<String>,
    messages: Vec<Message>,
}

/// Pairs of a `select` step; those of one prompt weigh 1 together.
fn pairs(workshop: &Workshop<'_>, input: &Input) -> Result<Vec<TrainRow>, PipelineError> {
    let artifact = workshop.artifact(&input.id)?;
    let rows: Vec<PreferenceRow> = shards::read(&artifact, (&input.part, &input.part))?;
    let mut n_pairs = BTreeMap::<String, usize>::new();
    rows.iter().for_each(|row| *n_pairs.entry(row.id.clone()).or_default() += 1);
    let said = |side: &[Message]| {
        let answer = side.iter().rev().find(|message| message.role == Role::Assistant);
        answer.map(|message| message.content.clone()).unwrap_or_default()
    };
    let row = |row: PreferenceRow| TrainRow {
        weight: 1.0 / n_pairs[&row.id] as f64,
        margin: Some(row.margin),
        ..TrainRow::pair(row.id, row.language, row.prompt, [said(&row.chosen), said(&row.rejected)])
    };
    Ok(rows.into_iter().map(row).collect())
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
    let fits = |row: &Conversation| {
        params.tasks.is_empty() || row.task.as_ref().is_some_and(|task| params.tasks.contains(task))
    };
    rows.into_iter().filter(fits).map(|row| match params.objective {
        ObjectiveName::Pretrain => {
            let turns: Vec<String> = row.messages.into_iter().map(|message| message.content).collect();
            TrainRow::text(row.id, row.language, turns.join("\n"))
        }
        _ => TrainRow::chat(row.id, row.language, row.messages),
    })
}
