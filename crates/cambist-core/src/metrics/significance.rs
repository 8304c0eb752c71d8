//! Tests of a difference, and of many at once.

use super::Bootstrap;
use crate::chance::Chance;

/// Up to this many sums all sign patterns are gone through.
const MAX_EXACT: usize = 16;

/// Returns the two-sided p-value of `differences` (one per independent source) having mean 0, by flipping their signs:
/// exact up to 16 of them, else the share of random flips, the observed one counted among them. None of no differences.
///
/// Differences of 0 keep every pattern as it is and so do not make a result look more certain.
pub fn sign_flip(differences: &[f64], bootstrap: Bootstrap) -> Option<f64> {
    let observed = differences.iter().sum::<f64>().abs();
    // Sums of the same numbers in another order differ in the last bits.
    let tolerance = 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
    let is_extreme = |sum: f64| sum.abs() >= observed - tolerance;
    let flips: Vec<Flips> = differences.chunks(8).map(flips).collect();
    if differences.is_empty() {
        None
    } else if differences.len() <= MAX_EXACT {
        let n_patterns = 1u64 << differences.len();
        let n_extreme = (0..n_patterns).filter(|pattern| is_extreme(flipped(&flips, &[*pattern]))).count();
        Some(n_extreme as f64 / n_patterns as f64)
    } else {
        let mut chance = Chance::new(bootstrap.seed, &["sign-flip"]);
        let mut draw = || (0..differences.len().div_ceil(64)).map(|_| chance.next_u64()).collect::<Vec<u64>>();
        let n_extreme = (0..bootstrap.draws).filter(|_| is_extreme(flipped(&flips, &draw()))).count();
        Some((1 + n_extreme) as f64 / (1 + bootstrap.draws) as f64)
    }
}

/// The sums of up to eight numbers under every pattern of signs: eight numbers then cost one look-up.
type Flips = [f64; 256];

fn flips(differences: &[f64]) -> Flips {
    let mut sums = [0.0; 256];
    for (pattern, sum) in sums.iter_mut().enumerate() {
        let sign = |at: usize| if pattern >> at & 1 == 1 { -1.0 } else { 1.0 };
        *sum = differences.iter().enumerate().map(|(at, difference)| sign(at) * difference).sum();
    }
    sums
}

/// Sums with the sign of every number whose bit is set turned.
fn flipped(flips: &[Flips], pattern: &[u64]) -> f64 {
    let bytes = pattern.iter().flat_map(|word| word.to_le_bytes());
    flips.iter().zip(bytes).map(|(sums, byte)| sums[usize::from(byte)]).sum()
}

/// Returns p-values corrected for their number (Holm 1979), in the order of the input.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut least = 0.0f64;
    for (rank, at) in order.into_iter().enumerate() {
        least = least.max((p_values.len() - rank) as f64 * p_values[at]).min(1.0);
        corrected[at] = least;
    }
    corrected
}
