//! Who watches a run.

use std::{collections::BTreeMap, ops::ControlFlow};

use cambist_core::language::Language;
use serde::{Deserialize, Serialize};

use super::{DroppedRow, Means, ReferenceRow, StepLog, memory::MemoryNeed};

/// Watches a run: is told of steps and measurements, keeps what a run can be resumed from, and may stop it.
pub trait Observer {
    /// Hears before the first step what the run needs in memory; breaking stops the run before it takes any.
    fn begin(&mut self, _need: &MemoryNeed) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Hears of a step; breaking stops the run after it.
    fn step(&mut self, log: &StepLog) -> ControlFlow<()>;

    /// Hears of a measurement on held-out rows.
    fn held_out(&mut self, _log: &HeldOutLog) {}

    /// Hears, before the first step, of the rows that are left out; of none too.
    fn dropped(&mut self, _rows: &[DroppedRow]) {}

    /// Hears, before the first step, what rows are worth to the reference model, and how many of how many rows are
    /// done; what it keeps spares a later run the work ([`ReferenceSource::known`](super::ReferenceSource::known)).
    /// Breaking stops the run.
    fn reference(&mut self, _rows: &[ReferenceRow], _done: (usize, usize)) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Whether the state of the run is to be handed over now; asked after every step, and after the last one of a run
    /// that `is_stopping`. Never by default.
    fn wants_state(&mut self, _is_stopping: bool) -> bool {
        false
    }

    /// Takes what [`Training::resume`](super::Training::resume) goes on from: weights, moments and counters, in bytes.
    fn keep(&mut self, _state: Vec<u8>) {}
}

/// A measurement on held-out rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOutLog {
    /// The step, from 0, after which it was made.
    pub step: usize,
    /// Loss and metrics over all rows.
    pub all: Means,
    /// The same for each language.
    pub per_language: BTreeMap<Language, Means>,
    /// Whether no earlier measurement was lower or equal.
    pub is_best: bool,
}

/// An observer that only hears of steps.
pub(super) struct EachStep<'a>(pub(super) &'a mut dyn FnMut(&StepLog) -> ControlFlow<()>);

impl Observer for EachStep<'_> {
    fn step(&mut self, log: &StepLog) -> ControlFlow<()> {
        (self.0)(log)
    }
}
