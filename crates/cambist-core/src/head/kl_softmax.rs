//! The head of reward-guided routing: a softmax over teachers that is pulled to the softmax of their rewards.

use super::loss::{Loss, softmax};

/// KL divergence from the softmax of the rewards to that of the scores (Zooter, arXiv 2311.08692, eq. 5):
/// `q = softmax(rewards / tau)`, `p = softmax(scores)`, `KL(q || p) = sum q ln(q / p)`, over eligible teachers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KlSoftmax {
    /// Temperature of the rewards, above 0, in their units: towards 0 the best teacher alone counts, towards infinity
    /// all count alike.
    pub tau: f64,
}

impl KlSoftmax {
    /// The shares that teachers should get by their rewards: they sum to 1 over eligible teachers and are 0 for others.
    /// At `tau` 0 the best ones share all.
    pub fn targets(&self, rewards: &[Option<f64>]) -> Vec<f64> {
        if self.tau > 0.0 {
            let logits: Vec<f64> = rewards.iter().map(|reward| reward.unwrap_or(0.0) / self.tau).collect();
            return softmax(&logits, |at| rewards[at].is_some());
        }
        let best = rewards.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
        let is_best = |reward: &Option<f64>| *reward == Some(best);
        let n_best = rewards.iter().filter(|reward| is_best(reward)).count();
        rewards.iter().map(|reward| if is_best(reward) { 1.0 / n_best as f64 } else { 0.0 }).collect()
    }
}

impl Loss for KlSoftmax {
    fn blame(&self, scores: &[f64], rewards: &[Option<f64>], gradient: &mut [f64]) -> f64 {
        let wanted = self.targets(rewards);
        let given = softmax(scores, |at| rewards[at].is_some());
        let mut loss = 0.0;
        for (at, (q, p)) in wanted.iter().zip(&given).enumerate() {
            gradient[at] = p - q;
            if *q > 0.0 {
                loss += q * (q / p.max(f64::MIN_POSITIVE)).ln();
            }
        }
        loss
    }
}
