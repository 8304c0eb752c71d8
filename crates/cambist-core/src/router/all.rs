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

/// Asks every eligible teacher several times and takes the best answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllBestOfN {
    /// How many answers of each teacher, at least 1.
    pub n_samples: u32,
}

impl Router for AllBestOfN {
    fn strategy(&self) -> String {
        format!("all_bon:{}", self.n_samples)
    }

    fn reads_rewards(&self) -> bool {
        true
    }

    fn asks(&self, query: &Query<'_>, observed: &[&Candidate]) -> Vec<Ask> {
        if !observed.is_empty() {
            return Vec::new();
        }
        let ask = |teacher: &str| Ask { teacher: teacher.to_owned(), n_samples: self.n_samples };
        query.eligible.iter().map(|eligible| ask(&eligible.teacher.id)).collect()
    }

    fn choose(&self, query: &Query<'_>, observed: &[&Candidate]) -> Option<Choice> {
        best_of(query, observed)
    }
}
