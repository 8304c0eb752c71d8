//! Answers that a safety scorer finds unsafe.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Reason, Stop};
use crate::language::Language;

/// Keeps out answers whose safety score, by an arbiter of its own, is below a threshold; higher is safer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SafetyGate {
    /// A lower score stops an answer; default 0.
    pub min_score: f64,
    /// Other thresholds for single languages, because scorers are not equally strict in all of them.
    pub languages: BTreeMap<Language, f64>,
    /// Lets answers through that have no score; default false, so that nobody's silence makes an answer safe.
    pub allow_missing: bool,
}

impl Default for SafetyGate {
    fn default() -> Self {
        Self { min_score: 0.0, languages: BTreeMap::new(), allow_missing: false }
    }
}

impl SafetyGate {
    pub(super) fn stop(&self, language: &Language, score: Option<f64>) -> Option<Stop> {
        let least = self.languages.get(language).copied().unwrap_or(self.min_score);
        match score {
            Some(score) if score >= least => None,
            Some(score) => Some(Stop::new(Reason::Unsafe, format!("safety score {score}, expected at least {least}"))),
            None if self.allow_missing => None,
            None => Some(Stop::new(Reason::Unsafe, "no safety score")),
        }
    }
}
