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
        gradient.fill(0.0);
        let open = || scores.iter().zip(rewards).enumerate().filter_map(|(at, (s, reward))| Some((at, *s, (*reward)?)));
        let top_score = open().map(|(_, score, _)| score).fold(f64::NEG_INFINITY, f64::max);
        let top_reward = open().map(|(_, _, reward)| reward).fold(f64::NEG_INFINITY, f64::max);
        let mut wanted = vec![0.0; scores.len()];
        let (mut all_wanted, mut all_given, mut loss) = (0.0, 0.0, 0.0);
        for (at, score, reward) in open() {
            let log_wanted = if reward == top_reward { 0.0 } else { (reward - top_reward) / self.tau };
            let log_given = score - top_score;
            (wanted[at], gradient[at]) = (log_wanted.exp(), log_given.exp());
            all_wanted += wanted[at];
            all_given += gradient[at];
            if wanted[at] > 0.0 {
                loss += wanted[at] * (log_wanted - log_given);
            }
        }
        if all_wanted == 0.0 {
            return 0.0;
        }
        let wanted = wanted.iter().map(|wanted| wanted / all_wanted);
        gradient.iter_mut().zip(wanted).for_each(|(given, wanted)| *given = *given / all_given - wanted);
        loss / all_wanted + (all_given / all_wanted).ln()
    }
}
