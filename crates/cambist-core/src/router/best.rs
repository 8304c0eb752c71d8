//! The valid candidate of the highest reward, and the tie-break that all strategies share.

use std::cmp::Ordering;

use super::Choice;
use crate::{candidate::Candidate, pool::Query};

/// Orders valid candidates from the best on: higher reward, then lower expected cost, then smaller teacher id in byte
/// order, then smaller sample.
pub(crate) fn by_rank(query: &Query<'_>, a: &(&Candidate, f64), b: &(&Candidate, f64)) -> Ordering {
    let cost = |candidate: &Candidate| query.cost_usd(&candidate.completion.teacher);
    b.1.total_cmp(&a.1).then_with(|| cost(a.0).total_cmp(&cost(b.0))).then_with(|| a.0.cell().cmp(&b.0.cell()))
}

/// Takes the best of the valid ones; none when there is none.
pub(super) fn best_of(query: &Query<'_>, observed: &[&Candidate]) -> Option<Choice> {
    let mut valid: Vec<(&Candidate, f64)> =
        observed.iter().filter_map(|candidate| Some((*candidate, candidate.valid_reward()?))).collect();
    valid.sort_by(|a, b| by_rank(query, a, b));
    let (best, score) = valid.first()?;
    Some(Choice {
        teacher: best.completion.teacher.clone(),
        sample: best.completion.sample,
        score: Some(*score),
        runner_up: valid.get(1).map(|(_, reward)| *reward),
        propensity: 1.0,
    })
}
