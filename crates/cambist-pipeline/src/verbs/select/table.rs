//! The strategy table: what each strategy kept, what it gave up, what it would have cost.

use std::collections::{BTreeMap, HashMap};

use cambist_core::{
    align::AlignedStrategy,
    candidate::{Matrix, Row},
    language::Language,
    pairs::Pairs,
    router::{Decision, Outcome, StrategyCost},
    statistics::mean,
    tally::Tally,
};
use serde::{Deserialize, Serialize};

use super::Decided;
use crate::error::PipelineError;

/// Everything that a reader of a `select` artifact wants in numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StrategyTable {
    pub schema_version: u32,
    /// By the strategy's name in the recipe.
    pub strategies: BTreeMap<String, StrategyRow>,
    /// By teacher and language: what its own answers were worth.
    pub teachers: BTreeMap<String, BTreeMap<Language, TeacherCell>>,
    /// By teacher and task.
    pub tasks: BTreeMap<String, BTreeMap<String, TeacherCell>>,
    /// By language: mean reward of the best valid answer to each prompt.
    pub oracle: BTreeMap<Language, TeacherCell>,
    /// Preference pairs by language and reason.
    pub pairs: Option<Tally>,
}

/// One strategy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StrategyRow {
    /// The strategy with its parameters, such as `single:aya`.
    pub strategy: String,
    pub languages: BTreeMap<Language, StrategyCell>,
    pub cost: StrategyCost,
    /// Rows of its set after alignment.
    pub n_aligned: usize,
    /// Why prompts were left out, by language.
    pub tally: Tally,
    /// Kept answers by language and teacher.
    pub shares: BTreeMap<Language, BTreeMap<String, usize>>,
}

/// One strategy in one language, before alignment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StrategyCell {
    pub n_prompts: usize,
    pub n_kept: usize,
    /// Mean reward of the kept answers that have one.
    pub mean_reward: Option<f64>,
    /// Mean over kept answers of the best valid reward among the shared answers minus the kept one; below 0 when a
    /// strategy with its own answers found better ones.
    pub regret: Option<f64>,
}

/// The answers of one teacher in one language or task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TeacherCell {
    /// Answers that passed the gates and have a reward.
    pub n_valid: usize,
    pub n_answers: usize,
    /// Mean reward over all valid answers.
    pub mean_reward: Option<f64>,
}

impl StrategyTable {
    /// The table as the file `strategies.json`.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, PipelineError> {
        serde_json::to_vec_pretty(self).map_err(|error| PipelineError::Internal(format!("the strategy table: {error}")))
    }
}

/// Counts and averages what was decided.
pub(super) fn tabulate(
    decided: &Decided,
    aligned: &BTreeMap<String, AlignedStrategy>,
    pairs: Option<&Pairs>,
) -> StrategyTable {
    let best: HashMap<&str, f64> =
        decided.matrix.rows().iter().filter_map(|row| Some((row.prompt.id.as_str(), best_reward(row)?))).collect();
    let strategies = decided.played.iter().map(|(name, played)| {
        let row = StrategyRow {
            strategy: played.strategy.clone(),
            languages: by_language(&played.decisions, &best),
            cost: played.cost.clone(),
            n_aligned: aligned[name].prompt_ids.len(),
            tally: aligned[name].tally.clone(),
            shares: shares(&played.decisions),
        };
        (name.clone(), row)
    });
    StrategyTable {
        schema_version: 1,
        strategies: strategies.collect(),
        teachers: teachers(&decided.matrix, |row| Some(row.prompt.language.clone())),
        tasks: teachers(&decided.matrix, |row| row.prompt.task.clone()),
        oracle: oracle(&decided.matrix),
        pairs: pairs.map(|pairs| pairs.tally.clone()),
    }
}

fn best_reward(row: &Row) -> Option<f64> {
    row.candidates.iter().filter_map(|candidate| candidate.valid_reward()).max_by(f64::total_cmp)
}

fn by_language(decisions: &[Decision], best: &HashMap<&str, f64>) -> BTreeMap<Language, StrategyCell> {
    let mut grouped: BTreeMap<Language, Vec<&Decision>> = BTreeMap::new();
    for decision in decisions {
        grouped.entry(decision.language.clone()).or_default().push(decision);
    }
    let cell = |of_language: Vec<&Decision>| {
        let kept: Vec<&&Decision> = of_language.iter().filter(|d| d.outcome == Outcome::Chosen).collect();
        let rewards: Vec<f64> = kept.iter().filter_map(|d| d.score).collect();
        let regrets: Vec<f64> = kept.iter().filter_map(|d| Some(best.get(d.prompt_id.as_str())? - d.score?)).collect();
        StrategyCell {
            n_prompts: of_language.len(),
            n_kept: kept.len(),
            mean_reward: mean(&rewards),
            regret: mean(&regrets),
        }
    };
    grouped.into_iter().map(|(language, of_language)| (language, cell(of_language))).collect()
}

fn shares(decisions: &[Decision]) -> BTreeMap<Language, BTreeMap<String, usize>> {
    let mut shares: BTreeMap<Language, BTreeMap<String, usize>> = BTreeMap::new();
    for (language, teacher) in decisions.iter().filter_map(|d| Some((&d.language, d.teacher.as_ref()?))) {
        *shares.entry(language.clone()).or_default().entry(teacher.clone()).or_default() += 1;
    }
    shares
}

fn teachers<K: Ord>(matrix: &Matrix, key: impl Fn(&Row) -> Option<K>) -> BTreeMap<String, BTreeMap<K, TeacherCell>> {
    let mut rewards: BTreeMap<String, BTreeMap<K, Vec<Option<f64>>>> = BTreeMap::new();
    for row in matrix.rows() {
        for candidate in &row.candidates {
            let Some(key) = key(row) else { continue };
            let of_teacher = rewards.entry(candidate.completion.teacher.clone()).or_default();
            of_teacher.entry(key).or_default().push(candidate.valid_reward());
        }
    }
    let cells =
        |of_teacher: BTreeMap<K, Vec<Option<f64>>>| of_teacher.into_iter().map(|(k, all)| (k, cell(&all))).collect();
    rewards.into_iter().map(|(teacher, of_teacher)| (teacher, cells(of_teacher))).collect()
}

fn oracle(matrix: &Matrix) -> BTreeMap<Language, TeacherCell> {
    let mut best: BTreeMap<Language, Vec<Option<f64>>> = BTreeMap::new();
    for row in matrix.rows() {
        best.entry(row.prompt.language.clone()).or_default().push(best_reward(row));
    }
    best.into_iter().map(|(language, all)| (language, cell(&all))).collect()
}

fn cell(rewards: &[Option<f64>]) -> TeacherCell {
    let valid: Vec<f64> = rewards.iter().flatten().copied().collect();
    TeacherCell { n_valid: valid.len(), n_answers: rewards.len(), mean_reward: mean(&valid) }
}
