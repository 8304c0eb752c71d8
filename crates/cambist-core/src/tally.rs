//! Counts per language and reason that leave nobody out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::language::Language;

/// How often each thing happened in each language.
///
/// Every stage that leaves prompts out counts the kept ones beside them, so that the counts of a language sum to its
/// prompts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tally {
    counts: BTreeMap<Language, BTreeMap<String, usize>>,
}

impl Tally {
    /// Counts one more prompt of `language` under `code`.
    pub fn add(&mut self, language: &Language, code: &str) {
        let row = self.counts.entry(language.clone()).or_default();
        *row.entry(code.to_owned()).or_default() += 1;
    }

    /// The counts by language, then code, both in order of their bytes.
    pub fn counts(&self) -> &BTreeMap<Language, BTreeMap<String, usize>> {
        &self.counts
    }

    /// Returns how often `code` was counted in `language`.
    pub fn count(&self, language: &Language, code: &str) -> usize {
        self.counts.get(language).and_then(|row| row.get(code)).copied().unwrap_or(0)
    }

    /// Returns how often `code` was counted in all languages.
    pub fn of_code(&self, code: &str) -> usize {
        self.counts.values().filter_map(|row| row.get(code)).sum()
    }

    /// Returns the sum over all codes and languages.
    pub fn total(&self) -> usize {
        self.counts.values().flat_map(BTreeMap::values).sum()
    }
}
