//! One token from logits.

use std::collections::BTreeMap;

use cambist_core::chance::Chance;

use super::sampling::Sampling;
use crate::{
    log_prob::{Ranked, most_likely},
    ops::simd,
};

/// How often tokens stood in the prompt and in the answer so far; empty where no penalty asks.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// For each token whether it was in either, and how often the answer has it.
    counts: BTreeMap<u32, u32>,
}

impl Said {
    pub(super) fn in_prompt(tokens: &[u32]) -> Self {
        Self { counts: tokens.iter().map(|token| (*token, 0)).collect() }
    }

    pub(super) fn push(&mut self, token: u32) {
        *self.counts.entry(token).or_default() += 1;
    }

    /// Changes the logits of tokens that were said.
    fn penalise(&self, logits: &mut [f32], sampling: &Sampling) {
        let repetition = sampling.repetition_penalty.unwrap_or(1.0) as f32;
        let presence = sampling.presence_penalty.unwrap_or(0.0) as f32;
        let frequency = sampling.frequency_penalty.unwrap_or(0.0) as f32;
        for (token, n) in &self.counts {
            let Some(logit) = logits.get_mut(*token as usize) else { continue };
            *logit = if *logit < 0.0 { *logit * repetition } else { *logit / repetition };
            if *n > 0 {
                *logit -= presence + frequency * *n as f32;
            }
        }
    }
}

/// Returns the next token; draws one number from `chance` unless the temperature is 0. Penalties stay in `logits`.
pub(super) fn draw(logits: &mut [f32], (sampling, said): (&Sampling, &Said), chance: &mut Chance) -> u32 {
    if sampling.penalises() {
        said.penalise(logits, sampling);
    }
    if sampling.temperature <= 0.0 {
        return most_likely(logits);
    }
    let mut candidates = Candidates::new(logits, sampling);
    let (n, sum) = candidates.kept(sampling);
    let mut left = chance.unit() * sum;
    for place in 0..n {
        left -= candidates.weight(place);
        if left < 0.0 {
            return candidates.token(place);
        }
    }
    candidates.token(n.saturating_sub(1))
}

/// Tokens by falling weight; the most likely one weighs 1.
struct Candidates<'a> {
    ranked: Ranked<'a>,
    weights: Vec<f32>,
}

impl<'a> Candidates<'a> {
    fn new(logits: &'a [f32], sampling: &Sampling) -> Self {
        let inverse = (1.0 / sampling.temperature) as f32;
        let mut weights = vec![0f32; logits.len()];
        simd::vectorised(
            #[inline(always)]
            || {
                let top = simd::max(logits);
                for (weight, logit) in weights.iter_mut().zip(logits) {
                    *weight = simd::exp((logit - top) * inverse);
                }
            },
        );
        Self { ranked: Ranked::new(logits), weights }
    }

    fn token(&mut self, place: usize) -> u32 {
        self.ranked.get(place).unwrap_or_default()
    }

    fn weight(&mut self, place: usize) -> f64 {
        self.ranked.get(place).map_or(0.0, |token| f64::from(self.weights[token as usize]))
    }

    /// Returns how many of the tokens are drawn from, at least one, and what they weigh together.
    fn kept(&mut self, sampling: &Sampling) -> (usize, f64) {
        let n_all = self.weights.len();
        let n = sampling.top_k.unwrap_or(n_all).clamp(1, n_all.max(1));
        let sum = if n < n_all { (0..n).map(|place| self.weight(place)).sum() } else { self.sum_of_all() };
        let (n, sum) = if sampling.top_p < 1.0 { self.nucleus(n, sampling.top_p * sum) } else { (n, sum) };
        match sampling.min_p {
            Some(share) if share > 0.0 => self.at_least(n, share),
            _ => (n, sum),
        }
    }

    fn sum_of_all(&self) -> f64 {
        self.weights.chunks(256).map(|chunk| f64::from(chunk.iter().sum::<f32>())).sum()
    }

    /// The first of `n` tokens that weigh `goal` together (Holtzman et al. 2020, arXiv 1904.09751).
    fn nucleus(&mut self, n: usize, goal: f64) -> (usize, f64) {
        let mut sum = 0.0;
        for place in 0..n {
            sum += self.weight(place);
            if sum >= goal {
                return (place + 1, sum);
            }
        }
        (n, sum)
    }

    /// The first of `n` tokens that weigh at least `share` of the first (Nguyen et al. 2024, arXiv 2407.01082).
    fn at_least(&mut self, n: usize, share: f64) -> (usize, f64) {
        let least = share * self.weight(0);
        let mut sum = 0.0;
        for place in 0..n {
            let weight = self.weight(place);
            if weight < least && place > 0 {
                return (place, sum);
            }
            sum += weight;
        }
        (n, sum)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    fn counts(sampling: &Sampling, logits: &[f32]) -> Vec<f64> {
        let mut chance = Chance::new(1, &["sampling"]);
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..20_000 {
            let token = draw(&mut logits.to_vec(), (sampling, &Said::default()), &mut chance);
            counts[token as usize] += 1.0 / 20_000.0;
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
        assert_eq!(only(Sampling { temperature: 1.0, min_p: Some(0.13), ..Sampling::default() }), 3);
    }

    #[test]
    fn greedy_ties_go_to_the_lower_number() {
        let none = Said::default();
        assert_eq!(draw(&mut [0.0, 2.0, 2.0], (&Sampling::default(), &none), &mut Chance::new(0, &[])), 1);
    }

    #[test]
    fn penalties_of_the_answer_leave_the_prompt_alone() {
        let mut said = Said::in_prompt(&[0, 1]);
        said.push(1);
        said.push(1);
        let sampling = Sampling { presence_penalty: Some(0.5), frequency_penalty: Some(0.25), ..Sampling::default() };
        let mut logits = [1.0, 1.0, 1.0];
        said.penalise(&mut logits, &sampling);
        assert_eq!(logits, [1.0, 0.0, 1.0]);
    }

    #[derive(Deserialize)]
    struct Golden {
        logits: Vec<f32>,
        prompt: Vec<u32>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        sampling: Sampling,
        probabilities: Vec<f64>,
    }

    /// Tolerance 1e-6: both sides compute in f32, and the exponential here is within two units in the last place.
    #[test]
    fn probabilities_equal_those_of_the_logits_processors_of_transformers() {
        let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/sampling.json")).unwrap();
        assert!(golden.cases.len() >= 12);
        for case in &golden.cases {
            let (mut logits, said) = (golden.logits.clone(), Said::in_prompt(&golden.prompt));
            said.penalise(&mut logits, &case.sampling);
            let mut candidates = Candidates::new(&logits, &case.sampling);
            let (n, sum) = candidates.kept(&case.sampling);
            let mut found = vec![0.0; logits.len()];
            for place in 0..n {
                found[candidates.token(place) as usize] = candidates.weight(place) / sum;
            }
            for (token, (found, expected)) in found.iter().zip(&case.probabilities).enumerate() {
                assert!((found - expected).abs() < 1e-6, "{:?}, token {token}: {found} {expected}", case.sampling);
            }
            let support = |p: &[f64]| p.iter().filter(|p| **p > 0.0).count();
            assert_eq!(support(&found), support(&case.probabilities), "{:?}", case.sampling);
        }
    }
}
