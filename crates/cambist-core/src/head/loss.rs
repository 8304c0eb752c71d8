//! What a head is blamed for on one prompt.

/// A convex loss of one prompt's scores.
///
/// Teachers without a reward may not be asked: they have no part in the loss, and their gradient is 0.
pub trait Loss: Sync {
    /// Returns the loss of `scores` given `rewards`, both by teacher, and writes its derivatives by score into
    /// `gradient`.
    fn blame(&self, scores: &[f64], rewards: &[Option<f64>], gradient: &mut [f64]) -> f64;
}

/// Returns the softmax over the places that `is_open` lets through; 0 elsewhere, and everywhere when none is.
pub(crate) fn softmax(logits: &[f64], is_open: impl Fn(usize) -> bool) -> Vec<f64> {
    let open = || (0..logits.len()).filter(|at| is_open(*at));
    let top = open().map(|at| logits[at]).fold(f64::NEG_INFINITY, f64::max);
    let mut shares = vec![0.0; logits.len()];
    open().for_each(|at| shares[at] = (logits[at] - top).exp());
    let sum: f64 = shares.iter().sum();
    if sum > 0.0 {
        shares.iter_mut().for_each(|share| *share /= sum);
    }
    shares
}
