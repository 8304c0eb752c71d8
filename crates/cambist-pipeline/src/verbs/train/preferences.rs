//! Pairs and labelled answers of `select` steps as rows to learn from.

use std::collections::{BTreeMap, BTreeSet};

use cambist_core::prompt::{Message, Role};
use cambist_io::formats::{LabelledRow, PreferenceRow};
use cambist_io::store::Artifact;
use cambist_model::{RowContent, TrainRow};

use super::rows::fits;
use crate::{
    error::PipelineError,
    plan::{Input, Job},
    recipe::{
        params::{ObjectiveName, TrainParams},
        parts::LABELS,
    },
    verbs::select::shards,
};

/// Rows of the set that an input names.
pub(super) fn of_input(
    artifact: &Artifact,
    input: &Input,
    params: &TrainParams,
) -> Result<Vec<TrainRow>, PipelineError> {
    if input.part == LABELS {
        let rows: Vec<LabelledRow> = shards::read(artifact, (LABELS, LABELS))?;
        return Ok(labelled(rows.into_iter().filter(|row| fits(row.task.as_ref(), params)).collect()));
    }
    Ok(pairs(shards::read(artifact, (&input.part, &input.part))?))
}

/// Those of one prompt weigh 1 together.
fn pairs(rows: Vec<PreferenceRow>) -> Vec<TrainRow> {
    let mut n_pairs = BTreeMap::<String, usize>::new();
    rows.iter().for_each(|row| *n_pairs.entry(row.id.clone()).or_default() += 1);
    let row = |row: PreferenceRow| TrainRow {
        weight: 1.0 / n_pairs[&row.id] as f64,
        margin: Some(row.margin),
        ..TrainRow::pair(row.id, row.language, row.prompt, [said(&row.chosen), said(&row.rejected)])
    };
    rows.into_iter().map(row).collect()
}

fn labelled(rows: Vec<LabelledRow>) -> Vec<TrainRow> {
    let row = |row: LabelledRow| {
        let answer = (said(&row.completion), row.label);
        TrainRow::unpaired(row.id, row.language, row.prompt, answer)
    };
    evened(rows.into_iter().map(row).collect())
}

fn said(side: &[Message]) -> String {
    let answer = side.iter().rev().find(|message| message.role == Role::Assistant);
    answer.map(|message| message.content.clone()).unwrap_or_default()
}

/// Takes pairs apart; an answer that won or lost several times is there once. Rows of another kind stay as they are.
pub(super) fn taken_apart(rows: Vec<TrainRow>) -> Vec<TrainRow> {
    let (mut others, mut apart, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for row in rows {
        let RowContent::Pair { prompt, chosen, rejected } = row.content else {
            others.push(row);
            continue;
        };
        for (answer, desirable) in [(chosen, true), (rejected, false)] {
            if seen.insert((row.id.clone(), answer.clone(), desirable)) {
                let answer = (answer, desirable);
                apart.push(TrainRow::unpaired(row.id.clone(), row.language.clone(), prompt.clone(), answer));
            }
        }
    }
    others.extend(evened(apart));
    others
}

/// Wanted answers to one prompt weigh 1 together, unwanted ones too.
fn evened(mut rows: Vec<TrainRow>) -> Vec<TrainRow> {
    let mut n_of = BTreeMap::<(String, Option<bool>), usize>::new();
    let key = |row: &TrainRow| (row.id.clone(), is_wanted(row));
    rows.iter().for_each(|row| *n_of.entry(key(row)).or_default() += 1);
    for row in &mut rows {
        row.weight = n_of.get(&key(row)).map_or(row.weight, |n| 1.0 / *n as f64);
    }
    rows
}

fn is_wanted(row: &TrainRow) -> Option<bool> {
    match row.content {
        RowContent::Unpaired { desirable, .. } => Some(desirable),
        _ => None,
    }
}

/// What is learned from single answers is what sets the two kinds apart: one kind alone teaches nothing.
pub(super) fn both_kinds(job: &Job, params: &TrainParams, rows: &[TrainRow]) -> Result<(), PipelineError> {
    let labels: Option<Vec<bool>> = rows.iter().map(is_wanted).collect();
    let Some(labels) = labels.filter(|_| params.objective == ObjectiveName::Kto) else { return Ok(()) };
    let kind = match (labels.contains(&true), labels.contains(&false)) {
        (true, false) => "wanted",
        (false, true) => "unwanted",
        _ => return Ok(()),
    };
    let what = format!("all {} answers to learn from are {kind}, and `kto` needs both kinds", rows.len());
    Err(PipelineError::input(&job.label, what, "check `languages` and `tasks`, or move the threshold of the labels"))
}

#[cfg(test)]
mod tests {
    use cambist_core::language::Language;

    use super::*;

    fn said_of(rows: &[TrainRow]) -> Vec<(String, bool, f64)> {
        let said = |row: &TrainRow| match &row.content {
            RowContent::Unpaired { completion, desirable, .. } => (completion.clone(), *desirable, row.weight),
            other => panic!("{other:?}"),
        };
        rows.iter().map(said).collect()
    }

    fn expected(rows: &[(&str, bool, f64)]) -> Vec<(String, bool, f64)> {
        rows.iter().map(|(text, desirable, weight)| ((*text).to_owned(), *desirable, *weight)).collect()
    }

    #[test]
    fn pairs_are_taken_apart_and_prompts_weigh_alike() {
        let pair = |id: &str, chosen: &str, rejected: &str| {
            let answers = [chosen.to_owned(), rejected.to_owned()];
            TrainRow::pair(id, Language::parse("de").unwrap(), vec![Message::user("?")], answers)
        };
        let rows = taken_apart(vec![pair("a", "x", "y"), pair("a", "x", "z"), pair("b", "x", "y")]);
        let of_a = [("x", true, 1.0), ("y", false, 0.5), ("z", false, 0.5)];
        assert_eq!(said_of(&rows), expected(&[&of_a[..], &[("x", true, 1.0), ("y", false, 1.0)]].concat()));
    }

    #[test]
    fn labelled_answers_of_one_kind_to_one_prompt_weigh_one_together() {
        let row = |id: &str, text: &str, label| LabelledRow {
            id: id.to_owned(),
            source_id: id.to_owned(),
            language: Language::parse("de").unwrap(),
            source: "s".to_owned(),
            task: None,
            prompt: vec![Message::user("?")],
            completion: vec![Message::assistant(text)],
            label,
            teacher: "t".to_owned(),
            license: "MIT".to_owned(),
            score: 1.0,
        };
        let rows = labelled(vec![row("a", "x", true), row("a", "y", true), row("a", "z", false), row("b", "x", true)]);
        let weights = [("x", true, 0.5), ("y", true, 0.5), ("z", false, 1.0), ("x", true, 1.0)];
        assert_eq!(said_of(&rows), expected(&weights));
        // Taking pairs apart leaves them as they are.
        assert_eq!(said_of(&taken_apart(rows)), expected(&weights));
    }
}
