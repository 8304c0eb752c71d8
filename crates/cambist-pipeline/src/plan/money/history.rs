//! What the ledger tells of earlier calls, read when something is left to be estimated from it.

use cambist_io::ledger::{CallHistory, ScoreHistory};

use crate::{
    error::PipelineError,
    run::Workshop,
    verbs::{Count, Forecast},
};

/// What the ledger tells of earlier calls. Summing a million of them up takes as long as it does to see that all of them
/// are there, so that nothing is read before a call is left.
pub(super) struct History<'w> {
    workshop: &'w Workshop<'w>,
    calls: Option<Vec<CallHistory>>,
    scores: Option<Vec<ScoreHistory>>,
}

impl<'w> History<'w> {
    /// Of nothing yet.
    pub(super) fn new(workshop: &'w Workshop<'w>) -> Self {
        Self { workshop, calls: None, scores: None }
    }

    /// What teachers' calls came to; nothing where none of the counted calls is left.
    pub(super) fn calls<'c>(
        &mut self,
        counts: impl IntoIterator<Item = &'c Count>,
    ) -> Result<&[CallHistory], PipelineError> {
        if self.calls.is_none() && is_left(counts) {
            self.calls = Some(self.workshop.ledger().call_history()?);
        }
        Ok(self.calls.as_deref().unwrap_or_default())
    }

    /// What arbiters' scores came to; nothing where none of the forecast ones is left.
    pub(super) fn scores(&mut self, forecasts: &[Forecast]) -> Result<&[ScoreHistory], PipelineError> {
        if self.scores.is_none() && is_left(counts_of(forecasts)) {
            self.scores = Some(self.workshop.ledger().score_history()?);
        }
        Ok(self.scores.as_deref().unwrap_or_default())
    }
}

/// The counts of all forecasts.
pub(super) fn counts_of(forecasts: &[Forecast]) -> impl Iterator<Item = &Count> {
    forecasts.iter().flat_map(|forecast| forecast.counts.values())
}

fn is_left<'c>(counts: impl IntoIterator<Item = &'c Count>) -> bool {
    counts.into_iter().any(|count| count.left > 0)
}
