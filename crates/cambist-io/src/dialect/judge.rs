//! What judges are asked and how their verdicts are read.
//!
//! A judge never sees who wrote an answer. Answers stand between markers, so that nothing inside them is taken for a
//! part of the question: `[Answer A]` … `[End of answer A]` and `[Answer B]` … `[End of answer B]` for two,
//! `[Answer]` … `[End of answer]` for one, `[Answer 1]` … `[End of answer 1]` and so on for many. Inside an answer the
//! brackets of such a marker are written as parentheses.

pub mod combine;
pub mod prompt;
pub mod verdict;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

/// How a judge is asked and its verdict read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JudgeMode {
    /// Two answers: `A`, `B` or `TIE` on the last line.
    PairAbt,
    /// Two answers: `[[A>>B]]`, `[[A>B]]`, `[[A=B]]`, `[[B>A]]` or `[[B>>A]]`.
    PairFive,
    /// Two answers: `[[A]]`, `[[B]]` or, for a tie, `[[C]]`.
    PairThree,
    /// Two answers: one token, read from the log-probabilities of `A` and `B`.
    PairLogprob,
    /// One answer: `[[1]]` to `[[10]]`.
    #[serde(rename = "abs-10")]
    Abs10,
    /// One answer, beside a reference where there is one: `[RESULT] 1` to `[RESULT] 5`.
    #[serde(rename = "abs-5")]
    Abs5,
    /// All answers to a prompt: the number of the best, behind a checklist of what a good one needs (CHOPS, arXiv
    /// 2506.20544).
    Checklist,
}

impl JudgeMode {
    /// Every mode, in the order of the specification.
    pub const ALL: [Self; 7] =
        [Self::PairAbt, Self::PairFive, Self::PairThree, Self::PairLogprob, Self::Abs10, Self::Abs5, Self::Checklist];

    /// The word for recipes and screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::PairAbt => "pair-abt",
            Self::PairFive => "pair-five",
            Self::PairThree => "pair-three",
            Self::PairLogprob => "pair-logprob",
            Self::Abs10 => "abs-10",
            Self::Abs5 => "abs-5",
            Self::Checklist => "checklist",
        }
    }

    /// Whether it compares two answers, and so is asked in both orders.
    pub fn is_pair(self) -> bool {
        matches!(self, Self::PairAbt | Self::PairFive | Self::PairThree | Self::PairLogprob)
    }

    /// Whether it sees all answers to a prompt at once.
    pub fn is_listwise(self) -> bool {
        self == Self::Checklist
    }
}
