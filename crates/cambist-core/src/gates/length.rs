//! Answers that are much shorter or longer than they should be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Reason, Stop, Verdict};
use crate::{candidate::Candidate, language::Language, statistics::median};

/// Keeps out answers by their length in characters, by itself and beside the other answers to the same prompt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LengthGate {
    /// Limits in all languages that have none of their own.
    pub limits: LengthLimits,
    /// Limits of single languages: a page of Chinese is a third of a page of German.
    pub languages: BTreeMap<Language, LengthLimits>,
}

/// How short and how long an answer may be; what is not given is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LengthLimits {
    /// At least this many characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_chars: Option<usize>,
    /// At most this many characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_chars: Option<usize>,
    /// At least this part of the median length of the answers to the prompt that passed the other gates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_of_median: Option<f64>,
    /// At most this multiple of that median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_of_median: Option<f64>,
}

/// A median of fewer answers says nothing.
const MIN_ANSWERS: usize = 3;

impl LengthGate {
    fn limits(&self, language: &Language) -> &LengthLimits {
        self.languages.get(language).unwrap_or(&self.limits)
    }

    pub(super) fn stop(&self, language: &Language, text: &str) -> Option<Stop> {
        let LengthLimits { min_chars, max_chars, .. } = *self.limits(language);
        let n_chars = chars(text);
        let short = min_chars.filter(|least| n_chars < *least);
        let long = max_chars.filter(|most| n_chars > *most);
        match (short, long) {
            (Some(least), _) => Some(Stop::new(Reason::TooShort, format!("{n_chars} characters, expected {least}"))),
            (_, Some(most)) => Some(Stop::new(Reason::TooLong, format!("{n_chars} characters, expected up to {most}"))),
            _ => None,
        }
    }

    /// Stops candidates that are far from the median of those that passed, of one prompt; the order does not matter.
    pub(super) fn stop_beside(&self, language: &Language, candidates: &mut [Candidate]) {
        let LengthLimits { min_of_median, max_of_median, .. } = *self.limits(language);
        let passed = candidates.iter().filter(|candidate| candidate.passed());
        let lengths: Vec<f64> = passed.map(|candidate| chars(&candidate.completion.text) as f64).collect();
        let Some(middle) = median(&lengths).filter(|_| lengths.len() >= MIN_ANSWERS) else { return };
        for candidate in candidates.iter_mut().filter(|candidate| candidate.passed()) {
            let ratio = chars(&candidate.completion.text) as f64 / middle;
            let is_short = min_of_median.is_some_and(|least| ratio < least);
            let is_long = max_of_median.is_some_and(|most| ratio > most);
            if is_short || is_long {
                let reason = if is_short { Reason::TooShort } else { Reason::TooLong };
                let stopped =
                    Some(Stop::new(reason, format!("{ratio:.2} times the median of {} answers", lengths.len())));
                candidate.verdict = Verdict { stopped, ..candidate.verdict.clone() };
            }
        }
    }
}

fn chars(text: &str) -> usize {
    text.trim().chars().count()
}
