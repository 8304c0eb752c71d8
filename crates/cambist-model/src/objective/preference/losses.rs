//! The losses of one pair, as functions of its sums.
//!
//! Notation: `S`, `T` and `r` are an answer's log-probability, its tokens and its log-ratio to the reference; `w` is
//! the chosen answer, `l` the rejected one; `Δ = r_w - r_l`; `σ` the logistic function.

use serde::{Deserialize, Serialize};

use super::{Answer, AnswerPair};
use crate::objective::logistic::{logistic, softplus};

/// How a pair of answers is judged. Sums are over tokens, end of turn included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum PreferenceLoss {
    /// `-ln σ(beta Δ)`: DPO (arXiv 2305.18290, equation 7).
    #[default]
    Sigmoid,
    /// `-(1-eps) ln σ(beta Δ) - eps ln σ(-beta Δ)`: labels are wrong with probability `eps`, 0 to below 0.5
    /// (conservative DPO, Mitchell 2023).
    Cdpo {
        /// The share `eps` of labels that are taken to be wrong.
        label_smoothing: f64,
    },
    /// `(-(1-eps) ln σ(beta Δ) + eps ln σ(-beta Δ)) / (1 - 2 eps)`: unbiased under labels that are wrong with
    /// probability `eps`, 0 to below 0.5 (robust DPO, arXiv 2403.00409).
    Robust {
        /// The share `eps` of labels that are wrong.
        label_smoothing: f64,
    },
    /// `-ln σ(beta (r_w/T_w - r_l/T_l))`: DPO on means over tokens (length-normalised DPO, arXiv 2411.15124).
    SigmoidNorm,
    /// `(h - 1/(2 beta))^2`: IPO (arXiv 2310.12036, equation 17).
    Ipo {
        /// What `h` is.
        normalize: IpoNormalization,
    },
    /// `max(0, 1 - beta Δ)`: SLiC's hinge on log-ratios (arXiv 2309.06657).
    Hinge,
    /// `-ln σ(beta (S_w/T_w - S_l/T_l) - gamma)`, without a reference (SimPO, arXiv 2405.14734, equation 6).
    Simpo {
        /// The margin in nats that a pair should have, from 0.
        gamma: f64,
    },
    /// `-beta ln σ(o_w - o_l)` with log-odds `o = a - ln(1 - e^a)` of the mean log-probability `a = S/T`, without a
    /// reference (ORPO, arXiv 2403.07691, equation 7; `beta` is its λ). `a` is taken to be at most -1e-6.
    Orpo,
}

/// What IPO's `h` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IpoNormalization {
    /// `r_w/T_w - r_l/T_l`, as TRL and LLaMA-Factory have it. The default.
    #[default]
    Token,
    /// `Δ`, as the paper and OpenRLHF have it.
    Sum,
}

/// A pair's loss and its derivatives by the log-probabilities of the two answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairLoss {
    /// The loss.
    pub value: f64,
    /// Its derivative by `S_w`.
    pub by_chosen: f64,
    /// Its derivative by `S_l`.
    pub by_rejected: f64,
}

/// What a loss looks at, with its derivatives by `S_w` and `S_l`.
struct Contrast {
    value: f64,
    by_chosen: f64,
    by_rejected: f64,
}

impl PreferenceLoss {
    /// Returns the usual strength: 0.1, 5 on means over tokens, 2 for SimPO.
    pub fn default_beta(&self) -> f64 {
        match self {
            Self::SigmoidNorm => 5.0,
            Self::Simpo { .. } => 2.0,
            _ => 0.1,
        }
    }

    /// Whether the loss compares with a reference model.
    pub fn needs_reference(&self) -> bool {
        !matches!(self, Self::Simpo { .. } | Self::Orpo)
    }

    /// The share of labels that are taken to be wrong, where the loss has one.
    pub fn label_smoothing(&self) -> Option<f64> {
        match self {
            Self::Cdpo { label_smoothing } | Self::Robust { label_smoothing } => Some(*label_smoothing),
            _ => None,
        }
    }

    /// Returns the loss of a pair.
    pub(super) fn of(&self, beta: f64, pair: &AnswerPair) -> PairLoss {
        let contrast = self.contrast(pair);
        let (value, slope) = self.value(beta, contrast.value);
        PairLoss { value, by_chosen: slope * contrast.by_chosen, by_rejected: slope * contrast.by_rejected }
    }

    /// Returns what sets the answers apart.
    fn contrast(&self, AnswerPair { chosen, rejected }: &AnswerPair) -> Contrast {
        let per_token = |value: f64| {
            let (by_chosen, by_rejected) = (1.0 / chosen.n_tokens, -1.0 / rejected.n_tokens);
            Contrast { value, by_chosen, by_rejected }
        };
        match self {
            Self::SigmoidNorm | Self::Ipo { normalize: IpoNormalization::Token } => {
                per_token(chosen.log_ratio() / chosen.n_tokens - rejected.log_ratio() / rejected.n_tokens)
            }
            Self::Simpo { .. } => per_token(chosen.mean_log_prob() - rejected.mean_log_prob()),
            Self::Orpo => {
                let ((w, by_w), (l, by_l)) = (log_odds(chosen), log_odds(rejected));
                Contrast { value: w - l, by_chosen: by_w, by_rejected: -by_l }
            }
            _ => Contrast { value: chosen.log_ratio() - rejected.log_ratio(), by_chosen: 1.0, by_rejected: -1.0 },
        }
    }

    /// Returns the loss of a contrast and its derivative by it.
    fn value(&self, beta: f64, contrast: f64) -> (f64, f64) {
        let z = beta * contrast;
        match *self {
            Self::Sigmoid | Self::SigmoidNorm => (softplus(-z), -beta * logistic(-z)),
            Self::Cdpo { label_smoothing: eps } => {
                let slope = -(1.0 - eps) * logistic(-z) + eps * logistic(z);
                ((1.0 - eps) * softplus(-z) + eps * softplus(z), beta * slope)
            }
            Self::Robust { label_smoothing: eps } => {
                let slope = -(1.0 - eps) * logistic(-z) - eps * logistic(z);
                let value = (1.0 - eps) * softplus(-z) - eps * softplus(z);
                (value / (1.0 - 2.0 * eps), beta * slope / (1.0 - 2.0 * eps))
            }
            Self::Ipo { .. } => {
                let miss = contrast - 1.0 / (2.0 * beta);
                (miss * miss, 2.0 * miss)
            }
            Self::Hinge => ((1.0 - z).max(0.0), if z < 1.0 { -beta } else { 0.0 }),
            Self::Simpo { gamma } => (softplus(gamma - z), -beta * logistic(gamma - z)),
            Self::Orpo => (beta * softplus(-contrast), -beta * logistic(-contrast)),
        }
    }

    /// Returns the loss with its numbers.
    pub(super) fn formula(&self, beta: f64) -> String {
        match self {
            Self::Sigmoid => format!("-ln σ({beta} Δ)"),
            Self::Cdpo { label_smoothing: eps } => {
                format!("-{} ln σ({beta} Δ) - {eps} ln σ(-{beta} Δ)", 1.0 - eps)
            }
            Self::Robust { label_smoothing: eps } => {
                format!("(-{} ln σ({beta} Δ) + {eps} ln σ(-{beta} Δ)) / {}", 1.0 - eps, 1.0 - 2.0 * eps)
            }
            Self::SigmoidNorm => format!("-ln σ({beta} (r_w/T_w - r_l/T_l))"),
            Self::Ipo { normalize: IpoNormalization::Token } => {
                format!("(r_w/T_w - r_l/T_l - 1/(2 * {beta}))^2")
            }
            Self::Ipo { normalize: IpoNormalization::Sum } => format!("(Δ - 1/(2 * {beta}))^2"),
            Self::Hinge => format!("max(0, 1 - {beta} Δ)"),
            Self::Simpo { gamma } => format!("-ln σ({beta} (S_w/T_w - S_l/T_l) - {gamma})"),
            Self::Orpo => format!("-{beta} ln σ(o_w - o_l)"),
        }
    }

    /// Returns what the letters of [`PreferenceLoss::formula`] mean.
    pub(super) fn symbols(&self) -> &'static str {
        match self {
            Self::Simpo { .. } => "S = ln π(answer), T its tokens; w chosen, l rejected; no reference",
            Self::Orpo => {
                "o = S/T - ln(1 - e^(S/T)), S = ln π(answer), T its tokens; w chosen, l rejected; no reference"
            }
            Self::SigmoidNorm | Self::Ipo { normalize: IpoNormalization::Token } => {
                "r = S - ln ref(answer), S = ln π(answer), T its tokens; w chosen, l rejected"
            }
            _ => "Δ = r_w - r_l, r = S - ln ref(answer), S = ln π(answer), sums over T tokens; w chosen, l rejected",
        }
    }
}

/// The largest mean log-probability that has finite odds here.
const ALMOST_CERTAIN: f64 = -1e-6;

/// Returns the log-odds of an answer's mean log-probability, and their derivative by its sum.
fn log_odds(answer: &Answer) -> (f64, f64) {
    let mean = answer.mean_log_prob().min(ALMOST_CERTAIN);
    let complement = -mean.exp_m1();
    (mean - complement.ln(), 1.0 / (complement * answer.n_tokens))
}

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_2;

    use super::*;

    const ALL: [PreferenceLoss; 9] = [
        PreferenceLoss::Sigmoid,
        PreferenceLoss::Cdpo { label_smoothing: 0.1 },
        PreferenceLoss::Robust { label_smoothing: 0.1 },
        PreferenceLoss::SigmoidNorm,
        PreferenceLoss::Ipo { normalize: IpoNormalization::Token },
        PreferenceLoss::Ipo { normalize: IpoNormalization::Sum },
        PreferenceLoss::Hinge,
        PreferenceLoss::Simpo { gamma: 0.5 },
        PreferenceLoss::Orpo,
    ];

    fn pair([log_prob, reference, n_tokens]: [f64; 3], rejected: [f64; 3]) -> AnswerPair {
        let side = |[log_prob, reference, n_tokens]: [f64; 3]| Answer { log_prob, reference, n_tokens };
        AnswerPair { chosen: side([log_prob, reference, n_tokens]), rejected: side(rejected) }
    }

    fn example() -> AnswerPair {
        pair([-10.0, -12.0, 5.0], [-20.0, -19.0, 10.0])
    }

    #[test]
    fn a_pair_worked_by_hand() {
        let value = |loss: PreferenceLoss, beta| loss.of(beta, &example()).value;
        let expected = [
            (ALL[0], 0.1, 0.554_355_244_468_527_1),
            (ALL[1], 0.1, 0.584_355_244_468_527_2),
            (ALL[2], 0.1, 0.516_855_244_468_527_2),
            (ALL[3], 0.1, 0.668_459_648_013_286_3),
            (ALL[3], 5.0, 0.078_889_734_292_549_63),
            (ALL[4], 0.1, 20.25),
            (ALL[5], 0.1, 4.0),
            (ALL[6], 0.1, 0.7),
        ];
        for (loss, beta, theirs) in expected {
            let ours = value(loss, beta);
            assert!((ours - theirs).abs() < 1e-9, "{loss:?}, {beta}: {ours} {theirs}");
        }
    }

    #[test]
    fn a_model_that_is_its_reference_has_a_known_loss() {
        let same = pair([-7.0, -7.0, 3.0], [-21.0, -21.0, 8.0]);
        let expected = [LN_2, LN_2, LN_2, LN_2, 25.0, 25.0, 1.0];
        for (loss, theirs) in ALL.iter().zip(expected) {
            let ours = loss.of(0.1, &same).value;
            assert!((ours - theirs).abs() < 1e-9, "{loss:?}: {ours}");
        }
    }

    #[test]
    fn derivatives_are_those_of_finite_differences() {
        for loss in ALL {
            for pair in
                [example(), pair([-3.0, -1.0, 2.0], [-0.5, -2.0, 7.0]), pair([-0.7, -9.0, 1.0], [-80.0, 0.0, 9.0])]
            {
                let at = |chosen: f64, rejected: f64| {
                    let mut moved = pair;
                    moved.chosen.log_prob += chosen;
                    moved.rejected.log_prob += rejected;
                    loss.of(0.3, &moved).value
                };
                let (found, h) = (loss.of(0.3, &pair), 1e-5);
                let by_chosen = (at(h, 0.0) - at(-h, 0.0)) / (2.0 * h);
                let by_rejected = (at(0.0, h) - at(0.0, -h)) / (2.0 * h);
                assert!((found.by_chosen - by_chosen).abs() < 1e-6, "{loss:?} {pair:?}: {found:?} {by_chosen}");
                assert!((found.by_rejected - by_rejected).abs() < 1e-6, "{loss:?} {pair:?}: {found:?} {by_rejected}");
            }
        }
    }

    #[test]
    fn swapped_answers_turn_the_contrast_around() {
        for loss in ALL {
            let AnswerPair { chosen, rejected } = example();
            let (one, other) =
                (loss.contrast(&example()), loss.contrast(&AnswerPair { chosen: rejected, rejected: chosen }));
            assert!((one.value + other.value).abs() < 1e-12, "{loss:?}");
            assert!((one.by_chosen + other.by_rejected).abs() < 1e-12, "{loss:?}");
        }
    }

    #[test]
    fn losses_that_say_the_same_agree() {
        let zero = [PreferenceLoss::Cdpo { label_smoothing: 0.0 }, PreferenceLoss::Robust { label_smoothing: 0.0 }];
        let sigmoid = PreferenceLoss::Sigmoid.of(0.1, &example());
        assert!(zero.iter().all(|loss| loss.of(0.1, &example()) == sigmoid));
        let one_token = pair([-1.0, -2.0, 1.0], [-4.0, -3.0, 1.0]);
        assert_eq!(PreferenceLoss::SigmoidNorm.of(0.1, &one_token), PreferenceLoss::Sigmoid.of(0.1, &one_token));
        assert_eq!(ALL[4].of(0.1, &one_token), ALL[5].of(0.1, &one_token));
    }

    #[test]
    fn nothing_overflows_far_from_the_boundary() {
        for loss in ALL {
            for pair in [pair([-1e5, 0.0, 9.0], [0.0, -1e5, 9.0]), pair([0.0, -1e5, 9.0], [-1e5, 0.0, 9.0])] {
                let found = loss.of(0.1, &pair);
                assert!([found.value, found.by_chosen, found.by_rejected].iter().all(|x| x.is_finite()), "{loss:?}");
            }
        }
    }
}
