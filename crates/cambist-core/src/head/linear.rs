//! A linear head: an offset for each teacher and language, and weights on features.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rows::Rows;
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
    /// By feature; empty when features play no part.
    weights: Rows,
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
    /// A head of these numbers; `weights` by feature, or empty.
    pub(super) fn new(intercepts: Vec<f64>, offsets: BTreeMap<Language, Vec<f64>>, weights: Rows) -> Self {
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
        if !self.weights.is_empty() {
            self.weights.add_products((&features.indices, &features.values), &mut scores);
        }
        scores
    }
}

impl LinearHead {
    /// The head that says of `x` what this one says of `(x - center) * scale`, feature by feature.
    pub(super) fn rescaled(mut self, centers: &[f64], scales: &[f64]) -> Self {
        for (feature, (center, scale)) in centers.iter().zip(scales).enumerate() {
            let Some(row) = self.weights.row(feature) else { break };
            let row: Vec<f64> = row.map(|weight| f64::from(weight) * scale).collect();
            for (weight, intercept) in row.iter().zip(&mut self.intercepts) {
                *intercept -= weight * center;
            }
            self.weights.set(feature, row.into_iter().map(|weight| weight as f32));
        }
        self
    }
}

impl From<LinearHead> for Stored {
    fn from(head: LinearHead) -> Self {
        let rows = (0u32..).map_while(|index| Some((index, head.weights.row(index as usize)?.collect::<Vec<f32>>())));
        let (features, weights) = rows.filter(|(_, row)| row.iter().any(|weight| *weight != 0.0)).unzip();
        let width = head.weights.n_features();
        Self { width, intercepts: head.intercepts, languages: head.offsets, features, weights }
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
        let mut all = Rows::zeros(width, n);
        for (index, row) in features.iter().zip(&weights) {
            let is_sound = (*index as usize) < width && row.len() == n && row.iter().all(|weight| weight.is_finite());
            if !is_sound {
                return Err(Misshapen(format!("feature {index} of {width} has {row:?}")));
            }
            all.set(*index as usize, row.iter().copied());
        }
        Ok(Self { intercepts, offsets: languages, weights: all })
    }
}
