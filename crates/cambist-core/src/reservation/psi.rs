//! The gain of a standard normal above a threshold, and back.

use std::f64::consts::{PI, SQRT_2};

/// Newton's steps are at most 8 for costs from 1e-12 to 5; past this many the bracket is halved instead.
const MAX_STEPS: usize = 50;
/// From this cost on the threshold is the cost itself, to double precision.
const LINEAR_FROM: f64 = 8.0;

/// Returns `Q(u)`, the probability that a standard normal exceeds `u`.
pub fn upper_tail(u: f64) -> f64 {
    0.5 * libm::erfc(u / SQRT_2)
}

/// Returns `psi(u) = E[(X - u)+]` of a standard normal `X`: `phi(u) - u Q(u)`. Falls from infinity to 0, above
/// `max(0, -u)`.
pub fn psi(u: f64) -> f64 {
    // On the left by psi(-u) = u + psi(u): there the tail is close to 1 and the density is what is small.
    if u < 0.0 { psi(-u) - u } else { (density(u) - u * upper_tail(u)).max(0.0) }
}

/// Returns the `u` with `psi(u) = cost`; `cost` is above 0, else the result is infinite (0) or not a number.
///
/// Newton's method on `psi` where it starts left of the root (convex and falling), on `ln psi` (concave) elsewhere.
pub fn psi_inverse(cost: f64) -> f64 {
    if cost.is_nan() || cost < 0.0 {
        return f64::NAN;
    }
    if cost == 0.0 || cost > LINEAR_FROM {
        return if cost == 0.0 { f64::INFINITY } else { -cost };
    }
    let is_steep = cost >= psi(0.0);
    let mut u = if is_steep { -cost } else { 0.0 };
    for _ in 0..MAX_STEPS {
        let (value, tail) = (psi(u), upper_tail(u));
        let step = if is_steep { (value - cost) / tail } else { value / tail * (value / cost).ln() };
        u += step;
        if step.abs() <= 1e-13 * u.abs().max(1.0) {
            return u;
        }
    }
    bisect(cost)
}

fn bisect(cost: f64) -> f64 {
    let (mut low, mut high) = (-cost - 1.0, 1.0);
    while psi(high) >= cost {
        high *= 2.0;
    }
    while high - low > 1e-13 * high.abs().max(1.0) {
        let middle = 0.5 * (low + high);
        if psi(middle) >= cost { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

fn density(u: f64) -> f64 {
    (-0.5 * u * u).exp() / (2.0 * PI).sqrt()
}
