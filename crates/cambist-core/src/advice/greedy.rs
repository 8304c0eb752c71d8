//! Pools that grow by whoever adds most.

use crate::{
    metrics::best_of_random_pool,
    reward_table::{Opened, RewardTable},
};

/// Rewards of some prompts with the lowest of each prompt in place of what is missing.
pub(super) struct Filled {
    n_teachers: usize,
    /// `[prompt, teacher]`.
    rewards: Vec<f64>,
    /// By teacher: whether it can be asked about any of the prompts.
    is_open: Vec<bool>,
}

impl Filled {
    pub(super) fn of(table: &RewardTable, prompts: &[usize]) -> Self {
        let n_teachers = table.teachers().len();
        let mut filled = Self {
            n_teachers,
            rewards: Vec::with_capacity(prompts.len() * n_teachers),
            is_open: vec![false; n_teachers],
        };
        for &prompt in prompts {
            let floor = table.floor(prompt);
            for (cell, is_open) in table.row(prompt).iter().zip(&mut filled.is_open) {
                *is_open |= *cell != Opened::Closed;
                filled.rewards.push(cell.reward().unwrap_or(floor));
            }
        }
        filled
    }

    pub(super) fn ever_open(&self) -> Vec<usize> {
        (0..self.n_teachers).filter(|at| self.is_open[*at]).collect()
    }

    pub(super) fn row(&self, prompt: usize) -> &[f64] {
        &self.rewards[prompt * self.n_teachers..(prompt + 1) * self.n_teachers]
    }

    /// The mean over prompts of the best reward in a pool.
    pub(super) fn mean_of(&self, prompts: &[usize], pool: &[usize]) -> f64 {
        let best = |at: &usize| pool.iter().map(|teacher| self.row(*at)[*teacher]).fold(f64::NEG_INFINITY, f64::max);
        prompts.iter().map(best).sum::<f64>() / prompts.len().max(1) as f64
    }

    /// The mean over all prompts and all pools of `size` among `teachers` of the best reward.
    pub(super) fn mean_by_lot(&self, teachers: &[usize], size: usize) -> f64 {
        let rewards = |at: usize| teachers.iter().map(|teacher| self.row(at)[*teacher]).collect::<Vec<_>>();
        let n = self.rewards.len() / self.n_teachers.max(1);
        (0..n).filter_map(|at| best_of_random_pool(&rewards(at), size)).sum::<f64>() / n.max(1) as f64
    }

    /// The teacher with the best mean; ties go to the smaller id.
    pub(super) fn best_single(&self, prompts: &[usize], teachers: &[usize]) -> usize {
        let mean = |at: usize| self.mean_of(prompts, &[at]);
        let better = |best: usize, at: usize| if mean(at) > mean(best) { at } else { best };
        teachers.iter().copied().reduce(better).unwrap_or(0)
    }
}

/// Orders teachers as a greedy pool takes them in: the best one alone, then whoever adds most to the best reward of each
/// prompt. Ties go to the lower cost, then to the better mean of its own, then to the smaller id.
pub(super) fn grow(filled: &Filled, prompts: &[usize], teachers: &[usize], costs: &[f64]) -> Vec<usize> {
    let mut left = teachers.to_vec();
    let mut order = Vec::with_capacity(left.len());
    let mut best = vec![f64::NEG_INFINITY; prompts.len()];
    while !left.is_empty() {
        let worth = |teacher: usize| -> f64 {
            prompts.iter().zip(&best).map(|(at, best)| filled.row(*at)[teacher].max(*best)).sum()
        };
        let scored = left.iter().map(|at| (*at, worth(*at), filled.mean_of(prompts, &[*at])));
        let Some((next, ..)) = scored.reduce(|a, b| {
            let is_better = b.1.total_cmp(&a.1).then(costs[a.0].total_cmp(&costs[b.0])).then(b.2.total_cmp(&a.2));
            if is_better.is_gt() { b } else { a }
        }) else {
            break;
        };
        left.retain(|at| *at != next);
        best.iter_mut().zip(prompts).for_each(|(best, at)| *best = best.max(filled.row(*at)[next]));
        order.push(next);
    }
    order
}
