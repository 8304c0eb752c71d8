//! From which reward on an answer is wanted.

use serde::{Deserialize, Serialize};

use super::{Label, LabelError};
use crate::statistics::{mean, quantile_of_sorted};

/// From which reward on an answer is wanted.
///
/// All rules but the last compare answers, and tell nothing where all rewards that they compare are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelRule {
    /// From the mean reward of the prompt's answers on.
    #[default]
    PromptMean,
    /// The best share of the prompt's answers, above 0 to 0.5, one at least; the worst share is unwanted, the middle is
    /// left out.
    PromptShare(f64),
    /// From this quantile of the language's rewards on, 0 to 1, linear between neighbours; the lowest are never wanted.
    LanguageQuantile(f64),
    /// The best share of the language's answers, above 0 to 0.5; the worst share is unwanted, the middle is left out.
    LanguageShare(f64),
    /// From this reward on, in the units of the arbiter.
    AtLeast(f64),
}

/// By how much of the spread an answer may lie below the mean that it is at, but for rounding.
const ROUNDING: f64 = 1e-9;

impl LabelRule {
    pub(super) fn check(self) -> Result<(), LabelError> {
        let (key, found, is_right, expected) = match self {
            Self::PromptMean => return Ok(()),
            Self::PromptShare(share) => ("prompt-share", share, is_share(share), SHARE),
            Self::LanguageShare(share) => ("language-share", share, is_share(share), SHARE),
            Self::LanguageQuantile(q) => ("language-quantile", q, (0.0..=1.0).contains(&q), "a number from 0 to 1"),
            Self::AtLeast(least) => ("at-least", least, least.is_finite(), "a finite number"),
        };
        if is_right { Ok(()) } else { Err(LabelError { key, found, expected }) }
    }

    /// Whether all answers in a language are compared.
    pub(super) fn is_of_language(self) -> bool {
        matches!(self, Self::LanguageQuantile(_) | Self::LanguageShare(_))
    }

    /// Whether the answers to one prompt are compared.
    pub(super) fn is_of_prompt(self) -> bool {
        matches!(self, Self::PromptMean | Self::PromptShare(_))
    }

    /// Returns where rewards in ascending order are cut; none where the rule compares them and all are equal.
    pub(super) fn cut(self, sorted: &[f64]) -> Option<Cut> {
        match self {
            Self::PromptMean => {
                let spread = sorted.last()? - sorted.first()?;
                (spread > 0.0).then_some(Cut::at(mean(sorted)? - ROUNDING * spread))
            }
            Self::PromptShare(share) | Self::LanguageShare(share) => shares(sorted, share),
            Self::LanguageQuantile(q) => {
                let lowest = *sorted.first()?;
                let above = sorted.iter().copied().find(|reward| *reward > lowest)?;
                let threshold = quantile_of_sorted(sorted, q)?;
                Some(Cut::at(if threshold > lowest { threshold } else { above }))
            }
            Self::AtLeast(least) => Some(Cut::at(least)),
        }
    }
}

const SHARE: &str = "a number above 0 to 0.5";

fn is_share(share: f64) -> bool {
    share > 0.0 && share <= 0.5
}

/// Cuts off the same number at both ends. Equal rewards stay together; where both ends meet in one reward, they are
/// shortened until they do not.
fn shares(sorted: &[f64], share: f64) -> Option<Cut> {
    let n = sorted.len();
    let most = ((share * n as f64 + ROUNDING) as usize).max(1);
    let mut ends = (1..=most).rev().filter_map(|n_of_end| {
        let (best, worst) = (sorted.get(n.checked_sub(n_of_end)?)?, sorted.get(n_of_end - 1)?);
        Some(Cut { wanted_from: *best, unwanted_until: *worst })
    });
    ends.find(|cut| cut.wanted_from > cut.unwanted_until)
}

/// From where on rewards are wanted and until where they are not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    wanted_from: f64,
    unwanted_until: f64,
}

impl Cut {
    /// One threshold: what is at it is wanted.
    fn at(threshold: f64) -> Self {
        Self { wanted_from: threshold, unwanted_until: threshold }
    }

    /// Keeps both sides this far from the middle between them.
    pub(super) fn widened(self, dead_zone: f64) -> Self {
        let threshold = f64::midpoint(self.wanted_from, self.unwanted_until);
        Self {
            wanted_from: self.wanted_from.max(threshold + dead_zone),
            unwanted_until: self.unwanted_until.min(threshold - dead_zone),
        }
    }

    /// Returns what a reward means.
    pub(super) fn label(self, reward: f64) -> Label {
        if reward >= self.wanted_from {
            Label::Wanted
        } else if reward <= self.unwanted_until {
            Label::Unwanted
        } else {
            Label::Undecided
        }
    }
}
