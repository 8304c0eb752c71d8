//! Rewards of one language on one scale: raw rewards are never compared across languages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    candidate::Matrix,
    language::Language,
    outline::{Answer, Outline},
    statistics::{median, standard_deviation},
};

/// Center and width of the rewards of one language.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// The median.
    pub median: f64,
    /// 1.4826 times the median absolute deviation; where that is 0 the sample standard deviation; where that is 0
    /// too, 1.
    pub width: f64,
    /// How many rewards it was measured on.
    pub n: usize,
}

impl Scale {
    fn fit(rewards: &[f64]) -> Option<Self> {
        let center = median(rewards)?;
        let deviations: Vec<f64> = rewards.iter().map(|reward| (reward - center).abs()).collect();
        let robust = 1.4826 * median(&deviations)?;
        let widths = [robust, standard_deviation(rewards).unwrap_or(0.0), 1.0];
        let width = widths.into_iter().find(|&width| width > 0.0)?;
        Some(Self { median: center, width, n: rewards.len() })
    }
}

/// One affine map per language that puts its rewards around 0 with spread 1.
///
/// No argmax inside a prompt changes under it. Fitted once, on answers of all teachers, and then frozen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scales {
    languages: BTreeMap<Language, Scale>,
}

impl Scales {
    /// Measures the valid rewards of each language.
    pub fn fit(matrix: &Matrix) -> Self {
        Self::of_outline(&Outline::of(matrix))
    }

    /// As [`Scales::fit`], of answers without texts.
    pub fn of_outline(outline: &Outline) -> Self {
        let mut rewards = vec![Vec::new(); outline.languages().len()];
        for line in outline.lines() {
            rewards[line.language_place()].extend(line.answers().iter().filter_map(Answer::valid_reward));
        }
        Self::of(&outline.languages().iter().cloned().zip(rewards).collect())
    }

    /// Measures values by language.
    pub(crate) fn of(values: &BTreeMap<Language, Vec<f64>>) -> Self {
        let scales = values.iter().filter_map(|(language, all)| Some((language.clone(), Scale::fit(all)?)));
        Self { languages: scales.collect() }
    }

    /// Returns the reward on the language's scale; none for a language that had no valid reward to measure.
    pub fn normalize(&self, language: &Language, reward: f64) -> Option<f64> {
        self.languages.get(language).map(|scale| (reward - scale.median) / scale.width)
    }

    /// The scale of each language.
    pub fn languages(&self) -> &BTreeMap<Language, Scale> {
        &self.languages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn width_falls_back_from_mad_to_sd_to_one() {
        let robust = Scale::fit(&[1.0, 2.0, 3.0, 4.0, 100.0]).unwrap();
        assert_eq!((robust.median, robust.width), (3.0, 1.4826));
        let binary = Scale::fit(&[0.0, 0.0, 0.0, 1.0]).unwrap();
        assert_eq!((binary.median, binary.width), (0.0, 0.5));
        assert_eq!(Scale::fit(&[0.7, 0.7]).unwrap().width, 1.0);
        assert_eq!(Scale::fit(&[]), None);
    }
}
