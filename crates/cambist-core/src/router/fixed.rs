//! The teacher that was best in the language on the calibration split.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Ask, CalibrationError, Choice, Fallback, Router, Spend, calibration::Calibration, ranked, spend_of};
use crate::{
    candidate::{Candidate, Matrix},
    language::Language,
    pool::{Pool, Query},
};

/// One teacher's place in a language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rank {
    /// The teacher.
    pub teacher: String,
    /// Its mean normalised reward; an invalid answer counts as the language's 5 % quantile.
    pub mean: f64,
    /// Standard error of the mean; none from one prompt.
    pub se: Option<f64>,
    /// How many prompts it was measured on.
    pub n: usize,
    /// On the first of a row: whether the second is less than 2 standard errors of their paired difference behind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub weak: bool,
}

/// Teachers by language from the best on, frozen before any answer is made.
///
/// As JSON it is one object, `{"tr": [{"teacher", "mean", "se", "n"}, ...], ...}`, in which `und` (BCP-47 for
/// undetermined) is the ranking over all languages, used where a language has no row of its own because it had fewer
/// than 30 calibration prompts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FixedTable {
    /// The ranking of each language that had at least 30 calibration prompts.
    #[serde(flatten)]
    pub languages: BTreeMap<Language, Vec<Rank>>,
    /// The ranking over the prompts of all languages.
    #[serde(rename = "und")]
    pub pooled: Vec<Rank>,
}

impl FixedTable {
    /// Ranks the pool on the calibration split: per language by mean normalised reward of each teacher's first answer,
    /// then lower expected cost, then smaller id.
    ///
    /// # Errors
    /// When no prompt has a valid, scored answer.
    pub fn fit(matrix: &Matrix, pool: &Pool) -> Result<Self, CalibrationError> {
        Ok(Calibration::measure(matrix, pool)?.table(pool))
    }

    /// Returns the ranking for `language`: its own, else that of its primary tag, else the pooled one.
    pub fn ranking(&self, language: &Language) -> &[Rank] {
        let of_primary = || Language::parse(language.primary()).ok().and_then(|primary| self.languages.get(&primary));
        self.languages.get(language).or_else(of_primary).unwrap_or(&self.pooled)
    }
}

/// Asks the best eligible teacher of the language's row.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixed {
    /// Whom it asks.
    pub table: FixedTable,
    /// What making the table cost.
    pub calibration: Spend,
    /// Whether the next of the row is asked when an answer is invalid.
    pub fallback: Fallback,
}

impl Fixed {
    /// Calibrates on recorded, scored answers of the whole pool, without fallback.
    ///
    /// # Errors
    /// When no prompt has a valid, scored answer.
    pub fn fit(matrix: &Matrix, pool: &Pool) -> Result<Self, CalibrationError> {
        let answers = matrix.rows().iter().flat_map(|row| &row.candidates);
        let calibration = spend_of(answers, true, pool.score_usd);
        Ok(Self { table: FixedTable::fit(matrix, pool)?, calibration, fallback: Fallback::None })
    }

    fn ranking<'a>(&'a self, query: &Query<'_>) -> Vec<&'a str> {
        let teachers = self.table.ranking(&query.prompt.language).iter().map(|rank| rank.teacher.as_str());
        teachers.filter(|teacher| query.is_eligible(teacher)).collect()
    }
}

impl Router for Fixed {
    fn strategy(&self) -> String {
        "fixed".to_owned()
    }

    fn reads_rewards(&self) -> bool {
        false
    }

    fn asks(&self, query: &Query<'_>, observed: &[&Candidate]) -> Vec<Ask> {
        ranked::asks(&self.ranking(query), self.fallback, observed)
    }

    fn choose(&self, query: &Query<'_>, observed: &[&Candidate]) -> Option<Choice> {
        ranked::first_valid(&self.ranking(query), observed)
    }

    fn calibration(&self) -> Spend {
        self.calibration
    }
}
