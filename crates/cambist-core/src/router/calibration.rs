//! What teachers are worth before routing starts, measured on a split of its own.

use std::{cmp::Ordering, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use super::{FixedTable, Rank};
use crate::{
    candidate::{Matrix, Row},
    language::Language,
    pool::Pool,
    reward::Scales,
    statistics::{mean, quantile, standard_error},
};

/// Fewer prompts than this make no ranking of a language's own.
pub(crate) const MIN_PROMPTS: usize = 30;
/// The quantile of a language's rewards that an invalid answer counts as, so that unreliable teachers sink.
const FLOOR_QUANTILE: f64 = 0.05;

/// Why a calibration gives no ranking.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalibrationError {
    /// No prompt has a valid, scored answer.
    #[error(
        "none of {n_prompts} calibration prompts has a valid answer with a reward: ask the pool on the calibration split and score the answers first"
    )]
    NoRewards {
        /// How many prompts there are.
        n_prompts: usize,
    },
}

/// One teacher's standing over all calibration prompts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The teacher.
    pub teacher: String,
    /// Mean over the languages of its mean normalised reward in each.
    pub mean: f64,
    /// How many prompts it was measured on.
    pub n_prompts: usize,
    /// To how many of them it gave a valid answer with a reward.
    pub n_valid: usize,
    /// Whether it may be asked in every language.
    pub covers_all: bool,
}

/// Orders the teachers of the pool by their own average over all calibration prompts, the best first: the first one is
/// the best single teacher by its answers (the best by its student is another reading, known only after training).
///
/// Teachers that may be asked in every language stand before the others: one that may not leaves prompts without any
/// answer, and sets that are cut to equal prompts would lose those languages altogether.
///
/// Rewards are normalised per language, each language weighs the same, and a prompt without a valid answer, because
/// the teacher failed or does not cover the language, counts as the 5 % quantile of that language's rewards. Ties go to
/// the lower expected cost (summed over the languages), then to the smaller id.
///
/// # Errors
/// When no prompt has a valid, scored answer.
pub fn best_single(matrix: &Matrix, pool: &Pool) -> Result<Vec<Standing>, CalibrationError> {
    let calibration = Calibration::measure(matrix, pool)?;
    let of_teacher = |(at, teacher): (usize, &crate::teacher::Teacher)| {
        let languages = calibration.languages.values();
        let each = languages
            .clone()
            .filter_map(|l| mean(&l.rewards[at].iter().map(|r| r.unwrap_or(l.floor)).collect::<Vec<_>>()));
        let cost: f64 = calibration.languages.keys().map(|language| pool.costs.of(teacher, language)).sum();
        let standing = Standing {
            teacher: teacher.id.clone(),
            mean: mean(&each.collect::<Vec<_>>())?,
            n_prompts: languages.clone().map(|l| l.rewards[at].len()).sum(),
            n_valid: languages.clone().map(|l| l.n_valid[at]).sum(),
            covers_all: languages.clone().all(|l| l.rewards[at].iter().all(Option::is_some)),
        };
        Some((standing, cost))
    };
    let mut standings: Vec<_> = pool.teachers().iter().enumerate().filter_map(of_teacher).collect();
    standings.sort_by(|(a, cost_a), (b, cost_b)| {
        let worth = by_worth((a.mean, *cost_a, &a.teacher), (b.mean, *cost_b, &b.teacher));
        b.covers_all.cmp(&a.covers_all).then(worth)
    });
    Ok(standings.into_iter().map(|(standing, _)| standing).collect())
}

/// Orders (mean, expected cost, id) from the best on: higher mean, then lower cost, then smaller id.
fn by_worth(a: (f64, f64, &str), b: (f64, f64, &str)) -> Ordering {
    b.0.total_cmp(&a.0).then_with(|| a.1.total_cmp(&b.1)).then_with(|| a.2.cmp(b.2))
}

/// Rewards of one language, normalised.
struct LanguageRewards {
    /// By teacher (in the pool's order), then prompt; the floor for invalid answers, none for ineligible teachers.
    rewards: Vec<Vec<Option<f64>>>,
    /// By teacher.
    n_valid: Vec<usize>,
    floor: f64,
}

/// Normalised rewards of all teachers on the calibration split.
pub(super) struct Calibration {
    languages: BTreeMap<Language, LanguageRewards>,
}

impl Calibration {
    pub(super) fn measure(matrix: &Matrix, pool: &Pool) -> Result<Self, CalibrationError> {
        let scales = Scales::fit(matrix);
        let mut rows: BTreeMap<&Language, Vec<&Row>> = BTreeMap::new();
        for row in matrix.rows().iter().filter(|row| scales.languages().contains_key(&row.prompt.language)) {
            rows.entry(&row.prompt.language).or_default().push(row);
        }
        if rows.is_empty() {
            return Err(CalibrationError::NoRewards { n_prompts: matrix.rows().len() });
        }
        let measured =
            rows.into_iter().filter_map(|(l, rows)| Some((l.clone(), measure_language(&rows, pool, &scales)?)));
        Ok(Self { languages: measured.collect() })
    }

    /// Ranks the eligible teachers of each language with enough prompts, and of all languages together.
    pub(super) fn table(&self, pool: &Pool) -> FixedTable {
        let enough =
            self.languages.iter().filter(|(_, rewards)| rewards.rewards.iter().any(|r| r.len() >= MIN_PROMPTS));
        let rows = enough.map(|(language, rewards)| (language.clone(), rank(&rewards.rewards, pool, Some(language))));
        let pooled: Vec<Vec<Option<f64>>> = (0..pool.teachers().len())
            .map(|at| self.languages.values().flat_map(|language| language.rewards[at].iter().copied()).collect())
            .collect();
        FixedTable { languages: rows.collect(), pooled: rank(&pooled, pool, None) }
    }
}

/// The rewards of one calibration prompt, normalised.
pub(crate) struct MeasuredRow {
    /// Its place in the matrix.
    pub at: usize,
    /// The place of its language among those of [`Measured`].
    pub language: usize,
    /// By teacher (in the pool's order): the floor for invalid answers, none for ineligible teachers.
    pub rewards: Vec<Option<f64>>,
}

/// What every teacher's answer to every calibration prompt was worth.
pub(crate) struct Measured {
    pub languages: Vec<Language>,
    pub rows: Vec<MeasuredRow>,
    /// Valid answers by teacher.
    pub n_valid: Vec<usize>,
}

/// Measures rewards as [`FixedTable::fit`] does, prompt by prompt; prompts of a language without any valid reward are
/// left out.
pub(crate) fn measured_rewards(matrix: &Matrix, pool: &Pool) -> Result<Measured, CalibrationError> {
    let calibration = Calibration::measure(matrix, pool)?;
    let languages: Vec<Language> = calibration.languages.keys().cloned().collect();
    let measured: Vec<&LanguageRewards> = calibration.languages.values().collect();
    let mut n_seen = vec![0; languages.len()];
    let mut rows = Vec::new();
    for (at, row) in matrix.rows().iter().enumerate() {
        let Ok(language) = languages.binary_search(&row.prompt.language) else { continue };
        let place = n_seen[language];
        n_seen[language] += 1;
        let rewards = measured[language].rewards.iter().map(|of_teacher| of_teacher[place]).collect();
        rows.push(MeasuredRow { at, language, rewards });
    }
    let n_valid = (0..pool.teachers().len()).map(|at| measured.iter().map(|l| l.n_valid[at]).sum()).collect();
    Ok(Measured { languages, rows, n_valid })
}

fn measure_language(rows: &[&Row], pool: &Pool, scales: &Scales) -> Option<LanguageRewards> {
    let normal = |row: &Row, reward: f64| scales.normalize(&row.prompt.language, reward);
    let all: Vec<f64> =
        rows.iter().flat_map(|row| row.candidates.iter().filter_map(|c| normal(row, c.valid_reward()?))).collect();
    let floor = quantile(&all, FLOOR_QUANTILE)?;
    let mut language = LanguageRewards { rewards: Vec::new(), n_valid: Vec::new(), floor };
    for teacher in pool.teachers() {
        let first_answer = |row: &&Row| row.candidate(&teacher.id, 0)?.valid_reward().and_then(|r| normal(row, r));
        let is_eligible = |row: &Row| pool.eligibility.obstacle(teacher, &row.prompt.language).is_none();
        let valid = |row: &&Row| if is_eligible(row) { Some(first_answer(row)) } else { None };
        let answers: Vec<Option<Option<f64>>> = rows.iter().map(valid).collect();
        language.n_valid.push(answers.iter().flatten().flatten().count());
        language.rewards.push(answers.into_iter().map(|answer| answer.map(|r| r.unwrap_or(floor))).collect());
    }
    Some(language)
}

/// Ranks the teachers that have a reward; `language` prices their ties.
fn rank(rewards: &[Vec<Option<f64>>], pool: &Pool, language: Option<&Language>) -> Vec<Rank> {
    let teachers = pool.teachers().iter().zip(rewards);
    let cost = |t| language.map_or(0.0, |language| pool.costs.of(t, language));
    let mut ranked: Vec<(Rank, f64, &[Option<f64>])> = teachers
        .filter_map(|(teacher, rewards)| {
            let known: Vec<f64> = rewards.iter().flatten().copied().collect();
            let (mean, se) = (mean(&known)?, standard_error(&known));
            let rank = Rank { teacher: teacher.id.clone(), mean, se, n: known.len(), weak: false };
            Some((rank, cost(teacher), rewards.as_slice()))
        })
        .collect();
    ranked.sort_by(|(a, cost_a, _), (b, cost_b, _)| {
        by_worth((a.mean, *cost_a, &a.teacher), (b.mean, *cost_b, &b.teacher))
    });
    if let [(first, _, of_first), (_, _, of_second), ..] = ranked.as_mut_slice() {
        first.weak = !is_resolved(of_first, of_second);
    }
    ranked.into_iter().map(|(rank, _, _)| rank).collect()
}

/// Whether the mean paired difference is at least two standard errors.
fn is_resolved(first: &[Option<f64>], second: &[Option<f64>]) -> bool {
    let differences: Vec<f64> = first.iter().zip(second).filter_map(|(a, b)| Some((*a)? - (*b)?)).collect();
    let resolved = mean(&differences).zip(standard_error(&differences)).map(|(gap, se)| gap > 0.0 && gap >= 2.0 * se);
    resolved.unwrap_or(false)
}
