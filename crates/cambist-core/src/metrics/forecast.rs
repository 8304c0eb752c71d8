//! Whether what was foretold came about as often as it was said to.

/// Returns where a reward falls in a weighted distribution, 0 to 1: the probability integral transform (Rosenblatt 1952),
/// `F(x-) + lot (F(x) - F(x-))`, with a `lot` in `[0, 1)` that spreads out equal rewards. Uniform where the distribution
/// is right. None where nothing has any weight.
///
/// An invalid answer, of which there is no reward, lies below all rewards, in the distribution and as what came.
pub fn randomized_pit(
    distribution: impl Iterator<Item = (Option<f64>, f64)>,
    reward: Option<f64>,
    lot: f64,
) -> Option<f64> {
    let place = |reward: Option<f64>| reward.unwrap_or(f64::NEG_INFINITY);
    let (mut below, mut equal, mut total) = (0.0, 0.0, 0.0);
    for (other, weight) in distribution {
        total += weight;
        match place(other).total_cmp(&place(reward)) {
            std::cmp::Ordering::Less => below += weight,
            std::cmp::Ordering::Equal => equal += weight,
            std::cmp::Ordering::Greater => {}
        }
    }
    (total > 0.0).then(|| (below + lot * equal) / total)
}
