//! Minimum Bayes risk: the answer that the others agree with most (Kumar and Byrne 2004; as best-of-N selection across
//! languages arXiv 2506.20544).
//!
//! An answer's score is its mean utility against the other answers to the prompt,
//! `(1 / sum w_k) sum_k w_k u(y_m, y_k)`. Nearly equal answers are one candidate first, so that two copies do not vote
//! for each other; all of them get the score of that candidate.

use super::{Chrf, Counted, chrf::compose};
use crate::{resemblance::near_duplicates, select::NEAR_DUPLICATE};

/// The utility: chrF with precision and recall weighing the same, which makes it the same in both directions.
const UTILITY: Chrf = Chrf { char_order: 6, word_order: 0, beta: 1.0, lowercase: false, whitespace: false };

/// One of the answers to a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contender<'a> {
    /// The answer.
    pub text: &'a str,
    /// Whether others are measured against it; an answer that no gate lets through is scored and has no vote.
    pub has_vote: bool,
}

/// Answers that support others and are no candidates themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence<'a> {
    /// The answers.
    pub texts: &'a [&'a str],
    /// How much one of them weighs, beside the 1 of a candidate; above 0.
    pub weight: f64,
}

impl Evidence<'_> {
    /// No evidence.
    pub const NONE: Self = Self { texts: &[], weight: 1.0 };
}

/// Returns how much two answers agree, 0 to 1, the same in both directions: chrF (Popović 2015) of character n-grams up
/// to 6, white space aside, with beta = 1, in NFC.
pub fn utility(a: &str, b: &str) -> f64 {
    of_counted(&UTILITY.count(&compose(a)), &UTILITY.count(&compose(b)))
}

fn of_counted(a: &Counted, b: &Counted) -> f64 {
    UTILITY.compare(a, b) / 100.0
}

/// Returns the mean utility of each answer to one prompt against the others and the evidence, 0 to 1, in the order of
/// the answers; it does not depend on that order.
///
/// An answer that is measured against nobody, because it stands alone, because all answers are nearly equal, or because
/// no other has a vote, scores 1: it agrees with all that there is. Two answers without evidence tie.
pub fn mean_utilities(answers: &[Contender<'_>], evidence: Evidence<'_>) -> Vec<f64> {
    let texts: Vec<String> = answers.iter().map(|answer| compose(answer.text)).collect();
    let candidates = Groups::of(&texts);
    let evident: Vec<String> = evidence.texts.iter().map(|text| compose(text)).collect();
    let evident = Groups::of(&evident);
    let has_vote = |group: usize| answers.iter().zip(&candidates.of_text).any(|(a, of)| *of == group && a.has_vote);
    let votes: Vec<bool> = (0..candidates.groups.len()).map(has_vote).collect();
    let between = candidates.between();
    let score = |own: usize| {
        let others = (0..votes.len()).filter(|&other| other != own && votes[other]);
        let agreed: Vec<f64> = others.map(|other| between[own.min(other)][own.max(other)]).collect();
        let supported: Vec<f64> =
            evident.groups.iter().map(|group| mean_between(&candidates.groups[own], group)).collect();
        let total = agreed.len() as f64 + evidence.weight * supported.len() as f64;
        if total > 0.0 { (sum(agreed) + evidence.weight * sum(supported)) / total } else { 1.0 }
    };
    let scores: Vec<f64> = (0..votes.len()).map(score).collect();
    candidates.of_text.iter().map(|&group| scores[group]).collect()
}

/// Texts that are nearly equal, together.
struct Groups {
    /// The group of each text.
    of_text: Vec<usize>,
    /// The different texts of each group.
    groups: Vec<Vec<Counted>>,
}

impl Groups {
    fn of(texts: &[String]) -> Self {
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        let named = near_duplicates(&borrowed, NEAR_DUPLICATE);
        let mut names = named.clone();
        names.sort_unstable();
        names.dedup();
        let of_text: Vec<usize> = named.iter().filter_map(|name| names.binary_search(name).ok()).collect();
        let members = |group: usize| {
            let mut different: Vec<&str> =
                borrowed.iter().zip(&of_text).filter(|(_, of)| **of == group).map(|(text, _)| *text).collect();
            different.sort_unstable();
            different.dedup();
            different.into_iter().map(|text| UTILITY.count(text)).collect()
        };
        Self { groups: (0..names.len()).map(members).collect(), of_text }
    }

    /// The utility of each group against each later one; what stands elsewhere means nothing.
    fn between(&self) -> Vec<Vec<f64>> {
        let of = |one: usize, other: usize| {
            if one < other { mean_between(&self.groups[one], &self.groups[other]) } else { 0.0 }
        };
        (0..self.groups.len()).map(|one| (0..self.groups.len()).map(|other| of(one, other)).collect()).collect()
    }
}

/// The mean utility of the texts of two groups.
fn mean_between(one: &[Counted], other: &[Counted]) -> f64 {
    let all: Vec<f64> = one.iter().flat_map(|a| other.iter().map(|b| of_counted(a, b))).collect();
    let n = all.len() as f64;
    sum(all) / n
}

/// The sum, whatever the order of the values.
fn sum(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.iter().sum()
}
