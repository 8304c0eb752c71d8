//! Reservation values of rewards that were seen, without a distribution assumed.

/// A reward with the weight that it has among those seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighted {
    /// The reward; `-inf` for an answer that was paid and invalid.
    pub reward: f64,
    /// Its weight, 0 or more.
    pub weight: f64,
}

/// Returns the reservation value of rewards that all weigh the same, at an opening cost of `kappa`; `-inf` of none.
///
/// With rewards descending and `S_k` the sum of the first k it is `(S_k - n kappa) / k` for the smallest k at which
/// that is not below the next reward.
pub fn empirical(rewards: &[f64], kappa: f64) -> f64 {
    let mut sorted: Vec<Weighted> = rewards.iter().map(|&reward| Weighted { reward, weight: 1.0 }).collect();
    sorted.sort_by(|a, b| b.reward.total_cmp(&a.reward));
    weighted(&sorted, kappa)
}

/// As [`empirical`], of weighted rewards in descending order: the `z` with `sum w (x - z)+ = kappa sum w`. `+inf` at
/// no cost; `-inf` where no weight or no valid reward is left.
pub fn weighted(descending: &[Weighted], kappa: f64) -> f64 {
    if kappa <= 0.0 {
        return f64::INFINITY;
    }
    let total: f64 = descending.iter().map(|seen| seen.weight).sum();
    let (mut weight, mut sum, mut z) = (0.0, 0.0, f64::NEG_INFINITY);
    for seen in descending.iter().filter(|seen| seen.weight > 0.0 && seen.reward > f64::NEG_INFINITY) {
        if z >= seen.reward {
            break;
        }
        weight += seen.weight;
        sum += seen.weight * seen.reward;
        z = (sum - total * kappa) / weight;
    }
    z
}
