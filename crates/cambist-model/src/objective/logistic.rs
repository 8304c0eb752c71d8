//! The logistic function and its integral, without overflow.

/// Returns `ln(1 + e^x)`: `-ln σ(z)` is that of `-z`.
pub(super) fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Returns `σ(x) = 1 / (1 + e^-x)`.
pub(super) fn logistic(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}
