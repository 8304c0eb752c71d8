//! The head of pairwise comparison: who beats whom on a prompt.

use super::loss::Loss;

/// A product that is smaller is taken the logarithm of before it shrinks on.
const LEAST_OF_PRODUCTS: f64 = 1e-100;
/// Scores further behind the highest than this count as that far behind: the teachers' chances differ by 1e-87 there.
const FURTHEST: f64 = 200.0;

/// Bradley and Terry (1952) over all pairs of eligible teachers (PerSyn, arXiv 2510.10925): teacher `a` beats `b` with
/// probability `sigma(score_a - score_b)`. The loss of a prompt is the mean over its pairs, so that prompts with more
/// teachers weigh no more; pairs of equal rewards are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BradleyTerry;

impl Loss for BradleyTerry {
    /// With strengths `e = exp(score)` the winner of a pair had the chance `e_winner / (e_winner + e_loser)`: one
    /// exponential for each teacher, and one logarithm for many pairs.
    fn blame(&self, scores: &[f64], rewards: &[Option<f64>], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        let open = scores.iter().zip(rewards).filter(|(_, reward)| reward.is_some()).map(|(score, _)| *score);
        let top = open.fold(f64::NEG_INFINITY, f64::max);
        let behind: Vec<f64> = scores.iter().map(|score| (score - top).max(-FURTHEST)).collect();
        let strengths: Vec<f64> = behind.iter().map(|behind| behind.exp()).collect();
        let (mut loss, mut product, mut n_pairs) = (0.0, 1.0f64, 0usize);
        for (one, reward) in rewards.iter().enumerate() {
            for (other, other_reward) in rewards.iter().enumerate().skip(one + 1) {
                let decided = reward.zip(*other_reward).filter(|(own, others)| own != others);
                let Some((own, others)) = decided else { continue };
                let (winner, loser) = if own > others { (one, other) } else { (other, one) };
                let both = strengths[winner] + strengths[loser];
                product *= both;
                if product < LEAST_OF_PRODUCTS {
                    loss += product.ln();
                    product = 1.0;
                }
                loss -= behind[winner];
                let surprise = strengths[loser] / both;
                gradient[winner] -= surprise;
                gradient[loser] += surprise;
                n_pairs += 1;
            }
        }
        if n_pairs > 0 {
            let per_pair = 1.0 / n_pairs as f64;
            loss = (loss + product.ln()) * per_pair;
            gradient.iter_mut().for_each(|slope| *slope *= per_pair);
        }
        loss
    }
}
