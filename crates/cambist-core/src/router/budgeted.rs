//! One teacher after the other, until the next one is not worth its price.

use serde::{Deserialize, Serialize};

use super::{Ask, Choice, Router, Spend, best, spend_of};
use crate::{
    candidate::{Candidate, Matrix},
    chance::Chance,
    language::Language,
    outline::Outline,
    pool::{ExpectedCosts, Pool, Query},
    reward_table::RewardTable,
    search::{Case, Correlation, Goal, MemoryError, Seen, Tuned, tune},
};

/// How budgeted routing goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetedOptions {
    /// How many teachers are asked at once, at least 1; default 1. More of them take fewer rounds and ask more.
    pub width: usize,
    /// The most teachers asked about one prompt; no limit when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_asks: Option<usize>,
    /// The share of prompts, drawn by lot, about which everybody is asked, 0 to 1; default 0.02. They show whether what
    /// calibration said still holds, and let a router be refitted.
    pub audit_share: f64,
    /// Whether rewards of one prompt say something about each other; default `shared`.
    pub correlation: Correlation,
}

impl Default for BudgetedOptions {
    fn default() -> Self {
        Self { width: 1, max_asks: None, audit_share: 0.02, correlation: Correlation::Shared }
    }
}

/// Sequential search by reservation values (Weitzman 1979), with calibration prompts as its memory.
///
/// Answers of the same prompt are not independent: after each one, calibration prompts weigh by how alike their rewards
/// are to those seen. A language or task without calibration is judged by all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Budgeted {
    tuned: Tuned,
    teachers: Vec<String>,
    languages: Vec<Language>,
    tasks: Vec<String>,
    /// Of each language the center and width of its rewards; last those of a language without calibration.
    scales: Vec<(f64, f64)>,
    options: BudgetedOptions,
    seed: u64,
    calibration: Spend,
}

impl Budgeted {
    /// Calibrates on recorded, scored answers of the whole pool.
    ///
    /// # Errors
    /// When too few prompts have a valid answer with a reward.
    pub fn fit(
        matrix: &Matrix,
        pool: &Pool,
        (goal, options): (Goal, BudgetedOptions),
        seed: u64,
    ) -> Result<Self, MemoryError> {
        let outline = Outline::of(matrix);
        let mut pool = pool.clone();
        pool.costs = ExpectedCosts::fit(&outline);
        let table = RewardTable::of(&outline, &pool);
        let every: Vec<usize> = (0..table.prompts().len()).collect();
        let tuned = tune(&table, &every, (goal, options.correlation))?;
        let answers = matrix.rows().iter().flat_map(|row| &row.candidates);
        Ok(Self {
            tuned,
            teachers: table.teachers().to_vec(),
            languages: table.languages().to_vec(),
            tasks: table.tasks().to_vec(),
            scales: scales(&table),
            options,
            seed,
            calibration: spend_of(answers, true, pool.score_usd),
        })
    }

    /// What calibration promises, and at what price of reward.
    pub fn tuned(&self) -> &Tuned {
        &self.tuned
    }

    /// Whether everybody is asked about a prompt, by lot.
    fn is_audited(&self, prompt_id: &str) -> bool {
        Chance::new(self.seed, &["audit", prompt_id]).unit() < self.options.audit_share
    }

    /// What a call costs; infinite for teachers that may not be asked.
    fn costs(&self, query: &Query<'_>, language: Option<usize>) -> Vec<f64> {
        let mut costs = self.tuned.costs_in(language);
        let closed = costs.iter_mut().zip(&self.teachers).filter(|(_, id)| !query.is_eligible(id));
        closed.for_each(|(cost, _)| *cost = f64::INFINITY);
        costs
    }

    fn seen(&self, language: Option<usize>, observed: &[&Candidate]) -> Vec<Seen> {
        let (center, width) = self.scales[language.unwrap_or(self.languages.len())];
        let seen = |candidate: &&Candidate| {
            let teacher = self.teachers.iter().position(|id| *id == candidate.completion.teacher)?;
            Some(Seen { teacher, reward: candidate.valid_reward().map(|reward| (reward - center) / width) })
        };
        observed.iter().filter_map(seen).collect()
    }
}

impl Router for Budgeted {
    fn strategy(&self) -> String {
        "budgeted".to_owned()
    }

    fn reads_rewards(&self) -> bool {
        true
    }

    fn asks(&self, query: &Query<'_>, observed: &[&Candidate]) -> Vec<Ask> {
        if self.is_audited(&query.prompt.id) {
            let everybody = query.eligible.iter().map(|eligible| Ask::once(&eligible.teacher.id));
            return if observed.is_empty() { everybody.collect() } else { Vec::new() };
        }
        let language = self.languages.iter().position(|language| *language == query.prompt.language);
        let task = query.prompt.task.as_ref().and_then(|task| self.tasks.iter().position(|own| own == task));
        let costs = self.costs(query, language);
        let left = self.options.max_asks.unwrap_or(usize::MAX).saturating_sub(observed.len());
        let case = Case { language, task, costs: &costs, lambda: self.tuned.lambda };
        let next = self.tuned.policy().next(&case, &self.seen(language, observed));
        next.into_iter().take(self.options.width.max(1).min(left)).map(|at| Ask::once(&self.teachers[at])).collect()
    }

    fn choose(&self, query: &Query<'_>, observed: &[&Candidate]) -> Option<Choice> {
        let share = self.options.audit_share;
        let propensity = if self.is_audited(&query.prompt.id) { share } else { 1.0 - share };
        Some(Choice { propensity, ..best::best_of(query, observed)? })
    }

    fn calibration(&self) -> Spend {
        self.calibration
    }
}

/// Center and width of each language's rewards, and their means for a language without calibration.
fn scales(table: &RewardTable) -> Vec<(f64, f64)> {
    let known = table.scales().languages();
    let own = |language: &Language| known.get(language).map_or((0.0, 1.0), |scale| (scale.median, scale.width));
    let mut scales: Vec<(f64, f64)> = table.languages().iter().map(own).collect();
    let n = scales.len().max(1) as f64;
    let sum = scales.iter().fold((0.0, 0.0), |sum, own| (sum.0 + own.0, sum.1 + own.1));
    scales.push((sum.0 / n, if sum.1 > 0.0 { sum.1 / n } else { 1.0 }));
    scales
}
