//! The rows of a step as files that TRL reads.

use std::path::Path;

use cambist_core::{chance::Chance, prompt::Message};
use cambist_io::{disk, formats::LineWriter};
use cambist_model::{LocalModel, RowContent, Sequence, TrainRow};
use serde::Serialize;

use super::Target;
use crate::{
    error::PipelineError,
    recipe::params::ObjectiveName,
    verbs::{Prepared, objective},
};

/// Rows that training would see, with their tokens.
pub(super) struct Kept<'a> {
    rows: Vec<(&'a TrainRow, Vec<Sequence>)>,
    /// Rows that it would leave out.
    pub n_dropped: usize,
}

impl<'a> Kept<'a> {
    /// Turns rows into tokens.
    ///
    /// # Errors
    /// When a row can become none, for another reason than those that leave rows out.
    pub(super) fn of(target: Target<'_>, model: &LocalModel, rows: &'a [TrainRow]) -> Result<Self, PipelineError> {
        let (objective, max_length) = (objective(target.job, target.params)?, target.params.config.max_length);
        let mut kept = Self { rows: Vec::with_capacity(rows.len()), n_dropped: 0 };
        for row in rows {
            match model.sequences(&row.content, objective.as_ref(), max_length) {
                Ok(sequences) => kept.rows.push((row, sequences)),
                Err(error) if error.drops().is_some() => kept.n_dropped += 1,
                Err(error) => {
                    let what = format!("row `{}`, {}: {error}", row.id, row.content.kind());
                    return Err(PipelineError::input(&target.job.label, what, "mend the row, or leave it out"));
                }
            }
        }
        Ok(kept)
    }

    pub(super) fn n_rows(&self) -> usize {
        self.rows.len()
    }

    /// How many tokens count in the loss.
    pub(super) fn n_loss_tokens(&self) -> usize {
        self.rows.iter().flat_map(|(_, sequences)| sequences).map(Sequence::n_loss_tokens).sum()
    }

    /// Writes the rows as the step's objective is told of them.
    pub(super) fn write(&self, target: Target<'_>, prepared: &Prepared, to: &Path) -> Result<(), PipelineError> {
        disk::create_folder(to.parent().unwrap_or(to))?;
        let mut lines = LineWriter::create(to)?;
        let scale = target.params.loss.as_ref().and_then(|loss| loss.margin_scale).filter(|scale| *scale > 0.0);
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        if target.params.objective == ObjectiveName::Kto {
            // TRL reads them as they stand, and takes baselines from neighbours.
            Chance::new(prepared.config.seed, &["hand-over"]).shuffle(&mut order);
        }
        for (row, sequences) in order.into_iter().map(|at| &self.rows[at]) {
            let (id, language) = (row.id.as_str(), row.language.as_str());
            match (&row.content, target.params.objective, sequences.as_slice()) {
                (RowContent::Pair { .. }, ObjectiveName::Reward, [chosen, rejected]) => {
                    let margin = scale.zip(row.margin).map(|(scale, margin)| scale * margin);
                    let (chosen_ids, rejected_ids) = (chosen.tokens(), rejected.tokens());
                    lines.push(&ScoredRow { id, language, chosen_ids, rejected_ids, margin })?;
                }
                (RowContent::Pair { .. }, ObjectiveName::Simpo | ObjectiveName::Orpo, [chosen, rejected]) => {
                    lines.push(&LabelledPair {
                        id,
                        language,
                        chosen_input_ids: chosen.tokens(),
                        chosen_labels: labels(chosen),
                        rejected_input_ids: rejected.tokens(),
                        rejected_labels: labels(rejected),
                    })?;
                }
                (RowContent::Pair { prompt, chosen, rejected }, ..) => {
                    let [chosen, rejected] = [chosen, rejected].map(|answer| [Message::assistant(answer)]);
                    lines.push(&PairRow { id, language, prompt, chosen, rejected })?;
                }
                (RowContent::Unpaired { prompt, completion, desirable }, ..) => {
                    let completion = [Message::assistant(completion)];
                    lines.push(&LabelledRow { id, language, prompt, completion, label: *desirable })?;
                }
                (.., sequences) => {
                    for sequence in sequences {
                        lines.push(&TokenRow {
                            id,
                            language,
                            input_ids: sequence.tokens(),
                            labels: labels(sequence),
                        })?;
                    }
                }
            }
        }
        Ok(lines.finish()?)
    }
}

/// A row as TRL takes it without touching it: tokens, and for each the token again where it counts and -100 where not.
#[derive(Serialize)]
struct TokenRow<'a> {
    id: &'a str,
    language: &'a str,
    input_ids: &'a [u32],
    labels: Vec<i64>,
}

/// A pair for a reward model, in tokens.
#[derive(Serialize)]
struct ScoredRow<'a> {
    id: &'a str,
    language: &'a str,
    chosen_ids: &'a [u32],
    rejected_ids: &'a [u32],
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<f64>,
}

/// A pair in tokens, with labels as [`TokenRow`] has them.
#[derive(Serialize)]
struct LabelledPair<'a> {
    id: &'a str,
    language: &'a str,
    chosen_input_ids: &'a [u32],
    chosen_labels: Vec<i64>,
    rejected_input_ids: &'a [u32],
    rejected_labels: Vec<i64>,
}

/// A pair of answers, to which TRL applies the model's chat template.
#[derive(Serialize)]
struct PairRow<'a> {
    id: &'a str,
    language: &'a str,
    prompt: &'a [Message],
    chosen: [Message; 1],
    rejected: [Message; 1],
}

/// An answer that is wanted or not; the template is TRL's to apply here too.
#[derive(Serialize)]
struct LabelledRow<'a> {
    id: &'a str,
    language: &'a str,
    prompt: &'a [Message],
    completion: [Message; 1],
    label: bool,
}

/// The label of a token that does not count, in PyTorch and everything above it.
const IGNORED: i64 = -100;

fn labels(sequence: &Sequence) -> Vec<i64> {
    let counts = sequence.tokens().iter().zip(sequence.weights());
    counts.map(|(token, weight)| if *weight == 0.0 { IGNORED } else { i64::from(*token) }).collect()
}
