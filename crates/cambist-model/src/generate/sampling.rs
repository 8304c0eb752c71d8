//! One token from logits.

use cambist_core::chance::Chance;
use serde::{Deserialize, Serialize};

/// How tokens are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// What logits are divided by, default 0: always the most likely token, the lower number on a tie.
    pub temperature: f64,
    /// Smallest set of tokens with at least this probability together is drawn from, default 1.0.
    pub top_p: f64,
    /// At most this many tokens are drawn from, none (the default) for all.
    pub top_k: Option<usize>,
    /// Longest answer in tokens, end of turn included, default 256.
    pub max_new_tokens: usize,
    /// Names the random numbers, together with each request's key.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, top_k: None, max_new_tokens: 256, seed: 0 }
    }
}

impl Sampling {
    /// Returns the next token; draws one number from `chance` unless the temperature is 0.
    pub(super) fn next(&self, logits: &[f32], chance: &mut Chance) -> u32 {
        if self.temperature <= 0.0 {
            return most_likely(logits);
        }
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        let logit = |token: u32| logits[token as usize];
        order.sort_by(|a, b| logit(*b).total_cmp(&logit(*a)).then(a.cmp(b)));
        order.truncate(self.top_k.unwrap_or(logits.len()).max(1));
        let top = f64::from(order.first().map_or(0.0, |token| logit(*token)));
        let weight = |token: &u32| ((f64::from(logit(*token)) - top) / self.temperature).exp();
        let weights: Vec<f64> = order.iter().map(weight).collect();
        let nucleus = nucleus(&weights, self.top_p);
        let mut left = chance.unit() * weights[..nucleus].iter().sum::<f64>();
        for (token, weight) in order.iter().zip(&weights[..nucleus]) {
            left -= weight;
            if left < 0.0 {
                return *token;
            }
        }
        order[nucleus - 1]
    }
}

/// How many of the falling weights make up the share `top_p`, at least 1 (Holtzman et al. 2020, arXiv 1904.09751).
fn nucleus(weights: &[f64], top_p: f64) -> usize {
    let goal = top_p * weights.iter().sum::<f64>();
    let mut sum = 0.0;
    let reaches = |weight: &f64| {
        sum += weight;
        sum >= goal
    };
    weights.iter().position(reaches).map_or(weights.len(), |last| last + 1)
}

fn most_likely(logits: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, logit) in logits.iter().enumerate() {
        if *logit > best.1 {
            best = (token as u32, *logit);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(sampling: &Sampling, logits: &[f32]) -> Vec<f64> {
        let mut chance = Chance::new(1, &["sampling"]);
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..20_000 {
            counts[sampling.next(logits, &mut chance) as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    #[test]
    fn temperature_shapes_the_distribution() {
        let sampling = Sampling { temperature: 0.5, ..Sampling::default() };
        let shares = counts(&sampling, &[0.0, 1.0, 0.5]);
        let weights = [1.0, 2f64.exp(), 1f64.exp()];
        for (share, weight) in shares.iter().zip(weights) {
            assert!((share - weight / weights.iter().sum::<f64>()).abs() < 0.015, "{shares:?}");
        }
    }

    #[test]
    fn top_p_and_top_k_cut_the_tail() {
        let logits = [3.0, 2.0, 1.0, 0.0];
        let only = |sampling: Sampling| counts(&sampling, &logits).iter().filter(|n| **n > 0.0).count();
        assert_eq!(only(Sampling { temperature: 1.0, top_k: Some(2), ..Sampling::default() }), 2);
        assert_eq!(only(Sampling { temperature: 1.0, top_p: 0.7, ..Sampling::default() }), 2);
        assert_eq!(only(Sampling { temperature: 1.0, top_p: 0.6, ..Sampling::default() }), 1);
    }

    #[test]
    fn greedy_ties_go_to_the_lower_number() {
        assert_eq!(Sampling::default().next(&[0.0, 2.0, 2.0], &mut Chance::new(0, &[])), 1);
    }
}
