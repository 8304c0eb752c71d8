//! A teacher by lot: what a pool is worth without any choice.

use super::{Ask, Choice, Fallback, Router, ranked};
use crate::{candidate::Candidate, chance::Chance, pool::Query};

/// Draws one eligible teacher uniformly; the lot depends on seed and prompt id alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Random {
    /// Keys the lots.
    pub seed: u64,
    /// Whether it draws again, without replacement, when an answer is invalid.
    pub fallback: Fallback,
}

impl Random {
    fn drawn<'a>(&self, query: &'a Query<'_>) -> Vec<&'a str> {
        let mut chance = Chance::new(self.seed, &["random", &query.prompt.id]);
        let mut left: Vec<&str> = query.eligible.iter().map(|eligible| eligible.teacher.id.as_str()).collect();
        let mut drawn = Vec::with_capacity(left.len());
        while !left.is_empty() {
            drawn.push(left.remove(chance.below(left.len())));
        }
        drawn
    }
}

impl Router for Random {
    fn strategy(&self) -> String {
        "random".to_owned()
    }

    fn reads_rewards(&self) -> bool {
        false
    }

    fn asks(&self, query: &Query<'_>, observed: &[&Candidate]) -> Vec<Ask> {
        ranked::asks(&self.drawn(query), self.fallback, observed)
    }

    /// The propensity is that of the lots drawn so far in their order: 1/n, then 1/(n (n - 1)) and so on.
    fn choose(&self, query: &Query<'_>, observed: &[&Candidate]) -> Option<Choice> {
        let choice = ranked::first_valid(&self.drawn(query), observed)?;
        let n = query.eligible.len();
        let propensity = (0..observed.len()).map(|drawn| 1.0 / (n - drawn) as f64).product();
        Some(Choice { propensity, ..choice })
    }

    /// One over the number of eligible teachers; none with fallbacks, which follow what answers say.
    fn propensities(&self, query: &Query<'_>, observed: &[&Candidate]) -> Option<Vec<f64>> {
        let share = 1.0 / query.eligible.len().max(1) as f64;
        (self.fallback == Fallback::None).then(|| vec![share; observed.len()])
    }
}
