//! One outcome from a pair shown in both orders.

use std::cmp::Ordering;

use super::verdict::JudgeVerdict;

/// What both orders of a pair say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairOutcome {
    /// The first answer of the pair is better, in both orders.
    First,
    /// The second answer of the pair is better, in both orders.
    Second,
    /// Both orders call it a tie, or one does, or they disagree.
    Tie {
        /// Whether each order prefers another answer.
        flipped: bool,
    },
    /// A verdict of at least one order cannot be read.
    Missing,
}

/// Combines the verdict on (first, second) with that on (second, first), each as it was shown: an answer is better only
/// when both orders say so.
pub fn both_orders(shown_first: Option<JudgeVerdict>, shown_second: Option<JudgeVerdict>) -> PairOutcome {
    let forward = shown_first.and_then(JudgeVerdict::preference);
    let backward = shown_second.and_then(JudgeVerdict::preference).map(Ordering::reverse);
    match (forward, backward) {
        (Some(Ordering::Greater), Some(Ordering::Greater)) => PairOutcome::First,
        (Some(Ordering::Less), Some(Ordering::Less)) => PairOutcome::Second,
        (Some(forward), Some(backward)) => {
            PairOutcome::Tie { flipped: forward != Ordering::Equal && forward == backward.reverse() }
        }
        _ => PairOutcome::Missing,
    }
}

/// Returns the mean of both orders' probabilities that the first answer is better; none when one is missing.
pub fn mean_probability(shown_first: Option<JudgeVerdict>, shown_second: Option<JudgeVerdict>) -> Option<f64> {
    match (shown_first?, shown_second?) {
        (JudgeVerdict::Probability(forward), JudgeVerdict::Probability(backward)) => {
            Some((forward + 1.0 - backward) / 2.0)
        }
        _ => None,
    }
}

/// Returns the points that the first answer of a pair earns, 0 to 1: the mean of both orders' probabilities where the
/// judge gives them, else 1 for a win, 0.5 for a tie, 0 for a loss; none when a verdict is missing.
pub fn points(shown_first: Option<JudgeVerdict>, shown_second: Option<JudgeVerdict>) -> Option<f64> {
    mean_probability(shown_first, shown_second).or(match both_orders(shown_first, shown_second) {
        PairOutcome::First => Some(1.0),
        PairOutcome::Second => Some(0.0),
        PairOutcome::Tie { .. } => Some(0.5),
        PairOutcome::Missing => None,
    })
}
