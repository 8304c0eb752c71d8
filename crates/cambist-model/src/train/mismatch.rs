//! Answers under prompts that they do not belong to: what a step's baseline is measured on (arXiv 2402.01306, section 4.1).

use std::collections::{BTreeMap, BTreeSet};

use super::{TrainError, rows::EncodedRow};
use crate::{model::LocalModel, score, train_row::Sequence};

/// A row whose prompt is kept, and the row whose answer stands behind it; both by their places.
type Borrowed = (usize, usize);

/// What the mismatched answers of a run are worth to the reference model.
pub(super) struct Mismatches {
    /// The objective that compares with them.
    objective: &'static str,
    max_length: usize,
    /// Sums of log-probabilities, nats.
    reference: BTreeMap<Borrowed, f64>,
}

/// Mismatched answers on their way to the reference model.
pub(super) struct Planned {
    places: Vec<Borrowed>,
    pub(super) rows: Vec<EncodedRow>,
}

impl Planned {
    /// Returns the mismatched answers of all steps, each once, given the places of the rows of each step.
    pub(super) fn of(rows: &[EncodedRow], steps: impl Iterator<Item = Vec<usize>>, max_length: usize) -> Self {
        let all: BTreeSet<Borrowed> = steps.flat_map(|step| borrow(rows, &step)).collect();
        let row = |at: &Borrowed| {
            let (own, other) = (&rows[at.0], &rows[at.1]);
            EncodedRow {
                id: format!("{}, answered by {}", own.id, other.id),
                language: own.language.clone(),
                weight: own.weight,
                sequences: mismatched(own, other, max_length),
                denominators: vec![],
                reference: vec![],
                margin: 0.0,
                desirable: true,
            }
        };
        Self { rows: all.iter().map(row).collect(), places: all.into_iter().collect() }
    }

    /// Keeps what the reference model said, and nothing else.
    pub(super) fn settled(self, (objective, max_length): (&'static str, usize)) -> Mismatches {
        let said = self.rows.into_iter().map(|row| row.reference.first().copied());
        let reference = self.places.into_iter().zip(said).filter_map(|(at, said)| Some((at, said?))).collect();
        Mismatches { objective, max_length, reference }
    }
}

impl Mismatches {
    /// Returns the mean log-ratio of a step's mismatched answers, at least 0, nats; each by the weight of the row whose
    /// prompt it stands behind.
    pub(super) fn baseline(&self, model: &LocalModel, rows: &[EncodedRow], step: &[usize]) -> Result<f64, TrainError> {
        let borrowed = borrow(rows, step);
        let sequences: Vec<Sequence> =
            borrowed.iter().flat_map(|(own, other)| mismatched(&rows[*own], &rows[*other], self.max_length)).collect();
        let said = score::values(model, &sequences)?;
        let (mut sum, mut total) = (0.0, 0.0);
        for (at, log_probs) in borrowed.iter().zip(said) {
            let reference = self.reference.get(at).ok_or(TrainError::NoReference(self.objective))?;
            let log_prob: f64 = log_probs.iter().map(|x| f64::from(*x)).sum();
            let weight = rows[at.0].weight;
            (sum, total) = (sum + weight * (log_prob - reference), total + weight);
        }
        Ok((sum / total).max(0.0))
    }
}

fn mismatched(own: &EncodedRow, other: &EncodedRow, max_length: usize) -> Vec<Sequence> {
    let pairs = own.sequences.iter().zip(&other.sequences);
    pairs.map(|(own, other)| own.answered_by(other, max_length)).collect()
}

/// Returns for each row of a step whose answer it borrows. In the order of the data every row takes the answer of the
/// one before it and the first that of the last, past rows of the same prompt where the step has another.
fn borrow(rows: &[EncodedRow], step: &[usize]) -> Vec<Borrowed> {
    let distinct: Vec<usize> = step.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let prompt = |place: usize| rows[place].sequences.first().map(|own| &own.tokens()[..own.n_before()]);
    let lender = |at: usize| {
        let before = || (1..distinct.len()).map(|back| distinct[(at + distinct.len() - back) % distinct.len()]);
        let other = before().find(|place| prompt(*place) != prompt(distinct[at]));
        other.or_else(|| before().next()).unwrap_or(distinct[at])
    };
    let lenders: BTreeMap<usize, usize> = distinct.iter().enumerate().map(|(at, own)| (*own, lender(at))).collect();
    step.iter().map(|own| (*own, lenders[own])).collect()
}

#[cfg(test)]
mod tests {
    use cambist_core::language::Language;

    use super::*;

    fn row(tokens: &[u32], n_prompt: usize) -> EncodedRow {
        let weights = (0..tokens.len()).map(|i| f32::from(u8::from(i >= n_prompt))).collect();
        EncodedRow {
            id: "row".to_owned(),
            language: Language::parse("de").unwrap(),
            weight: 1.0,
            sequences: vec![Sequence::new(tokens.to_vec(), weights, 8)],
            denominators: vec![1.0],
            reference: vec![],
            margin: 0.0,
            desirable: true,
        }
    }

    #[test]
    fn each_row_takes_the_answer_before_it_whatever_the_order_of_the_step() {
        let rows = [row(&[1, 2, 10], 2), row(&[1, 3, 11, 12], 2), row(&[1, 4, 13], 2), row(&[1, 5, 14], 2)];
        assert_eq!(borrow(&rows, &[2, 0, 1]), [(2, 1), (0, 2), (1, 0)]);
        assert_eq!(borrow(&rows, &[3, 3, 0]), [(3, 0), (3, 0), (0, 3)]);
        assert_eq!(borrow(&rows, &[1]), [(1, 1)]);
        let planned = Planned::of(&rows, [vec![2, 0, 1], vec![0, 1, 2]].into_iter(), 8);
        assert_eq!(planned.rows.len(), 3);
        assert_eq!(planned.rows[2].sequences[0].tokens(), [1, 4, 11, 12]);
        assert_eq!(planned.rows[2].sequences[0].weights(), [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(mismatched(&rows[2], &rows[1], 3)[0].tokens(), [1, 4, 11]);
    }

    #[test]
    fn another_answer_to_the_same_prompt_is_no_mismatch() {
        let rows = [row(&[1, 2, 10], 2), row(&[1, 2, 11], 2), row(&[1, 4, 13], 2)];
        assert_eq!(borrow(&rows, &[0, 1, 2]), [(0, 2), (1, 2), (2, 1)]);
        assert_eq!(borrow(&rows, &[0, 1]), [(0, 1), (1, 0)], "there is no other prompt");
    }
}
