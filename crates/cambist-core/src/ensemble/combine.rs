//! Values of one arbiter side by side, and of one candidate made one.

use super::Combine;
use crate::statistics::{mean, standard_deviation};

/// Makes one number of `(value, weight)` of one candidate; none of no values.
pub(super) fn combine(how: Combine, said: &[(f64, f64)]) -> Option<f64> {
    let total: f64 = said.iter().map(|(_, weight)| weight).sum();
    let weighted = said.iter().map(|(value, weight)| value * weight / total).sum::<f64>();
    if said.is_empty() {
        return None;
    }
    Some(match how {
        Combine::Lcb(width) => {
            let values: Vec<f64> = said.iter().map(|(value, _)| *value).collect();
            weighted - width * standard_deviation(&values).unwrap_or(0.0)
        }
        Combine::Min => said.iter().map(|(value, _)| *value).fold(f64::INFINITY, f64::min),
        Combine::Mean | Combine::Borda | Combine::RankMean | Combine::Vote => weighted,
    })
}

/// Mean 0 and standard deviation 1 over the scored candidates; 0 where they are all equal.
pub(super) fn z_scores(values: &[Option<f64>]) -> Vec<Option<f64>> {
    let scored: Vec<f64> = values.iter().flatten().copied().collect();
    let center = mean(&scored).unwrap_or(0.0);
    let width = standard_deviation(&scored).filter(|width| *width > 0.0);
    values.iter().map(|value| value.map(|value| width.map_or(0.0, |width| (value - center) / width))).collect()
}

/// The share of the other scored candidates beaten, ties half; one half for an only one.
pub(super) fn shares_beaten(values: &[Option<f64>]) -> Vec<Option<f64>> {
    let n_others = values.iter().flatten().count().saturating_sub(1);
    let share = |value: f64| if n_others == 0 { 0.5 } else { beaten(values, value) / n_others as f64 };
    values.iter().map(|value| value.map(share)).collect()
}

/// Ranks from the worst, 1 on, ties in their middle.
pub(super) fn ranks(values: &[Option<f64>]) -> Vec<Option<f64>> {
    values.iter().map(|value| value.map(|value| 1.0 + beaten(values, value))).collect()
}

/// One vote, shared by the best.
pub(super) fn votes(values: &[Option<f64>]) -> Vec<Option<f64>> {
    let best = values.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let n_best = values.iter().flatten().filter(|value| **value == best).count();
    values.iter().map(|value| value.map(|value| if value == best { 1.0 / n_best as f64 } else { 0.0 })).collect()
}

/// How many others are worse, ties half.
fn beaten(values: &[Option<f64>], value: f64) -> f64 {
    let n_worse = values.iter().flatten().filter(|other| **other < value).count();
    let n_equal = values.iter().flatten().filter(|other| **other == value).count();
    n_worse as f64 + (n_equal.saturating_sub(1)) as f64 / 2.0
}
