//! How well a head chooses on prompts that it did not learn from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Lesson;

/// What scores teachers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadKind {
    /// Mean rewards per language, as the strategy `fixed`: features play no part.
    Table,
    /// A softmax pulled to that of the rewards.
    KlSoftmax,
    /// Pairwise comparisons.
    BradleyTerry,
    /// Expected rewards.
    Ridge,
}

impl HeadKind {
    /// The name as artifacts and screens spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::KlSoftmax => "kl-softmax",
            Self::BradleyTerry => "bradley-terry",
            Self::Ridge => "ridge",
        }
    }
}

/// One setting of one head, judged out of fold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Which head.
    pub head: HeadKind,
    /// Temperature of the rewards, for `kl-softmax`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tau: Option<f64>,
    /// Penalty on the weights of features; none for the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
    /// How many prompts it was judged on.
    pub n: usize,
    /// Mean of the best normalised reward minus that of the chosen teacher.
    pub regret: f64,
    /// Mean of its own loss; none for the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
}

/// The chosen head beside the table in one language, out of fold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LanguageTrial {
    /// How many prompts.
    pub n: usize,
    /// Mean regret of the head.
    pub regret: f64,
    /// Mean regret of the table.
    pub table_regret: f64,
    /// `table_regret - regret`: above 0 the head chooses better.
    pub gain: f64,
    /// Standard error of the gain over sources; none from one source.
    pub gain_se: Option<f64>,
}

impl LanguageTrial {
    /// Compares regrets of lessons, by lesson, over those that `is_meant`; none when there are none.
    pub(super) fn of(
        (lessons, regrets, of_table): (&[&Lesson], &[f64], &[f64]),
        is_meant: impl Fn(&Lesson) -> bool,
    ) -> Option<Self> {
        let mut sources: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
        let (mut n, mut regret, mut table_regret) = (0usize, 0.0, 0.0);
        for ((lesson, own), table) in lessons.iter().zip(regrets).zip(of_table).filter(|((l, _), _)| is_meant(l)) {
            n += 1;
            regret += own;
            table_regret += table;
            let source = sources.entry(lesson.source).or_default();
            *source = (source.0 + 1.0, source.1 + table - own);
        }
        if n == 0 {
            return None;
        }
        let per_prompt = 1.0 / n as f64;
        let gain = (table_regret - regret) * per_prompt;
        let n_sources = sources.len() as f64;
        let squares: f64 = sources.values().map(|(n, sum)| (sum - n * gain).powi(2)).sum();
        let gain_se = (sources.len() > 1).then(|| (squares * n_sources / (n_sources - 1.0)).sqrt() * per_prompt);
        Some(Self { n, regret: regret * per_prompt, table_regret: table_regret * per_prompt, gain, gain_se })
    }
}

/// The regret of asking the teacher of the highest score: the best reward minus its own.
pub(super) fn regret_of(lesson: &Lesson, scores: &[f64]) -> f64 {
    let open = scores.iter().zip(&lesson.rewards).filter_map(|(score, reward)| Some((*score, (*reward)?)));
    // The first of equal scores: teachers are sorted by id.
    let chosen = open.fold(None, |best: Option<(f64, f64)>, (score, reward)| match best {
        Some((top, _)) if score <= top => best,
        _ => Some((score, reward)),
    });
    lesson.best().zip(chosen).map_or(0.0, |(best, (_, reward))| best - reward)
}
