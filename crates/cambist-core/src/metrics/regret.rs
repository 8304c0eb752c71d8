//! How far a strategy stays behind an oracle that sees every reward.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::PerLanguage;
use crate::{
    candidate::{Matrix, Row},
    router::Decision,
    statistics::mean,
};

/// A strategy against the oracle, over prompts with at least two valid candidates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regret {
    /// How many prompts it is measured on.
    pub n: usize,
    /// How many prompts with at least two valid candidates the strategy took no scored answer to; not in `n`.
    pub n_without: usize,
    /// Mean of the best reward minus the chosen one, in the units of the rewards; 0 is perfect.
    pub regret: f64,
    /// `regret` over the mean of the best reward minus the mean reward: 0 is the oracle, 1 a uniform choice; none when
    /// all rewards of every prompt are equal.
    pub relative: Option<f64>,
    /// Share of prompts of which a teacher with the best reward was chosen; ties all count.
    pub hit: f64,
    /// The hit rate of a uniform choice among the teachers asked.
    pub chance_hit: f64,
}

/// Returns regret and hit rate per language; `matrix` holds the rewards of all teachers.
///
/// Rewards are raw as they stand in the matrix. The mean over languages weighs each the same, and its `regret` says
/// something only where rewards mean the same in every language, as those of an exact checker do.
pub fn regret(matrix: &Matrix, decisions: &[Decision]) -> PerLanguage<Regret> {
    let decided: BTreeMap<&str, &Decision> = decisions.iter().map(|d| (d.prompt_id.as_str(), d)).collect();
    let mut rows: BTreeMap<_, (Vec<PromptRegret>, usize)> = BTreeMap::new();
    for row in matrix.rows().iter().filter(|row| rewards(row).len() > 1) {
        let of_language = rows.entry(row.prompt.language.clone()).or_default();
        match decided.get(row.prompt.id.as_str()).and_then(|decision| prompt_regret(row, decision)) {
            Some(measured) => of_language.0.push(measured),
            None => of_language.1 += 1,
        }
    }
    let languages: BTreeMap<_, Regret> = rows
        .into_iter()
        .filter_map(|(language, (all, n_without))| Some((language, summarize(&all, n_without)?)))
        .collect();
    let macro_mean = average(&languages.values().collect::<Vec<_>>());
    PerLanguage { languages, macro_mean }
}

struct PromptRegret {
    regret: f64,
    spread: f64,
    hit: f64,
    chance_hit: f64,
}

/// The valid rewards by teacher, of several samples the best.
fn rewards(row: &Row) -> BTreeMap<&str, f64> {
    let mut best: BTreeMap<&str, f64> = BTreeMap::new();
    for candidate in &row.candidates {
        if let Some(reward) = candidate.valid_reward() {
            let known = best.entry(&candidate.completion.teacher).or_insert(reward);
            *known = known.max(reward);
        }
    }
    best
}

fn prompt_regret(row: &Row, decision: &Decision) -> Option<PromptRegret> {
    let (teacher, sample) = (decision.teacher.as_deref()?, decision.sample?);
    let chosen = row.candidate(teacher, sample)?.valid_reward()?;
    let rewards = rewards(row);
    let top = rewards.values().copied().fold(f64::NEG_INFINITY, f64::max);
    let n_top = rewards.values().filter(|reward| **reward == top).count();
    let n_asked = row.candidates.iter().map(|candidate| &candidate.completion.teacher).collect::<BTreeSet<_>>().len();
    Some(PromptRegret {
        regret: top - chosen,
        spread: top - mean(&rewards.values().copied().collect::<Vec<_>>())?,
        hit: f64::from(chosen == top),
        chance_hit: n_top as f64 / n_asked as f64,
    })
}

fn summarize(prompts: &[PromptRegret], n_without: usize) -> Option<Regret> {
    let mean_of = |part: fn(&PromptRegret) -> f64| mean(&prompts.iter().map(part).collect::<Vec<_>>());
    let (regret, spread) = (mean_of(|p| p.regret)?, mean_of(|p| p.spread)?);
    Some(Regret {
        n: prompts.len(),
        n_without,
        regret,
        relative: (spread > 0.0).then(|| regret / spread),
        hit: mean_of(|p| p.hit)?,
        chance_hit: mean_of(|p| p.chance_hit)?,
    })
}

fn average(languages: &[&Regret]) -> Option<Regret> {
    let mean_of = |part: fn(&Regret) -> f64| mean(&languages.iter().map(|row| part(row)).collect::<Vec<_>>());
    let relative: Vec<f64> = languages.iter().filter_map(|row| row.relative).collect();
    Some(Regret {
        n: languages.iter().map(|row| row.n).sum(),
        n_without: languages.iter().map(|row| row.n_without).sum(),
        regret: mean_of(|row| row.regret)?,
        relative: mean(&relative).filter(|_| relative.len() == languages.len()),
        hit: mean_of(|row| row.hit)?,
        chance_hit: mean_of(|row| row.chance_hit)?,
    })
}

/// How far the best teacher of a prompt is ahead of the second best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarginHistogram {
    /// Prompts with two equal best rewards.
    pub n_ties: usize,
    /// Upper ends of the bins, ascending; a bin holds margins above the end before it, up to and with its own.
    pub ends: Vec<f64>,
    /// Prompts per bin.
    pub counts: Vec<usize>,
}

/// Returns the margins of all prompts with at least two valid candidates, in `n_bins` of equal width up to the largest.
pub fn margin_histogram(matrix: &Matrix, n_bins: usize) -> MarginHistogram {
    MarginHistogram::of(&matrix.rows().iter().filter_map(margin).collect::<Vec<_>>(), n_bins)
}

impl MarginHistogram {
    /// Sorts margins, none of them negative, into `n_bins` of equal width up to the largest.
    pub fn of(margins: &[f64], n_bins: usize) -> Self {
        let largest = margins.iter().copied().fold(0.0, f64::max);
        let ends: Vec<f64> = (1..=n_bins).map(|bin| largest * bin as f64 / n_bins as f64).collect();
        let mut counts = vec![0; n_bins];
        for margin in margins.iter().filter(|margin| **margin > 0.0) {
            let bin = ends.partition_point(|end| end < margin).min(n_bins.saturating_sub(1));
            counts.iter_mut().skip(bin).take(1).for_each(|count| *count += 1);
        }
        Self { n_ties: margins.iter().filter(|margin| **margin == 0.0).count(), ends, counts }
    }
}

fn margin(row: &Row) -> Option<f64> {
    let mut sorted: Vec<f64> = rewards(row).into_values().collect();
    sorted.sort_by(f64::total_cmp);
    let second = sorted.len().checked_sub(2)?;
    Some(sorted[second + 1] - sorted[second])
}
