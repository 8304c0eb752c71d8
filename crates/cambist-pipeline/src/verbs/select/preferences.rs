//! The sets that preferences are learned from: pairs of answers, and single answers with labels.

use std::ops::Range;

use cambist_core::{outline::Line, prompt::Message};
use cambist_io::formats::{LabelledRow, PreferenceRow, to_jsonl};
use rayon::prelude::*;

use super::{
    datasets::{Sets, Worded},
    labelling::LabelList,
    pairing::{PairList, PlacedPair},
    shards::{Cut, DataFiles, SetWriter},
};
use crate::{
    error::PipelineError,
    recipe::parts::{LABELS, PAIRS},
};

/// Pairs and labels with the files that they are written to, each where it is wanted.
pub(super) struct Preferences<'s> {
    sets: &'s Sets<'s>,
    pairs: Option<(&'s PairList, SetWriter<'s, PreferenceRow>)>,
    labels: Option<(&'s LabelList, SetWriter<'s, LabelledRow>)>,
}

impl<'s> Preferences<'s> {
    /// Begins the files.
    pub(super) fn create(sets: &'s Sets<'s>) -> Result<Self, PipelineError> {
        let pairs = sets.pairs.map(|pairs| Ok::<_, PipelineError>((pairs, pairs_writer(sets, pairs)?)));
        let labels = sets.labels.map(|labels| Ok::<_, PipelineError>((labels, labels_writer(sets, labels)?)));
        Ok(Self { sets, pairs: pairs.transpose()?, labels: labels.transpose()? })
    }

    /// Whether neither is wanted.
    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_none() && self.labels.is_none()
    }

    /// Writes the rows of the next prompts.
    pub(super) fn push(&mut self, worded: &Worded<'_>) -> Result<(), PipelineError> {
        if let Some((pairs, set)) = &mut self.pairs {
            set.push(&preference_rows(pairs, worded)?)?;
        }
        if let Some((labels, set)) = &mut self.labels {
            set.push(&labelled_rows((self.sets, labels), worded)?)?;
        }
        Ok(())
    }

    /// Completes the files.
    pub(super) fn finish(self) -> Result<Vec<DataFiles>, PipelineError> {
        let pairs = self.pairs.map(|(_, set)| set.finish()).transpose()?;
        let labels = self.labels.map(|(_, set)| set.finish()).transpose()?;
        Ok(pairs.into_iter().chain(labels).collect())
    }
}

fn pairs_writer<'s>(sets: &'s Sets<'_>, pairs: &PairList) -> Result<SetWriter<'s, PreferenceRow>, PipelineError> {
    let n_rows = pairs.pairs.len();
    let mut measured = Vec::new();
    for pair in pairs.pairs.iter().step_by(Cut::step(n_rows)) {
        let Some(line) = sets.answers.outline.line(pair.at as usize) else { continue };
        let frame = to_jsonl([&preference_row(line, pair, (Vec::new(), ["", ""]))])?.len();
        let text_bytes = |answer: u32| sets.answers.text_bytes[line.range().start + answer as usize] as usize;
        let prompt_bytes = sets.answers.prompt_bytes[pair.at as usize] as usize;
        measured.push(frame + prompt_bytes + text_bytes(pair.chosen) + text_bytes(pair.rejected));
    }
    sets.writer((PAIRS, PAIRS), (n_rows, measured))
}

fn labels_writer<'s>(sets: &'s Sets<'_>, labels: &LabelList) -> Result<SetWriter<'s, LabelledRow>, PipelineError> {
    let n_rows = labels.n_labelled(true) + labels.n_labelled(false);
    let labelled =
        sets.answers.outline.lines().zip(&sets.answers.prompt_bytes).flat_map(|(line, prompt_bytes)| {
            labels.labelled(line).map(move |labelled| (line, *prompt_bytes, labelled))
        });
    let mut measured = Vec::new();
    for (line, prompt_bytes, labelled) in labelled.step_by(Cut::step(n_rows)) {
        let frame = to_jsonl([&labelled_row((sets, line), labelled, (Vec::new(), ""))])?.len();
        measured
            .push(frame + prompt_bytes as usize + sets.answers.text_bytes[line.range().start + labelled.0] as usize);
    }
    sets.writer((LABELS, LABELS), (n_rows, measured))
}

fn preference_rows(pairs: &PairList, worded: &Worded<'_>) -> Result<Vec<PreferenceRow>, PipelineError> {
    let row = |pair: &PlacedPair| {
        let said = worded.at(pair.at as usize)?;
        let text = |answer: u32| said.text(answer as usize);
        let texts = text(pair.chosen).and_then(|chosen| Ok([chosen, text(pair.rejected)?]));
        Some(texts.map(|texts| preference_row(said.line, pair, (said.prompt.messages.clone(), texts))))
    };
    let Range { start, end } = worded.places();
    pairs.between(start, end).par_iter().filter_map(row).collect()
}

fn labelled_rows(
    (sets, labels): (&Sets<'_>, &LabelList),
    worded: &Worded<'_>,
) -> Result<Vec<LabelledRow>, PipelineError> {
    let rows = |place: usize| {
        let said = worded.at(place)?;
        let row = |labelled: (usize, bool)| {
            let text = said.text(labelled.0)?;
            Ok(labelled_row((sets, said.line), labelled, (said.prompt.messages.clone(), text)))
        };
        Some(labels.labelled(said.line).map(row).collect::<Result<Vec<_>, PipelineError>>())
    };
    let rows: Vec<Vec<LabelledRow>> =
        worded.places().into_par_iter().filter_map(rows).collect::<Result<_, PipelineError>>()?;
    Ok(rows.into_iter().flatten().collect())
}

fn preference_row(line: Line<'_>, pair: &PlacedPair, (prompt, texts): (Vec<Message>, [&str; 2])) -> PreferenceRow {
    let [chosen, rejected] = [pair.chosen, pair.rejected].map(|at| &line.answers()[at as usize]);
    let [chosen_text, rejected_text] = texts.map(|text| vec![Message::assistant(text)]);
    PreferenceRow {
        id: line.id().to_owned(),
        source_id: line.source_id().to_owned(),
        language: line.language().clone(),
        source: line.source().to_owned(),
        prompt,
        chosen: chosen_text,
        rejected: rejected_text,
        chosen_model: line.teacher(chosen).to_owned(),
        rejected_model: line.teacher(rejected).to_owned(),
        chosen_score: chosen.reward.unwrap_or(f64::NAN),
        rejected_score: rejected.reward.unwrap_or(f64::NAN),
        margin: pair.margin,
    }
}

fn labelled_row(
    (sets, line): (&Sets<'_>, Line<'_>),
    (at, label): (usize, bool),
    (prompt, text): (Vec<Message>, &str),
) -> LabelledRow {
    let answer = &line.answers()[at];
    let teacher = line.teacher(answer);
    LabelledRow {
        id: line.id().to_owned(),
        source_id: line.source_id().to_owned(),
        language: line.language().clone(),
        source: line.source().to_owned(),
        task: line.task().map(str::to_owned),
        prompt,
        completion: vec![Message::assistant(text)],
        label,
        teacher: teacher.to_owned(),
        license: sets.license(teacher, line.origin(at)).into_owned(),
        score: answer.reward.unwrap_or(f64::NAN),
    }
}
