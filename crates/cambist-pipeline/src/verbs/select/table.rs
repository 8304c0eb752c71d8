//! The strategy table: what each strategy kept, what it gave up, what it would have cost.

use std::collections::BTreeMap;

use cambist_core::{
    language::Language,
    outline::{Line, Outline},
    router::{Decision, Outcome, StrategyCost},
    statistics::RunningMean,
    tally::Tally,
};
use serde::{Deserialize, Serialize};

use super::play::Aligned;
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
    /// Answers by language and label, or the reason why they have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Tally>,
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

/// What a strategy kept, by language, counted as it decides.
#[derive(Debug, Default)]
pub(super) struct Shares {
    languages: BTreeMap<Language, Kept>,
}

/// What a strategy kept in one language.
#[derive(Debug, Default)]
struct Kept {
    n_prompts: usize,
    n_kept: usize,
    rewards: RunningMean,
    regrets: RunningMean,
    teachers: BTreeMap<String, usize>,
}

impl Shares {
    /// Counts a decision; `best` is the best valid reward among the shared answers to the prompt.
    pub(super) fn add(&mut self, decision: &Decision, best: Option<f64>) {
        let kept = entry(&mut self.languages, &decision.language);
        kept.n_prompts += 1;
        if let Some(teacher) = &decision.teacher {
            *entry(&mut kept.teachers, teacher) += 1;
        }
        if decision.outcome == Outcome::Chosen {
            kept.n_kept += 1;
            decision.score.into_iter().for_each(|score| kept.rewards.add(score));
            best.zip(decision.score).into_iter().for_each(|(best, score)| kept.regrets.add(best - score));
        }
    }

    fn cells(&self) -> BTreeMap<Language, StrategyCell> {
        let cell = |kept: &Kept| StrategyCell {
            n_prompts: kept.n_prompts,
            n_kept: kept.n_kept,
            mean_reward: kept.rewards.value(),
            regret: kept.regrets.value(),
        };
        self.languages.iter().map(|(language, kept)| (language.clone(), cell(kept))).collect()
    }

    fn of_teachers(&self) -> BTreeMap<Language, BTreeMap<String, usize>> {
        let some = self.languages.iter().filter(|(_, kept)| !kept.teachers.is_empty());
        some.map(|(language, kept)| (language.clone(), kept.teachers.clone())).collect()
    }
}

/// The value of a key, a new one for a new key.
fn entry<'m, K: Ord + Clone, V: Default>(map: &'m mut BTreeMap<K, V>, key: &K) -> &'m mut V {
    if !map.contains_key(key) {
        map.insert(key.clone(), V::default());
    }
    map.entry(key.clone()).or_default()
}

/// Averages what was decided.
pub(super) fn tabulate(
    outline: &Outline,
    aligned: &Aligned<'_>,
    (pairs, labels): (Option<&Tally>, Option<&Tally>),
) -> StrategyTable {
    let strategies = aligned.played.iter().map(|(name, played)| {
        let row = StrategyRow {
            strategy: played.strategy.clone(),
            languages: played.shares.cells(),
            cost: played.cost.clone(),
            n_aligned: aligned.n_kept(name),
            tally: aligned.tallies.get(name.as_str()).cloned().unwrap_or_default(),
            shares: played.shares.of_teachers(),
        };
        (name.clone(), row)
    });
    StrategyTable {
        schema_version: 1,
        strategies: strategies.collect(),
        teachers: teachers(outline, |line| Some(line.language()), Language::clone),
        tasks: teachers(outline, |line| line.task(), str::to_owned),
        oracle: oracle(outline),
        pairs: pairs.cloned(),
        labels: labels.cloned(),
    }
}

/// Answers and the valid rewards among them.
#[derive(Clone, Debug, Default)]
struct Rewards {
    n_answers: usize,
    valid: RunningMean,
}

impl Rewards {
    fn add(&mut self, reward: Option<f64>) {
        self.n_answers += 1;
        reward.into_iter().for_each(|reward| self.valid.add(reward));
    }

    fn cell(&self) -> TeacherCell {
        TeacherCell { n_valid: self.valid.n(), n_answers: self.n_answers, mean_reward: self.valid.value() }
    }
}

fn teachers<'a, K: Ord + Copy, N: Ord>(
    outline: &'a Outline,
    key: impl Fn(Line<'a>) -> Option<K>,
    name: impl Fn(K) -> N,
) -> BTreeMap<String, BTreeMap<N, TeacherCell>> {
    let mut rewards: BTreeMap<K, Vec<Rewards>> = BTreeMap::new();
    for line in outline.lines() {
        let Some(key) = key(line) else { continue };
        let of_key = rewards.entry(key).or_insert_with(|| vec![Rewards::default(); outline.teachers().len()]);
        line.answers().iter().for_each(|answer| of_key[answer.teacher as usize].add(answer.valid_reward()));
    }
    let mut cells: BTreeMap<String, BTreeMap<N, TeacherCell>> = BTreeMap::new();
    for (key, of_key) in rewards {
        for (teacher, rewards) in outline.teachers().iter().zip(of_key).filter(|(_, rewards)| rewards.n_answers > 0) {
            entry(&mut cells, teacher).insert(name(key), rewards.cell());
        }
    }
    cells
}

fn oracle(outline: &Outline) -> BTreeMap<Language, TeacherCell> {
    let mut best: BTreeMap<&Language, Rewards> = BTreeMap::new();
    outline.lines().for_each(|line| best.entry(line.language()).or_default().add(line.best_reward()));
    best.into_iter().map(|(language, rewards)| (language.clone(), rewards.cell())).collect()
}
