//! Rows that are measured and never learned from.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{RowSet, TrainError, observer::HeldOutLog, tally::Tally};
use crate::{model::LocalModel, objective::Objective, score, train_row::Sequence, weights::Numbers};

/// Held-out rows, and what the best step so far was.
pub(super) struct HeldOut {
    set: RowSet,
    pub(super) best: Option<Best>,
    /// The parameters of the best step.
    pub(super) parameters: Vec<Tensor>,
}

/// The best measurement so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    step: usize,
    loss: f64,
    /// Measurements since then.
    n_since: usize,
}

impl HeldOut {
    pub(super) fn new(set: RowSet) -> Self {
        Self { set, best: None, parameters: vec![] }
    }

    /// Measures the loss after a step, and keeps the parameters where it is the lowest so far.
    pub(super) fn measure(
        &mut self,
        model: &LocalModel,
        objective: &dyn Objective,
        step: usize,
    ) -> Result<HeldOutLog, TrainError> {
        let tally = self.tally(model, objective)?;
        let (all, per_language) = (tally.means(), tally.per_language());
        let loss = all.loss;
        let is_best = loss.is_finite() && self.best.as_ref().is_none_or(|best| loss < best.loss);
        if is_best {
            self.best = Some(Best { step, loss, n_since: 0 });
            let copies = model.decoder.trained().iter().map(|parameter| parameter.plain()?.copy());
            self.parameters = copies.collect::<candle_core::Result<_>>()?;
        } else if let Some(best) = &mut self.best {
            best.n_since += 1;
        }
        Ok(HeldOutLog { step, all, per_language, is_best })
    }

    fn tally(&self, model: &LocalModel, objective: &dyn Objective) -> Result<Tally, TrainError> {
        let RowSet { rows, mismatches } = &self.set;
        let all: Vec<usize> = (0..rows.len()).collect();
        let baseline = mismatches.as_ref().map_or(Ok(0.0), |own| own.baseline(model, rows, &all))?;
        let sequences: Vec<&Sequence> = rows.iter().flat_map(|row| &row.sequences).collect();
        let log_probs = score::passes(model, &sequences)?;
        let (mut tally, mut first) = (Tally::new(objective), 0);
        for row in rows {
            let log_probs = &log_probs[first..first + row.sequences.len()];
            first += row.sequences.len();
            tally.add(row, &objective.loss(row.scored(log_probs, baseline)));
        }
        Ok(tally)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.set.rows.is_empty()
    }

    /// Whether the loss has not fallen for `patience` measurements.
    pub(super) fn is_past(&self, patience: Option<usize>) -> bool {
        patience.zip(self.best.as_ref()).is_some_and(|(patience, best)| best.n_since >= patience.max(1))
    }

    /// Gives the model the parameters of the best step, and names it; none when nothing was measured.
    pub(super) fn restore(self, model: &mut LocalModel) -> Option<usize> {
        let best = self.best?;
        for (parameter, tensor) in model.decoder.trained_mut().iter_mut().zip(self.parameters) {
            parameter.numbers = Numbers::Plain(tensor);
        }
        Some(best.step)
    }
}
