//! Rows as tokens, and those that are left out.

use cambist_core::language::Language;

use super::{TrainError, config::OnEmptyMask};
use crate::{
    chat::EncodeError,
    model::LocalModel,
    objective::{Encoder, Objective, ScoredRow},
    train_row::{RowContent, Sequence, TrainRow},
};

/// A row in tokens.
pub(crate) struct EncodedRow {
    pub(crate) id: String,
    pub(crate) language: Language,
    pub(crate) weight: f64,
    pub(crate) sequences: Vec<Sequence>,
    /// What it adds to each term's denominator, before its weight.
    pub(crate) denominators: Vec<f64>,
    /// The sum of each sequence's log-probabilities under the reference model; empty without one.
    pub(crate) reference: Vec<f64>,
    /// Of a pair; 0 where the objective does not look at it.
    pub(crate) margin: f64,
    /// Whether an unpaired answer is wanted; true for rows of other kinds.
    pub(crate) desirable: bool,
}

/// A row that is left out of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedRow {
    /// Names the row.
    pub id: String,
    /// Its language.
    pub language: Language,
    /// Why, in one word: `too-long`, `empty`, `identical` or `empty-mask`.
    pub reason: &'static str,
    /// Why, in a sentence.
    pub detail: String,
}

impl EncodedRow {
    /// Returns what an objective sees of the row; `baseline` is that of its step, 0 where there is none.
    pub(crate) fn scored<'a>(&'a self, log_probs: &'a [Vec<f32>], baseline: f64) -> ScoredRow<'a> {
        let Self { sequences, reference, margin, desirable, .. } = self;
        ScoredRow { sequences, log_probs, reference, margin: *margin, desirable: *desirable, baseline }
    }
}

/// Turns rows into tokens; those that the objective leaves out come beside the others.
pub(crate) fn encode_rows(
    model: &LocalModel,
    (rows, objective): (&[TrainRow], &dyn Objective),
    (max_length, on_empty_mask): (usize, OnEmptyMask),
) -> Result<(Vec<EncodedRow>, Vec<DroppedRow>), TrainError> {
    let (objective_name, expected, found) = (objective.name(), objective.head(), model.head());
    if expected != found {
        return Err(TrainError::Head { objective: objective_name, expected, found });
    }
    let encoder = Encoder { chat: &model.chat, max_length };
    let (mut encoded, mut dropped) = (Vec::with_capacity(rows.len()), vec![]);
    for row in rows {
        if !(row.weight.is_finite() && row.weight > 0.0) {
            return Err(TrainError::Weight { id: row.id.clone(), weight: row.weight });
        }
        let margin = margin_of(row, objective)?;
        let (id, language) = (row.id.clone(), row.language.clone());
        match objective.encode(&row.content, encoder) {
            Ok(sequences) => {
                let denominators = objective.denominators(&sequences);
                let (weight, reference) = (row.weight, vec![]);
                let desirable = !matches!(row.content, RowContent::Unpaired { desirable: false, .. });
                encoded.push(EncodedRow {
                    id,
                    language,
                    weight,
                    sequences,
                    denominators,
                    reference,
                    margin,
                    desirable,
                });
            }
            Err(source) => match (source.drops(), &source, on_empty_mask) {
                (Some(reason), ..) => dropped.push(DroppedRow { id, language, reason, detail: source.to_string() }),
                (None, EncodeError::EmptyMask(_), OnEmptyMask::Drop) => {
                    let (reason, detail) = ("empty-mask", source.to_string());
                    dropped.push(DroppedRow { id, language, reason, detail });
                }
                (None, EncodeError::EmptyMask(why), OnEmptyMask::Error) => {
                    return Err(TrainError::EmptyMask { id, why });
                }
                _ => return Err(TrainError::Row { id, source }),
            },
        }
    }
    Ok((encoded, dropped))
}

/// A margin that is missing is no margin of 0.
fn margin_of(row: &TrainRow, objective: &dyn Objective) -> Result<f64, TrainError> {
    match row.margin.filter(|margin| margin.is_finite()) {
        _ if !objective.needs_margin() => Ok(0.0),
        Some(margin) => Ok(margin),
        None => Err(TrainError::Margin { id: row.id.clone(), found: row.margin }),
    }
}
