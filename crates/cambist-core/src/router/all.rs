//! Asks everyone and takes the answer of the highest reward: the paper's reward-based routing (arXiv 2408.14960).

use super::{Ask, Choice, Router, best::best_of};
use crate::{candidate::Candidate, pool::Query};

/// Asks every eligible teacher once and takes the best answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct All;

impl Router for All {
    fn strategy(&self) -> String {
        "all".to_owned()
    }

    fn reads_rewards(&self) -> bool {
        true
    }

    fn asks(&self, query: &Query<'_>, observed: &[&Candidate]) -> Vec<Ask> {
        if !observed.is_empty() {
            return Vec::new();
        }
        query.eligible.iter().map(|eligible| Ask::once(&eligible.teacher.id)).collect()
    }

    fn choose(&self, query: &Query<'_>, observed: &[&Candidate]) -> Option<Choice> {
        best_of(query, observed)
    }
}
