//! KTO: single answers that are wanted or not, without a pair (Ethayarajh et al. 2024, arXiv 2402.01306).

use super::{
    Encoder, Objective, RowLoss, ScoredRow, TermLoss, logistic::logistic, pair::turns, preference::PreferenceError,
};
use crate::{
    chat::EncodeError,
    train_row::{RowContent, Sequence},
};

/// The Kahneman-Tversky loss of single answers (arXiv 2402.01306, equations 7 and 8).
///
/// The step's loss is the mean over its rows of `w_d (1 - σ(beta (r - z)))` for a desirable answer and of
/// `w_u (1 - σ(beta (z - r)))` for an undesirable one, each row by its weight: `r` is the answer's log-ratio to the
/// reference model, `z` the step's baseline ([`ScoredRow::baseline`]), which has no gradient.
///
/// Where one kind of answer is rarer, its weight times its number should be 1 to 4/3 of the other's (equation 8).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kto {
    beta: f64,
    desirable_weight: f64,
    undesirable_weight: f64,
}

/// Those of one kind of answer are means over answers of that kind; `kl` is the baseline.
const METRICS: [&str; 11] = [
    "rewards/chosen",
    "rewards/rejected",
    "logps/chosen",
    "logps/rejected",
    "logps_tok/chosen",
    "logps_tok/rejected",
    "len/chosen",
    "len/rejected",
    "kl/chosen",
    "kl/rejected",
    "kl",
];

impl Kto {
    /// The usual strength.
    pub const BETA: f64 = 0.1;

    /// Returns the objective; `beta` is above 0 ([`Kto::BETA`] is usual), the weights of desirable and undesirable answers
    /// are from 0 (1 is usual).
    ///
    /// # Errors
    /// When a number is outside its range.
    pub fn new(beta: f64, (desirable_weight, undesirable_weight): (f64, f64)) -> Result<Self, PreferenceError> {
        if !(beta.is_finite() && beta > 0.0) {
            return Err(PreferenceError::Beta(beta));
        }
        for (key, weight) in [("desirable_weight", desirable_weight), ("undesirable_weight", undesirable_weight)] {
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(PreferenceError::KindWeight(key, weight));
            }
        }
        Ok(Self { beta, desirable_weight, undesirable_weight })
    }
}

impl Objective for Kto {
    fn name(&self) -> &'static str {
        "kto"
    }

    fn formula(&self) -> String {
        let Self { beta, desirable_weight, undesirable_weight } = self;
        format!(
            "mean over answers of {desirable_weight} (1 - σ({beta} (r - z))) for desirable and {undesirable_weight} (1 - \
             σ({beta} (z - r))) for undesirable ones; r = S - ln ref, S the sum of log-probabilities, z the mean r of the \
             step's answers under prompts of other rows, at least 0, without a gradient"
        )
    }

    fn encode(&self, row: &RowContent, encoder: Encoder<'_>) -> Result<Vec<Sequence>, EncodeError> {
        let RowContent::Unpaired { prompt, completion, .. } = row else {
            let (objective, found) = (self.name(), row.kind());
            return Err(EncodeError::Content { objective, expected: "an answer with a label", found });
        };
        if completion.trim().is_empty() {
            return Err(EncodeError::EmptyAnswer("labelled"));
        }
        let conversation = encoder.chat.encode_conversation(&turns(prompt, completion))?;
        let weights = conversation.last_answer();
        let sequence = Sequence::new(conversation.tokens, weights, encoder.max_length);
        match sequence.n_loss_tokens() {
            0 => Err(EncodeError::EmptyMask("the prompt leaves no room for the answer within the greatest length")),
            _ => Ok(vec![sequence]),
        }
    }

    fn denominators(&self, _sequences: &[Sequence]) -> Vec<f64> {
        vec![1.0]
    }

    fn loss(&self, row: ScoredRow<'_>) -> RowLoss {
        let log_probs = row.log_probs.first().map_or(&[][..], Vec::as_slice);
        let (sum, n_tokens) = (log_probs.iter().map(|x| f64::from(*x)).sum::<f64>(), log_probs.len().max(1) as f64);
        let log_ratio = sum - row.reference.first().copied().unwrap_or(0.0);
        let (sign, weight) = if row.desirable { (1.0, self.desirable_weight) } else { (-1.0, self.undesirable_weight) };
        let z = sign * self.beta * (log_ratio - row.baseline);
        let slope = -sign * self.beta * weight * logistic(z) * logistic(-z);
        let term = TermLoss { sum: weight * logistic(-z), gradients: vec![vec![slope as f32; log_probs.len()]] };
        let of_kind = [self.beta * log_ratio, sum, sum / n_tokens, n_tokens, log_ratio];
        let sides = |x: f64| [row.desirable.then_some(x), (!row.desirable).then_some(x)];
        let metrics = of_kind.into_iter().flat_map(sides).chain([Some(row.baseline)]).collect();
        RowLoss { terms: vec![term], metrics }
    }

    fn metrics(&self) -> &'static [&'static str] {
        &METRICS
    }

    fn needs_reference(&self) -> bool {
        true
    }

    fn needs_baseline(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loss and its derivative by the sum, for an answer of two tokens under a reference of -12.
    fn loss_of(kto: Kto, sum: f32, (desirable, baseline): (bool, f64)) -> (f64, f64, Vec<Option<f64>>) {
        let log_probs = [vec![sum / 2.0; 2]];
        let row = ScoredRow { log_probs: &log_probs, reference: &[-12.0], desirable, baseline, ..ScoredRow::default() };
        let loss = kto.loss(row);
        (loss.terms[0].sum, f64::from(loss.terms[0].gradients[0][0]), loss.metrics)
    }

    #[test]
    fn an_answer_worked_by_hand() {
        let kto = Kto::new(0.1, (1.0, 3.0)).unwrap();
        // r = 2, z = 1: 1 - σ(0.1), and 3 (1 - σ(-0.1)).
        let (wanted, by_sum, metrics) = loss_of(kto, -10.0, (true, 1.0));
        assert!((wanted - 0.475_020_812_521_060_2).abs() < 1e-12, "{wanted}");
        assert!((by_sum + 0.1 * 0.475_020_812_521_060_2 * 0.524_979_187_478_939_8).abs() < 1e-9, "{by_sum}");
        assert_eq!(metrics[..4], [Some(0.2), None, Some(-10.0), None]);
        assert_eq!(metrics[8..], [Some(2.0), None, Some(1.0)]);
        let (unwanted, by_sum, metrics) = loss_of(kto, -10.0, (false, 1.0));
        assert!((unwanted - 3.0 * 0.524_979_187_478_939_8).abs() < 1e-12, "{unwanted}");
        assert!(by_sum > 0.0 && metrics[0].is_none() && metrics[1] == Some(0.2));
        assert!(loss_of(kto, -1e30, (true, 0.0)).0.is_finite());
    }

    #[test]
    fn derivatives_are_those_of_finite_differences() {
        let kto = Kto::new(0.3, (1.5, 0.5)).unwrap();
        for (sum, kind) in [(-10.0f32, (true, 0.5)), (-14.0, (false, 0.0)), (-11.5, (true, 3.0))] {
            let h = 1.0 / 64.0;
            let slope = (loss_of(kto, sum + h, kind).0 - loss_of(kto, sum - h, kind).0) / (2.0 * f64::from(h));
            let found = loss_of(kto, sum, kind).1;
            assert!((found - slope).abs() < 1e-5, "{sum} {kind:?}: {found} {slope}");
        }
    }

    #[test]
    fn numbers_have_a_range() {
        assert_eq!(Kto::new(0.0, (1.0, 1.0)), Err(PreferenceError::Beta(0.0)));
        let negative = Kto::new(0.1, (1.0, -1.0));
        assert_eq!(negative, Err(PreferenceError::KindWeight("undesirable_weight", -1.0)));
        assert!(Kto::new(0.1, (1.0, 1.5)).unwrap().formula().contains("and 1.5 (1 - σ(0.1 (z - r)))"));
    }
}
