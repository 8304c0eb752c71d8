//! The next teacher to ask.

use super::memory::{Likeness, Memory};

/// A prompt as far as a policy knows it.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Its language, by place in the table that the memory was made of; none for one that the table has not.
    pub language: Option<usize>,
    /// Its task, by place in that table.
    pub task: Option<usize>,
    /// By teacher: what asking costs; infinite for those that may not be asked.
    pub costs: &'a [f64],
    /// The reward that a unit of cost must bring, 0 or more. At 0 everybody is asked.
    pub lambda: f64,
}

/// A teacher that was asked, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The teacher, by place.
    pub teacher: usize,
    /// Its reward on the scale of the language; none for an invalid answer.
    pub reward: Option<f64>,
}

/// Whom to ask next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy<'a> {
    /// What calibration prompts showed.
    pub memory: &'a Memory,
    /// How they weigh. Where rewards seen say nothing about those to come, Weitzman's rule is followed to the letter.
    pub likeness: Likeness,
}

impl Policy<'_> {
    /// Returns the closed teachers that are worth asking, the first to be asked first; none when nobody is. As long as no
    /// valid answer was seen, everybody who may be asked is worth it.
    ///
    /// Ties go to the lower cost, then to the earlier place.
    pub fn next(&self, case: &Case<'_>, seen: &[Seen]) -> Vec<usize> {
        let is_closed = |at: &usize| case.costs[*at].is_finite() && seen.iter().all(|seen| seen.teacher != *at);
        let closed: Vec<usize> = (0..self.memory.n_teachers()).filter(is_closed).collect();
        let prior = self.memory.prior(&self.likeness, (case.language, case.task), None);
        let best = seen.iter().filter_map(|seen| seen.reward).reduce(f64::max);
        let is_worth = |value: f64, floor: f64| value > floor || case.lambda == 0.0;
        let mut valued: Vec<(usize, f64)> = match best {
            None if seen.is_empty() || !self.likeness.is_shared() => self.reserved(case, &closed, &prior),
            None => closed.iter().map(|at| (*at, self.memory.mean(*at, &self.weights(&prior, seen)))).collect(),
            Some(best) if !self.likeness.is_shared() => {
                let reserved = self.reserved(case, &closed, &prior).into_iter();
                reserved.filter(|(_, z)| is_worth(*z, best)).collect()
            }
            Some(best) => {
                let weights = self.weights(&prior, seen);
                let rate = |at: &usize| (*at, self.rate(*at, (&weights, best), case.costs[*at]));
                closed.iter().map(rate).filter(|(_, rate)| is_worth(*rate, case.lambda)).collect()
            }
        };
        valued.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| case.costs[a.0].total_cmp(&case.costs[b.0])));
        valued.into_iter().map(|(at, _)| at).collect()
    }

    fn reserved(&self, case: &Case<'_>, closed: &[usize], prior: &[f64]) -> Vec<(usize, f64)> {
        let z = |at: usize| self.memory.reservations(at, prior, &[case.lambda * case.costs[at]])[0];
        closed.iter().map(|at| (*at, z(*at))).collect()
    }

    /// What a unit of cost is expected to add to the best reward; calls that cost nothing add without limit.
    pub(super) fn rate(&self, teacher: usize, (weights, best): (&[f64], f64), cost: f64) -> f64 {
        let gain = self.memory.expected_gain(teacher, weights, best);
        if gain > 0.0 { gain / cost } else { 0.0 }
    }

    fn weights(&self, prior: &[f64], seen: &[Seen]) -> Vec<f64> {
        let mut logs = vec![0.0; prior.len()];
        seen.iter().for_each(|seen| self.memory.observe(&mut logs, &self.likeness, (seen.teacher, seen.reward)));
        self.memory.posterior(prior, &logs, &self.likeness)
    }
}
