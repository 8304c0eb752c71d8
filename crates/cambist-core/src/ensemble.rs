//! One reward from several arbiters, and how far they disagree.

mod combine;
mod disagreement;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use disagreement::{Disagreement, Disagreements, PairTau, disagreement};

use crate::{language::Language, reward::Scales};

/// What several arbiters said of the valid candidates of one prompt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Panel {
    /// By arbiter: a value for each candidate, all in one order; none where the arbiter could not say.
    pub values: BTreeMap<String, Vec<Option<f64>>>,
}

/// How the values of several arbiters become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Combine {
    /// The weighted mean of the normalised values. The default.
    #[default]
    Mean,
    /// The mean less this many standard deviations over the arbiters (n - 1 below the line; 0 for one arbiter): doubt
    /// counts against a candidate. 0.5 is a good start.
    Lcb(f64),
    /// The worst of the normalised values; weights count as yes or no.
    Min,
    /// The weighted mean of the share of other candidates beaten, ties half (Borda 1781), 0 to 1.
    Borda,
    /// The weighted mean of the rank from the worst, 1 on, ties in their middle.
    RankMean,
    /// The weighted share of arbiters whose best it is; several best share the vote.
    Vote,
}

/// How the values of one arbiter are made comparable with those of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalize {
    /// On the arbiter's scale of the language, fitted on many prompts. The default.
    #[default]
    Language,
    /// By mean and standard deviation of the prompt's candidates; 0 where they are all equal.
    Prompt,
}

/// Whom to count when an arbiter did not score every candidate of a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Absent {
    /// Only arbiters that scored all candidates, so that one panel judges them all. The default.
    #[default]
    LeavesPrompt,
    /// For each candidate those that scored it.
    LeavesCandidate,
}

/// The settings of an ensemble.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ensemble {
    /// How the values become one.
    pub combine: Combine,
    /// How they are made comparable first; without meaning for `borda`, `rank-mean` and `vote`.
    pub normalize: Normalize,
    /// Whom to count.
    pub absent: Absent,
    /// Weights by arbiter, equal when absent.
    pub weights: BTreeMap<String, Weight>,
    /// Fewer arbiters give no reward; when absent the majority of those in the panel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_arbiters: Option<usize>,
}

/// How much an arbiter counts, 0 or more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weight {
    /// In every language that has no weight of its own; default 1.
    pub all: f64,
    /// In single languages.
    pub languages: BTreeMap<Language, f64>,
}

impl Default for Weight {
    fn default() -> Self {
        Self { all: 1.0, languages: BTreeMap::new() }
    }
}

/// Why values cannot be combined.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EnsembleError {
    /// Two arbiters speak of different numbers of candidates.
    #[error(
        "arbiter `{arbiter}` has {found} values for {expected} candidates: give one for each, missing ones as none"
    )]
    Uneven {
        /// The arbiter.
        arbiter: String,
        /// Its values.
        found: usize,
        /// Values of the first arbiter.
        expected: usize,
    },
    /// A value is NaN or infinite.
    #[error("arbiter `{arbiter}` gave {value}, expected a finite number: leave out what it could not score")]
    NotFinite {
        /// The arbiter.
        arbiter: String,
        /// What it gave.
        value: f64,
    },
    /// A weight is negative, NaN or infinite.
    #[error("the weight of arbiter `{arbiter}` in `{language}` is {weight}, expected 0 or more")]
    Weight {
        /// The arbiter.
        arbiter: String,
        /// The language.
        language: Language,
        /// The weight.
        weight: f64,
    },
}

/// The scale of every arbiter in every language, fitted once and then frozen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PanelScales {
    arbiters: BTreeMap<String, Scales>,
}

impl PanelScales {
    /// Measures the values of every arbiter in every language.
    pub fn fit<'a>(panels: impl IntoIterator<Item = (&'a Language, &'a Panel)>) -> Self {
        let mut values: BTreeMap<&String, BTreeMap<Language, Vec<f64>>> = BTreeMap::new();
        for (language, panel) in panels {
            for (arbiter, given) in &panel.values {
                let all = values.entry(arbiter).or_default().entry(language.clone()).or_default();
                all.extend(given.iter().flatten());
            }
        }
        let arbiters = values.into_iter().map(|(arbiter, values)| (arbiter.clone(), Scales::of(&values)));
        Self { arbiters: arbiters.collect() }
    }

    /// Measures values that were gathered by arbiter and language.
    pub fn of(values: &BTreeMap<String, BTreeMap<Language, Vec<f64>>>) -> Self {
        let arbiters = values.iter().map(|(arbiter, values)| (arbiter.clone(), Scales::of(values)));
        Self { arbiters: arbiters.collect() }
    }

    /// Returns a value on its arbiter's scale; none where the arbiter was never measured in the language.
    pub fn normalize(&self, arbiter: &str, language: &Language, value: f64) -> Option<f64> {
        self.arbiters.get(arbiter)?.normalize(language, value)
    }
}

impl Panel {
    /// How many candidates it speaks of.
    pub fn n_candidates(&self) -> usize {
        self.values.values().next().map_or(0, Vec::len)
    }

    fn check(&self) -> Result<(), EnsembleError> {
        let expected = self.n_candidates();
        for (arbiter, values) in &self.values {
            if values.len() != expected {
                return Err(EnsembleError::Uneven { arbiter: arbiter.clone(), found: values.len(), expected });
            }
            if let Some(value) = values.iter().flatten().find(|value| !value.is_finite()) {
                return Err(EnsembleError::NotFinite { arbiter: arbiter.clone(), value: *value });
            }
        }
        Ok(())
    }
}

impl Ensemble {
    /// Returns the reward of each candidate of a prompt in `language`, in their order; none where too few arbiters
    /// scored it.
    ///
    /// # Errors
    /// When values are uneven or not finite, or a weight is negative.
    pub fn rewards(
        &self,
        (language, panel): (&Language, &Panel),
        scales: &PanelScales,
    ) -> Result<Vec<Option<f64>>, EnsembleError> {
        panel.check()?;
        let weighted = self.weigh(language, panel)?;
        let n_needed = self.min_arbiters.unwrap_or(weighted.len() / 2 + 1).max(1);
        let is_heard = |values: &[Option<f64>]| match self.absent {
            Absent::LeavesPrompt => values.iter().all(Option::is_some),
            Absent::LeavesCandidate => values.iter().any(Option::is_some),
        };
        let mut heard = Vec::new();
        for (arbiter, weight) in &weighted {
            let values = &panel.values[*arbiter];
            let comparable = self.comparable((arbiter, language), values, scales);
            heard.extend(comparable.filter(|values| is_heard(values)).map(|values| (values, *weight)));
        }
        let of_candidate = |at: usize| {
            let said: Vec<(f64, f64)> =
                heard.iter().filter_map(|(values, weight)| Some((values.get(at).copied()??, *weight))).collect();
            (said.len() >= n_needed).then(|| combine::combine(self.combine, &said)).flatten()
        };
        Ok((0..panel.n_candidates()).map(of_candidate).collect())
    }

    /// The arbiters that count, with their weights.
    fn weigh<'a>(&self, language: &Language, panel: &'a Panel) -> Result<Vec<(&'a String, f64)>, EnsembleError> {
        let mut weighted = Vec::new();
        for arbiter in panel.values.keys() {
            let weight = self
                .weights
                .get(arbiter)
                .map_or(1.0, |weight| weight.languages.get(language).copied().unwrap_or(weight.all));
            if !weight.is_finite() || weight < 0.0 {
                return Err(EnsembleError::Weight { arbiter: arbiter.clone(), language: language.clone(), weight });
            }
            weighted.extend((weight > 0.0).then_some((arbiter, weight)));
        }
        Ok(weighted)
    }

    /// The values of one arbiter in the form that is combined; none where it has no scale.
    fn comparable(
        &self,
        (arbiter, language): (&str, &Language),
        values: &[Option<f64>],
        scales: &PanelScales,
    ) -> Option<Vec<Option<f64>>> {
        match (self.combine, self.normalize) {
            (Combine::Borda, _) => Some(combine::shares_beaten(values)),
            (Combine::RankMean, _) => Some(combine::ranks(values)),
            (Combine::Vote, _) => Some(combine::votes(values)),
            (_, Normalize::Prompt) => Some(combine::z_scores(values)),
            (_, Normalize::Language) => {
                let scaled = |value: &Option<f64>| match value {
                    Some(value) => scales.normalize(arbiter, language, *value).map(Some),
                    None => Some(None),
                };
                values.iter().map(scaled).collect()
            }
        }
    }
}
