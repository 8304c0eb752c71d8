//! Equal-size comparison: the same prompts for every strategy.

use serde::{Deserialize, Serialize};

use crate::router::Outcome;

/// Which prompts each strategy's student learns from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Align {
    /// Only those for which every strategy took an answer: all students get the same prompts. The default, and the only
    /// fair comparison.
    #[default]
    Intersection,
    /// All for which the strategy itself took an answer: for production, never for comparison.
    None,
}

/// The standing of a prompt that a strategy keeps.
pub const KEPT: &str = "kept";

/// Returns how a prompt stands in a strategy's set, as a code: [`KEPT`], `unaligned` when only other strategies took no
/// answer to it, else how it ended for the strategy itself. `is_lacking` says whether some strategy took none.
pub fn standing(outcome: Outcome, is_lacking: bool, mode: Align) -> &'static str {
    match outcome {
        Outcome::Chosen if mode == Align::None || !is_lacking => KEPT,
        Outcome::Chosen => "unaligned",
        outcome => outcome.code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_where_all_have_one_or_nobody_asks_for_that() {
        use Outcome::{Chosen, NoneEligible, NoneValid};
        let told = [
            (Chosen, false, Align::Intersection, KEPT),
            (Chosen, true, Align::Intersection, "unaligned"),
            (Chosen, true, Align::None, KEPT),
            (NoneEligible, true, Align::Intersection, "none_eligible"),
            (NoneValid, true, Align::None, "none_valid"),
        ];
        for (outcome, is_lacking, mode, expected) in told {
            assert_eq!(standing(outcome, is_lacking, mode), expected);
        }
    }
}
