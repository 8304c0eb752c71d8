//! The head of pairwise comparison: who beats whom on a prompt.

use super::loss::Loss;

/// Bradley and Terry (1952) over all pairs of eligible teachers (PerSyn, arXiv 2510.10925): teacher `a` beats `b` with
/// probability `sigma(score_a - score_b)`. The loss of a prompt is the mean over its pairs, so that prompts with more
/// teachers weigh no more; pairs of equal rewards are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BradleyTerry;

impl Loss for BradleyTerry {
    fn blame(&self, scores: &[f64], rewards: &[Option<f64>], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        let (mut loss, mut n_pairs) = (0.0, 0usize);
        for (winner, won) in rewards.iter().enumerate() {
            for (loser, lost) in rewards.iter().enumerate() {
                let is_decided = won.zip(*lost).is_some_and(|(won, lost)| won > lost);
                if !is_decided {
                    continue;
                }
                let ahead = scores[winner] - scores[loser];
                let surprise = 1.0 / (1.0 + ahead.exp());
                loss += (-ahead).max(0.0) + (-ahead.abs()).exp().ln_1p();
                gradient[winner] -= surprise;
                gradient[loser] += surprise;
                n_pairs += 1;
            }
        }
        if n_pairs > 0 {
            loss /= n_pairs as f64;
            gradient.iter_mut().for_each(|slope| *slope /= n_pairs as f64);
        }
        loss
    }
}
