//! Preference objectives: of two answers to a prompt, one becomes more likely than the other.

mod losses;

use serde::{Deserialize, Serialize};

pub use self::losses::{IpoNormalization, PairLoss, PreferenceLoss};
pub use super::pair::{Answer, AnswerPair};
use super::{Encoder, Objective, RowLoss, ScoredRow, Term, TermLoss, pair};
use crate::{
    chat::EncodeError,
    train_row::{RowContent, Sequence},
};

/// A loss on pairs of answers, with the likelihood of the chosen ones beside it where wanted.
///
/// The step's loss is the mean of [`PreferenceLoss`] over its pairs plus `nll.weight` times the mean negative
/// log-likelihood of the chosen answers, both over the whole step and each pair by its weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preference {
    loss: PreferenceLoss,
    beta: f64,
    nll: Option<ChosenNll>,
}

/// The negative log-likelihood of chosen answers as a second term (IRPO, arXiv 2404.19733).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChosenNll {
    /// What it counts beside the preference loss, from 0.
    pub weight: f64,
    /// What it is a mean over.
    pub reduction: NllReduction,
}

/// What a mean negative log-likelihood is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NllReduction {
    /// Sequences, each by its mean over tokens: `mean_i(-S_i / T_i)`. The default, as in IRPO.
    #[default]
    Sequence,
    /// Tokens of all sequences of the step: `sum_i(-S_i) / sum_i(T_i)`.
    Token,
}

/// A number of a preference objective that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum PreferenceError {
    /// The strength.
    #[error("`beta` is {0}, expected a number above 0")]
    Beta(f64),
    /// The share of wrong labels.
    #[error("`label_smoothing` is {0}, expected a number from 0 to below 0.5")]
    LabelSmoothing(f64),
    /// The target margin.
    #[error("`gamma` is {0}, expected a number from 0")]
    Gamma(f64),
    /// The weight of one kind of unpaired answers.
    #[error("`{0}` is {1}, expected a number from 0")]
    KindWeight(&'static str, f64),
    /// The weight of the second term.
    #[error("`nll.weight` is {0}, expected a number from 0")]
    NllWeight(f64),
    /// What a reward model multiplies margins by.
    #[error("`margin_scale` is {0}, expected a number from 0")]
    MarginScale(f64),
    /// How strongly a reward model is held near 0.
    #[error("`center_rewards_coefficient` is {0}, expected a number from 0")]
    Center(f64),
}

/// Metrics of losses with a reference; [`FREE_METRICS`] is how they begin.
const METRICS: [&str; 16] = [
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
    "rewards/accuracies_half",
    "rewards/ties",
    "logps/chosen",
    "logps/rejected",
    "logps_tok/chosen",
    "logps_tok/rejected",
    "len/chosen",
    "len/rejected",
    "len/log_ratio",
    "kl/chosen",
    "kl/rejected",
    "logps/chosen_drift",
];

/// How many metrics need no reference.
const FREE_METRICS: usize = 13;

impl Preference {
    /// Returns the objective; `beta` is the strength of the preference, above 0. [`PreferenceLoss::default_beta`] is
    /// what is usual.
    ///
    /// # Errors
    /// When a number is outside its range.
    pub fn new(loss: PreferenceLoss, beta: f64, nll: Option<ChosenNll>) -> Result<Self, PreferenceError> {
        if !(beta.is_finite() && beta > 0.0) {
            return Err(PreferenceError::Beta(beta));
        }
        if let Some(smoothing) = loss.label_smoothing()
            && !(0.0..0.5).contains(&smoothing)
        {
            return Err(PreferenceError::LabelSmoothing(smoothing));
        }
        match (loss, nll) {
            (PreferenceLoss::Simpo { gamma }, _) if !(gamma.is_finite() && gamma >= 0.0) => {
                Err(PreferenceError::Gamma(gamma))
            }
            (_, Some(nll)) if !(nll.weight.is_finite() && nll.weight >= 0.0) => {
                Err(PreferenceError::NllWeight(nll.weight))
            }
            _ => Ok(Self { loss, beta, nll }),
        }
    }

    /// Returns the preference loss of one pair and its derivatives.
    pub fn pair_loss(&self, pair: &AnswerPair) -> PairLoss {
        self.loss.of(self.beta, pair)
    }

    /// Returns what the pair says of the model, in the order of [`METRICS`].
    fn measures(&self, pair: &AnswerPair) -> Vec<Option<f64>> {
        let AnswerPair { chosen, rejected } = pair;
        let reward = |answer: &Answer| match self.loss.needs_reference() {
            true => self.beta * answer.log_ratio(),
            false => self.beta * answer.mean_log_prob(),
        };
        let (better, worse) = (reward(chosen), reward(rejected));
        let (wins, ties) = (f64::from(better > worse), f64::from(better == worse));
        let mut all = vec![better, worse, better - worse, wins, wins + ties / 2.0, ties];
        all.extend([chosen.log_prob, rejected.log_prob, chosen.mean_log_prob(), rejected.mean_log_prob()]);
        all.extend([chosen.n_tokens, rejected.n_tokens, (chosen.n_tokens / rejected.n_tokens).ln()]);
        all.extend([chosen.log_ratio(), rejected.log_ratio(), chosen.log_ratio() / chosen.n_tokens]);
        all.truncate(self.metrics().len());
        all.into_iter().map(Some).collect()
    }
}

impl Objective for Preference {
    fn name(&self) -> &'static str {
        match self.loss {
            PreferenceLoss::Simpo { .. } => "simpo",
            PreferenceLoss::Orpo => "orpo",
            _ => "dpo",
        }
    }

    fn formula(&self) -> String {
        let nll = |nll: ChosenNll| match nll.reduction {
            NllReduction::Sequence => format!(" + {} * mean over pairs of -S_w/T_w", nll.weight),
            NllReduction::Token => format!(" + {} * sum over pairs of -S_w / sum of T_w", nll.weight),
        };
        let second = self.nll.map(nll).unwrap_or_default();
        format!("mean over pairs of {}{second}; {}", self.loss.formula(self.beta), self.loss.symbols())
    }

    fn terms(&self) -> Vec<Term> {
        let nll = self.nll.map(|nll| Term { metric: Some("loss/nll"), weight: nll.weight });
        std::iter::once(Term { metric: Some("loss/pref"), weight: 1.0 }).chain(nll).collect()
    }

    fn encode(&self, row: &RowContent, encoder: Encoder<'_>) -> Result<Vec<Sequence>, EncodeError> {
        pair::encode(self.name(), row, encoder)
    }

    fn denominators(&self, sequences: &[Sequence]) -> Vec<f64> {
        let n_chosen = || sequences.first().map_or(0, Sequence::n_loss_tokens) as f64;
        let of_nll = |nll: ChosenNll| match nll.reduction {
            NllReduction::Sequence => 1.0,
            NllReduction::Token => n_chosen(),
        };
        std::iter::once(1.0).chain(self.nll.map(of_nll)).collect()
    }

    fn loss(&self, row: ScoredRow<'_>) -> RowLoss {
        let pair = AnswerPair::of(row);
        let shaped = |sides: [f64; 2]| {
            let constant = |(g, log_probs): (f64, &Vec<f32>)| vec![g as f32; log_probs.len()];
            sides.into_iter().zip(row.log_probs).map(constant).collect()
        };
        let loss = self.pair_loss(&pair);
        let preference = TermLoss { sum: loss.value, gradients: shaped([loss.by_chosen, loss.by_rejected]) };
        let of_nll = |nll: ChosenNll| {
            let per_token = match nll.reduction {
                NllReduction::Sequence => 1.0 / pair.chosen.n_tokens,
                NllReduction::Token => 1.0,
            };
            TermLoss { sum: -pair.chosen.log_prob * per_token, gradients: shaped([-per_token, 0.0]) }
        };
        let terms = std::iter::once(preference).chain(self.nll.map(of_nll)).collect();
        RowLoss { terms, metrics: self.measures(&pair) }
    }

    fn metrics(&self) -> &'static [&'static str] {
        if self.loss.needs_reference() { &METRICS } else { METRICS.split_at(FREE_METRICS).0 }
    }

    fn needs_reference(&self) -> bool {
        self.loss.needs_reference()
    }
}
