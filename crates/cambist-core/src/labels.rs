//! Single answers with labels from rewards: which are wanted, which are not, and which say neither.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    candidate::{Candidate, Matrix, Row},
    language::Language,
    pairs::{Likeness, distinct},
    pool::Pool,
    reward::Scales,
    select::{NEAR_DUPLICATE, valid_by_rank},
    tally::Tally,
};

mod rule;

pub use rule::{Cut, LabelRule};

/// How answers are labelled, and which are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelOptions {
    /// From which reward on an answer is wanted; default `prompt-mean`.
    pub rule: LabelRule,
    /// Other rules for single languages, because arbiters are not equally strict in all of them.
    pub languages: BTreeMap<Language, LabelRule>,
    /// Leaves out answers whose reward is nearer to the threshold than this, in normalised units of the language;
    /// default 0. Shares have their threshold in the middle between the wanted and the unwanted.
    pub dead_zone: f64,
    /// Collapses answers whose character 5-grams overlap by more than this (Jaccard) to their best; default 0.9, none
    /// leaves only equal texts to collapse.
    pub near_duplicate: Option<f64>,
}

impl Default for LabelOptions {
    fn default() -> Self {
        Self {
            rule: LabelRule::PromptMean,
            languages: BTreeMap::new(),
            dead_zone: 0.0,
            near_duplicate: Some(NEAR_DUPLICATE),
        }
    }
}

/// A number of [`LabelOptions`] that means nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{key}` is {found}, expected {expected}")]
pub struct LabelError {
    /// Its key.
    pub key: &'static str,
    /// The number.
    pub found: f64,
    /// What it may be.
    pub expected: &'static str,
}

impl LabelOptions {
    /// Looks whether every number lies in its range.
    ///
    /// # Errors
    /// The first one that does not.
    pub fn check(&self) -> Result<(), LabelError> {
        for rule in std::iter::once(&self.rule).chain(self.languages.values()) {
            rule.check()?;
        }
        if self.dead_zone.is_finite() && self.dead_zone >= 0.0 {
            return Ok(());
        }
        Err(LabelError { key: "dead_zone", found: self.dead_zone, expected: "a number from 0" })
    }
}

/// What an answer is to a learner, or why it is nothing to learn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// Its reward is at the threshold or above.
    Wanted,
    /// Its reward is below the threshold.
    Unwanted,
    /// A gate stopped it.
    Stopped,
    /// It has no reward.
    Unscored,
    /// It says the same as a better answer to the prompt.
    Duplicate,
    /// There is no other valid answer to the prompt that it could be better or worse than.
    OneValid,
    /// All rewards that it is compared with are equal.
    NoGap,
    /// Its reward is in the dead zone, or in the middle between two shares.
    Undecided,
}

impl Label {
    /// The label as it is counted and written down, `one_valid`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::Unwanted => "unwanted",
            Self::Stopped => "stopped",
            Self::Unscored => "unscored",
            Self::Duplicate => "duplicate",
            Self::OneValid => "one_valid",
            Self::NoGap => "no_gap",
            Self::Undecided => "undecided",
        }
    }

    /// Whether the answer is wanted; none where it is left out.
    pub fn is_wanted(self) -> Option<bool> {
        match self {
            Self::Wanted => Some(true),
            Self::Unwanted => Some(false),
            _ => None,
        }
    }
}

/// How the answers of one set are labelled, prompt by prompt.
///
/// Answers that a gate stopped or that have no reward get no label: what a gate stops is no worse an answer, it is none.
/// Near-duplicates are collapsed to their best first, so that no text is wanted and unwanted. Rows need no texts.
#[derive(Clone, Copy, Debug)]
pub struct Labelling<'a> {
    /// Whose costs break ties between near-duplicates.
    pub pool: &'a Pool,
    /// What the dead zone is measured on.
    pub scales: &'a Scales,
    /// How answers are labelled.
    pub options: &'a LabelOptions,
}

impl Labelling<'_> {
    /// Returns the rewards of a prompt's answers that a threshold of its language is taken over; none where the rule
    /// looks at prompts alone.
    pub fn language_rewards(&self, row: &Row, likeness: &[Likeness]) -> Vec<f64> {
        if !self.rule(&row.prompt.language).is_of_language() {
            return Vec::new();
        }
        self.distinct(row, likeness).into_iter().map(|(_, reward)| reward).collect()
    }

    /// Returns where the rewards of a language are cut, of all that [`Labelling::language_rewards`] gave; none where the
    /// rule looks at prompts alone, or where all rewards are equal.
    pub fn language_cut(&self, language: &Language, rewards: &[f64]) -> Option<Cut> {
        let is_of_language = self.rule(language).is_of_language();
        is_of_language.then(|| self.cut(language, rewards)).flatten()
    }

    /// Labels a prompt's answers, in their order; `of_language` is the cut of its language.
    pub fn labels(&self, row: &Row, likeness: &[Likeness], of_language: Option<Cut>) -> Vec<Label> {
        let mut labels: Vec<Label> = row.candidates.iter().map(lacking).collect();
        let (language, distinct) = (&row.prompt.language, self.distinct(row, likeness));
        let rewards: Vec<f64> = distinct.iter().map(|(_, reward)| *reward).collect();
        let rule = self.rule(language);
        let cut = if rule.is_of_language() { of_language } else { self.cut(language, &rewards) };
        let without = if rule.is_of_prompt() && rewards.len() == 1 { Label::OneValid } else { Label::NoGap };
        for (at, reward) in distinct {
            labels[at] = cut.map_or(without, |cut| cut.label(reward));
        }
        labels
    }

    fn rule(&self, language: &Language) -> LabelRule {
        self.options.languages.get(language).copied().unwrap_or(self.options.rule)
    }

    fn cut(&self, language: &Language, rewards: &[f64]) -> Option<Cut> {
        let mut sorted = rewards.to_vec();
        sorted.sort_by(f64::total_cmp);
        let width = self.scales.languages().get(language).map_or(1.0, |scale| scale.width);
        Some(self.rule(language).cut(&sorted)?.widened(self.options.dead_zone * width))
    }

    /// The places and rewards of the valid answers, the best of each group of near-duplicates.
    fn distinct(&self, row: &Row, likeness: &[Likeness]) -> Vec<(usize, f64)> {
        let place = |candidate: &Candidate| row.place(candidate.cell());
        let group = |candidate: &Candidate| Some(likeness.get(place(candidate)?)?.group);
        let distinct = distinct(&valid_by_rank(row, &self.pool.query(&row.prompt)), group);
        distinct.into_iter().filter_map(|(candidate, reward)| Some((place(candidate)?, reward))).collect()
    }
}

/// Why a candidate has no label before it is compared; valid ones that are left over say what better ones say.
fn lacking(candidate: &Candidate) -> Label {
    match candidate.reward {
        _ if !candidate.passed() => Label::Stopped,
        None => Label::Unscored,
        Some(_) => Label::Duplicate,
    }
}

/// Labels, and how many of each kind there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labels {
    /// Of each prompt the labels of its answers, both in the order of the matrix.
    pub labels: Vec<Vec<Label>>,
    /// Per language: answers by [`Label::code`]; sums to the answers.
    pub tally: Tally,
}

/// Labels the answers of a matrix, as [`Labelling`] does.
pub fn make_labels(matrix: &Matrix, pool: &Pool, scales: &Scales, options: &LabelOptions) -> Labels {
    let labelling = Labelling { pool, scales, options };
    let likeness = |row: &Row| Likeness::of(row, options.near_duplicate);
    let rows: Vec<(&Row, Vec<Likeness>)> = matrix.rows().iter().map(|row| (row, likeness(row))).collect();
    let mut rewards: BTreeMap<&Language, Vec<f64>> = BTreeMap::new();
    for (row, likeness) in &rows {
        rewards.entry(&row.prompt.language).or_default().extend(labelling.language_rewards(row, likeness));
    }
    let cut = |(language, rewards): (_, Vec<f64>)| (language, labelling.language_cut(language, &rewards));
    let cuts: BTreeMap<&Language, Option<Cut>> = rewards.into_iter().map(cut).collect();
    let mut made = Labels::default();
    for (row, likeness) in &rows {
        let language = &row.prompt.language;
        let labels = labelling.labels(row, likeness, cuts.get(language).copied().flatten());
        labels.iter().for_each(|label| made.tally.add(language, label.code()));
        made.labels.push(labels);
    }
    made
}
