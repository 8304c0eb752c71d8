//! Log-probabilities under a frozen model: computed once before the first step, through the same kernels as training.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use cambist_core::{chance::Chance, digest::Digest};

use super::{TrainError, observer::Observer, rows::EncodedRow};
use crate::{model::LocalModel, score, train_row::Sequence};

/// What a row is worth to the reference model.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceRow {
    /// Names the row by its tokens and by which of them count; rows that are equal share it, and their order is of no
    /// matter.
    pub key: u128,
    /// The sum of each sequence's log-probabilities, nats.
    pub log_probs: Vec<f64>,
    /// How many tokens of each sequence count.
    pub n_tokens: Vec<u32>,
}

/// Where the log-probabilities of the reference model come from.
#[derive(Clone, Copy, Default)]
pub struct ReferenceSource<'a> {
    /// The reference model; none (the default) for the model as it is before the first step, adapters included.
    pub model: Option<&'a LocalModel>,
    /// What an earlier run was told by [`Observer::reference`], of the same reference model; some of it is computed
    /// again to see whether it is.
    pub known: &'a [ReferenceRow],
}

/// Known rows that are computed again.
const N_CHECKED: usize = 16;

/// Rows that are scored together and told of at once.
const ROWS_A_GROUP: usize = 64;

/// Fills in [`EncodedRow::reference`]; breaks when the observer stops the run.
pub(super) fn fill(
    model: &LocalModel,
    (source, seed): (ReferenceSource<'_>, u64),
    rows: &mut [&mut EncodedRow],
    observer: &mut dyn Observer,
) -> Result<ControlFlow<()>, TrainError> {
    if let Some(reference) = source.model {
        let is_same = reference.tokenizer().to_bytes().ok() == model.tokenizer().to_bytes().ok();
        if !is_same {
            return Err(TrainError::ReferenceTokenizer);
        }
    }
    let model = source.model.unwrap_or(model);
    let keys: Vec<u128> = rows.iter().map(|row| key(row)).collect();
    let mut known: BTreeMap<u128, Vec<f64>> =
        source.known.iter().map(|kept| (kept.key, kept.log_probs.clone())).collect();
    check(model, (rows, &keys), (&known, seed))?;
    let mut seen = BTreeSet::new();
    let distinct: Vec<usize> = (0..rows.len()).filter(|i| seen.insert(keys[*i])).collect();
    let mut n_done = 0;
    // Always the same groups: a run that was cut off gets the numbers of one that was not.
    for group in distinct.chunks(ROWS_A_GROUP) {
        n_done += group.len();
        if group.iter().all(|i| known.contains_key(&keys[*i])) {
            continue;
        }
        let group: Vec<(u128, &EncodedRow)> = group.iter().map(|i| (keys[*i], &*rows[*i])).collect();
        let scored = score_group(model, &group)?;
        let stops = observer.reference(&scored, (n_done, distinct.len())).is_break();
        for row in scored {
            known.entry(row.key).or_insert(row.log_probs);
        }
        if stops {
            return Ok(ControlFlow::Break(()));
        }
    }
    for (row, key) in rows.iter_mut().zip(keys) {
        row.reference = known.get(&key).cloned().unwrap_or_default();
    }
    Ok(ControlFlow::Continue(()))
}

fn score_group(model: &LocalModel, group: &[(u128, &EncodedRow)]) -> Result<Vec<ReferenceRow>, TrainError> {
    let sequences: Vec<&Sequence> = group.iter().flat_map(|(_, row)| &row.sequences).collect();
    let mut sums = sums(model, &sequences)?.into_iter();
    let of_row = |(key, row): &(u128, &EncodedRow)| ReferenceRow {
        key: *key,
        log_probs: sums.by_ref().take(row.sequences.len()).collect(),
        n_tokens: row.sequences.iter().map(|s| s.n_loss_tokens() as u32).collect(),
    };
    Ok(group.iter().map(of_row).collect())
}

/// Computes some of the known rows again.
fn check(
    model: &LocalModel,
    (rows, keys): (&[&mut EncodedRow], &[u128]),
    (known, seed): (&BTreeMap<u128, Vec<f64>>, u64),
) -> Result<(), TrainError> {
    let mut drawn: Vec<usize> = (0..rows.len()).filter(|i| known.contains_key(&keys[*i])).collect();
    Chance::new(seed, &["reference"]).shuffle(&mut drawn);
    for i in drawn.into_iter().take(N_CHECKED) {
        let sequences: Vec<&Sequence> = rows[i].sequences.iter().collect();
        let (found, kept) = (sums(model, &sequences)?, &known[&keys[i]]);
        let is_near = |(found, kept): (&f64, &f64)| (found - kept).abs() <= 1e-3 + 1e-4 * found.abs();
        if found.len() != kept.len() || !found.iter().zip(kept).all(is_near) {
            return Err(TrainError::Reference { id: rows[i].id.clone(), found: kept.clone(), expected: found });
        }
    }
    Ok(())
}

fn sums(model: &LocalModel, sequences: &[&Sequence]) -> Result<Vec<f64>, TrainError> {
    let log_probs = score::passes(model, sequences)?;
    Ok(log_probs.iter().map(|sequence| sequence.iter().map(|x| f64::from(*x)).sum()).collect())
}

/// Names a row by its tokens and by which of them count.
fn key(row: &EncodedRow) -> u128 {
    let mut parts: Vec<Vec<u8>> = vec![];
    for sequence in &row.sequences {
        parts.push(sequence.tokens.iter().flat_map(|token| token.to_le_bytes()).collect());
        parts.push(sequence.weights.iter().map(|weight| u8::from(*weight != 0.0)).collect());
    }
    let digest = Digest::of_parts(parts.iter().map(Vec::as_slice));
    digest.as_str().chars().take(32).fold(0, |key, digit| key << 4 | u128::from(digit.to_digit(16).unwrap_or(0)))
}
