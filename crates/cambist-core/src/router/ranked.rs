//! Strategies that have an order of teachers before they see an answer.

use serde::{Deserialize, Serialize};

use super::{Ask, Choice};
use crate::candidate::Candidate;

/// What happens when the answer of the teacher that was asked is invalid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// The prompt is left out: the default, and the rule of published comparisons.
    #[default]
    None,
    /// The next teachers of the strategy's own order are asked, up to this many; all are paid.
    Next(u32),
}

impl Fallback {
    fn max_asked(self) -> usize {
        match self {
            Self::None => 1,
            Self::Next(more) => 1 + more as usize,
        }
    }
}

/// Asks the first of `ranking` that was not asked, unless a valid answer is there or the fallbacks are used up.
pub(super) fn asks(ranking: &[&str], fallback: Fallback, observed: &[&Candidate]) -> Vec<Ask> {
    let is_done = observed.iter().any(|candidate| candidate.passed()) || observed.len() >= fallback.max_asked();
    let next = ranking.get(observed.len()).filter(|_| !is_done);
    next.map(|teacher| Ask::once(teacher)).into_iter().collect()
}

/// Takes the answer of the first in `ranking` that passed the gates.
pub(super) fn first_valid(ranking: &[&str], observed: &[&Candidate]) -> Option<Choice> {
    let answer_of = |teacher: &&str| observed.iter().find(|c| c.completion.teacher == *teacher && c.passed());
    let answer = ranking.iter().find_map(answer_of)?;
    Some(Choice {
        teacher: answer.completion.teacher.clone(),
        sample: answer.completion.sample,
        score: answer.reward,
        runner_up: None,
        propensity: 1.0,
    })
}
