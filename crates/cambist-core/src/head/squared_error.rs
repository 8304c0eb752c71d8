//! Ridge regression, one for each teacher: scores that are expected rewards.

use super::loss::Loss;

/// Half the squared distance of scores and rewards, summed over eligible teachers: with a penalty on the weights this
/// is ridge regression (Hoerl and Kennard 1970) of each teacher's reward, `alpha` being the penalty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SquaredError;

impl Loss for SquaredError {
    fn blame(&self, scores: &[f64], rewards: &[Option<f64>], gradient: &mut [f64]) -> f64 {
        let mut loss = 0.0;
        for ((slope, score), reward) in gradient.iter_mut().zip(scores).zip(rewards) {
            *slope = reward.map_or(0.0, |reward| score - reward);
            loss += *slope * *slope / 2.0;
        }
        loss
    }
}
