//! Rows to learn from, out of what earlier steps made.

use std::collections::{BTreeMap, BTreeSet};

use cambist_core::{
    language::Language,
    prompt::{Message, Role},
};
use cambist_io::formats::{PreferenceRow, SftRow};
use cambist_io::remote::locate;
use cambist_model::{RowContent, TrainRow};

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
            (true, _) => rows.extend(pairs(workshop, input)?),
            (false, "select") => rows.extend(told(kept_rows(workshop, input)?, params)),
            (false, _) => rows.extend(told(reference_rows(workshop, job, input)?, params)),
        }
    }
    if let (Some(file), "data") = (&params.data_file, role) {
        let read = row_file::read(&locate(&workshop.plan.folder, file)?)?;
        rows.extend(read.into_iter().filter(|row| fits(row.task.as_ref(), params)).map(|row| of_file(row, params)));
    }
    if params.objective == ObjectiveName::Kto {
        rows = unpaired(rows);
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

/// Takes pairs apart; an answer that won or lost several times is there once. Wanted answers to one prompt weigh 1
/// together, unwanted ones too.
fn unpaired(rows: Vec<TrainRow>) -> Vec<TrainRow> {
    let (mut apart, mut seen, mut n_of) = (Vec::new(), BTreeSet::new(), BTreeMap::<(String, bool), usize>::new());
    for row in rows {
        let RowContent::Pair { prompt, chosen, rejected } = row.content else {
            apart.push(row);
            continue;
        };
        for (answer, desirable) in [(chosen, true), (rejected, false)] {
            if !seen.insert((row.id.clone(), answer.clone(), desirable)) {
                continue;
            }
            *n_of.entry((row.id.clone(), desirable)).or_default() += 1;
            apart.push(TrainRow::unpaired(row.id.clone(), row.language.clone(), prompt.clone(), (answer, desirable)));
        }
    }
    for row in &mut apart {
        let RowContent::Unpaired { desirable, .. } = row.content else { continue };
        row.weight = n_of.get(&(row.id.clone(), desirable)).map_or(row.weight, |n| 1.0 / *n as f64);
    }
    apart
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
fn fits(task: Option<&String>, params: &TrainParams) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_taken_apart_and_prompts_weigh_alike() {
        let pair = |id: &str, chosen: &str, rejected: &str| {
            let answers = [chosen.to_owned(), rejected.to_owned()];
            TrainRow::pair(id, Language::parse("de").unwrap(), vec![Message::user("?")], answers)
        };
        let rows = unpaired(vec![pair("a", "x", "y"), pair("a", "x", "z"), pair("b", "x", "y")]);
        let said = |row: &TrainRow| match &row.content {
            RowContent::Unpaired { completion, desirable, .. } => (completion.clone(), *desirable, row.weight),
            other => panic!("{other:?}"),
        };
        let expected = [("x", true, 1.0), ("y", false, 0.5), ("z", false, 0.5), ("x", true, 1.0), ("y", false, 1.0)];
        let found: Vec<_> = rows.iter().map(said).collect();
        assert_eq!(found, expected.map(|(text, desirable, weight)| (text.to_owned(), desirable, weight)));
    }
}
