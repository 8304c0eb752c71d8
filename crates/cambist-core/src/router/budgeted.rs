//! One teacher after the other, until the next one is not worth its price.

use serde::{Deserialize, Serialize};

use super::{Ask, Choice, Router, Spend, best, spend_of};
use crate::{
    candidate::{Candidate, Matrix},
    chance::Chance,
    drift::{DriftWatch, Level, WatchedPrompt},
    language::Language,
    outline::Outline,
    pool::{ExpectedCosts, Pool, Query},
    reward_table::RewardTable,
    search::{Case, Correlation, Goal, MemoryError, Prices, Seen, Tuned, tune},
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
    watch: DriftWatch,
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
        let pool = &pool;
        let answers = matrix.rows().iter().flat_map(|row| &row.candidates);
        let promised = tuned.promise.map_or(0.0, |promise| promise.regret);
        let mut fitted = Self {
            tuned,
            teachers: table.teachers().to_vec(),
            languages: table.languages().to_vec(),
            tasks: table.tasks().to_vec(),
            scales: scales(&table),
            options,
            seed,
            calibration: spend_of(answers, true, pool.score_usd),
            watch: DriftWatch::default(),
        };
        let seen = matrix.rows().iter().map(|row| {
            let query = pool.query(&row.prompt);
            let answers: Vec<&Candidate> = row.candidates.iter().filter(|own| is_first(&query, own)).collect();
            fitted.shown(&query, (&answers, &vec![1.0; answers.len()]))
        });
        fitted.watch = DriftWatch::new(seen.collect::<Vec<_>>(), promised);
        Ok(fitted)
    }

    /// What answers to a prompt were like, each with what it weighs.
    fn shown(&self, query: &Query<'_>, (answers, weights): (&[&Candidate], &[f64])) -> WatchedPrompt {
        let (center, width) = self.scale(query);
        let level = |candidate: &Candidate| Level {
            reward: candidate.valid_reward().map(|reward| (reward - center) / width),
            tokens: candidate.completion.tokens_out,
            failed: candidate.valid_reward().is_none(),
        };
        let answers = answers.iter().zip(weights);
        WatchedPrompt {
            source_id: query.prompt.source_id.clone(),
            language: query.prompt.language.clone(),
            answers: answers.map(|(own, weight)| (own.completion.teacher.clone(), *weight, level(own))).collect(),
            audited_regret: None,
        }
    }

    /// The best reward minus that of what the search keeps, of a prompt that everybody was asked about.
    fn regret(&self, query: &Query<'_>, observed: &[&Candidate]) -> Option<f64> {
        let (_, width) = self.scale(query);
        let rewards = |all: &[&Candidate]| all.iter().filter_map(|own| own.valid_reward()).collect::<Vec<f64>>();
        let all = rewards(observed);
        let best = all.iter().copied().reduce(f64::max)?;
        let least = all.into_iter().reduce(f64::min)?;
        let kept = rewards(&self.searched(query, observed)).into_iter().reduce(f64::max).unwrap_or(least);
        Some((best - kept) / width)
    }

    /// Center and width of the rewards of a prompt's language.
    fn scale(&self, query: &Query<'_>) -> (f64, f64) {
        let language = self.languages.iter().position(|language| *language == query.prompt.language);
        self.scales[language.unwrap_or(self.languages.len())]
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

    /// Whom the search asks next, given what it has seen.
    fn next(&self, query: &Query<'_>, observed: &[&Candidate]) -> Vec<Ask> {
        let language = self.languages.iter().position(|language| *language == query.prompt.language);
        let task = query.prompt.task.as_ref().and_then(|task| self.tasks.iter().position(|own| own == task));
        let costs = self.costs(query, language);
        let left = self.options.max_asks.unwrap_or(usize::MAX).saturating_sub(observed.len());
        let case = Case { language, task, costs: &costs, lambda: self.tuned.lambda_in(language) };
        let next = self.tuned.policy().next(&case, &self.seen(language, observed));
        next.into_iter().take(self.options.width.max(1).min(left)).map(|at| Ask::once(&self.teachers[at])).collect()
    }

    /// The answers among `observed` that the search alone would have asked for, in its order.
    pub fn searched<'a>(&self, query: &Query<'_>, observed: &[&'a Candidate]) -> Vec<&'a Candidate> {
        let mut seen: Vec<&Candidate> = Vec::new();
        loop {
            let asks = self.next(query, &seen);
            let found = |ask: &Ask| observed.iter().find(|own| own.completion.teacher == ask.teacher).copied();
            let more: Vec<&Candidate> = asks.iter().filter_map(found).collect();
            if more.is_empty() {
                return seen;
            }
            seen.extend(more);
        }
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
        self.next(query, observed)
    }

    fn choose(&self, query: &Query<'_>, observed: &[&Candidate]) -> Option<Choice> {
        let share = self.options.audit_share;
        let propensity = if self.is_audited(&query.prompt.id) { share } else { 1.0 - share };
        Some(Choice { propensity, ..best::best_of(query, observed)? })
    }

    /// 1 for answers that the search asks for, audited or not; the share of audits for those that audits alone ask for.
    fn propensities(&self, query: &Query<'_>, observed: &[&Candidate]) -> Option<Vec<f64>> {
        let share = self.options.audit_share;
        if share <= 0.0 {
            return None;
        }
        let searched = self.searched(query, observed);
        let is_searched = |candidate: &&Candidate| searched.iter().any(|own| own.cell() == candidate.cell());
        Some(observed.iter().map(|candidate| if is_searched(candidate) { 1.0 } else { share }).collect())
    }

    fn prices(&self) -> Option<Prices> {
        Some(self.tuned.prices(&self.languages))
    }

    fn drift_watch(&self) -> Option<&DriftWatch> {
        Some(&self.watch)
    }

    fn watched(&self, query: &Query<'_>, observed: &[&Candidate]) -> Option<WatchedPrompt> {
        let weights: Vec<f64> = self.propensities(query, observed)?.into_iter().map(|share| 1.0 / share).collect();
        let is_audited = self.is_audited(&query.prompt.id);
        let audited_regret = if is_audited { self.regret(query, observed) } else { None };
        Some(WatchedPrompt { audited_regret, ..self.shown(query, (observed, &weights)) })
    }

    fn calibration(&self) -> Spend {
        self.calibration
    }
}

/// Whether it is the first answer of a teacher that may be asked.
fn is_first(query: &Query<'_>, candidate: &Candidate) -> bool {
    candidate.completion.sample == 0 && query.is_eligible(&candidate.completion.teacher)
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
