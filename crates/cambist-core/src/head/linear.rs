//! A linear head: an offset for each teacher and language, and weights on features.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{features::FeatureVector, language::Language};

/// One number per teacher: `intercept + offset of the language + weights . features`.
///
/// A language without offsets gets those of its primary tag, else the intercepts of all languages together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct LinearHead {
    /// By teacher.
    intercepts: Vec<f64>,
    /// By language, then teacher.
    offsets: BTreeMap<Language, Vec<f64>>,
    /// By feature, then teacher; empty when features play no part.
    weights: Vec<f32>,
}

/// A head as it is written down: features without weights are left out.
#[derive(Serialize, Deserialize)]
struct Stored {
    intercepts: Vec<f64>,
    languages: BTreeMap<Language, Vec<f64>>,
    width: usize,
    features: Vec<u32>,
    weights: Vec<Vec<f32>>,
}

/// Numbers that make no head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the weights of a head do not fit: {0}")]
pub struct Misshapen(String);

impl LinearHead {
    /// A head of these numbers; `weights` by feature, then teacher, or empty.
    pub(super) fn new(intercepts: Vec<f64>, offsets: BTreeMap<Language, Vec<f64>>, weights: Vec<f32>) -> Self {
        Self { intercepts, offsets, weights }
    }

    /// How many teachers there are.
    pub fn n_teachers(&self) -> usize {
        self.intercepts.len()
    }

    /// Whether it read prompts of this language, or of its primary tag, when it learned.
    pub fn knows(&self, language: &Language) -> bool {
        self.offsets(language).is_some()
    }

    fn offsets(&self, language: &Language) -> Option<&Vec<f64>> {
        let of_primary = || self.offsets.get(&Language::parse(language.primary()).ok()?);
        self.offsets.get(language).or_else(of_primary)
    }

    /// Whether features change its numbers.
    pub fn reads_features(&self) -> bool {
        !self.weights.is_empty()
    }

    /// Returns the number of each teacher; features beyond the head's width play no part.
    pub fn scores(&self, features: &FeatureVector, language: &Language) -> Vec<f64> {
        let mut scores = self.intercepts.clone();
        let offsets = self.offsets(language).into_iter().flatten();
        scores.iter_mut().zip(offsets).for_each(|(score, offset)| *score += offset);
        if self.weights.is_empty() {
            return scores;
        }
        let n = scores.len();
        let mut sums = vec![0f32; n];
        for (index, value) in features.iter() {
            let from = index as usize * n;
            let Some(weights) = self.weights.get(from..from + n) else { continue };
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
        }
        scores.iter_mut().zip(sums).for_each(|(score, sum)| *score += f64::from(sum));
        scores
    }
}

impl From<LinearHead> for Stored {
    fn from(head: LinearHead) -> Self {
        let n = head.n_teachers().max(1);
        let rows = (0u32..).zip(head.weights.chunks(n));
        let used = rows.filter(|(_, weights)| weights.iter().any(|weight| *weight != 0.0));
        let (features, weights) = used.map(|(index, weights)| (index, weights.to_vec())).unzip();
        Self { width: head.weights.len() / n, intercepts: head.intercepts, languages: head.offsets, features, weights }
    }
}

impl TryFrom<Stored> for LinearHead {
    type Error = Misshapen;

    fn try_from(stored: Stored) -> Result<Self, Misshapen> {
        let Stored { intercepts, languages, width, features, weights } = stored;
        let n = intercepts.len();
        let mut numbers = intercepts.iter().chain(languages.values().flatten());
        if n == 0 || !numbers.all(|number| number.is_finite()) {
            return Err(Misshapen("intercepts and offsets have to be finite numbers, one for each teacher".to_owned()));
        }
        if let Some((language, offsets)) = languages.iter().find(|(_, offsets)| offsets.len() != n) {
            return Err(Misshapen(format!("`{language}` has {} offsets, expected {n}", offsets.len())));
        }
        if features.len() != weights.len() || width > 1 << 24 {
            return Err(Misshapen(format!("{} features of {width} have {} weights", features.len(), weights.len())));
        }
        let mut all = vec![0f32; width * n];
        for (index, row) in features.iter().zip(&weights) {
            let from = *index as usize * n;
            let place = all.get_mut(from..from + n).filter(|_| row.len() == n && row.iter().all(|w| w.is_finite()));
            let place = place.ok_or_else(|| Misshapen(format!("feature {index} of {width} has {row:?}")))?;
            place.copy_from_slice(row);
        }
        Ok(Self { intercepts, offsets: languages, weights: all })
    }
}
