//! Reservation values: what a teacher is worth opening for, by optimal search (Weitzman 1979).
//!
//! A teacher is a closed box: opening it costs `kappa` (price times the value of money, in units of reward) and shows
//! a reward `X`. Its reservation value `z` solves `E[(X - z)+] = kappa`. Boxes are opened in descending `z` until the
//! best reward seen is at least the largest `z` among those closed; for independent boxes no policy pays better, and
//! its payoff is `E[max over m of min(X_m, z_m)]`.

mod empirical;
mod psi;

pub use empirical::{Weighted, empirical, weighted};
pub use psi::{psi, psi_inverse, upper_tail};

/// Why a box has no reservation value.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ReservationError {
    /// A cost, spread or probability that cannot be one.
    #[error("`{name}` is {found}: expected {expected}")]
    OutOfRange {
        /// What.
        name: &'static str,
        /// What it was.
        found: f64,
        /// What it can be.
        expected: &'static str,
    },
}

/// The normal reward of one teacher to one prompt, as it is foreseen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normal {
    /// Mean reward of a valid answer.
    pub mean: f64,
    /// Standard deviation, 0 or more.
    pub sd: f64,
    /// Probability that the answer is invalid: paid, and worth nothing; 0 to 1.
    pub failure: f64,
}

impl Normal {
    /// Returns the reservation value at an opening cost of `kappa`, in units of reward: `mean + sd psi^-1(k)` with
    /// `k = kappa / ((1 - failure) sd)`.
    ///
    /// Free boxes are worth any price (`+inf`), boxes that always fail none (`-inf`), boxes without spread
    /// `mean - kappa / (1 - failure)`.
    ///
    /// # Errors
    /// When a number is not finite, `kappa` or `sd` is negative, or `failure` is no probability.
    pub fn reservation(&self, kappa: f64) -> Result<f64, ReservationError> {
        let Self { mean, sd, failure } = *self;
        check(("mean", mean), "a number", mean.is_finite())?;
        check(("sd", sd), "0 or more", sd.is_finite() && sd >= 0.0)?;
        check(("failure", failure), "0 to 1", (0.0..=1.0).contains(&failure))?;
        check(("kappa", kappa), "0 or more", kappa.is_finite() && kappa >= 0.0)?;
        let kappa = kappa / (1.0 - failure);
        Ok(match () {
            () if failure == 1.0 => f64::NEG_INFINITY,
            () if kappa == 0.0 => f64::INFINITY,
            () if sd == 0.0 => mean - kappa,
            () => mean + sd * psi_inverse(kappa / sd),
        })
    }

    /// Returns `E[(X - z)+]`, what opening is expected to add to a best reward of `z`, before its cost.
    pub fn expected_gain(&self, z: f64) -> f64 {
        let valid = 1.0 - self.failure;
        if self.sd > 0.0 { valid * self.sd * psi((z - self.mean) / self.sd) } else { valid * (self.mean - z).max(0.0) }
    }
}

fn check((name, found): (&'static str, f64), expected: &'static str, holds: bool) -> Result<(), ReservationError> {
    if holds { Ok(()) } else { Err(ReservationError::OutOfRange { name, found, expected }) }
}
