//! Reward models: of two answers to a prompt, the chosen one gets the higher reward.

use super::{
    Encoder, Objective, RowLoss, ScoredRow, Term, TermLoss,
    logistic::{logistic, softplus},
    pair,
    preference::PreferenceError,
};
use crate::{
    chat::EncodeError,
    head::Head,
    train_row::{RowContent, Sequence},
};

/// The Bradley-Terry loss of a reward head on pairs of answers (Ouyang et al. 2022, arXiv 2203.02155, equation 1).
///
/// The step's loss is the mean over its pairs of `-ln σ(r_w - r_l - margin_scale m)` with rewards `r` of the chosen
/// answer `w` and the rejected one `l`, and `m` the pair's own margin (Touvron et al. 2023, arXiv 2307.09288, equation
/// 2), plus `center_rewards_coefficient` times the mean of `(r_w + r_l)^2`, which holds rewards near 0 (Eisenstein et
/// al. 2023, arXiv 2312.09244, section 2); each pair by its weight.
///
/// A reward is that of the whole conversation at its end; no conversation is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BradleyTerry {
    margin_scale: f64,
    center: Option<f64>,
}

/// Ties are misses in `rewards/accuracies` and half a hit in `rewards/accuracies_half`.
const METRICS: [&str; 6] = [
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
    "rewards/accuracies_half",
    "rewards/ties",
];

impl BradleyTerry {
    /// Returns the objective: `margin_scale` multiplies the margin that a row brings, from 0 (no margin);
    /// `center_rewards_coefficient` is the weight of the second term, from 0, none for no such term.
    ///
    /// # Errors
    /// When a number is outside its range.
    pub fn new(margin_scale: f64, center_rewards_coefficient: Option<f64>) -> Result<Self, PreferenceError> {
        let is_weight = |x: f64| x.is_finite() && x >= 0.0;
        match center_rewards_coefficient {
            _ if !is_weight(margin_scale) => Err(PreferenceError::MarginScale(margin_scale)),
            Some(center) if !is_weight(center) => Err(PreferenceError::Center(center)),
            center => Ok(Self { margin_scale, center }),
        }
    }
}

impl Objective for BradleyTerry {
    fn name(&self) -> &'static str {
        "reward"
    }

    fn head(&self) -> Head {
        Head::Reward
    }

    fn formula(&self) -> String {
        let margin = if self.needs_margin() { format!(" - {} m", self.margin_scale) } else { String::new() };
        let center = self.center.map(|c| format!(" + {c} * mean over pairs of (r_w + r_l)^2")).unwrap_or_default();
        let symbol = if self.needs_margin() { ", m the pair's margin" } else { "" };
        format!(
            "mean over pairs of -ln σ(r_w - r_l{margin}){center}; r the reward at the conversation's end{symbol}; w \
             chosen, l rejected"
        )
    }

    fn terms(&self) -> Vec<Term> {
        let center = self.center.map(|weight| Term { metric: Some("loss/center"), weight });
        std::iter::once(Term { metric: Some("loss/pref"), weight: 1.0 }).chain(center).collect()
    }

    fn encode(&self, row: &RowContent, encoder: Encoder<'_>) -> Result<Vec<Sequence>, EncodeError> {
        let (prompt, answers) = pair::answers(self.name(), row)?;
        let [chosen, rejected] = answers.map(|answer| encoder.whole(&pair::turns(prompt, answer)));
        let (chosen, rejected) = (chosen?, rejected?);
        if chosen.tokens == rejected.tokens {
            return Err(EncodeError::SameAnswers);
        }
        Ok(vec![chosen, rejected])
    }

    fn denominators(&self, _sequences: &[Sequence]) -> Vec<f64> {
        vec![1.0; self.terms().len()]
    }

    fn loss(&self, row: ScoredRow<'_>) -> RowLoss {
        let reward = |side: usize| row.log_probs.get(side).and_then(|own| own.first()).copied().map_or(0.0, f64::from);
        let (chosen, rejected) = (reward(0), reward(1));
        let z = chosen - rejected - self.margin_scale * row.margin;
        let gradients = |[chosen, rejected]: [f64; 2]| vec![vec![chosen as f32], vec![rejected as f32]];
        let slope = logistic(-z);
        let preference = TermLoss { sum: softplus(-z), gradients: gradients([-slope, slope]) };
        let sum = chosen + rejected;
        let center = self.center.map(|_| TermLoss { sum: sum * sum, gradients: gradients([2.0 * sum; 2]) });
        let (wins, ties) = (f64::from(chosen > rejected), f64::from(chosen == rejected));
        RowLoss {
            terms: std::iter::once(preference).chain(center).collect(),
            metrics: [chosen, rejected, chosen - rejected, wins, wins + ties / 2.0, ties].map(Some).to_vec(),
        }
    }

    fn metrics(&self) -> &'static [&'static str] {
        &METRICS
    }

    fn needs_margin(&self) -> bool {
        self.margin_scale > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss_of(objective: &BradleyTerry, rewards: [f32; 2], margin: f64) -> (f64, [f64; 2], Vec<f64>) {
        let log_probs = rewards.map(|reward| vec![reward]);
        let loss = objective.loss(ScoredRow { log_probs: &log_probs, margin, ..ScoredRow::default() });
        let terms = objective.terms();
        let total = |pick: fn(&TermLoss) -> f64| -> f64 {
            terms.iter().zip(&loss.terms).map(|(term, own)| term.weight * pick(own)).sum()
        };
        let by = [total(|t| f64::from(t.gradients[0][0])), total(|t| f64::from(t.gradients[1][0]))];
        (total(|t| t.sum), by, loss.metrics.into_iter().flatten().collect())
    }

    #[test]
    fn a_pair_worked_by_hand() {
        let plain = BradleyTerry::default();
        let (value, by, metrics) = loss_of(&plain, [1.5, 0.5], 9.0);
        assert!((value - 0.313_261_687_518_222_8).abs() < 1e-12, "{value}");
        assert!((by[0] + 0.268_941_421).abs() < 1e-7 && by[0] == -by[1]);
        assert_eq!(metrics, [1.5, 0.5, 1.0, 1.0, 1.0, 0.0]);
        let (value, by, metrics) = loss_of(&plain, [2.0, 2.0], 0.0);
        assert!((value - std::f64::consts::LN_2).abs() < 1e-12 && by == [-0.5, 0.5]);
        assert_eq!(metrics, [2.0, 2.0, 0.0, 0.0, 0.5, 1.0], "a tie is half a hit, and no hit");
        let margin = BradleyTerry::new(0.5, None).unwrap();
        assert_eq!(loss_of(&margin, [1.5, 0.5], 2.0).0, std::f64::consts::LN_2);
        let center = BradleyTerry::new(0.0, Some(0.01)).unwrap();
        assert!((loss_of(&center, [1.5, 0.5], 0.0).0 - 0.313_261_687_518_222_8 - 0.04).abs() < 1e-12);
        assert!(loss_of(&center, [-1e30, 1e30], 0.0).0.is_finite());
    }

    #[test]
    fn derivatives_are_those_of_finite_differences() {
        let objective = BradleyTerry::new(0.7, Some(0.03)).unwrap();
        for rewards in [[0.5f32, -1.25], [-3.0, 2.0], [4.0, 4.0]] {
            let (_, by, _) = loss_of(&objective, rewards, 0.8);
            for side in [0, 1] {
                let at = |h: f32| {
                    let mut moved = rewards;
                    moved[side] += h;
                    loss_of(&objective, moved, 0.8).0
                };
                let h = 1.0 / 1024.0;
                let slope = (at(h) - at(-h)) / (2.0 * f64::from(h));
                assert!((by[side] - slope).abs() < 1e-5, "{rewards:?} {side}: {} {slope}", by[side]);
            }
        }
    }

    #[test]
    fn the_formula_has_every_number_and_numbers_have_a_range() {
        let formula = |scale, center| BradleyTerry::new(scale, center).map(|objective| objective.formula());
        let plain = formula(0.0, None).unwrap();
        assert_eq!(
            plain,
            "mean over pairs of -ln σ(r_w - r_l); r the reward at the conversation's end; w chosen, l rejected"
        );
        let whole = formula(0.5, Some(0.01)).unwrap();
        assert!(
            whole.starts_with("mean over pairs of -ln σ(r_w - r_l - 0.5 m) + 0.01 * mean over pairs of"),
            "{whole}"
        );
        assert_eq!(formula(-1.0, None), Err(PreferenceError::MarginScale(-1.0)));
        assert_eq!(formula(0.0, Some(f64::INFINITY)), Err(PreferenceError::Center(f64::INFINITY)));
    }
}
