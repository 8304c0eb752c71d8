//! One teacher for everything, asked once or several times.

use super::{Ask, Choice, Router, best::best_of, ranked};
use crate::{candidate::Candidate, pool::Query};

/// Asks one teacher once, whatever the language, and has nobody to fall back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Single {
    /// Whom it asks.
    pub teacher: String,
}

impl Router for Single {
    fn strategy(&self) -> String {
        format!("single:{}", self.teacher)
    }

    fn reads_rewards(&self) -> bool {
        false
    }

    fn asks(&self, query: &Query<'_>, observed: &[&Candidate]) -> Vec<Ask> {
        let is_first = observed.is_empty() && query.is_eligible(&self.teacher);
        if is_first { vec![Ask::once(&self.teacher)] } else { Vec::new() }
    }

    fn choose(&self, _query: &Query<'_>, observed: &[&Candidate]) -> Option<Choice> {
        ranked::first_valid(&[&self.teacher], observed)
    }
}

/// Asks one teacher several times and takes its best answer.
///
/// With as many samples as the pool has teachers it makes as many answers as [`super::All`] does, and so tells the gain of
/// a varied pool from the gain of choosing among many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleBestOfN {
    /// Whom it asks.
    pub teacher: String,
    /// How many answers it asks for.
    pub n_samples: u32,
}

impl Router for SingleBestOfN {
    fn strategy(&self) -> String {
        format!("single_bon:{},{}", self.teacher, self.n_samples)
    }

    fn reads_rewards(&self) -> bool {
        true
    }

    fn asks(&self, query: &Query<'_>, observed: &[&Candidate]) -> Vec<Ask> {
        let is_first = observed.is_empty() && query.is_eligible(&self.teacher);
        if is_first { vec![Ask { teacher: self.teacher.clone(), n_samples: self.n_samples }] } else { Vec::new() }
    }

    fn choose(&self, query: &Query<'_>, observed: &[&Candidate]) -> Option<Choice> {
        best_of(query, observed)
    }
}
