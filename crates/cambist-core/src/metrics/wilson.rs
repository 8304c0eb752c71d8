//! Interval of a share of independent successes.

use super::Interval;

/// The 97.5 % quantile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Returns the 95 % score interval of Wilson (1927) without continuity correction; none of no trials.
///
/// For one student on independent prompts. Where prompts share sources or several students are pooled, the cluster
/// bootstrap is right and this is too narrow.
pub fn wilson(n_successes: usize, n_trials: usize) -> Option<Interval> {
    if n_trials == 0 {
        return None;
    }
    let (n, share) = (n_trials as f64, n_successes as f64 / n_trials as f64);
    let center = share + Z * Z / (2.0 * n);
    let half_width = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    Some(Interval { low: ((center - half_width) / scale).max(0.0), high: ((center + half_width) / scale).min(1.0) })
}
